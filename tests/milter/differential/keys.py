"""The keys and key records that every configuration finds in its folder."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.cases.keys import FOLDER, ed, rsa

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BASE", "key_files", "records"]

BASE = """\
TestPublicKeys {folder}/records
RequireSafeKeys no
InternalHosts 192.0.2.9
"""

RSA = ("2048", "b", "1024", "768", "512")


@cache
def key_files() -> Mapping[str, bytes]:
    """The private keys as PEM files: ``rsa2048.pem``, ``rsab.pem``, ``ed.pem`` and so on."""
    files = {f"rsa{name}.pem": (FOLDER / f"rsa{name}.pem").read_bytes() for name in RSA}
    seed = Ed25519PrivateKey.from_private_bytes(ed().seed)
    files["ed.pem"] = seed.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return files


@cache
def records() -> Mapping[str, bytes]:
    """The key records by name: what the TestPublicKeys file and dkimpy's resolver answer."""
    good = {"rsa": rsa(), "s1": rsa(), "s2": rsa("b"), "ed": ed()}
    domains = ("example.com", "sub.example.com", "a.b.example.com", "example.net", "example.edu")
    found = {
        f"{selector}._domainkey.{domain}": key.record()
        for domain in (*domains, "xn--bcher-kva.example")
        for selector, key in good.items()
    }
    of = "._domainkey.example.com"
    found |= {f"rsa{name}{of}": rsa(name).record() for name in RSA}
    found[f"revoked{of}"] = b"v=DKIM1; k=rsa; p="
    found[f"other{of}"] = rsa("b").record()
    found[f"testing{of}"] = b"v=DKIM1; k=rsa; t=y; p=" + rsa("b").public
    found[f"strict{of}"] = b"v=DKIM1; k=rsa; t=s; p=" + rsa().public
    found[f"junk{of}"] = b"v=DKIM1; k=rsa; p=!!!!"
    found[f"broken{of}"] = b"v=DKIM1; k=rsa; p=" + rsa().public + b"; junk"
    found[f"keyless{of}"] = b"v=DKIM1; k=rsa"
    found[f"foreign{of}"] = b"v=spf1 -all"
    found[f"newtype{of}"] = b"v=DKIM1; k=dsa; p=" + rsa().public
    found[f"version{of}"] = b"v=DKIM2; k=rsa; p=" + rsa().public
    found[f"sha1only{of}"] = b"v=DKIM1; k=rsa; h=sha1; p=" + rsa().public
    found[f"webonly{of}"] = b"v=DKIM1; k=rsa; s=web; p=" + rsa().public
    return found
