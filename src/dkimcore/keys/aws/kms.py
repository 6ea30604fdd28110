"""The key backend ``awskms:``: private keys that never leave AWS KMS.

Each signature is a call of KMS.  A key is named by its ARN, by its id, or by an alias, which is
looked up once: what signs after that is the key with the ARN that KMS answered, for ever, even if
the alias moves.  Options::

    region=REGION    where the name says no region and that of the section is another
    backend=NAME     the section of type "aws", where there are several
"""

from __future__ import annotations

from logging import INFO
from typing import TYPE_CHECKING

from dkimcore.errors import KeyUnusable
from dkimcore.keys.aws.client import THREADS, KmsClient
from dkimcore.keys.aws.publickeys import KeySpec, public_half
from dkimcore.keys.aws.reference import KeyArn, KeyReference
from dkimcore.keys.events import KeyEvent
from dkimcore.keys.remote import RemoteKeyBase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dkimcore.errors import KeyBackendError
    from dkimcore.keys import KeyContext
    from dkimcore.keys.aws.client import Answer
    from dkimcore.keys.endpoint import Endpoint
    from dkimcore.keys.uri import KeyUri
    from dkimcore.protocol.crypto import PublicKey

__all__ = ["KmsKey", "described_key", "open_key"]

_OPTIONS = ("region", "backend")
_KINDS = "make one of RSA_2048, RSA_3072, RSA_4096 or ECC_NIST_EDWARDS25519 under a new selector"


def open_key(uri: KeyUri, context: KeyContext) -> KmsKey:
    """Open a key of AWS KMS.

    Args:
        uri: ``awskms:`` and an ARN, an id, or ``alias/`` and a name.
        context: Where sections are.

    Raises:
        ConfigError: The URI or the section is wrong, or nothing says the region.
        KeyNotFound: KMS has no such key there.
        KeyDenied: The login may not see it.
        KeyUnusable: DKIM cannot use such a key.
        KeyUnavailable: KMS does not answer.
    """
    uri.allow_options(*_OPTIONS)
    name = str(uri)
    reference = KeyReference.of(uri)
    section = context.sections.get("aws", uri.options.get("backend"))
    client = KmsClient.of(section, context, region=reference.region)
    endpoint = context.endpoint(section, threads=THREADS, part=client.region)

    def ask(timeout: float) -> tuple[KeyArn, KeySpec, PublicKey]:
        parameters = {"KeyId": reference.key_id}
        answer = client.call("GetPublicKey", parameters, uri=name, timeout=timeout)
        return described_key(answer, reference)

    arn, spec, public_key = endpoint.call(ask, uri=name)
    if reference.is_alias:
        text = f"{reference.key_id} is {arn.text}, which signs however the alias moves"
        event = KeyEvent(
            level=INFO, event="alias-resolved", text=text, uri=name, fields={"arn": arn.text}
        )
        context.observer.event(event)
    return KmsKey(
        name, arn=arn.text, spec=spec, public_key=public_key, client=client, endpoint=endpoint
    )


class KmsKey(RemoteKeyBase):
    """A private key in AWS KMS.

    Args:
        uri: Its name.
        arn: What KMS calls it, which is what signs.
        spec: Which kind it is.
        public_key: Its public half.
        client: Makes the calls.
        endpoint: Says when.
    """

    def __init__(
        self,
        uri: str,
        *,
        arn: str,
        spec: KeySpec,
        public_key: PublicKey,
        client: KmsClient,
        endpoint: Endpoint,
    ) -> None:
        super().__init__(
            uri, algorithm=spec.algorithm, public_key=public_key, endpoint=endpoint, batch=1
        )
        self.arn = arn
        self._spec = spec
        self._client = client

    def _sign(
        self, digests: Sequence[bytes], *, timeout: float
    ) -> Sequence[bytes | KeyBackendError]:
        (digest,) = digests
        spec = self._spec
        parameters = {
            "KeyId": self.arn,
            "Message": digest,
            "MessageType": spec.message_type,
            "SigningAlgorithm": spec.signing_algorithm,
        }
        answer = self._client.call("Sign", parameters, uri=self.uri, timeout=timeout)
        signer, algorithm = answer.text("KeyId"), answer.text("SigningAlgorithm")
        if (signer, algorithm) != (self.arn, spec.signing_algorithm):
            raise KeyUnusable(
                f"KMS signed with {signer[:200]!r} and {algorithm[:40]!r} in place of {self.arn} "
                f"and {spec.signing_algorithm}; the signature was thrown away. See what stands "
                "between us and KMS",
                uri=self.uri,
                request_id=answer.request_id,
            )
        return [answer.octets("Signature")]

    def __repr__(self) -> str:
        return f"<KmsKey {self.arn} {self.algorithm}, {self.public_key.bits} bits>"


def described_key(answer: Answer, reference: KeyReference) -> tuple[KeyArn, KeySpec, PublicKey]:
    """Return which key KMS answered for, if DKIM can use it.

    Args:
        answer: To GetPublicKey.
        reference: What was asked for.

    Raises:
        KeyUnusable: It cannot, or it is another key.
        KeyUnavailable: The answer is none of KMS.
    """
    said, kind, usage = answer.text("KeyId"), answer.text("KeySpec"), answer.text("KeyUsage")
    arn = KeyArn.parse(said)
    if arn is None or not reference.fits(arn):
        problem = f"KMS was asked for {reference.key_id} and answered for {said[:200]!r}; name "
        problem += "the key by its whole ARN, and see what stands between us and KMS"
    elif usage != "SIGN_VERIFY":
        problem = f"{arn.text} is for {usage[:40]}, not for signatures; {_KINDS}"
    else:
        spec = KeySpec.named(kind)
        if spec is not None:
            return arn, spec, public_half(answer.octets("PublicKey"), uri=answer.uri)
        problem = f"{arn.text} is of the kind {kind[:40]}, which no verifier of DKIM takes; "
        problem += _KINDS
    raise KeyUnusable(problem, uri=answer.uri, request_id=answer.request_id)
