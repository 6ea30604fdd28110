"""Authentication-Results: who says so, and which fields of others are removed."""

from __future__ import annotations

from dataclasses import replace

from .messages import PLAIN, arriving, message, signed
from .model import EXTERNAL, Probe, Setting

__all__ = ["SETTINGS"]

OURS = "mx.example.net"


def forged(name: str, *results: str) -> Probe:
    """A signed message with these Authentication-Results fields on top."""
    return Probe(name=name, message=arriving(*(one.encode() for one in results)), delivery=EXTERNAL)


FORGERIES = (
    forged("plain", f"{OURS}; dkim=pass header.d=example.org"),
    forged("upper case", f"{OURS.upper()}; DKIM=pass header.d=example.org"),
    forged("a job id", f"{OURS}/4Abc; dkim=pass"),
    forged("a version", f"{OURS} 1; dkim=pass"),
    forged("quoted", f'"{OURS}"; dkim=pass'),
    forged("a comment first", f"(x) {OURS}; dkim=pass"),
    forged("folded", f"\r\n\t{OURS};\r\n\tdkim=pass\r\n\theader.d=example.org"),
    forged("three", *(f"{OURS}; dkim=pass header.d=n{n}.example" for n in range(3))),
    forged("behind another method", f"{OURS}; spf=pass smtp.mailfrom=a@b.test; dkim=pass"),
    forged("a version of the method", f"{OURS}; dkim/1=pass header.d=example.org"),
    forged("an unknown property", f"{OURS}; dkim=pass policy.x=y; x=pass odd.z=1"),
    forged("a final dot", f"{OURS}.; dkim=pass"),
    forged("no results", f"{OURS}; none"),
    forged("only spf", f"{OURS}; spf=pass smtp.mailfrom=a@b.test"),
    forged("somebody else's", "other.example.org; dkim=pass"),
    forged("a longer name", f"x.{OURS}; dkim=pass"),
    forged("nonsense", f"{OURS}; dkim=;=="),
    forged("an open comment", f"{OURS}; dkim=pass (x"),
    forged("blanks around a dot", f"{OURS.replace('.', ' .', 1)}; dkim=pass"),
    forged("a backslash", f"\\{OURS}/1; dkim=pass"),
    forged("mixed", f"{OURS}; dkim=pass", "other.example.org; dkim=pass", f"{OURS}; dkim=fail"),
)


def authserv_id(name: str, conf: str) -> Setting:
    """A way to name the authserv-id."""
    return Setting(
        name=name,
        conf=conf,
        probes=(
            forged("forged in the same name", "auth.example.net; dkim=pass", f"{OURS}; dkim=pass"),
            Probe(
                name="the MTA has no name",
                message=signed(),
                delivery=replace(EXTERNAL, hostname=""),
            ),
        ),
    )


SETTINGS = (
    Setting(name="forged results", conf="", probes=FORGERIES),
    Setting(
        name="forged results on mail that is not verified",
        conf="Domain example.com\nSelector s1\nKeyFile {folder}/rsa2048.pem\n"
        "OverSignHeaders From\nCanonicalization relaxed\n",
        probes=(
            Probe(
                name="unsigned, outside",
                message=message(f"Authentication-Results: {OURS}; dkim=pass".encode()),
                delivery=EXTERNAL,
            ),
            Probe(
                name="signed by us",
                message=message(f"Authentication-Results: {OURS}; dkim=pass".encode()),
            ),
            Probe(
                name="a malformed signature",
                message=b"Authentication-Results: mx.example.net; dkim=pass\r\n"
                b"DKIM-Signature: junk\r\n" + PLAIN,
                delivery=EXTERNAL,
            ),
            Probe(
                name="no From",
                message=message(f"Authentication-Results: {OURS}; dkim=pass".encode(), author=None),
                delivery=EXTERNAL,
            ),
        ),
    ),
    Setting(name="RemoveARAll", conf="RemoveARAll yes\n", probes=FORGERIES[8:16]),
    Setting(
        name="RemoveARFrom",
        conf="RemoveARFrom other.example.org,.example.edu\n",
        probes=(
            forged("listed", "Other.example.org; dkim=pass"),
            forged("ours", f"{OURS}; dkim=pass"),
            forged("below a listed name", "mx.example.edu; dkim=pass"),
            forged("not listed", "example.edu; dkim=pass", "third.example; dkim=pass"),
        ),
    ),
    Setting(
        name="KeepAuthResults",
        conf="KeepAuthResults yes\n",
        probes=FORGERIES[:2],
    ),
    authserv_id("AuthservID", "AuthservID auth.example.net\n"),
    authserv_id("AuthservID by default", ""),
    authserv_id("AuthservIDWithJobID", "AuthservID auth.example.net\nAuthservIDWithJobID yes\n"),
    Setting(
        name="results as an MTA of protocol version 6 gets them",
        conf="AlwaysAddARHeader yes\nSoftwareHeader yes\n",
        probes=(
            Probe(name="signed", message=signed(), delivery=EXTERNAL),
            Probe(name="unsigned", message=PLAIN, delivery=EXTERNAL),
        ),
    ),
)
