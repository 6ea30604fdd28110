"""Who signs, and with what (RFC 6376 section 5.2).

`Signer` joins a signing domain, a selector, a private key and a profile: the unit that
the front ends take.  Choosing the signers of a message is left to the tables.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dkimcore.errors import SettingsError
from dkimcore.protocol.algorithm import KeyType
from dkimcore.protocol.names import Auid, DomainName, Selector
from dkimcore.protocol.policy import SigningProfile
from dkimcore.protocol.sign import SignatureRequest

if TYPE_CHECKING:
    from dkimcore.keys import SigningKey

__all__ = ["Signer"]

# RFC 8301 section 3.2: signers MUST use at least 1024 bits and SHOULD use at least 2048.
_MIN_RSA_BITS = 1024
_GOOD_RSA_BITS = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Makes one signature per message.

    Attributes:
        domain: The signing domain, ``d=``.
        selector: ``s=``.
        key: The private key; its algorithm becomes ``a=``.
        auid: ``i=``; within the domain.  None leaves it away.
        profile: How to sign.

    Raises:
        SettingsError: The key is RSA below 1024 bits, its algorithm is historic, or the
            AUID is not within the domain.
    """

    domain: DomainName
    selector: Selector
    key: SigningKey
    auid: Auid | None = None
    profile: SigningProfile = field(default_factory=SigningProfile)
    _request: SignatureRequest = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        public_key, algorithm = self.key.public_key, self.key.algorithm
        if public_key.key_type is KeyType.RSA and public_key.bits < _MIN_RSA_BITS:
            raise SettingsError(
                f"the RSA key of {self.selector}._domainkey.{self.domain} has "
                f"{public_key.bits} bits; below {_MIN_RSA_BITS} it must not sign (RFC 8301 "
                f"section 3.2): make one of {_GOOD_RSA_BITS} bits under a new selector"
            )
        if algorithm.is_historic or algorithm.key_type is not public_key.key_type:
            raise SettingsError(
                f"a key of type {public_key.key_type} cannot sign with {algorithm}; signatures "
                "are made with rsa-sha256 or ed25519-sha256 (RFC 8301 section 3.1)"
            )
        request = SignatureRequest(
            domain=self.domain,
            selector=self.selector,
            algorithm=algorithm,
            auid=self.auid,
            profile=self.profile,
        )
        object.__setattr__(self, "_request", request)

    @classmethod
    def make(
        cls,
        domain: str | DomainName,
        selector: str | Selector,
        key: SigningKey,
        *,
        auid: str | Auid | None = None,
        profile: SigningProfile | None = None,
    ) -> Signer:
        """Make a signer from plain text.

        Args:
            domain: The signing domain, such as ``"example.com"``.
            selector: Such as ``"s1"``.
            key: The private key, from `KeyStore.get`.
            auid: Such as ``"@mail.example.com"``.
            profile: How to sign; None means the safe defaults.

        Raises:
            SettingsError: The domain, the selector or the AUID is none, or as `Signer`.
        """
        return cls(
            domain=DomainName.parse(domain) if isinstance(domain, str) else domain,
            selector=Selector.parse(selector) if isinstance(selector, str) else selector,
            key=key,
            auid=Auid.parse(auid) if isinstance(auid, str) else auid,
            profile=SigningProfile() if profile is None else profile,
        )

    @property
    def weak_key(self) -> bool:
        """Whether the key is RSA below 2048 bits, which RFC 8301 section 3.2 advises against."""
        public_key = self.key.public_key
        return public_key.key_type is KeyType.RSA and public_key.bits < _GOOD_RSA_BITS

    def request(self) -> SignatureRequest:
        """Return what the signature is to say; always the same object."""
        return self._request
