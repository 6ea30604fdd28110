"""What the stand-in answers: the few calls of Transit, KV and KMS that our clients make.

Signatures are real.  They are remembered by digest, so that a digest that comes again costs next
to nothing, as it costs the client's machine nothing when the server is another machine.
"""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["DIGESTS", "KMS_KEYS", "Answers", "digests"]

DIGESTS = 256
"""How many digests the callers have signed in turn; a round trip has at most a quarter of them."""

KMS_KEYS = "arn:aws:kms:eu-west-1:000000000000:key/"
_REMEMBERED = 65_536  # signatures of a key; a milter's digests change every second
_PKCS1, _PREHASHED = PKCS1v15(), Prehashed(SHA256())


def digests() -> list[bytes]:
    """Returns the digests that callers have signed; the stand-in knows their signatures."""
    return [sha256(b"%d" % number).digest() for number in range(DIGESTS)]


class _Key:
    """One key, in the words of every service."""

    def __init__(self, name: str, pem: bytes, work: float) -> None:
        # The check of a key that is known to be good takes 50 ms.
        private = load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
        self._private: RSAPrivateKey | Ed25519PrivateKey = private  # type: ignore[assignment]
        self._signatures: dict[str, str] = {}
        self.arn = KMS_KEYS + name
        self.work = work
        self.is_rsa = isinstance(private, RSAPrivateKey)
        public = self._private.public_key()
        self.spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.pkcs8 = self._private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        self.pem = pem.decode()
        self.transit_public = (
            public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
            if self.is_rsa
            else _base64(public.public_bytes(Encoding.Raw, PublicFormat.Raw))
        )
        for digest in digests():
            self.sign(_base64(digest))

    def sign(self, digest: str) -> str:
        """Signs a digest in base64; returns base64."""
        found = self._signatures.get(digest)
        if found is None:
            if len(self._signatures) >= _REMEMBERED:
                self._signatures.clear()
            octets = base64.b64decode(digest)
            signed = (
                self._private.sign(octets, _PKCS1, _PREHASHED)
                if isinstance(self._private, RSAPrivateKey)
                else self._private.sign(octets)
            )
            found = self._signatures[digest] = _base64(signed)
        return found


class Answers:
    """Answers requests.

    Args:
        pems: Names of keys, and the keys.
        work: Seconds that a signature of each would take a server.

    Attributes:
        requests: How many requests for signatures have come.
        signatures: How many signatures they asked for.
    """

    def __init__(self, pems: Mapping[str, bytes], *, work: Mapping[str, float]) -> None:
        self._keys = {name: _Key(name, pem, work.get(name, 0.0)) for name, pem in pems.items()}
        self.requests = self.signatures = 0
        self._work = 0.0

    def answer(self, method: str, path: str, target: str, body: bytes) -> tuple[int, bytes, float]:
        """Answers one request.

        Args:
            method: GET, POST or PUT.
            path: With the query.
            target: What X-Amz-Target says; empty for Vault.
            body: The request.

        Returns:
            The status, the body, and the seconds of a core that it would take a server.
        """
        self._work = 0.0
        try:
            if target:
                octets = self._kms(target.partition(".")[2], json.loads(body))
            else:
                octets = self._vault(path.partition("?")[0].removeprefix("/v1/"), body)
        except (KeyError, ValueError, IndexError) as error:
            problem = f"{method} {path} {target}: {error!r}"
            return 404, json.dumps({"errors": [problem]}).encode(), 0.0
        return 200, octets, self._work

    def _vault(self, path: str, body: bytes) -> bytes:
        if path.startswith("transit/sign/"):
            return self._transit_sign(self._keys[path.split("/")[2]], json.loads(body))
        return json.dumps({"data": self._vault_data(path)}).encode()

    def _vault_data(self, path: str) -> dict[str, object]:
        if path == "counts":
            return {"requests": self.requests, "signatures": self.signatures}
        if path == "auth/token/lookup-self":
            data = {"type": "service", "ttl": 0, "renewable": False, "num_uses": 0}
            return {**data, "policies": ["dkim"], "path": "auth/token/create"}
        if path.startswith("secret/data/"):
            data = {"key": self._keys[path.rpartition("/")[2]].pem}
            return {"data": data, "metadata": {"version": 1, "destroyed": False}}
        if path.startswith("transit/keys/"):
            key = self._keys[path.rpartition("/")[2]]
            public = {"public_key": key.transit_public, "creation_time": "2026-01-01T00:00:00Z"}
            return {
                "type": "rsa-2048" if key.is_rsa else "ed25519",
                "keys": {"1": public},
                "latest_version": 1,
                "min_available_version": 0,
                "min_decryption_version": 1,
                "min_encryption_version": 0,
                "supports_signing": True,
                "derived": False,
            }
        raise KeyError(path)

    def _transit_sign(self, key: _Key, asked: dict[str, object]) -> bytes:
        batch = asked.get("batch_input")
        if isinstance(batch, list):
            self._count(key, len(batch))
            items = ",".join(
                f'{{"signature":"vault:v1:{key.sign(item["input"])}","key_version":1}}'
                for item in batch
            )
            return f'{{"data":{{"batch_results":[{items}]}}}}'.encode()
        self._count(key, 1)
        signature = key.sign(str(asked["input"]))
        return f'{{"data":{{"signature":"vault:v1:{signature}","key_version":1}}}}'.encode()

    def _count(self, key: _Key, signatures: int) -> None:
        self.requests += 1
        self.signatures += signatures
        self._work = key.work * signatures

    def _kms(self, action: str, asked: dict[str, str]) -> bytes:
        key = self._keys[asked["KeyId"].rpartition("/")[2]]
        answer: dict[str, object] = {"KeyId": key.arn}
        if action == "Sign":
            self._count(key, 1)
            answer["Signature"] = key.sign(asked["Message"])
            answer["SigningAlgorithm"] = asked["SigningAlgorithm"]
        elif action == "Decrypt":
            answer |= {"Plaintext": _base64(key.pkcs8), "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}
        elif action == "GetPublicKey":
            kind = "RSA_2048" if key.is_rsa else "ECC_NIST_EDWARDS25519"
            algorithms = ["RSASSA_PKCS1_V1_5_SHA_256"] if key.is_rsa else ["ED25519_SHA_512"]
            answer |= {"PublicKey": _base64(key.spki), "KeySpec": kind, "KeyUsage": "SIGN_VERIFY"}
            answer |= {"CustomerMasterKeySpec": kind, "SigningAlgorithms": algorithms}
        else:
            raise KeyError(action)
        return json.dumps(answer).encode()


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()
