"""TLS with a Vault: whom to trust, and what we show ourselves with.

Certificates that last a day or an hour are replaced on disk by whoever issues them.  Ours is
read again when its files change, and shown on all connections from then on, whatever the login.
"""

from __future__ import annotations

import math
import os
import ssl
import threading
import time
from logging import INFO, WARNING
from typing import TYPE_CHECKING, Any

from dkimcore.errors import ConfigError, KeyBackendError, KeyDenied
from dkimcore.keys.permissions import read_private_file
from dkimcore.keys.vault.credentials import stamps

if TYPE_CHECKING:
    from collections.abc import Callable

    from dkimcore.keys import KeyContext
    from dkimcore.keys.sections import BackendSection
    from dkimcore.keys.vault.credentials import Stamp
    from dkimcore.keys.vault.grant import Tell
    from dkimcore.keys.vault.place import VaultPlace

__all__ = ["VaultTls"]

_CERTIFICATES = (".pem", ".crt", ".cer")
_MAX_AUTHORITIES = 1000  # files in a folder: more than any system has
_WATCH_SECONDS = 1.0  # between two looks whether our certificate was replaced


class VaultTls:
    """What connections to a Vault are made with.  Safe to share between threads.

    Args:
        place: Where it is.
        section: Whose settings these are.
        context: Whether our private key is checked.
        tell: Hears that another certificate is shown, or cannot be.
        uri: What errors name.

    Attributes:
        context: What new connections are to be made with.

    Raises:
        ConfigError: The trusted certificates cannot be read.
        KeyDenied: Our certificate or its key cannot be used.
    """

    def __init__(
        self,
        place: VaultPlace,
        section: BackendSection,
        context: KeyContext,
        *,
        tell: Tell,
        uri: str,
    ) -> None:
        self._place = place
        self._section = section
        self._keys = context
        self._tell = tell
        self._lock = threading.Lock()
        self._files = place.certificate_files
        self._watched = time.monotonic()
        self._misfit: tuple[Stamp, ...] | None = None
        self._complains_at = math.inf
        self._stamp = stamps(self._files)
        self.context = self._made(uri)

    def look(self, show: Callable[[ssl.SSLContext], None], *, at_once: bool = False) -> None:
        """Read our certificate and its key again if they were replaced.

        While those that stand there now cannot be used, the last ones are shown: whoever
        replaces them writes one file after the other.

        Args:
            show: Takes the new context for connections, if there is one.
            at_once: Look now, and not just once a second.
        """
        now = time.monotonic()
        if not at_once and now - self._watched < _WATCH_SECONDS:
            return
        self._watched = now
        with self._lock:
            stamp = stamps(self._files)
            if stamp == self._stamp:
                return
            try:
                context = self._made("vault:")
            except KeyBackendError as exc:
                self._keep(stamp, exc.problem, now)
                return
            except ConfigError as exc:
                self._keep(stamp, str(exc), now)
                return
            # In this order: who sees that there is another knows that it is shown.
            show(context)
            self.context = context
            self._stamp, self._misfit = stamp, None
        text = f"the certificate {self._place.certificate} was replaced, and the new one is shown"
        self._tell(INFO, "certificate-replaced", text, {})

    def _keep(self, stamp: tuple[Stamp, ...], problem: str, now: float) -> None:
        """Say that the last certificate is still shown, once, where that is not passing."""
        if stamp != self._misfit:
            self._misfit, self._complains_at = stamp, now + _WATCH_SECONDS
        elif now >= self._complains_at:
            self._complains_at = math.inf
            text = f"our certificate was replaced, but the last one is still shown: {problem}"
            self._tell(WARNING, "certificate-kept", text, {})

    def _made(self, uri: str) -> ssl.SSLContext:
        """Make a context; one that connections are being made with is never changed."""
        # The authorities of the system take 20 ms, and a pair may not fit for long.
        self._load_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), uri)
        context = _trusting(self._place, self._section)
        context.sslsocket_class = _Socket
        self._load_certificate(context, uri)
        return context

    def _load_certificate(self, context: ssl.SSLContext, uri: str) -> None:
        certificate, key = self._place.certificate, self._place.certificate_key
        if certificate is None or key is None:
            return
        read_private_file(
            key, uri=uri, check_permissions=self._keys.check_permissions, uid=self._keys.uid
        )
        reason: str | None
        try:
            # Without a password OpenSSL would ask for one at the terminal.
            context.load_cert_chain(certificate, key, password="")
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


class _Socket(ssl.SSLSocket):
    """Lets the reply be read where the request could not be sent.

    In TLS 1.3 a server judges our certificate when we are done, so the first request may meet a
    closed connection.  Why it was closed can still be read.
    """

    def send(self, *args: Any, **keywords: Any) -> int:
        """Send, or raise what urllib3 reads a reply after."""
        try:
            return super().send(*args, **keywords)
        except ssl.SSLEOFError:
            raise BrokenPipeError from None


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
