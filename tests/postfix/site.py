"""A site for these tests: keys, a name server, filters, and the Postfix that uses them."""

from __future__ import annotations

import contextlib
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import dkimcore
from dkimcore.testing import EphemeralKey, StaticResolver
from tests.interop.peers.dkimpy import Dkimpy
from tests.interop.peers.job import VerifyJob
from tests.interop.peers.mail_dkim import MailDkim
from tests.servers.dkimcoremilter import DkimcoreMilter
from tests.servers.nsd import HOST, NsdServer, free_port
from tests.servers.postfix import Entrance, Postfix

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = [
    "AUTHSERV_ID",
    "DOMAIN",
    "SENDER_DOMAIN",
    "USER",
    "Keys",
    "Site",
    "conf",
    "fields",
    "listening",
    "open_site",
]

DOMAIN = "example.com"  # the site's own
IDN_DOMAIN = "xn--bcher-kva.example"  # the site's own, too: bücher.example
SENDER_DOMAIN = "sender.example"  # somebody else's, who signs too
AUTHSERV_ID = "mx.recipient.example"
USER = ("alice", "secret")  # may authenticate

CONF = """\
Mode sv
KeyTable {folder}/KeyTable
SigningTable refile:{folder}/SigningTable
MultipleSignatures yes
InternalHosts 127.0.0.1,::1
RequireSafeKeys no
UMask 000
SyslogSuccess yes
LogWhy yes
"""  # keys under /tmp are never safe, and smtpd is not root


def conf(nameserver: tuple[str, int], **options: str) -> str:
    """A filter's configuration, but for its socket.

    Args:
        nameserver: Who is asked for keys.
        **options: More options; ``_`` stands for ``-``.
    """
    lines = {"Nameservers": ":".join(map(str, nameserver)), "DNSTimeout": "5"} | options
    return CONF + "".join(f"{name.replace('_', '-')} {lines[name]}\n" for name in lines)


