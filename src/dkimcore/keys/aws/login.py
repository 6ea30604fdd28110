"""Who asks AWS KMS, and where it is: what botocore finds around us and in a section.

Credentials come from botocore's own chain and are renewed by it; none stands in a section.  Those
that are found to have expired are looked for again, for a file may have been written anew since.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ProfileNotFound
from botocore.loaders import create_loader

from dkimcore.errors import KeyUriError
from dkimcore.keys.aws.failures import Failure
from dkimcore.keys.aws.loginfailures import failure_of_client, failure_of_login, no_login
from dkimcore.keys.quiet import quiet_loggers

if TYPE_CHECKING:
    from collections.abc import Callable

    from dkimcore.keys.sections import BackendSection

__all__ = ["KEYS", "AwsLogin", "AwsPlace"]

KEYS = ("region", "profile", "endpoint_url", "ca")
"""What a section of type ``aws`` says."""

_LIBRARIES = ("botocore", "boto3", "urllib3", "s3transfer")
# For STS and SSO, which some logins are fetched from; botocore's own are 60 s, five times.
_LOGIN_CONFIG = Config(
    connect_timeout=1.0, read_timeout=3.0, retries={"mode": "standard", "total_max_attempts": 2}
)
_MODELS = create_loader()
# AWS's have 40 letters and more; a word of an emulator's would be found in every text.
_LONG_ENOUGH = 16
_SOONEST = 5.0  # seconds between two searches for a login that is not expired
_BRIEFLY = 1.0  # seconds that there is no login for those who waited while one looked for it
_NO_REGION = (
    "it is not said in which region the key is: add region= to the URI or to the section, or set "
    "AWS_REGION"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsPlace:
    """Where KMS is.

    Attributes:
        region: Such as ``eu-west-1``.
        url: Without a path.
        ca: The file of the authorities that its certificate may come from; None: those that
            botocore takes.
    """

    region: str
    url: str
    ca: str | None


@dataclass(slots=True, repr=False)
class _Source:
    """What botocore found: one object, so that who has an old one says nothing about a newer one.

    Attributes:
        credentials: They, which botocore renews.
        given: What they were when they were last asked for; None: they could not be renewed.
    """

    credentials: Any
    given: Any = None


class AwsLogin:
    """Credentials for one section and region.  Safe to share between threads, not with a child.

    Args:
        section: The section.
        region: Where, as far as a URI says it.
        conceal: Takes each secret that is found (see `KeyContext.conceal`).

    Raises:
        ConfigError: The section or what botocore is configured with is wrong.
    """

    def __init__(
        self,
        section: BackendSection,
        *,
        region: str | None,
        conceal: Callable[[str], None],
    ) -> None:
        section.allow(*KEYS)
        self._profile = section.text("profile")
        self._conceal = conceal
        self._lock = threading.Lock()
        self._source: _Source | None = None
        self._failure: Failure | None = None
        self._failed = self._searched = float("-inf")
        self._session = self._begin()
        self.place = _place(self._session, section, region)
        quiet_loggers(*_LIBRARIES)  # the client that was made there made loggers

    def _begin(self) -> Any:
        session = botocore.session.Session(profile=self._profile)
        # It remembers what it read; without, each session reads 50 ms of JSON.
        session.register_component("data_loader", _MODELS)
        session.set_default_client_config(_LOGIN_CONFIG)
        quiet_loggers(*_LIBRARIES)
        return session

    def credentials(self) -> Any | Failure:
        """Return what requests are signed with, fetching or renewing it where that is due."""
        source = self._source or self._first()
        if isinstance(source, Failure):
            return source
        found = _frozen(source.credentials)
        given = None if isinstance(found, Failure) else found
        if given != source.given:
            self._hide(given)
            source.given = given
        return found

    def _first(self) -> _Source | Failure:
        """Look for credentials, one thread for all: botocore's sessions are not for several."""
        with self._lock:
            if self._source is not None:
                return self._source
            if self._failure is not None and time.monotonic() < self._failed + _BRIEFLY:
                return self._failure
            found = _loaded(self._session)
            if isinstance(found, Failure):
                self._failure, self._failed = found, time.monotonic()
                return found
            self._source = _Source(found)
            return self._source

    def has_newer(self, expired: object) -> bool:
        """Look for other credentials than those that AWS called expired.

        Args:
            expired: They; None where those that they would be renewed with have expired.

        Returns:
            Whether there are any; `credentials` gives them from now on.
        """
        with self._lock:
            given = None if self._source is None else self._source.given
            if given is not None and given != expired:
                return True  # another thread was here before
            now = time.monotonic()
            if now < self._searched + _SOONEST:
                return False
            self._searched = now
            credentials = _loaded(self._begin())
            if isinstance(credentials, Failure):
                return False
            found = _frozen(credentials)
            if isinstance(found, Failure) or found == expired:
                return False
            # Both in the lock: who waits for it is to see the newer one, and nobody to use it
            # before it is concealed.
            self._hide(found)
            self._source = _Source(credentials, found)
        return True

    def _hide(self, given: Any) -> None:
        """Conceal the secrets of a login; None has none."""
        for secret in () if given is None else (given.secret_key, given.token):
            if secret and len(secret) >= _LONG_ENOUGH:
                self._conceal(secret)
        quiet_loggers(*_LIBRARIES)  # looking for them made more loggers

    def __repr__(self) -> str:
        return f"<AwsLogin {self._profile or 'ambient'} {self.place.region}>"


