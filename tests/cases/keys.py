"""Keys of the case set, written from RFC 8017 and RFC 8463 without dkimcore.

RSA arithmetic is done here on plain integers: the set needs keys and signature blocks that
no library would make (RFC 8301 section 3.2, RFC 6376 section 8.13).
"""

import base64
import hashlib
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FOLDER = Path(__file__).parent / "keys"

# RFC 8017 section 9.2, note 1: DigestInfo up to the hash.
SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
SHA1_INFO = bytes.fromhex("3021300906052b0e03021a05000414")
# RFC 3279 section 2.3.1: AlgorithmIdentifier of rsaEncryption.
RSA_IDENTIFIER = bytes.fromhex("300d06092a864886f70d0101010500")


def der(tag: int, content: bytes) -> bytes:
    """One DER element."""
    size = len(content)
    if size < 128:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def der_integer(value: int) -> bytes:
    """A DER INTEGER."""
    return der(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _integers(data: bytes) -> list[int]:
    """The INTEGERs of a DER SEQUENCE."""

    def element(at: int) -> tuple[int, int]:
        size = data[at + 1]
        if size < 128:
            return at + 2, size
        count = size & 0x7F
        return at + 2 + count, int.from_bytes(data[at + 2 : at + 2 + count], "big")

    at, _ = element(0)
    found = []
    while at < len(data):
        start, size = element(at)
        found.append(int.from_bytes(data[start : start + size], "big"))
        at = start + size
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class RsaKey:
    """An RSA key as integers."""

    n: int
    e: int
    p: int = 0
    q: int = 0

    @property
    def octets(self) -> int:
        """Length of the modulus."""
        return (self.n.bit_length() + 7) // 8

    def power(self, value: int) -> int:
        """RSASP1 (RFC 8017 section 5.2.1) by the Chinese remainder theorem."""
        d = pow(self.e, -1, math.lcm(self.p - 1, self.q - 1))
        over_p = pow(value, d % (self.p - 1), self.p)
        over_q = pow(value, d % (self.q - 1), self.q)
        return over_q + self.q * ((over_p - over_q) * pow(self.q, -1, self.p) % self.p)

    def block(self, digest_info: bytes) -> int:
        """EMSA-PKCS1-v1_5 (RFC 8017 section 9.2) around a DigestInfo."""
        padding = b"\xff" * (self.octets - len(digest_info) - 3)
        return int.from_bytes(b"\x00\x01" + padding + b"\x00" + digest_info, "big")

    def sign(self, data: bytes, info: bytes = SHA256_INFO, digest: str = "sha256") -> bytes:
        """RSASSA-PKCS1-v1_5 over `data`."""
        made = self.power(self.block(info + hashlib.new(digest, data).digest()))
        return made.to_bytes(self.octets, "big")

    def bare(self) -> bytes:
        """RSAPublicKey in DER."""
        return der(0x30, der_integer(self.n) + der_integer(self.e))

    def info(self) -> bytes:
        """SubjectPublicKeyInfo in DER."""
        return der(0x30, RSA_IDENTIFIER + der(3, b"\x00" + self.bare()))

    @property
    def public(self) -> bytes:
        """The value of p= in its key record."""
        return base64.b64encode(self.info())

    def record(self) -> bytes:
        """A plain key record."""
        return b"v=DKIM1; k=rsa; p=" + self.public


@dataclass(frozen=True, slots=True)
class EdKey:
    """An Ed25519 key from its seed."""

    seed: bytes

    def sign(self, data: bytes) -> bytes:
        """ed25519-sha256: PureEdDSA over the SHA-256 of `data` (RFC 8463 section 3)."""
        return self.sign_raw(hashlib.sha256(data).digest())

    def sign_raw(self, data: bytes) -> bytes:
        """PureEdDSA over `data` itself."""
        return Ed25519PrivateKey.from_private_bytes(self.seed).sign(data)

    def raw(self) -> bytes:
        """The 32 public octets."""
        return Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()

    @property
    def public(self) -> bytes:
        """The value of p= in its key record."""
        return base64.b64encode(self.raw())

    def record(self) -> bytes:
        """A plain key record."""
        return b"v=DKIM1; k=ed25519; p=" + self.public


@cache
def rsa(name: str = "2048") -> RsaKey:
    """The stored RSA key called `name`."""
    text = (FOLDER / f"rsa{name}.pem").read_text("ascii")
    body = "".join(line for line in text.splitlines() if not line.startswith("-"))
    _, n, e, _, p, q, *_ = _integers(base64.b64decode(body))
    return RsaKey(n=n, e=e, p=p, q=q)


@cache
def ed(label: str = "ed") -> EdKey:
    """The Ed25519 key whose seed is the hash of `label`."""
    return EdKey(hashlib.sha256(label.encode()).digest())
