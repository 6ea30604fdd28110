"""TLS with a Vault: whom to trust, and what we show ourselves with."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

from dkimcore.errors import KeyDenied
from dkimcore.keys.permissions import read_private_file

if TYPE_CHECKING:
    from dkimcore.keys import KeyContext
    from dkimcore.keys.sections import BackendSection
    from dkimcore.keys.vault.place import VaultPlace

__all__ = ["VaultTls"]

_CERTIFICATES = (".pem", ".crt", ".cer")
_MAX_AUTHORITIES = 1000  # files in a folder: more than any system has


class VaultTls:
    """What connections to a Vault are made with.

    Args:
        place: Where it is.
        section: Whose settings these are.
        context: Whether our private key is checked.
        uri: What errors name.

    Raises:
        ConfigError: The trusted certificates cannot be read.
        KeyDenied: Our certificate or its key cannot be used.
    """

    def __init__(
        self, place: VaultPlace, section: BackendSection, context: KeyContext, *, uri: str
    ) -> None:
        self._place = place
        self._keys = context
        self.context = _trusting(place, section)
        self.load_certificate(uri=uri)

    def load_certificate(self, *, uri: str) -> None:
        """Read our certificate and its key, for connections that are made from now on.

        Args:
            uri: What errors name.

        Raises:
            KeyDenied: They cannot be used.
        """
        certificate, key = self._place.certificate, self._place.certificate_key
        if certificate is None or key is None:
            return
        read_private_file(
            key, uri=uri, check_permissions=self._keys.check_permissions, uid=self._keys.uid
        )
        reason: str | None
        try:
            # Without a password OpenSSL would ask for one at the terminal.
            self.context.load_cert_chain(certificate, key, password="")
        except ssl.SSLError as exc:
            reason = exc.reason or "they are not in PEM, or encrypted"
        except (OSError, ValueError) as exc:
            reason = getattr(exc, "strerror", None) or "they cannot be read"
        else:
            return
        raise KeyDenied(
            f"TLS cannot use the certificate {certificate} with the key {key}: {reason}; name two "
            "files in PEM that belong together",
            uri=uri,
        )


def _trusting(place: VaultPlace, section: BackendSection) -> ssl.SSLContext:
    if place.ca is None:
        return ssl.create_default_context()
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for file in _authorities(place.ca):
            context.load_verify_locations(cafile=file)
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "reason", None) or getattr(exc, "strerror", None) or "not PEM"
        problem = f"no certificates to trust can be read from {place.ca}: {reason}"
        raise section.error(
            f"{problem}; name a file in PEM, or a folder of such", key="ca"
        ) from None
    if not context.get_ca_certs():
        raise section.error(f"{place.ca} holds no certificate of an authority", key="ca")
    return context


def _authorities(path: str) -> list[str]:
    """Return the files: in a folder all that look like certificates, whatever they are called."""
    if not os.path.isdir(path):
        return [path]
    names = [name for name in os.listdir(path) if name.endswith(_CERTIFICATES)]
    return [os.path.join(path, name) for name in sorted(names)[:_MAX_AUTHORITIES]]
