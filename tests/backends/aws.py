"""Keys in AWS KMS, and in files that KMS decrypts: an emulator, with a proxy as the door."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from dkimcore.errors import KeyDenied, KeyNotFound, KeyUnavailable, KeyUnusable
from dkimcore.keys.uri import KeyUri
from dkimcore.testing import EphemeralKey
from tests.backends.subject import Fault, Subject
from tests.backends.vault import forging_key, injected, stopped
from tests.servers.faultproxy import FaultProxy
from tests.servers.faults import (
    Answer,
    Close,
    Cut,
    Hang,
    Huge,
    Reset,
    aws_error,
    garbage,
    other_key,
    wrong_signature,
)
from tests.servers.ministack import REGION
from tests.servers.openbaosetup import fresh_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.backends.subject import Recorder
    from tests.servers import faults
    from tests.servers.ministack import MinistackServer

__all__ = ["AwsSubject", "EnvelopeKey", "KmsKey"]

SPECS = {"rsa": "RSA_2048", "ed25519": "ECC_NIST_EDWARDS25519"}


def transport(action: str) -> tuple[Fault, ...]:
    """What can go wrong with any request.

    Args:
        action: Which ones.
    """
    temporary = {
        "throttled": (aws_error("ThrottlingException"), "ask AWS for a higher quota"),
        "500": (aws_error("KMSInternalException", status=500), "KMS failed; .*Health Dashboard"),
        "dependency": (
            aws_error("DependencyTimeoutException", status=500),
            "waited in vain.*Health",
        ),
        "key unavailable": (
            aws_error("KeyUnavailableException", status=500),
            "just now.*Health Dashboard",
        ),
        "502": (Answer(status=502, body=b"<html>"), "status 502"),
        "a page of a proxy": (Answer(status=403, body=b"<html>"), "see what stands in between"),
        "reset": (Reset(), "broke the connection off"),
        "reset when done": (Reset(asked=True), "broke the connection off"),
        "closed": (Close(), "broke the connection off"),
        "cut": (Cut(), "broke the connection off"),
        "garbage": (garbage(), "see what stands in between"),
        "huge": (Huge(size=1 << 23), "see what stands in between"),
    }
    refused = {
        "denied": (aws_error("AccessDeniedException"), KeyDenied, "allow that in the policy"),
        "login expired": (aws_error("ExpiredTokenException"), KeyDenied, "renew it"),
        "login unknown": (
            aws_error("UnrecognizedClientException"),
            KeyDenied,
            "does not know the access key",
        ),
        "clock": (aws_error("InvalidSignatureException"), KeyDenied, "the clock of this machine"),
    }
    return (
        *(
            Fault(name=name, kind=kind, words=words, way=True, breaks=injected(fault, action))
            for name, (fault, kind, words) in refused.items()
        ),
        *(
            Fault(
                name=name,
                kind=KeyUnavailable,
                words=words,
                way=True,
                breaks=injected(fault, action),
            )
            for name, (fault, words) in temporary.items()
        ),
        Fault(
            name="hang",
            kind=KeyUnavailable,
            words="did not answer within|slow or down; see what the log says",
            breaks=injected(Hang(), action),
            hangs=True,
            way=True,
        ),
        Fault(
            name="stopped", kind=KeyUnavailable, words="cannot be reached", breaks=stopped, way=True
        ),
    )


@contextlib.contextmanager
def disabled(subject: KmsKey) -> Iterator[None]:
    """The key is disabled in KMS."""
    subject.kms.disable_key(KeyId=subject.arn)
    yield
    subject.kms.enable_key(KeyId=subject.arn)


class AwsSubject(Subject):
    """What keys in KMS have in common; the login is that of the environment.

    Args:
        algorithm: ``rsa`` or ``ed25519``.
        server: Where.
    """

    kind = "aws"

    def __init__(self, algorithm: str, server: MinistackServer) -> None:
        super().__init__(algorithm)
        self.server = server
        self.kms = server.kms()
        self.door = self.undo.enter_context(FaultProxy(server.url))
        self.prepare()

    def prepare(self) -> None:
        """Makes the key."""
        raise NotImplementedError

    @property
    def environment(self) -> Mapping[str, str]:
        """A login, and nothing of this machine's own."""
        found = dict(self.server.environment)
        del found["AWS_ENDPOINT_URL"]
        return found

    def section(self, *, direct: bool = False) -> Mapping[str, object]:
        """Where the emulator is."""
        return {"endpoint_url": self.server.url if direct else self.door.url, "region": REGION}

    def hanging(self) -> contextlib.AbstractContextManager[object]:
        """Requests are not answered."""
        return self.door.broken(Hang())

    def stop(self) -> None:
        """The door is shut, and its connections are gone."""
        self.door.stop()

    def start(self) -> None:
        """The door opens at the same address."""
        self.door.start()


