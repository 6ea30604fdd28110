"""Calls of AWS KMS: a name and parameters in, an answer or one of our errors out.

Each call is one attempt.  botocore's standard mode would make three attempts of up to 60 s each;
its adaptive mode, once throttled, signed nothing for 12 s where the standard one signed 193 times.
Asking again is left to the `Endpoint`, which knows the message's deadline.
"""

from __future__ import annotations

import binascii
import json
import re
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from dkimcore.errors import KeyUnavailable
from dkimcore.keys.aws.exchange import Exchange
from dkimcore.keys.aws.failures import (
    EXPIRED,
    Failure,
    failure_of_code,
    failure_of_status,
)
from dkimcore.keys.aws.login import AwsLogin
from dkimcore.keys.endpoint import EndpointLimits
from dkimcore.keys.forking import renew_after_fork
from dkimcore.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dkimcore.keys import KeyContext
    from dkimcore.keys.aws.exchange import Reply
    from dkimcore.keys.sections import BackendSection

__all__ = ["THREADS", "Answer", "KmsClient", "limits_of"]

THREADS = 32
"""Calls under way, where a section says nothing: each is one signature, so at 50 ms 16 of them
are less than 300 a second."""

_MAX_WORD = 128  # a request's id has 36, the longest name of an error half of it
_SECONDS = re.compile(r"[0-9]{1,3}")  # the other form of Retry-After is a date


def limits_of(section: BackendSection) -> EndpointLimits:
    """Return what a section of type ``aws`` may be asked for at once.

    Raises:
        ConfigError: A limit in the section cannot be.
    """
    return EndpointLimits.of(section, threads=THREADS)


class Answer:
    """What KMS answered.

    Args:
        values: It, as JSON has it; may hold a private key.
        uri: What errors name.
        request_id: AWS's name for the request.
    """

    __slots__ = ("_values", "request_id", "uri")

    def __init__(self, values: Mapping[str, Any], *, uri: str, request_id: str | None) -> None:
        self._values = values
        self.uri = uri
        self.request_id = request_id

    def text(self, name: str) -> str:
        """Return a text.

        Raises:
            KeyUnavailable: There is none.
        """
        value = self._values.get(name)
        if isinstance(value, str):
            return value
        raise self._lacks(name)

    def octets(self, name: str) -> bytes:
        """Return octets.

        Raises:
            KeyUnavailable: There are none.
        """
        value = self._values.get(name)
        try:
            if isinstance(value, str):
                return binascii.a2b_base64(value, strict_mode=True)
        except ValueError:  # binascii.Error, and for letters that are not ASCII
            pass
        raise self._lacks(name)

    def part(self, name: str) -> Answer:
        """Return an object.

        Raises:
            KeyUnavailable: There is none.
        """
        value = self._values.get(name)
        if isinstance(value, dict):
            return Answer(value, uri=self.uri, request_id=self.request_id)
        raise self._lacks(name)

    def _lacks(self, name: str) -> KeyUnavailable:
        return KeyUnavailable(
            f"the answer of KMS has no good {name}; see what stands in between, such as a proxy",
            uri=self.uri,
            request_id=self.request_id,
        )


