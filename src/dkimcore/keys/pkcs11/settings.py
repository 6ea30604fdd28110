"""What a ``pkcs11:`` URI and its backend section say together: token, module, PIN.

The query attributes of RFC 7512 section 2.4, those that are refused and why, and the keys of a
section of type ``pkcs11``::

    module = "/usr/lib/softhsm/libsofthsm2.so"   what module-path is in a URI
    token = "dkim"                               the token's label, where a URI names none
    pin_file = "/run/credentials/.../pin"        what pin-source is in a URI
    pin_env = "HSM_PIN"                          or the name of an environment variable
    threads = 8                                  sessions, and so signatures under way
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from dkimcore.errors import KeyUriError
from dkimcore.keys.pkcs11.login import Login
from dkimcore.keys.pkcs11.pin import PinSource
from dkimcore.keys.pkcs11.sessions import SessionPool
from dkimcore.keys.pkcs11.tokenuri import TokenUri

if TYPE_CHECKING:
    from dkimcore.keys import KeyContext
    from dkimcore.keys.endpoint import Endpoint
    from dkimcore.keys.sections import BackendSection
    from dkimcore.keys.uri import KeyUri

__all__ = ["KEYS", "TokenSettings"]

KEYS = ("module", "pin_file", "pin_env", "token")
"""The keys of a section."""

_OPTIONS = ("module-path", "pin-source", "public-key", "backend")
# A token in a USB port does one signature at a time, a network HSM a few dozen.
_SESSIONS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSettings:
    """Where a key is and how to get at it.

    Attributes:
        address: The token and the key.
        module: The path of the module.
        pin: Where the PIN is.
        public_key: The path of a file with the public half, where the token does not tell it.
        section: The backend section.
        context: What the backend was opened with.
    """

    address: TokenUri
    module: str
    pin: PinSource
    public_key: str | None
    section: BackendSection
    context: KeyContext

    @classmethod
    def of(cls, uri: KeyUri, context: KeyContext) -> TokenSettings:
        """Read a URI and its section.

        Args:
            uri: The URI.
            context: What the backend is opened with.

        Raises:
            ConfigError: One of them is malformed, they contradict each other, or no module is
                named.
        """
        if "module-name" in uri.options:
            raise KeyUriError(
                "module-name is looked for in folders that differ from system to system; write "
                "the path: module-path=/usr/lib/.../module.so"
            )
        uri.allow_options(*_OPTIONS)
        section = context.sections.get("pkcs11", uri.options.get("backend"))
        section.allow(*KEYS)
        address = TokenUri.parse(uri.path)
        if address.token is None and address.serial is None:
            address = replace(address, token=section.text("token"))
        return cls(
            address=address,
            module=_module(uri, section),
            pin=_pin(uri, section, context),
            public_key=_path(uri, "public-key"),
            section=section,
            context=context,
        )

    @property
    def endpoint(self) -> Endpoint:
        """Who makes the calls: one for all keys of the section."""
        return self.context.endpoint(self.section, threads=_SESSIONS)

    @property
    def pool(self) -> SessionPool:
        """The sessions with the token, which this `KeyStore` has in this process."""
        endpoint = self.endpoint
        wanted = replace(self.address, object=None, id=None)

        def make() -> SessionPool:
            return SessionPool(
                self.module,
                wanted,
                login=Login(self.pin, observer=self.context.observer, endpoint=endpoint.name),
                size=endpoint.limits.threads,
                observer=self.context.observer,
                endpoint=endpoint.name,
                check_permissions=self.context.check_permissions,
            )

        name = ("pkcs11", self.section.name, self.module, wanted, self.pin)
        return self.context.resources.get(name, make)


def _module(uri: KeyUri, section: BackendSection) -> str:
    named, given = uri.options.get("module-path"), section.text("module")
    if given is not None and not os.path.isabs(given):
        raise section.error("write the whole path of the module, from / on", key="module")
    if named is not None and not os.path.isabs(named):
        raise KeyUriError("module-path is a whole path, from / on")
    if named is not None and given is not None and named != given:
        raise KeyUriError(
            f"the URI names the module {named} and [backend.{section.name}] {given}; take "
            "module-path out of the URI"
        )
    module = named or given
    if not module:
        raise KeyUriError(
            "no PKCS #11 module is named; write module = into a section of type pkcs11, or "
            "?module-path=/usr/lib/.../module.so into the URI"
        )
    return module


def _pin(uri: KeyUri, section: BackendSection, context: KeyContext) -> PinSource:
    source, file = _path(uri, "pin-source"), section.path("pin_file")
    variable = section.text("pin_env")
    if file is not None and variable is not None:
        raise section.error("the PIN has one place; take pin_file or pin_env out", key="pin_env")
    if source is not None and (variable is not None or file not in (None, source)):
        raise KeyUriError(
            f"the URI has pin-source and [backend.{section.name}] another place of the PIN; take "
            "pin-source out of the URI"
        )
    return PinSource(
        file=source or file,
        variable=variable,
        secret=context.secret,
        check_permissions=context.check_permissions,
        uid=context.uid,
    )


def _path(uri: KeyUri, name: str) -> str | None:
    """Return the path of a file that an option names: as it is, or as a ``file:`` URI."""
    text = uri.options.get(name)
    if text is None:
        return None
    path = text
    if text[:5].lower() == "file:":
        path = unquote(text[5:])
        for host in ("//localhost/", "///"):
            if path.startswith(host):
                path = path[len(host) - 1 :]
    if not path.startswith("/") or path.startswith("//"):
        raise KeyUriError(f"{name} names a file of this host: file:/path or /path, from / on")
    return path
