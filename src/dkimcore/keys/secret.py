"""A secret that does not print: a PIN, a token, a secret_id while it is in use."""

from __future__ import annotations

import hmac

__all__ = ["Secret"]

_SHOWN = "<secret>"


class Secret:
    """Wraps a secret, so that no log, no error and no pickle shows it by mistake.

    Args:
        value: The secret.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret, to be handed on at once and kept nowhere."""
        return self._value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        # What came from the environment may hold octets that are no UTF-8.
        ours, theirs = (each._value.encode("utf-8", "surrogatepass") for each in (self, other))
        return hmac.compare_digest(ours, theirs)

    __hash__ = None  # type: ignore[assignment]  # a hash tells secrets from each other

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return _SHOWN

    def __format__(self, _: str) -> str:
        return _SHOWN

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")
