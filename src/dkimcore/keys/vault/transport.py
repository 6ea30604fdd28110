"""One HTTP exchange with a Vault: connections, TLS, limits.  What a reply means is left to others.

Every exchange is tried once, within the time it is given.  A reply has at most
`MAX_REPLY_OCTETS`.  A redirect to another host is followed only where the section allows it,
for the token goes along, and to none that the section's address could not be.  Nothing is read
from the environment: neither proxies nor ~/.netrc.
"""

from __future__ import annotations

import json
import ssl
import time
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin

import urllib3
from urllib3 import exceptions as http_errors
from urllib3.util import parse_url

from dkimcore.errors import KeyUnavailable
from dkimcore.keys.quiet import quiet_loggers
from dkimcore.keys.replies import POOLS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from urllib3.response import BaseHTTPResponse

    from dkimcore.keys.secret import Secret
    from dkimcore.keys.vault.place import VaultPlace

__all__ = ["MAX_REPLY_OCTETS", "Reply", "Request", "TlsFailed", "Transport"]

# An entry of the integrated storage has 1 MiB at most, and JSON escapes some of its octets.  A
# Transit key of 1000 versions, or the signatures of 64 digests, take less.
MAX_REPLY_OCTETS: Final = 2_097_152
_REDIRECTS = (301, 302, 307, 308)
_MAX_REDIRECTS = 2  # from a standby node to the active one, and once more when that has changed
_LONGEST_PAUSE = 3600.0  # seconds: the most that is taken from Retry-After

# What a server says of the certificate that we show, as OpenSSL calls it: why, and what to do.
_REFUSED_CERTIFICATES: Final = {
    "CERTIFICATE_EXPIRED": "it has expired; write a new one there, with its key",
    "CERTIFICATE_REVOKED": "it was revoked; write a new one there, with its key",
    "UNKNOWN_CA": (
        "the server does not trust the authority that signed it; take one of an authority that "
        "it does, or add this one to tls_client_ca_file of its listener"
    ),
    "BAD_CERTIFICATE": (
        "it has expired, or is of an authority that the server does not trust; see the server's "
        "log, and write another one there, with its key"
    ),
    "CERTIFICATE_REQUIRED": (
        "it takes none of this kind; write one with an ECDSA or RSA key there, with its key"
    ),
    "UNSUPPORTED_CERTIFICATE": "it is not for clients; write one with the usage clientAuth there",
    "CERTIFICATE_UNKNOWN": "see the server's log, and write another one there, with its key",
}

quiet_loggers("hvac", "requests", "urllib3")


