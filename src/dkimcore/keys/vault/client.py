"""One client for each backend section: it asks with a good token, or says why it cannot.

The keys of a section share its connections and its login.  A child process has its own: what a
parent holds is neither used nor closed.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from dkimcore.errors import KeyBackendError, KeyDenied
from dkimcore.keys.events import KeyEvent
from dkimcore.keys.memory import without_frames
from dkimcore.keys.vault.channel import Adapter, Channel
from dkimcore.keys.vault.logins import LOGIN_KEYS, login_of
from dkimcore.keys.vault.place import PLACE_KEYS, VaultPlace
from dkimcore.keys.vault.tls import VaultTls
from dkimcore.keys.vault.tokens import Tokens
from dkimcore.keys.vault.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dkimcore.keys import KeyContext
    from dkimcore.keys.endpoint import Endpoint
    from dkimcore.keys.sections import BackendSection
    from dkimcore.keys.vault.channel import Document
    from dkimcore.keys.vault.transport import Request

__all__ = ["VaultClient", "client_of", "endpoint_of"]

# A key has four calls under way, or more where they are full; a domain has two keys.
_THREADS = 8
# Logins, renewals and keys that are being opened need connections besides the signatures.
_MORE_CONNECTIONS = 8


class VaultClient:
    """Asks a Vault, as one of its users.  Safe to share between threads.

    Args:
        channel: Where it is.
        tokens: Who we are there.
    """

    def __init__(self, channel: Channel, *, tokens: Tokens) -> None:
        self._channel = channel
        self._tokens = tokens

    @property
    def address(self) -> str:
        """What errors call the server."""
        return self._channel.address

    def ask(self, request: Request, *, timeout: float, uri: str) -> Document:
        """Ask once; again if the token has ended and there is another.

        Args:
            request: What is asked for.
            timeout: Seconds for all of it.
            uri: What errors name.

        Raises:
            KeyBackendError: The server refuses, or does not answer (see `refusals`).
        """
        return self._ask(request, deadline=time.monotonic() + timeout, uri=uri)

    def adapter(self, *, timeout: float, uri: str, slow: bool = False) -> Adapter:
        """Return what hvac's classes ask through.

        Args:
            timeout: Seconds for all that is asked.
            uri: What errors name.
            slow: Whether a reply may take longer than the section's ``read_timeout``.
        """
        deadline = time.monotonic() + timeout
        return Adapter(lambda request: self._ask(request, deadline=deadline, uri=uri), slow=slow)

    def _ask(self, request: Request, *, deadline: float, uri: str) -> Document:
        try:
            return self._ask_again(request, deadline=deadline, uri=uri)
        except KeyBackendError as exc:
            # The frames of its traceback hold tokens.
            error = without_frames(exc)
        raise error

    def _ask_again(self, request: Request, *, deadline: float, uri: str) -> Document:
        grant = self._tokens.current(deadline=deadline, uri=uri)
        try:
            return self._channel.ask(request, token=grant.token, deadline=deadline, uri=uri)
        except KeyDenied as exc:
            refusal = exc
        fresh = self._tokens.after_refusal(grant, deadline=deadline, uri=uri)
        if fresh.token is grant.token:
            raise refusal
        return self._channel.ask(request, token=fresh.token, deadline=deadline, uri=uri)

    def close(self) -> None:
        """Give the token back if we asked for it, and close the connections."""
        self._tokens.close()
        self._channel.close()

    def __repr__(self) -> str:
        return f"<VaultClient of {self.address}>"


def endpoint_of(context: KeyContext, section: BackendSection) -> Endpoint:
    """Return the endpoint that the keys of a section share.

    Args:
        context: Whose it is.
        section: A section of type ``vault``.

    Raises:
        ConfigError: A limit in the section cannot be.
    """
    return context.endpoint(section, threads=_THREADS)


def client_of(context: KeyContext, section: BackendSection, *, uri: str) -> VaultClient:
    """Return the client of a section; each process has one.

    Args:
        context: Whose resources it is one of.
        section: A section of type ``vault``.
        uri: What errors name.

    Raises:
        ConfigError: Something is wrong with the section.
        KeyDenied: Our certificate for TLS cannot be used.
    """
    name = ("vault", section.name)
    return context.resources.get(name, lambda: _connected(context, section, uri))


def _connected(context: KeyContext, section: BackendSection, uri: str) -> VaultClient:
    section.allow(*PLACE_KEYS, *LOGIN_KEYS, "batch")
    place = VaultPlace.of(section, os.environ)
    login = login_of(section, context, place)
    endpoint = endpoint_of(context, section)
    limits = endpoint.limits

    def tell(
        level: int, event: str, text: str, fields: Mapping[str, str | int | float | None]
    ) -> None:
        context.observer.event(
            KeyEvent(level=level, event=event, text=text, endpoint=endpoint.name, fields=fields)
        )

    tls = VaultTls(place, section, context, tell=tell, uri=uri)
    transport = Transport(
        place,
        context=tls.context,
        connections=limits.threads + _MORE_CONNECTIONS,
        connect_timeout=limits.connect_timeout,
        read_timeout=limits.read_timeout,
    )
    channel = Channel(transport, tls=tls, address=place.address)
    tokens = Tokens(
        login,
        channel=channel,
        schedule=context.resources.housekeeping,
        patience=limits.connect_timeout + limits.read_timeout,
        renews=section.flag("renew", default=True),
        tell=tell,
        conceal=context.conceal,
    )
    return VaultClient(channel, tokens=tokens)
