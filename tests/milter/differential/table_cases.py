"""Signing tables: which key signs for whom."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from tests.cases.keys import FOLDER

from .messages import sender, signed
from .model import EXTERNAL, Probe, Setting

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SETTINGS"]

USUAL = "Canonicalization relaxed/simple\nOverSignHeaders From\n"
KEYS = """\
k1 example.com:s1:{folder}/rsa2048.pem
k2 example.com:s2:{folder}/rsab.pem
net example.net:s1:{folder}/rsa2048.pem
any %:s1:{folder}/rsa2048.pem
"""
TABLES = USUAL + "KeyTable {folder}/keys\n"
INLINE = base64.b64encode(
    base64.b64decode(
        "".join(
            line
            for line in (FOLDER / "rsa1024.pem").read_text("ascii").splitlines()
            if not line.startswith("-")
        )
    )
).decode()

# Addresses whose domain no verifier takes for a signing domain, but for the final dot.
UNFIT = ("root@localhost", "joe@[192.0.2.1]", "joe@-.example.edu", "joe@example.edu.")


def tables(
    name: str,
    kind: str,
    rows: str,
    keys: str = KEYS,
    *,
    probes: tuple[Probe, ...],
    more: str = "",
    modes: Mapping[str, int] | None = None,
) -> Setting:
    """A configuration with tables.

    Args:
        name: What it is about.
        kind: The SigningTable's type with its colon.
        rows: Its text.
        keys: The KeyTable's text.
        probes: The mail.
        more: More options.
        modes: Modes of files.
    """
    return Setting(
        name=name,
        conf=f"{TABLES}SigningTable {kind}{{folder}}/rows\n{more}",
        files={"keys": keys, "rows": rows},
        probes=probes,
        modes=modes or {},
    )


def mail(*addresses: str) -> tuple[Probe, ...]:
    """A message from each address."""
    return tuple(Probe(name=f"from {one}", message=sender(one)) for one in addresses)


SETTINGS = (
    tables(
        "file: the steps of a look-up",
        "file:",
        "ann@example.com k2\nexample.com k1\nbob@.example.com any\n.example.com k1\n"
        "carl@* net\nexample.net net\n",
        probes=mail(
            "joe@example.com",
            "Ann@EXAMPLE.com",
            "bob@sub.example.com",
            "joe@a.b.example.com",
            "carl@example.net",
            "joe@example.org",
        ),
    ),
    tables(
        "file: a row for everybody, and comments",
        "file:",
        "# all\n  * any # everybody\n\njoe@example.com k2#k1\n",
        probes=mail("joe@example.com", "joe@example.edu"),
    ),
    tables(
        "a bare path; the first of equal keys counts",
        "",
        "example.com\tk2 \r\nEXAMPLE.com k1\nexample.net\tnet\n",
        probes=mail("joe@example.com", "joe@Example.NET"),
    ),
    tables(
        "refile: order and patterns",
        "refile:",
        "boss@*example.com k2\n*@example.com k1\n *@example.net net\n*@*.example.com any\n"
        "a+b@example.net net\n",
        probes=mail(
            "boss@example.com",
            "Boss@sub.example.com",
            "joe@EXAMPLE.com",
            "joe@a.b.example.com",
            "joe@example.net",
            "a+b@example.net",
        ),
    ),
    tables(
        "refile: characters of regular expressions",
        "refile:",
        "j[aeo]*e@example.com k1\n(ann|bob)@example.com k2\nx?y@* any\n",
        probes=mail("joe@example.com", "jane@example.com", "bob@example.com", "y@example.edu"),
    ),
    Setting(
        name="csl tables",
        conf=USUAL + "KeyTable csl:k=example.com:s1:{folder}/rsa2048.pem\n"
        "SigningTable csl:example.com=k , .example.com = k\n",
        probes=mail("joe@example.com", "joe@sub.example.com", "joe@example.net"),
    ),
    Setting(
        name="csl KeyTable with the key itself",
        conf=USUAL + f"KeyTable csl:k=example.com:rsa1024:{INLINE}\n"
        "SigningTable csl:example.com=k\n",
        probes=mail("joe@example.com"),
    ),
    tables(
        "% for domain, selector's path and key name",
        "refile:",
        "*@example.com named\n*@* %\n",
        "named %:s1:{folder}/%/key.pem\nexample.net %:s1:{folder}/rsa2048.pem\n",
        probes=mail("joe@example.net", "joe@example.com"),
    ),
    tables(
        "signers",
        "refile:",
        "ann@example.com k1:%\nbob@example.com k1:agent@example.com\n"
        "carl@example.com k1:agent@sub.example.com\ndora@example.com k1:agent@example.net\n"
        "emil@example.com k1:agent@%\nfred@example.com k1:@%\n",
        probes=mail(*(f"{name}@example.com" for name in ("bob", "carl", "dora", "emil", "fred"))),
    ),
    tables(
        "a signer without @",
        "refile:",
        "*@example.com k1:%\n",
        probes=mail("ann@example.com"),
    ),
    tables(
        "MultipleSignatures: two rows",
        "refile:",
        "*@example.com k1\njoe@* k2\n",
        more="MultipleSignatures yes\n",
        probes=mail("joe@example.com", "ann@example.com"),
    ),
    tables(
        "MultipleSignatures: three rows",
        "refile:",
        "*@example.com k1\njoe@* k2\n*@* net\n",
        more="MultipleSignatures yes\n",
        probes=mail("joe@example.com"),
    ),
    tables(
        "a key that the KeyTable does not have (refile)",
        "refile:",
        "*@example.com nokey\n*@example.net net\n",
        probes=(
            *mail("joe@example.com", "joe@example.net"),
            Probe(name="from outside", message=sender("joe@example.com"), delivery=EXTERNAL),
        ),
    ),
    tables(
        "a key that the KeyTable does not have (file)",
        "file:",
        "example.com nokey:@%\nexample.net net\n",
        probes=mail("joe@example.net"),
    ),
    tables(
        "KeyTable rows that cannot be used",
        "refile:",
        "*@example.com short\n*@example.net missing\n*@example.edu junk\n",
        "short example.com:s1\nmissing example.net:s1:{folder}/none.pem\n"
        "junk example.edu:s1:{folder}/records\n",
        probes=mail("joe@example.com", "joe@example.net", "joe@example.edu"),
    ),
    *(
        tables(
            f"keys that cannot be used, On-InternalError {value}",
            "refile:",
            "*@example.com junk\n*@example.net nokey\n*@example.edu missing\n",
            "junk example.com:s1:{folder}/records\nmissing %:s1:{folder}/none.pem\n",
            more=f"On-InternalError {value}\n",
            probes=mail("joe@example.com", "joe@example.net", "joe@example.edu"),
        )
        for value in ("accept", "reject", "discard", "quarantine")
    ),
    tables(
        "a key file in a folder that all may write to, with the sticky bit",
        "refile:",
        "*@example.com k1\n",
        more="RequireSafeKeys yes\n",
        probes=mail("joe@example.com"),
    ),
    tables(
        "a key file that others can read",
        "refile:",
        "*@example.com k1\n",
        more="RequireSafeKeys yes\n",
        probes=mail("joe@example.com"),
        modes={"rsa2048.pem": 0o644, ".": 0o755},
    ),
    tables(
        "no row: verified instead",
        "refile:",
        "*@example.net net\n",
        probes=(Probe(name="signed mail from inside", message=signed()),),
    ),
    tables(
        "any domain, by %",
        "refile:",
        "ann@* k1\n* any\n",
        probes=mail(*UNFIT, "ann@localhost"),
    ),
    tables(
        "a domain with other letters, by %",
        "refile:",
        "*@* any\n",
        probes=mail("joe@b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example"),
    ),
    Setting(
        name="one key",
        conf=USUAL + "Domain example.com, Example.NET\nSelector s1\nKeyFile {folder}/rsa2048.pem\n",
        probes=mail("joe@example.com", "joe@EXAMPLE.net", "joe@sub.example.com"),
    ),
    Setting(
        name="one key, SubDomains",
        conf=USUAL + "Domain example.com\nSelector s1\nKeyFile {folder}/rsa2048.pem\n"
        "SubDomains yes\n",
        probes=mail(
            "joe@example.com", "joe@sub.example.com", "joe@a.b.example.com", "j@notexample.com"
        ),
    ),
    Setting(
        name="one key, any domain",
        conf=USUAL + "Domain *\nSelector s1\nKeyFile {folder}/rsa2048.pem\n",
        probes=mail("joe@example.com", "joe@example.edu", *UNFIT),
    ),
    Setting(
        name="one key, domains from a file",
        conf=USUAL + "Domain file:{folder}/domains\nSelector s1\nKeyFile {folder}/rsa2048.pem\n",
        files={"domains": "# ours\nexample.com\n  example.net \n"},
        probes=mail("joe@example.com", "joe@example.net", "joe@example.edu"),
    ),
    Setting(
        name="a KeyTable wins over Domain, Selector and KeyFile",
        conf=TABLES + "SigningTable refile:{folder}/rows\nDomain example.net\nSelector s2\n"
        "KeyFile {folder}/rsab.pem\n",
        files={"keys": KEYS, "rows": "*@example.com k1\n"},
        probes=mail("joe@example.com", "joe@example.net"),
    ),
    Setting(
        name="an Ed25519 key",
        conf=USUAL + "Domain example.com\nSelector ed\nKeyFile {folder}/ed.pem\n"
        "SignatureAlgorithm ed25519-sha256\n",
        probes=mail("joe@example.com"),
    ),
    Setting(
        name="an Ed25519 key without SignatureAlgorithm",
        conf=USUAL + "Domain example.com\nSelector ed\nKeyFile {folder}/ed.pem\n",
        probes=mail("joe@example.com"),
    ),
    Setting(
        name="a key that is too small",
        conf=USUAL + "Domain example.com\nSelector rsa768\nKeyFile {folder}/rsa768.pem\n",
        probes=mail("joe@example.com"),
    ),
    Setting(
        name="a key below MinimumKeyBits, On-SignatureError tempfail",
        conf=USUAL + "Domain example.com\nSelector s1\nKeyFile {folder}/rsa2048.pem\n"
        "MinimumKeyBits 3072\nOn-SignatureError tempfail\n",
        probes=mail("joe@example.com"),
    ),
    Setting(
        name="a key below MinimumKeyBits, On-SignatureError accept",
        conf=USUAL + "Domain example.com\nSelector s1\nKeyFile {folder}/rsa2048.pem\n"
        "MinimumKeyBits 3072\nOn-SignatureError accept\n",
        probes=mail("joe@example.com"),
    ),
)
