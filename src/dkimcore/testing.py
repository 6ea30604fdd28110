"""For tests of what uses dkimcore: keys and answers in memory, and the backends' checks.

`EphemeralKey` signs, `StaticResolver` answers for it, and neither touches a file or the
network.  `check_key_backend` is what every third-party key backend runs in its own tests, and
`check_key_maker` what one does that also makes keys.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from dkimcore.keys.conformance.backend import check_key_backend
from dkimcore.keys.conformance.check import BackendFault
from dkimcore.keys.conformance.maker import check_key_maker
from dkimcore.keys.memory import MemoryKey
from dkimcore.protocol.keyrecord import KeyRecord
from dkimcore.resolvers.static import StaticResolver

__all__ = [
    "BackendFault",
    "EphemeralKey",
    "StaticResolver",
    "check_key_backend",
    "check_key_maker",
]


class EphemeralKey(MemoryKey):
    """A private key that lives as long as the object: a `SigningKey` without a file."""

    __slots__ = ()

    @classmethod
    def rsa(cls, bits: int = 2048) -> EphemeralKey:
        """Make an RSA key.

        Args:
            bits: Length of the modulus; 1024 at least.
        """
        return cls(rsa.generate_private_key(65537, bits), name="ephemeral:rsa")

    @classmethod
    def ed25519(cls, seed: bytes | None = None) -> EphemeralKey:
        """Make an Ed25519 key.

        Args:
            seed: 32 octets, for the same key every time; None makes a random one.
        """
        if seed is None:
            key = ed25519.Ed25519PrivateKey.generate()
        else:
            key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
        return cls(key, name="ephemeral:ed25519")

    def key_record(self) -> bytes:
        """Return the key record to publish at ``selector._domainkey.domain``."""
        public_key = self.public_key
        return KeyRecord(public_key=public_key, key_type=public_key.key_type).print()

    def private_pem(self) -> bytes:
        """Return the private key as unencrypted PKCS#8, for tests that need a file."""
        return self._private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
