"""Makes keys in AWS KMS and under it, and brings keys there that exist.

Nothing is asked for twice: a call that made something and whose answer was lost would make a
second one.  What a step that failed has left behind is named in its error.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, TypeVar

from dkimcore.errors import (
    KeyBackendError,
    KeyDenied,
    KeyNotFound,
    KeyUnavailable,
    KeyUnusable,
    KeyUriError,
)
from dkimcore.keys import MadeKey
from dkimcore.keys.aws.blob import absolute_uri, write_blob
from dkimcore.keys.aws.client import KmsClient, limits_of
from dkimcore.keys.aws.envelope import Envelope
from dkimcore.keys.aws.kms import described_key
from dkimcore.keys.aws.publickeys import KeySpec, public_half
from dkimcore.keys.aws.reference import KeyReference
from dkimcore.keys.aws.wrapping import exported, wrapped
from dkimcore.keys.memory import without_frames
from dkimcore.protocol.crypto import PublicKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from dkimcore.keys import KeyContext, KeyMaker
    from dkimcore.keys.aws.client import Answer
    from dkimcore.keys.aws.reference import KeyArn
    from dkimcore.keys.sections import BackendSection
    from dkimcore.keys.uri import KeyUri
    from dkimcore.protocol.algorithm import KeyType

__all__ = ["ENVELOPE", "KMS"]

_T = TypeVar("_T")

# Seconds; making a key pair of RSA_4096 takes several, and nobody's mail waits for it.
_PATIENCE = 30.0
# KMS is eventually consistent: what was made is known everywhere within seconds.
_LOOKS, _PAUSE = 10, 1.0
_MAX_PLAINTEXT = 4096  # octets that Encrypt takes, in the API's own model
_TAG = "tag."


class _Kms:
    """Keys that stay in KMS."""

    def create_key(
        self, uri: KeyUri, context: KeyContext, *, key_type: KeyType, bits: int
    ) -> MadeKey:
        """Make a key in KMS, and the alias that the URI names (see `KeyMaker.create_key`)."""
        spec = KeySpec.chosen(key_type, bits)
        order = _Order.of(uri, context)
        order.refuse_existing()
        arn = order.create(spec, origin="AWS_KMS")
        return order.finished(arn)

    def import_key(
        self, uri: KeyUri, context: KeyContext, private_key: RSAPrivateKey | Ed25519PrivateKey
    ) -> MadeKey:
        """Bring a key into KMS, where it will never leave again (see `KeyMaker.import_key`)."""
        spec = KeySpec.of(private_key)
        order = _Order.of(uri, context)
        order.refuse_existing()
        arn = order.create(spec, origin="EXTERNAL")
        order.bring(arn, private_key)
        return order.finished(arn, PublicKey.of(private_key.public_key()))


KMS: Final[KeyMaker] = _Kms()
"""Makes keys for ``awskms:``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """What is to be made in KMS.

    Attributes:
        uri: What names it.
        reference: The alias that it will have.
        tags: Its tags.
        client: Asks KMS.
    """

    uri: KeyUri
    reference: KeyReference
    tags: Mapping[str, str]
    client: KmsClient = field(repr=False)

    @classmethod
    def of(cls, uri: KeyUri, context: KeyContext) -> _Order:
        tags = {
            name.removeprefix(_TAG): value
            for name, value in uri.options.items()
            if name.startswith(_TAG) and name != _TAG
        }
        uri.allow_options("region", "backend", *(f"{_TAG}{name}" for name in tags))
        reference = KeyReference.of(uri)
        if reference.arn is not None or not reference.is_alias:
            raise KeyUriError(
                f"{uri}: KMS gives a new key its ARN; name the alias that it is to have, as in "
                "awskms:alias/dkim/example_com/s1?region=eu-west-1"
            )
        section = context.sections.get("aws", uri.options.get("backend"))
        client = _patient(section, context, reference.region)
        return cls(uri=uri, reference=reference, tags=tags, client=client)

    def ask(self, action: str, parameters: Mapping[str, object]) -> Answer:
        return self.client.call(action, parameters, uri=str(self.uri), timeout=_PATIENCE)

    def refuse_existing(self) -> None:
        """Refuse a name that is taken, before anything is made."""
        try:
            answer = self.ask("DescribeKey", {"KeyId": self.reference.key_id})
        except KeyNotFound:
            return
        taken = answer.part("KeyMetadata").text("Arn")
        raise KeyUnusable(
            f"{self.reference.key_id} is an alias of {taken} already; choose another name, for a "
            "selector has one key for ever",
            uri=str(self.uri),
        )

    def create(self, spec: KeySpec, *, origin: str) -> str:
        """Create a key and return its ARN."""
        parameters: dict[str, object] = {
            "KeySpec": spec.name,
            "KeyUsage": "SIGN_VERIFY",
            "Origin": origin,
            "Description": f"DKIM, made by dkimcore as {self.reference.key_id}",
        }
        if self.tags:
            parameters["Tags"] = [
                {"TagKey": name, "TagValue": value} for name, value in self.tags.items()
            ]
        try:
            answer = self.ask("CreateKey", parameters)
        except KeyUnavailable as exc:
            hint = "if KMS has made a key all the same, it is the newest one without an alias"
            error = _with(exc, f"{hint}: see aws kms list-keys")
        else:
            return answer.part("KeyMetadata").text("Arn")
        raise error

    def bring(self, arn: str, private_key: RSAPrivateKey | Ed25519PrivateKey) -> None:
        """Give a key that was made for it its material."""

        def steps() -> None:
            choice = {
                "KeyId": arn,
                "WrappingAlgorithm": "RSA_AES_KEY_WRAP_SHA_256",
                "WrappingKeySpec": "RSA_4096",
            }
            answer = _settled(lambda: self.ask("GetParametersForImport", choice))
            material = wrapped(private_key, answer.octets("PublicKey"), uri=str(self.uri))
            self.ask(
                "ImportKeyMaterial",
                {
                    "KeyId": arn,
                    "ImportToken": answer.octets("ImportToken"),
                    "EncryptedKeyMaterial": material,
                    "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
                },
            )

        self._or_say(arn, steps)

    def finished(self, arn: str, expected: PublicKey | None = None) -> MadeKey:
        """Give a key its alias and return it."""
        public_key = self._or_say(arn, lambda: self._public_half(arn, expected))
        alias = {"AliasName": self.reference.key_id, "TargetKeyId": arn}
        self._or_say(arn, lambda: _settled(lambda: self.ask("CreateAlias", alias)))
        backend = self.uri.options.get("backend")
        options = {} if backend is None else {"backend": backend}
        pinned = replace(self.uri, path=arn, options=options)
        return MadeKey(uri=str(pinned), public_key=public_key)

    def _public_half(self, arn: str, expected: PublicKey | None) -> PublicKey:
        reference = KeyReference.of(replace(self.uri, path=arn, options={}))
        answer = _settled(
            lambda: self.ask("GetPublicKey", {"KeyId": arn}), is_waiting=expected is not None
        )
        _, _, public_key = described_key(answer, reference)
        if expected is not None and public_key != expected:
            raise KeyUnusable("KMS took another key than it was given", uri=str(self.uri))
        return public_key

    def _or_say(self, arn: str, step: Callable[[], _T]) -> _T:
        """Do something with a key that was made; say what to do about it where that fails."""
        try:
            return step()
        except KeyBackendError as exc:
            error = _with(
                exc,
                f"the KMS key {arn} was made and is of no use now; delete it: aws kms "
                f"schedule-key-deletion --key-id {arn}",
            )
        raise error