class TlsFailed(KeyUnavailable):
    """There is no reply for TLS failed; it may be our certificate that was refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked for.

    Attributes:
        method: GET, POST, PUT.
        target: Path and query, encoded, from ``/v1/`` on.
        body: JSON; None: none.
        needs: The capability that a policy must grant for it; empty for a login.
        slow: Whether a reply may take until the deadline.
    """

    method: str
    target: str
    body: bytes | None = field(default=None, repr=False)
    needs: str = "read"
    slow: bool = False

    @property
    def path(self) -> str:
        """The path as policies have it."""
        return self.target.partition("?")[0].removeprefix("/v1/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the server answered.

    Attributes:
        status: Of HTTP.
        body: As it came.
        retry_after: Seconds after which it wants to be asked again.
    """

    status: int
    body: bytes = field(repr=False)
    retry_after: float | None = None

    def document(self) -> dict[str, object] | None:
        """Return the object in JSON that the body is; None: it is something else."""
        try:
            document = json.loads(self.body) if self.body else {}
        except (ValueError, RecursionError):
            return None
        return document if isinstance(document, dict) else None


class Transport:
    """Connections to a Vault, and to where it redirects.  Safe to share between threads.

    Args:
        place: Where it is.
        context: For TLS.
        connections: How many are kept.
        connect_timeout: Seconds until there is a connection.
        read_timeout: Seconds from the request to the end of the reply.
    """

    def __init__(
        self,
        place: VaultPlace,
        *,
        context: ssl.SSLContext,
        connections: int,
        connect_timeout: float,
        read_timeout: float,
    ) -> None:
        self._place = place
        self._timeouts = connect_timeout, read_timeout
        options: dict[str, Any] = {
            "num_pools": 4,  # hosts: the address, and the nodes that it redirects to
            "maxsize": connections,
            "ssl_context": context,
            "server_hostname": place.tls_server_name,
            "retries": False,
        }
        self._pools = (
            urllib3.PoolManager(**options)
            if place.proxy is None
            else urllib3.ProxyManager(place.proxy, **options)
        )
        self._pools.pool_classes_by_scheme = POOLS
        self._headers = {"User-Agent": "dkimcore", "X-Vault-Request": "true"}
        if place.namespace is not None:
            self._headers["X-Vault-Namespace"] = place.namespace

    def exchange(
        self,
        request: Request,
        *,
        token: Secret | None,
        deadline: float,
        uri: str,
    ) -> Reply:
        """Ask once.

        Args:
            request: What is asked for.
            token: Who asks; None: nobody yet, for it is a login.
            deadline: Until when a reply is waited for, on the clock of `time.monotonic`.
            uri: What errors name.

        Raises:
            TlsFailed: TLS failed.
            KeyUnavailable: There is no reply, or one that is too long or leads elsewhere.
        """
        headers = dict(self._headers)
        if token is not None:
            headers["X-Vault-Token"] = token.reveal()
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        url = self._place.address + request.target
        for _ in range(_MAX_REDIRECTS + 1):
            left = deadline - time.monotonic()
            if left <= 0:
                raise KeyUnavailable(f"{self._place.address} did not answer in time", uri=uri)
            connect, read = self._timeouts
            timeout = urllib3.Timeout(
                connect=min(connect, left), read=left if request.slow else read, total=left
            )
            reply, location = self._once(request, url, headers, timeout, uri)
            if location is None:
                return reply
            url = self._redirected(url, location, uri)
        raise KeyUnavailable(
            f"{self._place.address} redirects again and again; its nodes do not agree which one "
            "is active",
            uri=uri,
        )

    def _once(
        self,
        request: Request,
        url: str,
        headers: Mapping[str, str],
        timeout: urllib3.Timeout,
        uri: str,
    ) -> tuple[Reply, str | None]:
        """Return the reply, and where else it says to ask."""
        failure = KeyUnavailable
        try:
            response = self._pools.urlopen(
                request.method,
                url,
                body=request.body,
                headers=headers,
                timeout=timeout,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
            body = _read(response)
        except (http_errors.HTTPError, HTTPException, OSError) as exc:
            problem, refusal = _explain(exc, self._place), _tls_error(exc)
            failure = KeyUnavailable if refusal is None else TlsFailed
        else:
            if body is not None:
                location = response.headers.get("Location")
                pause = _pause(response.headers.get("Retry-After"))
                reply = Reply(status=response.status, body=body, retry_after=pause)
                return reply, location if response.status in _REDIRECTS else None
            problem = (
                f"{self._place.address} answered with more than {MAX_REPLY_OCTETS} octets; see "
                "what listens there"
            )
        raise failure(problem, uri=uri)

    def _redirected(self, url: str, location: str, uri: str) -> str:
        """Return where to ask, if the token may go there."""
        place = self._place
        try:
            target = urljoin(url, location)
            # As urllib3 reads it, for that is where the token would go.
            here, there = parse_url(url), parse_url(target)
            is_url = there.scheme in ("http", "https") and there.host and there.auth is None
        except ValueError:
            is_url = False
        if not is_url:
            raise KeyUnavailable(
                f"{place.address} redirects to what is no URL of a Vault; see what stands in "
                "front of it",
                uri=uri,
            )
        if (here.scheme, here.netloc) == (there.scheme, there.netloc):
            return target
        where = f"{there.scheme}://{there.netloc}"[:253]
        if not place.follow_redirects:
            raise KeyUnavailable(
                f"{place.address} is a standby node and redirects to {where!r}, where the token "
                "does not go unasked; name the active node or a load balancer that finds it, or "
                "write follow_redirects = true",
                uri=uri,
            )
        # What begins with TLS does not end without it, wherever that is.
        is_downgrade = (here.scheme, there.scheme) == ("https", "http")
        if is_downgrade or not place.is_private(there.scheme, (there.host or "").strip("[]")):
            raise KeyUnavailable(
                f"{place.address} redirects to {where!r}, which shows the token to everybody on "
                "the way; write https:// into the api_addr of its nodes, or, where address is "
                "http:// too and something else encrypts all of the way, plain_http = true",
                uri=uri,
            )
        return target

    def show(self, context: ssl.SSLContext) -> None:
        """Make all further connections with another context; those that wait are closed.

        Args:
            context: For TLS.
        """
        # The pools are told apart by it, so none with the old one gets new connections.
        self._pools.connection_pool_kw["ssl_context"] = context
        self._pools.clear()

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._pools.clear()


def _read(response: BaseHTTPResponse) -> bytes | None:
    """Read a body to its end; None: it is too long."""
    finished, body = False, b""
    try:
        # Until there is nothing more: only then is a body noticed that was cut off.
        while piece := response.read(MAX_REPLY_OCTETS + 1 - len(body)):
            body = body + piece if body else piece
            if len(body) > MAX_REPLY_OCTETS:
                break
        else:
            finished = True
    finally:
        if finished:
            response.release_conn()
        else:
            response.close()
    return body if finished else None


def _pause(text: str | None) -> float | None:
    """Read Retry-After; only its form in seconds, which is the one that Vault writes."""
    if text is None or not text.strip().isdecimal() or len(text) > 9:
        return None
    return min(float(text), _LONGEST_PAUSE)


def _explain(exc: Exception, place: VaultPlace) -> str:
    """Say why there is no reply, and what may help."""
    if isinstance(exc, http_errors.ProxyError):
        return f"the proxy {place.proxy} does not lead to {place.address}; see its log"
    failure = _tls_error(exc)
    if failure is not None:
        return _explain_tls(failure, place)
    if isinstance(exc, http_errors.NameResolutionError):
        return f"the host of {place.address} is not in the DNS, or the DNS does not answer"
    if isinstance(exc, http_errors.NewConnectionError):
        return f"{place.address} refuses connections; see whether it runs, and its address"
    if isinstance(exc, http_errors.ConnectTimeoutError):
        return f"{place.address} accepts no connection in time; see whether it runs"
    if isinstance(exc, http_errors.ReadTimeoutError | TimeoutError):
        return f"{place.address} did not answer in time"
    return f"{place.address} closed the connection without an answer ({type(exc).__name__})"


def _tls_error(exc: Exception) -> ssl.SSLError | None:
    """Return the error of TLS for which there is no reply, if that is why."""
    if not isinstance(exc, http_errors.SSLError | ssl.SSLError):
        return None
    seen: BaseException | None = exc
    while seen is not None and not isinstance(seen, ssl.SSLError):
        inner = seen.args[0] if seen.args else None
        seen = inner if isinstance(inner, BaseException) else seen.__cause__ or seen.__context__
    return seen


def _explain_tls(failure: ssl.SSLError, place: VaultPlace) -> str:
    if isinstance(failure, ssl.SSLCertVerificationError):
        trusted = "those of the system" if place.ca is None else place.ca
        return (
            f"the certificate of {place.address} is not to be trusted: {failure.verify_message}; "
            f"trusted authorities: {trusted} (ca=), name: tls_server_name="
        )
    reason = failure.reason or "no reason given"
    refused = _REFUSED_CERTIFICATES.get(reason.partition("_ALERT_")[2])
    if refused is not None and place.certificate is None:
        return (
            f"{place.address} lets nobody in without a certificate that it trusts ({reason}); "
            "name the files of one and of its key (certificate=, key=)"
        )
    if refused is not None:
        return (
            f"{place.address} refuses our certificate {place.certificate} (certificate=, "
            f"{reason}): {refused}; it is read when it changes"
        )
    return f"TLS with {place.address} failed: {reason}; see whether it speaks TLS there"