def _loaded(session: Any) -> Any | Failure:
    """Return the credentials that a session finds, or why there are none."""
    try:
        return session.get_credentials() or no_login()
    except ClientError as exc:
        return failure_of_client(exc)
    except Exception as exc:  # noqa: BLE001 - a provider of botocore's chain may raise anything
        return failure_of_login(exc)


def _frozen(credentials: Any) -> Any | Failure:
    """Return what credentials are just now, or why they could not be renewed."""
    try:
        return credentials.get_frozen_credentials()
    except ClientError as exc:
        return failure_of_client(exc)
    except Exception as exc:  # noqa: BLE001 - as above
        return failure_of_login(exc)


def _place(session: Any, section: BackendSection, region: str | None) -> AwsPlace:
    """Find out where KMS is, as boto3 does; asks nobody."""
    endpoint_url = section.text("endpoint_url")
    try:
        region = region or section.text("region") or session.get_config_variable("region")
        if region is None:
            raise KeyUriError(_NO_REGION, file=section.file, line=section.line)
        # Knows partitions, FIPS, dual stack, and AWS_ENDPOINT_URL_KMS.  Without a login of its
        # own it would look for one now, which may take seconds.
        client = session.create_client(
            "kms",
            region_name=region,
            endpoint_url=endpoint_url,
            aws_access_key_id="none",
            aws_secret_access_key="none",  # noqa: S106 - no secret
        )
        ca = section.path("ca") or session.get_config_variable("ca_bundle")
    except ProfileNotFound as exc:
        raise section.error(
            f"boto3 knows no profile {exc.kwargs.get('profile')}; write it into ~/.aws/config of "
            "the user we run as, or correct profile= or AWS_PROFILE",
            key="profile",
        ) from None
    except (BotoCoreError, ValueError) as exc:
        raise section.error(
            f"botocore cannot be used as it is configured: {exc}", key="endpoint_url"
        ) from None
    place = AwsPlace(region=client.meta.region_name, url=client.meta.endpoint_url, ca=ca)
    _refuse_plain(place.url, section)
    return place


def _refuse_plain(url: str, section: BackendSection) -> None:
    """Refuse to send mail's signatures and a login's where others can read and change them."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and _is_loopback(parts.hostname or ""):
        return
    problem = f"KMS is to be at {url}; write https://, for only loopback may do without"
    raise section.error(problem, key="endpoint_url")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
