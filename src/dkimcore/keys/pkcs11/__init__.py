"""The key backend ``pkcs11:``: keys in HSMs, smart cards and other tokens (PKCS #11, RFC 7512)."""

from __future__ import annotations

__all__: list[str] = []