class KmsClient:
    """KMS in one region, with one login.  Safe to share between threads.

    A child process connects and logs in anew.

    Args:
        section: Says where and who.
        region: Where, as far as a URI says it.
        limits: How many calls are under way at once, and how patiently.
        conceal: Takes each secret that is found (see `KeyContext.conceal`).

    Raises:
        ConfigError: The section or what botocore is configured with is wrong.
    """

    def __init__(
        self,
        section: BackendSection,
        *,
        region: str | None,
        limits: EndpointLimits,
        conceal: Callable[[str], None],
    ) -> None:
        self._section = section
        self._limits = limits
        self._conceal = conceal
        self._inherited: list[object] = []
        self._lock = threading.Lock()
        self._connection: _Connection | None = self._connect(region)
        self.region = self._connection.login.place.region
        renew_after_fork(self)

    @classmethod
    def of(cls, section: BackendSection, context: KeyContext, *, region: str | None) -> KmsClient:
        """Return the client that all keys of a section and region share.

        Raises:
            ConfigError: As the class.
        """
        limits = limits_of(section)
        region = region or section.text("region")

        def make() -> KmsClient:
            return cls(section, region=region, limits=limits, conceal=context.conceal)

        return context.resources.get(("aws", section.name, region), make)

    def after_fork(self) -> None:
        """Leave the parent's connections and login alone."""
        self._inherited.append(self._connection)
        self._connection = None
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connections that are not in use."""
        if self._connection is not None:
            self._connection.close()

    def _connect(self, region: str | None) -> _Connection:
        login = AwsLogin(self._section, region=region, conceal=self._conceal)
        return _Connection(login, Exchange(login.place, limits=self._limits))

    def call(
        self, action: str, parameters: Mapping[str, object], *, uri: str, timeout: float
    ) -> Answer:
        """Ask KMS once.

        Args:
            action: Such as ``Sign``.
            parameters: What the API reference calls them; octets as octets.
            uri: What errors name.
            timeout: Seconds that it may take.

        Raises:
            KeyBackendError: There is no answer, or an error is it; which subclass, see
                `failures`.
        """
        outcome = self._ask(action, parameters, timeout)
        if isinstance(outcome, Failure):
            raise outcome.error(uri)
        values, request_id = outcome
        return Answer(values, uri=uri, request_id=request_id)

    def _ask(
        self, action: str, parameters: Mapping[str, object], timeout: float
    ) -> tuple[dict[str, Any], str | None] | Failure:
        """Ask once; with a login that has expired, once more with a newer one."""
        end = time.monotonic() + timeout
        with self._lock:
            if self._connection is None:
                self._connection = self._connect(self.region)
            connection = self._connection
        outcome, login = connection.ask(action, parameters, timeout)
        if isinstance(outcome, Failure) and outcome.code in EXPIRED:
            left = end - time.monotonic()
            if left > 0 and connection.login.has_newer(login):
                outcome, _ = connection.ask(action, parameters, left)
        return outcome

    def __repr__(self) -> str:
        return f"<KmsClient {self._section.name} {self.region}>"


class _Connection:
    """A login and the connections that it is used on."""

    def __init__(self, login: AwsLogin, exchange: Exchange) -> None:
        self.login = login
        self._exchange = exchange

    def close(self) -> None:
        self._exchange.close()

    def ask(
        self, action: str, parameters: Mapping[str, object], timeout: float
    ) -> tuple[tuple[dict[str, Any], str | None] | Failure, object]:
        """Return what came of a request, and with which login it was sent."""
        credentials = self.login.credentials()
        if isinstance(credentials, Failure):
            return credentials, None
        region = self.login.place.region
        # What botocore's client sends, a test compares: its serializer and signer would add
        # 0.5 ms to each signature, half of what there is.
        body = json.dumps(parameters, default=_base64).encode("ascii")
        request = AWSRequest(
            method="POST",
            url=self._exchange.url,
            data=body,
            headers={
                "Content-Type": "application/x-amz-json-1.1",
                "User-Agent": f"dkimcore/{__version__}",
                "X-Amz-Target": f"TrentService.{action}",
            },
        )
        SigV4Auth(credentials, "kms", region).add_auth(request)
        reply = self._exchange.post(body, dict(request.headers.items()), timeout=timeout)
        if isinstance(reply, Failure):
            return reply, credentials
        return _understood(reply, action=f"kms:{action}", region=region), credentials


def _base64(value: object) -> str:
    if not isinstance(value, bytes):
        raise TypeError(f"{type(value).__name__} is no parameter of KMS")
    return binascii.b2a_base64(value, newline=False).decode("ascii")


def _understood(
    reply: Reply, *, action: str, region: str
) -> tuple[dict[str, Any], str | None] | Failure:
    """Return an answer's values and the request's id, or the failure that it is."""
    request_id = _word(reply.headers.get("x-amzn-requestid"))
    try:
        values = json.loads(reply.body) if reply.body else {}
    except (ValueError, RecursionError):
        values = None
    if reply.status == 200 and isinstance(values, dict):
        return values, request_id
    values = values if isinstance(values, dict) else {}
    # "com.amazonaws.kms#NotFoundException", or in a header "NotFoundException:http://..."
    code = _word(values.get("__type")) or _word(reply.headers.get("x-amzn-errortype"))
    if code is None:
        failure = failure_of_status(reply.status, action=action)
    else:
        said = values.get("message") or values.get("Message")
        failure = failure_of_code(
            code.rpartition("#")[2].partition(":")[0],
            said if isinstance(said, str) else "",
            status=reply.status,
            action=action,
            region=region,
        )
    retry_after = reply.headers.get("retry-after", "")
    seconds = float(retry_after) if _SECONDS.fullmatch(retry_after) else None
    return replace(failure, request_id=request_id, retry_after=seconds)


def _word(value: object) -> str | None:
    """Return a word that may be printed, without what makes it too long."""
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        return None
    return value[:_MAX_WORD] or None
