"""The key backend ``awskms-envelope:``: a private key in a file, encrypted under AWS KMS.

KMS decrypts it once, when it is opened; signatures are made here after that and need nobody.
Options::

    key=ARN               the KMS key that it is encrypted under; a file of another one is refused
    context.NAME=VALUE    the encryption context, each part of it
    permissions=check|ignore   refuse a file that others can read or replace (the default)
    backend=NAME          the section of type "aws", where there are several
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from dkimcore.errors import KeyBackendError, KeyUnusable, KeyUriError
from dkimcore.keys.aws.blob import read_blob
from dkimcore.keys.aws.client import THREADS, KmsClient
from dkimcore.keys.aws.reference import KeyArn
from dkimcore.keys.fetched import FetchedKey
from dkimcore.keys.memory import without_frames

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dkimcore.keys import KeyContext
    from dkimcore.keys.uri import KeyUri

__all__ = ["Envelope", "EnvelopeKey", "open_key"]

_CONTEXT = "context."
_PERMISSIONS = ("check", "ignore")


def open_key(uri: KeyUri, context: KeyContext) -> EnvelopeKey:
    """Open a private key that is encrypted under AWS KMS.

    Args:
        uri: ``awskms-envelope:`` and the path, with ``key=`` and the encryption context.
        context: Where sections are.

    Raises:
        ConfigError: The URI or the section is wrong.
        KeyNotFound: There is no such file, or no such KMS key.
        KeyDenied: Others can read or replace the file, or the login may not decrypt it.
        KeyUnusable: It is of another KMS key or encryption context, or no key for DKIM.
        KeyUnavailable: KMS does not answer.
    """
    return Envelope.of(uri, context).open()


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What a URI says about a key that is encrypted under AWS KMS.

    Attributes:
        uri: The URI.
        arn: The KMS key that it is encrypted under.
        encryption_context: What KMS binds it to.
        context: What the backend is given.
        client: Asks KMS.
    """

    uri: KeyUri
    arn: KeyArn
    encryption_context: Mapping[str, str]
    context: KeyContext
    client: KmsClient

    @classmethod
    def of(cls, uri: KeyUri, context: KeyContext) -> Envelope:
        """Read a URI; opens nothing.

        Args:
            uri: The URI.
            context: What the backend is given.

        Raises:
            ConfigError: The URI or the section is wrong.
        """
        parts = {
            name.removeprefix(_CONTEXT): value
            for name, value in uri.options.items()
            if name.startswith(_CONTEXT) and name != _CONTEXT
        }
        uri.allow_options("key", "permissions", "backend", *(f"{_CONTEXT}{name}" for name in parts))
        if uri.options.get("permissions", _PERMISSIONS[0]) not in _PERMISSIONS:
            raise KeyUriError(f"{uri}: write permissions=check or permissions=ignore")
        arn = KeyArn.parse(uri.options.get("key", ""))
        if arn is None or arn.is_alias:
            raise KeyUriError(
                f"{uri}: key= must be the ARN of the KMS key that the file is encrypted under, "
                "such as key=arn:aws:kms:REGION:ACCOUNT:key/ID; an alias will not do, for it may "
                "be moved"
            )
        section = context.sections.get("aws", uri.options.get("backend"))
        client = KmsClient.of(section, context, region=arn.region)
        return cls(uri=uri, arn=arn, encryption_context=parts, context=context, client=client)

    def open(self) -> EnvelopeKey:
        """Read the file and let KMS decrypt it.

        Raises:
            KeyBackendError: As `open_key`.
        """
        blob = read_blob(self.uri, self.context)
        return EnvelopeKey(self.decrypted(blob), envelope=self, blob=blob)

    def decrypted(self, blob: bytes) -> bytearray:
        """Let KMS decrypt what the file holds.

        Args:
            blob: It.

        Raises:
            KeyBackendError: As `open_key`.
        """
        section = self.context.sections.get("aws", self.uri.options.get("backend"))
        endpoint = self.context.endpoint(section, threads=THREADS, part=self.arn.region)
        try:
            return endpoint.call(lambda timeout: self._ask(blob, timeout), uri=str(self.uri))
        except KeyBackendError as exc:
            refusal = without_frames(exc)
        raise refusal

    def _ask(self, blob: bytes, timeout: float) -> bytearray:
        parameters: dict[str, object] = {"CiphertextBlob": blob, "KeyId": self.arn.text}
        if self.encryption_context:
            parameters["EncryptionContext"] = dict(self.encryption_context)
        answer = self.client.call("Decrypt", parameters, uri=str(self.uri), timeout=timeout)
        used = answer.text("KeyId")
        if used != self.arn.text:
            raise KeyUnusable(
                f"KMS decrypted it with {used[:200]!r} in place of {self.arn.text}; see what "
                "stands between us and KMS",
                uri=str(self.uri),
                request_id=answer.request_id,
            )
        return bytearray(answer.octets("Plaintext"))


class EnvelopeKey(FetchedKey):
    """A private key that KMS decrypted; it is asked again only when the file has changed.

    Args:
        octets: The key; overwritten with zeros.
        envelope: Where it came from.
        blob: What the file held.

    Raises:
        KeyUnusable: It is no key for DKIM.
    """

    __slots__ = ("_blob_digest", "_envelope")

    def __init__(self, octets: bytearray, *, envelope: Envelope, blob: bytes) -> None:
        self._envelope = envelope
        self._blob_digest = sha256(blob).digest()
        super().__init__(octets, name=str(envelope.uri))

    @property
    def is_refreshed(self) -> bool:
        """Whether it can be fetched again: always."""
        return True

    def refetch(self) -> EnvelopeKey | None:
        """Read the file again; None: it is what it was, and KMS is not asked.

        Raises:
            KeyBackendError: It cannot be read or decrypted, or is no key.
        """
        blob = read_blob(self._envelope.uri, self._envelope.context)
        if sha256(blob).digest() == self._blob_digest:
            return None
        return EnvelopeKey(self._envelope.decrypted(blob), envelope=self._envelope, blob=blob)
