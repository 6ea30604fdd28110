"""Make private keys (RFC 8301 section 3.2, RFC 8463).

Gives PEM; where it is kept, and what record belongs to it, is left to the commands.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from dkimcore.errors import SettingsError
from dkimcore.protocol.algorithm import KeyType

__all__ = ["MAX_RSA_BITS", "MIN_RSA_BITS", "generate_pem"]

MIN_RSA_BITS = 1024  # RFC 8301 section 3.2
MAX_RSA_BITS = 8192  # what VerifyPolicy accepts


def generate_pem(key_type: KeyType, *, bits: int = 2048) -> bytes:
    """Make a private key.

    Args:
        key_type: RSA or Ed25519.
        bits: The length of an RSA modulus.

    Returns:
        The key in PEM, PKCS#8, not encrypted.

    Raises:
        SettingsError: The length is below 1024 or above 8192.
    """
    key: RSAPrivateKey | Ed25519PrivateKey
    if key_type is KeyType.ED25519:
        key = Ed25519PrivateKey.generate()
    else:
        if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
            raise SettingsError(
                f"an RSA key of {bits} bits is refused: verifiers take {MIN_RSA_BITS} to "
                f"{MAX_RSA_BITS} (RFC 8301 section 3.2); 2048 is good"
            )
        key = generate_private_key(public_exponent=65537, key_size=bits)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
