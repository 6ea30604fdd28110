"""Who is compared: dkimcore, dkimpy, Mail::DKIM, and the cryptography itself.

Each contender makes, for one cell of the comparison, something that can be timed, and
shows first that its answer is right: a wrong answer is worth no time.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import dkimcore
from benchmarks.rounds import timed
from dkimcore.keys.memory import MemoryKey
from dkimcore.testing import EphemeralKey, StaticResolver

if TYPE_CHECKING:
    from types import ModuleType

    from benchmarks.cells import Cell
    from benchmarks.rounds import Timed

__all__ = ["DKIMPY", "Contender", "Dkimpy", "Floor", "KeyPair", "MailDkim", "Ours", "WrongAnswer"]


def _optional(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


DKIMPY = _optional("dkim")  # without it its columns stay empty
_NACL = _optional("nacl")  # dkimpy needs it for Ed25519
DOMAIN, SELECTOR = "example.com", "s1"
_SCRIPT = Path(__file__).with_name("mail_dkim.pl")


class WrongAnswer(Exception):
    """A contender does not do what is to be measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """A key in the forms that contenders take.

    Attributes:
        private: As `cryptography` has it.
        key: As dkimcore has it.
        pem: As files have it; PKCS#1 for RSA, which all understand.
        record: What the DNS would say.
    """

    private: RSAPrivateKey | Ed25519PrivateKey
    key: MemoryKey
    pem: bytes
    record: bytes

    @classmethod
    def make(cls, algorithm: str) -> KeyPair:
        """Makes a key: RSA has 2048 bits."""
        if algorithm.startswith("rsa"):
            private: RSAPrivateKey | Ed25519PrivateKey = generate_private_key(65537, 2048)
        else:
            private = Ed25519PrivateKey.generate()
        key = EphemeralKey(private, name="benchmark")
        return cls(private=private, key=key, pem=_pem(private), record=key.key_record())

    @property
    def resolver(self) -> StaticResolver:
        """The key at hand: no DNS is in the figures."""
        return StaticResolver({f"{SELECTOR}._domainkey.{DOMAIN}": self.record})

    def signer(self, canonicalization: str) -> dkimcore.Signer:
        """Who signs for dkimcore."""
        header, body = map(dkimcore.Canonicalization, canonicalization.split("/"))
        profile = dkimcore.SigningProfile(
            header_canonicalization=header, body_canonicalization=body
        )
        return dkimcore.Signer.make(DOMAIN, SELECTOR, self.key, profile=profile)

    def sign(self, message: bytes, canonicalization: str) -> bytes:
        """Puts a signature on top of a message."""
        (field,) = dkimcore.sign(message, [self.signer(canonicalization)])
        return field.raw + b"\r\n" + message

    def check(self, signed: bytes, who: str) -> None:
        """Raises WrongAnswer unless the message verifies."""
        results = dkimcore.verify(signed, resolver=self.resolver)
        if not results.passed:
            raise WrongAnswer(f"what {who} signed does not verify: {list(results)}")


class Contender(Protocol):
    """One column of the comparison."""

    name: str

    def prepare(self, cell: Cell, pair: KeyPair, octets: bytes) -> Timed | None:
        """Checks that the answer is right and makes what is timed; None if it cannot do this.

        Args:
            cell: What is measured.
            pair: The key.
            octets: The message; with its signature if it is to be verified.
        """
        ...


class Ours:
    """dkimcore's blocking front end."""

    name = "dkimcore"

    def prepare(self, cell: Cell, pair: KeyPair, octets: bytes) -> Timed | None:
        """As `Contender` says."""
        if cell.operation == "verify":
            pair.check(octets, self.name)
            resolver = pair.resolver
            return timed(lambda: dkimcore.verify(octets, resolver=resolver))
        signers = [pair.signer(cell.canonicalization)]
        pair.check(pair.sign(octets, cell.canonicalization), self.name)
        return timed(lambda: dkimcore.sign(octets, signers))


