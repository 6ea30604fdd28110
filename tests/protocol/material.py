"""Keys, key records and messages that tests of the protocol are made of.

The keys are fixed, so that every run makes the same octets. A `PrivateKey` is
a key that a test holds in memory; what it signs is signed for real.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from dkimcore.protocol.algorithm import Algorithm
from dkimcore.protocol.crypto import PublicKey
from dkimcore.protocol.keyrecord import KeyRecord, TxtAnswer, TxtStatus
from dkimcore.protocol.message import Header, MessageReader
from dkimcore.protocol.names import DomainName, Selector
from dkimcore.protocol.policy import Limits, SigningProfile, VerifyPolicy
from dkimcore.protocol.result import VerifyResults
from dkimcore.protocol.sign import SignatureRequest, Signing
from dkimcore.protocol.verify import Verification
from tests.properties import models

NOW = 1_700_000_000
DOMAIN = DomainName.parse("example.com")
SELECTOR = Selector.parse("s1")
QUERY = "s1._domainkey.example.com."
PROFILE = SigningProfile()
MESSAGE = (
    b"From: Alice <alice@example.com>\r\n"
    b"To: Bob <bob@example.net>\r\n"
    b"Subject: dinner\r\n"
    b"\r\n"
    b"Are you hungry?\r\n"
)
NO_RECORD = TxtAnswer(TxtStatus.NO_RECORD)


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A private key in memory; it has the shape that dkimcore.SigningKey names."""

    algorithm: Algorithm
    private: RSAPrivateKey | Ed25519PrivateKey

    @property
    def public_key(self) -> PublicKey:
        return PublicKey.of(self.private.public_key())

    def sign_digest(self, digest: bytes) -> bytes:
        if isinstance(self.private, Ed25519PrivateKey):
            return self.private.sign(digest)
        hashed = SHA1() if self.algorithm is Algorithm.RSA_SHA1 else SHA256()
        return self.private.sign(digest, PKCS1v15(), Prehashed(hashed))

    def record(self, **changes: object) -> bytes:
        """The text of a key record with this key's public half."""
        record = KeyRecord(public_key=self.public_key, key_type=self.algorithm.key_type)
        return replace(record, **changes).print()


@cache
def rsa(bits: int = 2048, algorithm: Algorithm = Algorithm.RSA_SHA256) -> PrivateKey:
    """The stored RSA key of a length."""
    pem = Path(__file__).with_name("keys").joinpath(f"rsa{bits}.pem").read_bytes()
    key = load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, RSAPrivateKey)
    return PrivateKey(algorithm, key)


@cache
def ed25519(label: str = "one") -> PrivateKey:
    """The Ed25519 key whose seed is the hash of a label."""
    seed = hashlib.sha256(label.encode()).digest()
    return PrivateKey(Algorithm.ED25519_SHA256, Ed25519PrivateKey.from_private_bytes(seed))


def found(*records: bytes, authentic: bool = False) -> TxtAnswer:
    """An answer that holds these TXT records."""
    return TxtAnswer(TxtStatus.FOUND, records, authentic)


def split(message: bytes, *, limits: Limits | None = None) -> tuple[Header, bytes, bool]:
    """Divide a message: its header, its body, and whether the header is too large."""
    reader = MessageReader(max_header_octets=(limits or Limits()).header_octets)
    body = reader.feed(message)
    return reader.finish(), body, reader.too_large


def sign(
    message: bytes,
    key: PrivateKey,
    *,
    profile: SigningProfile = PROFILE,
    domain: DomainName = DOMAIN,
    selector: Selector = SELECTOR,
    now: int = NOW,
) -> bytes:
    """Sign a message with the library; return the message with its signature on top."""
    header, body, _ = split(message)
    request = SignatureRequest(
        domain=domain, selector=selector, algorithm=key.algorithm, profile=profile
    )
    signing = Signing(header, [request], now=now)
    signing.feed(body)
    (task,) = signing.finish()
    return task.complete(key.sign_digest(task.header_hash)).raw + b"\r\n" + message


def sign_by_hand(
    message: bytes,
    key: PrivateKey,
    *,
    changes: dict[bytes, bytes | None] | None = None,
    shape: bytes = b"%b; b=@@",
) -> bytes:
    """Sign with c=relaxed/relaxed without the library's signer, whatever the tags say.

    What is hashed is made from RFC 6376 sections 3.4.2, 3.4.4 and 3.7 by the naive models.
    `changes` replaces, adds or, given None, drops single tags. In `shape` ``%b`` is where
    all tags but b= go, ``@@`` where the signature data do.
    """
    head, _, body = message.partition(b"\r\n\r\n")
    hash_name = "sha1" if key.algorithm is Algorithm.RSA_SHA1 else "sha256"
    canonical_body = models.body(body, relaxed=True)
    tags: dict[bytes, bytes | None] = {
        b"v": b"1",
        b"a": key.algorithm.encode(),
        b"c": b"relaxed/relaxed",
        b"d": b"example.com",
        b"s": b"s1",
        b"h": b"from:to:subject",
        b"bh": base64.b64encode(hashlib.new(hash_name, canonical_body).digest()),
        **(changes or {}),
    }
    listed = b"; ".join(name + b"=" + text for name, text in tags.items() if text is not None)
    value = shape % listed
    names = re.split(rb"\s*:\s*", tags[b"h"] or b"")
    own = re.sub(rb"\s*@@\s*", b"", b"DKIM-Signature: " + value)
    hashed = [models.field(raw, relaxed=True) for raw in (*models.select(head, names), own)]
    digest = hashlib.new(hash_name, b"\r\n".join(hashed)).digest()
    data = base64.b64encode(key.sign_digest(digest))
    return b"DKIM-Signature: " + value.replace(b"@@", data) + b"\r\n" + message


def verify(
    message: bytes,
    *records: bytes,
    answer: TxtAnswer | None = None,
    answers: dict[str, TxtAnswer] | None = None,
    policy: VerifyPolicy | None = None,
    now: int = NOW,
) -> VerifyResults:
    """Verify a message: one answer for all queries, or one per name and none for others."""
    limits = policy.limits if policy else None
    header, body, too_large = split(message, limits=limits)
    verification = Verification(header, now=now, policy=policy, header_too_large=too_large)
    for name in verification.queries:
        reply = found(*records) if answer is None else answer
        verification.answer(name, reply if answers is None else answers.get(name, NO_RECORD))
    verification.feed(body)
    return verification.finish()