class Keys:
    """An RSA and an Ed25519 key for `DOMAIN`, and the same keys for `SENDER_DOMAIN`."""

    def __init__(self) -> None:
        rsa, ed25519 = generate_private_key(65537, 2048), Ed25519PrivateKey.generate()
        self.pem = {
            selector: key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            for selector, key in (("rsa", rsa), ("ed", ed25519))
        }
        self.key = {"rsa": EphemeralKey(rsa, name="rsa"), "ed": EphemeralKey(ed25519, name="ed")}
        self.zone = {
            f"{selector}._domainkey.{domain}.": [key.key_record()]
            for selector, key in self.key.items()
            for domain in (DOMAIN, SENDER_DOMAIN)
        }
        self.zone[f"idn._domainkey.{IDN_DOMAIN}."] = [self.key["rsa"].key_record()]
        self.zone[f"revoked._domainkey.{SENDER_DOMAIN}."] = [b"v=DKIM1; p="]

    @property
    def files(self) -> dict[str, str | bytes]:
        """Key files and tables for a filter."""
        keys: dict[str, str | bytes] = {f"{s}.private": pem for s, pem in self.pem.items()}
        rows = [f"{s} {DOMAIN}:{s}:{{folder}}/{s}.private" for s in self.pem]
        rows.append(f"idn {IDN_DOMAIN}:idn:{{folder}}/rsa.private")
        return keys | {
            "KeyTable": "\n".join(rows) + "\n",
            "SigningTable": "".join(f"*@{DOMAIN} {selector}\n" for selector in self.pem)
            + f"*@{IDN_DOMAIN} idn\n",
        }

    def signed(self, message: bytes, *selectors: str, key: str = "") -> bytes:
        """Signs a message as `SENDER_DOMAIN` does.

        Args:
            message: It.
            *selectors: One signature for each; the first one is on top.
            key: Which key signs, where the selector doesn't say.
        """
        signers = [
            dkimcore.Signer.make(SENDER_DOMAIN, selector, self.key[key or selector])
            for selector in reversed(selectors)
        ]
        for signer in signers:
            (field,) = dkimcore.sign(message, [signer])
            message = field.raw + b"\r\n" + message
        return message

    def verdicts(self, octets: bytes) -> list[tuple[str, str]]:
        """What dkimcore says of each signature, from the top: domain and status."""
        results = dkimcore.verify(octets, resolver=StaticResolver(self._flat))
        return [
            (str(result.signature and result.signature.domain), str(result.status))
            for result in results
        ]

    def demand_peers_pass(self, octets: bytes, selectors: Sequence[str] = ("rsa", "ed")) -> None:
        """Demands that dkimpy and Mail::DKIM verify what arrived.

        Args:
            octets: The message.
            selectors: Of the signatures that must be there.
        """
        found = [re.search(rb"[;\s]s=(\w+)", value) for value in fields(octets, b"dkim-signature")]
        order = [match[1].decode() for match in found if match is not None]
        assert sorted(order) == sorted(selectors)
        job = VerifyJob(message=octets, zone=self.zone)
        assert Dkimpy().verify([job]) == [["pass"] * len(order)]
        (words,) = MailDkim().verify([job])
        # Debian's Mail::DKIM has no Ed25519.
        told = {word for word, selector in zip(words, order, strict=True) if selector != "ed"}
        assert told == {"pass"}

    @property
    def _flat(self) -> dict[str, bytes]:
        return {name: records[0] for name, records in self.zone.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What runs.

    Attributes:
        keys: The keys.
        dns: The name server that publishes them.
        postfix: The MTA; its entrances are called as the filters are.
        filters: The filters, by name.
    """

    keys: Keys
    dns: NsdServer
    postfix: Postfix
    filters: Mapping[str, DkimcoreMilter]


def listening(where: str, queue: Path) -> tuple[str, str]:
    """A free address for a filter, as OpenDKIM writes it and as a chrooted smtpd does.

    Args:
        where: ``inet``, or the name of a unix socket.
        queue: Postfix's queue directory, which is what its chroot shows as ``/``.
    """
    if where == "inet":
        port = free_port()
        return f"inet:{port}@{HOST}", f"inet:{HOST}:{port}"
    folder = queue / "filters"
    folder.mkdir(exist_ok=True)
    return f"local:{folder / where}", f"unix:/filters/{where}"


@contextlib.contextmanager
def open_site() -> Iterator[Site]:
    """Starts everything that the tests of one session share.

    The filters ``inet`` and ``unix`` have an entrance for each protocol version, such as
    ``inet-6``; ``simple`` signs with simple/simple; ``dns-down`` and ``dns-accept`` have a
    name server that never answers; the key of ``no-key`` is not there.
    """
    keys = Keys()
    with contextlib.ExitStack() as stack:
        dns = stack.enter_context(NsdServer(zone=keys.zone))
        silent = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        silent.bind((HOST, 0))
        nobody = silent.getsockname()
        confs = {
            "inet": conf(dns.address),
            "unix": conf(dns.address),
            "simple": conf(dns.address, Canonicalization="simple/simple"),
            "dns-down": conf(nobody, DNSTimeout="1"),
            "dns-accept": conf(nobody, DNSTimeout="1", On_DNSError="accept"),
            "no-key": conf(
                dns.address,
                SigningTable="csl:*=rsa",
                KeyTable="csl:rsa=%:rsa:/nowhere/rsa.private",
            ),
        }
        postfix, filters = prepare(confs, keys, stack)
        yield Site(keys=keys, dns=dns, postfix=postfix, filters=filters)


def prepare(
    confs: Mapping[str, str], keys: Keys, stack: contextlib.ExitStack
) -> tuple[Postfix, dict[str, DkimcoreMilter]]:
    """Starts filters and a Postfix with two entrances for each: protocol versions 6 and 2.

    Args:
        confs: The filters' configurations; the one called ``unix`` is on a unix socket.
        keys: What they sign with.
        stack: Ends them.
    """
    entrances: dict[str, Entrance] = {}
    postfix = stack.enter_context(contextlib.closing(Postfix(entrances, users=dict([USER]))))
    filters = {}
    for name, text in confs.items():
        where = "unix" if name == "unix" else "inet"
        socket_name, milters = listening(where, postfix.queue)
        started = DkimcoreMilter(text, files=keys.files, socket_name=socket_name)
        filters[name] = stack.enter_context(started)
        for protocol in (6, 2):
            postfix.entrances[f"{name}-{protocol}"] = Entrance(milters=milters, protocol=protocol)
    stack.enter_context(postfix)
    return postfix, filters


def fields(octets: bytes, name: bytes) -> list[bytes]:
    """The values of a message's fields of one name, from the top, unfolded by nobody."""
    header = octets.partition(b"\r\n\r\n")[0] + b"\r\n"
    pattern = rb"(?im)^" + re.escape(name) + rb"[ \t]*:((?:.*\r\n)(?:[ \t].*\r\n)*)"
    return [value.removesuffix(b"\r\n") for value in re.findall(pattern, header)]
