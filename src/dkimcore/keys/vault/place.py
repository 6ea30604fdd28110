"""Where a Vault is and how it is reached: the part of a backend section that is no login.

A section that names an address says everything itself.  One that does not takes the address,
and all that goes with it, from the environment, as the server's own command line tool does:
a token of the environment must not go to another server than the one it is meant for.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from dkimcore.keys.vault.credentials import CredentialFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dkimcore.errors import ConfigError
    from dkimcore.keys.sections import BackendSection

__all__ = ["PLACE_KEYS", "VaultPlace", "ambient"]

PLACE_KEYS: Final = (
    *("address", "namespace", "plain_http", "ca", "tls_server_name", "certificate", "key"),
    *("proxy", "follow_redirects"),
)
"""The keys of a section that are read here."""

_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")
# It goes into a header.
_NAMESPACE = re.compile(r"[!-~]{1,512}")


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultPlace:
    """Where a Vault is.

    Attributes:
        address: Scheme, host, port and perhaps a path before ``/v1``, without a "/" behind.
        namespace: The namespace that all its keys are in.
        plain_http: Whether secrets may go to another host unencrypted.
        ca: File or folder with the certificates that are trusted; None: those of the system.
        tls_server_name: What its certificate must name; None: the host.
        certificate: Our certificate for TLS.
        certificate_key: The private key that belongs to it.
        proxy: An HTTP proxy.
        follow_redirects: Whether another host that it names gets the request, token and all.
        is_ambient: Whether the environment says all this.
    """

    address: str
    namespace: str | None = None
    plain_http: bool = False
    ca: str | None = None
    tls_server_name: str | None = None
    certificate: str | None = None
    certificate_key: str | None = None
    proxy: str | None = None
    follow_redirects: bool = False
    is_ambient: bool = False

    @classmethod
    def of(cls, section: BackendSection, environ: Mapping[str, str]) -> VaultPlace:
        """Read a section, or the environment where it names no address.

        Args:
            section: A section of type ``vault``.
            environ: The environment.

        Raises:
            ConfigError: There is no address, or something is wrong with a value.
        """
        address = section.text("address")
        place = _from_environment(section, environ) if address is None else _from(section, address)
        _check_address(section, place)
        if place.namespace is not None and not _NAMESPACE.fullmatch(place.namespace):
            raise section.error("a namespace has no spaces and ASCII only", key="namespace")
        if (place.certificate is None) != (place.certificate_key is None):
            raise section.error("certificate and key go together: name both files")
        if place.proxy is not None:
            _check_url(section, place.proxy, key="proxy")
        return place

    @property
    def certificate_files(self) -> tuple[CredentialFile, ...]:
        """Our certificate and its key, if we have them."""
        if self.certificate is None or self.certificate_key is None:
            return ()
        return (
            CredentialFile(path=self.certificate, key="certificate"),
            CredentialFile(path=self.certificate_key, key="key"),
        )

    def is_private(self, scheme: str | None, host: str) -> bool:
        """Whether nobody on the way reads what is sent somewhere, or the section says so.

        Args:
            scheme: That of its URL.
            host: Its host, an IPv6 address without brackets.
        """
        return scheme == "https" or (scheme == "http" and (self.plain_http or _is_loopback(host)))


def ambient(environ: Mapping[str, str], name: str) -> str | None:
    """Return a variable of the environment, by the name of OpenBao's tool or else of Vault's.

    Args:
        environ: The environment.
        name: Such as ``ADDR``.
    """
    return environ.get(f"BAO_{name}") or environ.get(f"VAULT_{name}") or None


def _from(section: BackendSection, address: str) -> VaultPlace:
    return VaultPlace(
        address=address.rstrip("/"),
        namespace=section.text("namespace"),
        plain_http=section.flag("plain_http", default=False),
        ca=section.path("ca"),
        tls_server_name=section.text("tls_server_name"),
        certificate=section.path("certificate"),
        certificate_key=section.path("key"),
        proxy=section.text("proxy"),
        follow_redirects=section.flag("follow_redirects", default=False),
    )


def _from_environment(section: BackendSection, environ: Mapping[str, str]) -> VaultPlace:
    address = ambient(environ, "ADDR")
    if address is None:
        raise section.error(
            'there is no address; write address = "https://HOST:8200" into a section of type '
            '"vault", or set VAULT_ADDR'
        )
    certificate, key = section.path("certificate"), section.path("key")
    return VaultPlace(
        address=address.rstrip("/"),
        namespace=section.text("namespace") or ambient(environ, "NAMESPACE"),
        plain_http=section.flag("plain_http", default=False),
        ca=section.path("ca") or ambient(environ, "CACERT") or ambient(environ, "CAPATH"),
        tls_server_name=section.text("tls_server_name") or ambient(environ, "TLS_SERVER_NAME"),
        certificate=certificate or ambient(environ, "CLIENT_CERT"),
        certificate_key=key or ambient(environ, "CLIENT_KEY"),
        proxy=section.text("proxy"),
        follow_redirects=section.flag("follow_redirects", default=False),
        is_ambient=True,
    )


def _check_address(section: BackendSection, place: VaultPlace) -> None:
    scheme, host = _check_url(section, place.address, key="address")
    if not place.is_private(scheme, host):
        raise section.error(
            f"http:// to {host} shows the token to everybody on the way; write https://, or "
            "plain_http = true where something else encrypts all of the way",
            key="address",
        )


def _check_url(section: BackendSection, url: str, *, key: str) -> tuple[str, str]:
    """Return scheme and host of a URL."""
    try:
        parts = urlsplit(url)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:
        raise _not_url(section, key) from None
    if "@" in parts.netloc:
        raise section.error("a password does not stand in a URL; take it out", key=key)
    host = parts.hostname or ""
    if (
        parts.scheme not in ("http", "https")
        or not port_is_right
        or not _HOST.fullmatch(host)
        or not _PREFIX.fullmatch(parts.path)
        or parts.query
        or parts.fragment
    ):
        raise _not_url(section, key)
    return parts.scheme, host


def _not_url(section: BackendSection, key: str) -> ConfigError:
    return section.error("write a URL such as https://vault.example.com:8200", key=key)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
