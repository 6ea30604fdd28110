"""One HTTP request to AWS KMS and its answer, bounded in time and in octets.

Says nothing of what is in them: signing the request and reading the answer is left to `client`.
botocore's own client would take any time for an answer of any length, has one patience for all
requests, and writes what it decrypts to its debug log.
"""

from __future__ import annotations

import os
import socket
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import urllib3
from botocore.httpsession import get_cert_path
from botocore.utils import get_environ_proxies
from urllib3.connection import HTTPConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from dkimcore.errors import ConfigError, KeyUnavailable
from dkimcore.keys.aws.failures import Failure
from dkimcore.keys.replies import POOLS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dkimcore.keys.aws.login import AwsPlace
    from dkimcore.keys.endpoint import EndpointLimits

__all__ = ["Exchange", "Reply"]

_MAX_REPLY = 65_536  # the longest, a key pair of RSA_4096 in base64, has a tenth of it
# Besides the endpoint's own threads, those that open keys make calls.
_SPARE_CONNECTIONS = 16
# An idle connection that a firewall forgot is noticed before a signature waits for it.
_KEEP_ALIVE = [*HTTPConnection.default_socket_options, (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back.

    Attributes:
        status: The status of HTTP.
        headers: Names in lower case.
        body: All of it; may hold a private key.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Exchange:
    """Connections to KMS.  Safe to share between threads, not with a child.

    Args:
        place: Where it is.
        limits: How many calls are under way at once, and how patiently.

    Raises:
        ConfigError: The file of certificates cannot be used.
    """

    def __init__(self, place: AwsPlace, *, limits: EndpointLimits) -> None:
        self._url = f"{place.url.rstrip('/')}/"
        self._host = urlsplit(place.url).netloc
        self._limits = limits
        self._pool = _pool(place, limits.threads + _SPARE_CONNECTIONS)

    @property
    def url(self) -> str:
        """Where requests go."""
        return self._url

    def post(self, body: bytes, headers: Mapping[str, str], *, timeout: float) -> Reply | Failure:
        """Send a request once and return the answer, or why there is none.

        Args:
            body: The request.
            headers: Its headers, the login's signature among them.
            timeout: Seconds for all of it, however slowly the answer comes.
        """
        limits = self._limits
        patience = urllib3.Timeout(
            connect=min(limits.connect_timeout, timeout),
            read=min(limits.read_timeout, timeout),
            total=timeout,
        )
        try:
            response = self._pool.urlopen(
                "POST",
                self._url,
                body=body,
                headers=headers,
                timeout=patience,
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
            return self._read(response)
        except (HTTPError, OSError, ValueError) as exc:
            return self._failure(exc, timeout)

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._pool.clear()

    def _read(self, response: urllib3.BaseHTTPResponse) -> Reply | Failure:
        """Take an answer in; one that is too long costs the connection."""
        body = b""
        # A read that finds an end before the announced one says so only when asked again.
        while len(body) <= _MAX_REPLY and (part := response.read(_MAX_REPLY + 1 - len(body))):
            body += part
        if len(body) > _MAX_REPLY:
            response.close()
            return self._unavailable(
                f"answers with more than {_MAX_REPLY} octets, as KMS never does; see what stands "
                "in between, such as a proxy"
            )
        response.release_conn()
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Reply(status=response.status, headers=headers, body=body)

    def _failure(self, exc: Exception, timeout: float) -> Failure:
        """Say what became of a request, without quoting what may name a proxy's password."""
        if isinstance(exc, SSLError):
            reason = " ".join(str(exc).split())[:200]
            return self._unavailable(
                f"is not who it should be, or speaks no TLS ({reason}); name the file of the "
                "authority with ca= if it is one of your own"
            )
        if isinstance(exc, ProxyError):
            return self._unavailable(
                "cannot be reached through the proxy that HTTPS_PROXY names; correct it, or add "
                "the host to NO_PROXY"
            )
        if isinstance(exc, NewConnectionError):
            return self._unavailable(
                f"cannot be reached: {_reason(exc)}; see region and endpoint_url, and the network"
            )
        if isinstance(exc, ConnectTimeoutError):
            seconds = min(self._limits.connect_timeout, timeout)
            return self._unavailable(f"cannot be reached: no connection within {seconds:g} s")
        if isinstance(exc, ReadTimeoutError):
            return self._unavailable(
                f"did not answer within {min(self._limits.read_timeout, timeout):.3g} s"
            )
        return self._unavailable(f"broke the connection off: {_reason(exc)}")

    def _unavailable(self, problem: str) -> Failure:
        return Failure(kind=KeyUnavailable, problem=f"{self._host} {problem}")

    def __repr__(self) -> str:
        return f"<Exchange {self._url}>"


def _pool(place: AwsPlace, connections: int) -> urllib3.PoolManager:
    # What boto3 trusts: certifi's list, or the one that botocore brings.
    ca = place.ca or os.environ.get("REQUESTS_CA_BUNDLE") or get_cert_path(True)  # noqa: FBT003
    context = None
    if place.url.startswith("https:"):
        try:
            context = ssl.create_default_context(cafile=ca)
        except (OSError, ValueError) as exc:
            reason = getattr(exc, "strerror", None) or exc
            raise ConfigError(
                f"the file of certificates cannot be read: {reason}; correct ca= or AWS_CA_BUNDLE",
                file=str(ca),
            ) from None
    options: dict[str, Any] = {
        "num_pools": 1,
        "maxsize": connections,
        "ssl_context": context,
        "socket_options": _KEEP_ALIVE,
    }
    proxy = _proxy(place.url)
    if proxy is None:
        pool = urllib3.PoolManager(**options)
    else:
        parts = urlsplit(proxy)
        login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        headers = urllib3.make_headers(proxy_basic_auth=login) if parts.username else None
        pool = urllib3.ProxyManager(proxy, proxy_headers=headers, **options)
    pool.pool_classes_by_scheme = POOLS
    return pool


def _proxy(url: str) -> str | None:
    """Return the proxy that boto3 would take, from HTTPS_PROXY and NO_PROXY."""
    proxy: str | None = get_environ_proxies(url).get(urlsplit(url).scheme)
    if not proxy:
        return None
    return proxy if "//" in proxy else f"http://{proxy}"


def _reason(exc: BaseException) -> str:
    """Return what the system says, from the end of the chain."""
    found: BaseException | None = exc
    while found is not None:
        if isinstance(found, OSError) and found.strerror:
            return found.strerror.lower()
        found = found.__cause__ or found.__context__
    return type(exc).__name__