class Dkimpy:
    """dkimpy: takes the whole message and, for signing, the key as text each time."""

    name = "dkimpy"

    def prepare(self, cell: Cell, pair: KeyPair, octets: bytes) -> Timed | None:
        """As `Contender` says."""
        dkim = DKIMPY
        if dkim is None or (cell.algorithm.startswith("ed25519") and _NACL is None):
            return None
        record = pair.record

        def answer(name: object, timeout: int = 5) -> bytes:
            return record

        if cell.operation == "verify":
            if not dkim.verify(octets, dnsfunc=answer):
                raise WrongAnswer(f"dkimpy does not verify: {cell}")
            return timed(lambda: dkim.verify(octets, dnsfunc=answer))
        key = pair.pem
        if isinstance(pair.private, Ed25519PrivateKey):
            key = base64.b64encode(pair.private.private_bytes_raw())
        header, body = cell.canonicalization.encode().split(b"/")

        def sign() -> bytes:
            field: bytes = dkim.sign(
                octets,
                SELECTOR.encode(),
                DOMAIN.encode(),
                key,
                canonicalize=(header, body),
                signature_algorithm=cell.algorithm.encode(),
            )
            return field

        pair.check(sign() + octets, self.name)
        return timed(sign)


class MailDkim:
    """Mail::DKIM, in one perl process that measures itself.

    Args:
        folder: Where to put files for it.
        pair: Its RSA key; Debian's version has no Ed25519.
    """

    name = "Mail::DKIM"

    def __init__(self, folder: Path, pair: KeyPair) -> None:
        self._message = folder / "message"
        (folder / "key.pem").write_bytes(pair.pem)
        (folder / "record").write_bytes(pair.record)
        self._process = subprocess.Popen(
            [
                shutil.which("perl") or "false",
                str(_SCRIPT),
                str(folder / "key.pem"),
                str(folder / "record"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        self.version = self._process.stdout.readline().decode().strip()

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()

    def prepare(self, cell: Cell, pair: KeyPair, octets: bytes) -> Timed | None:
        """As `Contender` says."""
        if not self.version or not cell.algorithm.startswith("rsa"):
            return None
        self._message.write_bytes(octets)
        self._ask("load", str(self._message))
        command = ["verify"] if cell.operation == "verify" else ["sign", cell.canonicalization]
        _, result = self._ask(*command, "1")
        if cell.operation == "sign":
            pair.check(base64.b64decode(result) + b"\r\n" + octets, self.name)
        elif result != "pass":
            raise WrongAnswer(f"Mail::DKIM says {result}: {cell}")
        return lambda count: float(self._ask(*command, str(count))[0])

    def _ask(self, *words: str) -> list[str]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write("\t".join(words).encode() + b"\n")
        stdin.flush()
        answer = stdout.readline().decode().rstrip("\n")
        if not answer:
            raise WrongAnswer("Mail::DKIM's process ended")
        return answer.split("\t")


class Floor:
    """What no implementation can avoid.

    Args:
        part: ``crypto``: the one private or public key operation, over a digest; ``sha256``:
            SHA-256 over the message's octets.
    """

    def __init__(self, part: str) -> None:
        self.name = part

    def prepare(self, cell: Cell, pair: KeyPair, octets: bytes) -> Timed | None:
        """As `Contender` says."""
        if self.name == "sha256":
            return timed(lambda: hashlib.sha256(octets).digest())
        private, digest = pair.private, hashlib.sha256(octets).digest()
        if isinstance(private, RSAPrivateKey):
            padding, prehashed = PKCS1v15(), Prehashed(SHA256())
            if cell.operation == "sign":
                return timed(lambda: private.sign(digest, padding, prehashed))
            data, rsa_public = private.sign(digest, padding, prehashed), private.public_key()
            return timed(lambda: rsa_public.verify(data, digest, padding, prehashed))
        if cell.operation == "sign":
            return timed(lambda: private.sign(digest))
        data, public = private.sign(digest), private.public_key()
        return timed(lambda: public.verify(data, digest))


def _pem(private: RSAPrivateKey | Ed25519PrivateKey) -> bytes:
    rsa = isinstance(private, RSAPrivateKey)
    form = PrivateFormat.TraditionalOpenSSL if rsa else PrivateFormat.PKCS8
    return private.private_bytes(Encoding.PEM, form, NoEncryption())