class KmsKey(AwsSubject):
    """A key that signs in KMS; it is named by an alias."""

    signs_elsewhere = True
    opening_faults = (
        Fault(
            name="not found",
            kind=KeyNotFound,
            words="correct the ARN, the alias or the region",
            breaks=lambda subject: contextlib.nullcontext("awskms:alias/nobody"),
        ),
        Fault(name="disabled", kind=KeyDenied, words="aws kms enable-key", breaks=disabled),
        *transport(".GetPublicKey"),
    )
    signing_faults = (
        Fault(name="disabled", kind=KeyDenied, words="aws kms enable-key", breaks=disabled),
        Fault(
            name="wrong signature",
            kind=KeyUnusable,
            words="does not verify with its public half",
            breaks=injected(wrong_signature(), ".Sign"),
        ),
        Fault(
            name="wrong key",
            kind=KeyUnusable,
            words="signs with another key or version",
            breaks=lambda subject: subject.door.broken(subject.forger(), match=".Sign"),
        ),
        *transport(".Sign"),
    )

    def prepare(self) -> None:
        """Makes a key and an alias for it."""
        self.arn = self.server.create_key(SPECS[self.algorithm])
        self._alias = f"alias/dkim/{fresh_name('s')}"
        self.kms.create_alias(AliasName=self._alias, TargetKeyId=self.arn.rpartition("/")[2])
        self.uri = f"awskms:{self._alias}"

    def forger(self) -> faults.Fault:
        """Signs with another key of the same kind."""
        return other_key(forging_key(self.algorithm))

    def another_uri(self, name: str) -> str:
        """Under another alias."""
        return f"awskms:alias/dkim/{fresh_name(name)}"

    def rotate(self) -> None:
        """Moves the alias to another key; the first one is known by its ARN still."""
        other = self.server.create_key(SPECS[self.algorithm])
        self.kms.update_alias(AliasName=self._alias, TargetKeyId=other.rpartition("/")[2])
        self.uri = f"awskms:{self.arn}"


@contextlib.contextmanager
def damaged(subject: EnvelopeKey) -> Iterator[None]:
    """Another encryption context is given than the file was encrypted with."""
    yield subject.uri.replace("example.com", "example.org")


@contextlib.contextmanager
def readable(subject: EnvelopeKey) -> Iterator[None]:
    """Everybody can read the file."""
    path = subject.folder / "s1.blob"
    subject.folder.chmod(0o755)
    path.chmod(0o644)
    yield
    path.chmod(0o600)
    subject.folder.chmod(0o700)


class EnvelopeKey(AwsSubject):
    """A key in a file that KMS decrypts when it is opened."""

    signs_elsewhere = False
    pins = False
    opening_faults = (
        Fault(
            name="not found",
            kind=KeyNotFound,
            words="does not exist|no such file",
            breaks=lambda subject: contextlib.nullcontext(subject.uri.replace("s1.blob", "no")),
        ),
        Fault(name="readable", kind=KeyDenied, words="chmod", breaks=readable),
        Fault(
            name="another context",
            kind=KeyUnusable,
            words="another encryption context",
            breaks=damaged,
        ),
        *transport(".Decrypt"),
    )

    def prepare(self) -> None:
        """Encrypts a key as the aws command does."""
        self._cmk = self.server.create_key("SYMMETRIC_DEFAULT", usage="ENCRYPT_DECRYPT")
        self.key = self.seal()
        options = {"key": self._cmk, "context.d": "example.com"}
        path = str(self.folder / "s1.blob")
        self.uri = str(KeyUri(scheme="awskms-envelope", path=path, options=options))

    def seal(self) -> EphemeralKey:
        """Writes a new key into the file."""
        key = EphemeralKey.rsa() if self.algorithm == "rsa" else EphemeralKey.ed25519()
        octets = key._private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        context = {"d": "example.com"}
        made = self.kms.encrypt(KeyId=self._cmk, Plaintext=octets, EncryptionContext=context)
        self.write("s1.blob", made["CiphertextBlob"])
        return key

    def another_uri(self, name: str) -> str:
        """In another file, bound to another domain."""
        options = {"key": self._cmk, "context.d": "example.org"}
        path = str(self.folder / f"{name}.blob")
        return str(KeyUri(scheme="awskms-envelope", path=path, options=options))

    def rotate(self) -> None:
        """Writes another key into the file."""
        self.key = self.seal()

    def await_refresh(self, heard: Recorder) -> None:
        """Waits until it is said that the file holds another key."""
        heard.wait_for("key-changed")
