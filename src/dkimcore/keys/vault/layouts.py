"""Where in a KV secret the private key stands: the layouts of KumoMTA and of rspamd.

KumoMTA keeps one key in one field, called ``key`` unless told otherwise.  rspamd keeps a list,
``{"selectors": [{"selector", "domain", "key", "alg", "valid_start", "valid_end"}, ...]}``, with
its keys in base64.  Reading the secret is left to `kv`, decoding the key to
`dkimcore.keys.memory`.
"""

from __future__ import annotations

import time
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dkimcore.errors import KeyNotFound, KeyUnusable, KeyUriError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dkimcore.keys.uri import KeyUri

__all__ = ["Layout"]

_DEFAULT_FIELD = "key"
_MAX_SHOWN = 5  # names of fields in an error


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Which key of a secret is meant.

    Attributes:
        field: Its field; None: the URI names none.
        selector: Its selector in rspamd's list; None: any.
        domain: Its domain in rspamd's list; None: any.
    """

    field: str | None = None
    selector: str | None = None
    domain: str | None = None

    @classmethod
    def of(cls, uri: KeyUri) -> Layout:
        """Read a URI's options ``field``, ``selector`` and ``domain``.

        Raises:
            KeyUriError: They do not go together.
        """
        field, selector, domain = map(uri.options.get, ("field", "selector", "domain"))
        if field is not None and (selector is not None or domain is not None):
            raise KeyUriError(
                f"{uri.scheme}: field= is for secrets with one key, selector= and domain= are for "
                "rspamd's lists; leave one of them away"
            )
        return cls(field=field, selector=selector, domain=domain)

    @property
    def single_field(self) -> str | None:
        """The field of a secret with one key; None: rspamd's list is meant."""
        if self.selector is not None or self.domain is not None:
            return None
        return self.field or _DEFAULT_FIELD

    def key_in(
        self, secret: Mapping[str, object], *, uri: str, clock: Callable[[], float] = time.time
    ) -> bytearray:
        """Return the key, as `decode_private_key` takes it.

        Args:
            secret: What is kept under the path.
            uri: What errors name.
            clock: The time in seconds, for ``valid_start`` and ``valid_end``.

        Raises:
            KeyNotFound: There is no such field, or no such key that is valid now.
            KeyUnusable: The field holds no text, or several keys are meant.
        """
        field = self.single_field
        if field is not None and (field in secret or self.field or "selectors" not in secret):
            value: object = secret.get(field)
            if value is None:
                names = ", ".join(name[:40] for name in sorted(secret)[:_MAX_SHOWN]) or "none"
                raise KeyNotFound(
                    f"the secret has no field {field!r}; its fields: {names}; name one with field=",
                    uri=uri,
                )
            return _octets(value, uri)
        return _octets(self._from_list(secret.get("selectors"), uri, clock()), uri)

    def _from_list(self, items: object, uri: str, now: float) -> object:
        if not isinstance(items, list):
            raise KeyNotFound(
                "the secret has no list 'selectors', as rspamd writes it; leave selector= and "
                "domain= away, and name a field with field=",
                uri=uri,
            )
        named = [item for item in items if isinstance(item, dict) and self._is_meant(item)]
        valid = [item for item in named if _is_valid(item, now)]
        if len(valid) == 1:
            return valid[0].get("key")
        if valid:
            raise KeyUnusable(
                f"{len(valid)} keys of the secret fit; name one with selector= and domain=", uri=uri
            )
        if named:
            raise KeyNotFound(
                "the key is not valid now (valid_start, valid_end in the secret); take a selector "
                "that is",
                uri=uri,
            )
        raise KeyNotFound(
            "no key of the secret has this selector and domain; correct selector= and domain=",
            uri=uri,
        )

    def _is_meant(self, item: Mapping[str, object]) -> bool:
        return (self.selector is None or item.get("selector") == self.selector) and (
            self.domain is None or item.get("domain") == self.domain
        )


def _is_valid(item: Mapping[str, object], now: float) -> bool:
    start, end = item.get("valid_start"), item.get("valid_end")
    begun = not isinstance(start, int | float) or start <= now
    return begun and (not isinstance(end, int | float) or now < end)


def _octets(value: object, uri: str) -> bytearray:
    if not isinstance(value, str):
        raise KeyUnusable(
            "the secret's field holds no text; store the private key in PEM there", uri=uri
        )
    return _without_public_half(bytearray(value, "utf-8", "surrogateescape"))


def _without_public_half(octets: bytearray) -> bytearray:
    """Shorten what rspamd writes for Ed25519: the seed and behind it the public half."""
    try:
        decoded = a2b_base64(bytes(octets).strip(), strict_mode=True)
    except (Base64Error, ValueError):
        return octets
    if len(decoded) != 64:
        return octets
    public_key = Ed25519PrivateKey.from_private_bytes(decoded[:32]).public_key()
    if public_key.public_bytes_raw() != decoded[32:]:
        return octets
    octets[:] = b2a_base64(decoded[:32], newline=False)
    return octets