class _Envelopes:
    """Keys in files, encrypted under KMS."""

    def create_key(
        self, uri: KeyUri, context: KeyContext, *, key_type: KeyType, bits: int
    ) -> MadeKey:
        """Let KMS make a key pair and keep the private half, encrypted, in a file.

        See `KeyMaker.create_key`; nobody sees the private half before it is opened.
        """
        spec = KeySpec.chosen(key_type, bits)
        uri = absolute_uri(uri)
        envelope = _new_envelope(uri, context)
        parameters = _parameters(envelope, KeyPairSpec=spec.name)
        action = "GenerateDataKeyPairWithoutPlaintext"
        answer = envelope.client.call(action, parameters, uri=str(uri), timeout=_PATIENCE)
        _refuse_other(answer, envelope.arn)
        public_key = public_half(answer.octets("PublicKey"), uri=str(uri))
        write_blob(uri, answer.octets("PrivateKeyCiphertextBlob"))
        return MadeKey(uri=str(uri), public_key=public_key)

    def import_key(
        self, uri: KeyUri, context: KeyContext, private_key: RSAPrivateKey | Ed25519PrivateKey
    ) -> MadeKey:
        """Encrypt a key under KMS and keep it in a file (see `KeyMaker.import_key`)."""
        uri = absolute_uri(uri)
        envelope = _new_envelope(uri, context)
        try:
            blob = _encrypted(envelope, private_key)
        except KeyBackendError as exc:
            refusal = without_frames(exc)
        else:
            write_blob(uri, blob)
            return MadeKey(uri=str(uri), public_key=PublicKey.of(private_key.public_key()))
        raise refusal


