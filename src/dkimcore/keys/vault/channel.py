"""Asks a Vault and gets a document, or one of our errors; hvac asks through it too.

hvac knows the paths and parameters of the API, and calls an *adapter* for the exchange: here
that is `Channel.adapter`, which puts our bounded connections under it.  Who asks, and what
follows when the token is refused, is left to `client` and `tokens`.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from dkimcore.errors import KeyUnavailable
from dkimcore.keys.vault.refusals import refusal
from dkimcore.keys.vault.transport import Request, TlsFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dkimcore.keys.secret import Secret
    from dkimcore.keys.vault.tls import VaultTls
    from dkimcore.keys.vault.transport import Reply, Transport

__all__ = ["Adapter", "Channel", "Document"]

Document = dict[str, Any]
"""What the server answers: an object in JSON; empty where there is nothing to say."""

_WRITE = 'create", "update'


class Channel:
    """Asks once and gets a document.

    Args:
        transport: Its connections.
        tls: Our certificate for them.
        address: What errors call the server.
    """

    def __init__(self, transport: Transport, *, tls: VaultTls, address: str) -> None:
        self._transport = transport
        self._tls = tls
        self.address = address

    def ask(
        self,
        request: Request,
        *,
        token: Secret | None,
        deadline: float,
        uri: str,
        hidden: Sequence[Secret] = (),
    ) -> Document:
        """Ask once; again if our certificate was refused and there is another.

        Args:
            request: What is asked for.
            token: Who asks; None: nobody yet, for it is a login.
            deadline: Until when, on the clock of `time.monotonic`.
            uri: What errors name.
            hidden: Further secrets that no error may quote.

        Raises:
            KeyDenied: The server refuses this token, or all without one.
            KeyBackendError: It refuses otherwise (see `refusals`), or did not answer.
        """
        reply = self._exchange(request, token=token, deadline=deadline, uri=uri)
        if reply.status >= 300:
            secrets = hidden if token is None else (token, *hidden)
            raise refusal(reply, request, uri=uri, address=self.address, hidden=secrets)
        document = reply.document()
        if document is None:
            raise KeyUnavailable(
                f"{self.address} answered with something that is not of Vault; see what stands "
                "in front of it",
                uri=uri,
            )
        return document

    def adapter(
        self,
        *,
        token: Secret | None,
        deadline: float,
        uri: str,
        hidden: Sequence[Secret] = (),
    ) -> Adapter:
        """Return an adapter for hvac's classes; the arguments are those of `ask`."""
        return Adapter(
            lambda request: self.ask(
                request, token=token, deadline=deadline, uri=uri, hidden=hidden
            )
        )

    def show_certificate(self) -> None:
        """Read our certificate again if it was replaced, and show it from now on."""
        self._tls.look(self._transport.show, at_once=True)

    def _exchange(
        self, request: Request, *, token: Secret | None, deadline: float, uri: str
    ) -> Reply:
        self._tls.look(self._transport.show)
        shown = self._tls.context
        try:
            return self._transport.exchange(request, token=token, deadline=deadline, uri=uri)
        except TlsFailed as exc:
            failure = exc
        self.show_certificate()
        # Another thread may have been the first to see the new one.
        if self._tls.context is shown or time.monotonic() >= deadline:
            raise failure
        return self._transport.exchange(request, token=token, deadline=deadline, uri=uri)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()


class Adapter:
    """What hvac's classes ask through.

    Args:
        send: Makes one exchange.
        slow: Whether a reply may take longer than the section's ``read_timeout``.
    """

    def __init__(self, send: Callable[[Request], Document], *, slow: bool = False) -> None:
        self._send = send
        self._slow = slow

    def get(self, url: str, *, params: Mapping[str, object] | None = None) -> Document:
        """Read something."""
        query = f"?{urlencode(params)}" if params else ""
        return self._send(Request(method="GET", target=url + query, slow=self._slow))

    def post(
        self, url: str, *, json: Mapping[str, object] | None = None, wrap_ttl: None = None
    ) -> Document:
        """Write something, or have something done; nothing is wrapped."""
        return self._write("POST", url, json)

    def put(self, url: str, *, json: Mapping[str, object] | None = None) -> Document:
        """Write something."""
        return self._write("PUT", url, json)

    def login(self, url: str, *, use_token: bool, json: Mapping[str, object]) -> Document:
        """Log in; the token in the answer is the caller's to use."""
        return self._write("POST", url, json, needs="")

    def _write(
        self, method: str, url: str, body: Mapping[str, object] | None, *, needs: str = _WRITE
    ) -> Document:
        octets = json.dumps(body or {}).encode()
        return self._send(
            Request(method=method, target=url, body=octets, needs=needs, slow=self._slow)
        )