ENVELOPE: Final[KeyMaker] = _Envelopes()
"""Makes keys for ``awskms-envelope:``."""


def _new_envelope(uri: KeyUri, context: KeyContext) -> Envelope:
    """Read an absolute URI whose file is to be written."""
    envelope = Envelope.of(uri, context)
    if os.path.lexists(uri.path):
        problem = (
            f"{uri.path} exists already; choose another name, for a selector has one key for ever"
        )
        raise KeyUnusable(problem, uri=str(uri))
    section = context.sections.get("aws", uri.options.get("backend"))
    return replace(envelope, client=_patient(section, context, envelope.arn.region))


def _parameters(envelope: Envelope, **more: object) -> dict[str, object]:
    parameters: dict[str, object] = {"KeyId": envelope.arn.text, **more}
    if envelope.encryption_context:
        parameters["EncryptionContext"] = dict(envelope.encryption_context)
    return parameters


def _encrypted(envelope: Envelope, private_key: RSAPrivateKey | Ed25519PrivateKey) -> bytes:
    octets = exported(private_key)
    name = str(envelope.uri)
    if len(octets) > _MAX_PLAINTEXT:
        problem = f"the key has {len(octets)} octets and KMS encrypts {_MAX_PLAINTEXT}; make one "
        problem += "of at most 4096 bits under a new selector"
        raise KeyUnusable(problem, uri=name)
    parameters = _parameters(envelope, Plaintext=octets)
    answer = envelope.client.call("Encrypt", parameters, uri=name, timeout=_PATIENCE)
    _refuse_other(answer, envelope.arn)
    return answer.octets("CiphertextBlob")


def _refuse_other(answer: Answer, arn: KeyArn) -> None:
    used = answer.text("KeyId")
    if used != arn.text:
        raise KeyUnusable(
            f"KMS encrypted with {used[:200]!r} in place of {arn.text}", uri=answer.uri
        )


def _patient(section: BackendSection, context: KeyContext, region: str | None) -> KmsClient:
    """Return a client that waits longer than a signature would."""

    def make() -> KmsClient:
        limits = replace(limits_of(section), read_timeout=_PATIENCE)
        return KmsClient(section, region=region, limits=limits, conceal=context.conceal)

    return context.resources.get(("aws-making", section.name, region), make)


def _settled(ask: Callable[[], _T], *, is_waiting: bool = False) -> _T:
    """Ask until KMS knows what was made a moment ago."""
    passing: tuple[type[KeyBackendError], ...] = (KeyNotFound,)
    if is_waiting:  # for the material
        passing = (KeyNotFound, KeyDenied)
    for _ in range(_LOOKS - 1):
        try:
            return ask()
        except passing:
            time.sleep(_PAUSE)
    return ask()


def _with(exc: KeyBackendError, hint: str) -> KeyBackendError:
    """Return an error that says one thing more."""
    return type(exc)(f"{exc.problem}; {hint}", uri=exc.uri, request_id=exc.request_id)
