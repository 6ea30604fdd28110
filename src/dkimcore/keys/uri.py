"""The name of a private key: ``scheme:rest?option=value``.

Splits the name and refuses secrets in it, for a URI is printed, logged and kept in
tables.  What the path means is left to the backend that the scheme names.  The text is
split at the first ":" and the first "?" and nowhere else, so that a rest such as
``arn:aws:kms:...`` stays whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from dkimcore.errors import KeyUriError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["KeyUri", "is_secret_name"]

# The scheme of RFC 3986, of two characters at least.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+")
_MAX_OCTETS = 4096  # PATH_MAX of Linux
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

# Names under which a secret would stand in the URI.  Names of files that hold one, such as
# ``pin-source`` (RFC 7512) and ``token-file``, are none of them.
_SECRET_NAME = re.compile(
    r"(?:.*-)?(?:pin|pin-value|passwd|password|passphrase|pwd|secret|secret-id|token|api-?key"
    r"|access-key|secret-key|private-key|key-data|credentials?)"
)
# rspamd and others take ``//user:password@host``.
_USER_INFO = re.compile(r"//[^/?]*:[^/?]*@")
# OpenDKIM's key tables may hold the key itself, as base64, where we want its name.
_BASE64 = re.compile(r"(?![/.~])[A-Za-z0-9+/]{40,}={0,2}")


def _normal(name: str) -> str:
    return name.strip().lower().replace("_", "-")


def is_secret_name(name: str) -> bool:
    """Whether a value of this name would be a secret.

    Args:
        name: Such as ``pin`` or ``secret_id``.
    """
    return _SECRET_NAME.fullmatch(_normal(name)) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUri:
    """A parsed key URI.

    Attributes:
        scheme: The key backend, in lower case.
        path: What stands between the first ":" and the first "?", as written.
        options: What stands behind that "?", percent-decoded; never a secret.
    """

    scheme: str
    path: str
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)

    @classmethod
    def parse(cls, text: str) -> KeyUri:
        """Parse a key URI, or the bare path of a file.

        Args:
            text: ``scheme:rest``; or a path, which begins with "/", "." or "~" or has nothing
                that looks like a scheme before its first ":".  A path that holds a "?"
                cannot be written.

        Raises:
            KeyUriError: It is malformed, or a secret stands in it.  The text is not part
                of the message when it may be one.
        """
        if "-----BEGIN" in text or "PRIVATE KEY" in text:
            raise KeyUriError(
                "this is a private key where its name is wanted; put it into a file "
                "of mode 0600 and name the file"
            )
        if _CONTROL.search(text):
            raise KeyUriError("a key URI holds no control characters and no line ends")
        if len(text) > _MAX_OCTETS:
            raise KeyUriError(f"a key URI has at most {_MAX_OCTETS} characters")
        body, _, query = text.strip().partition("?")
        scheme, path = _split_scheme(body)
        if not path:
            raise KeyUriError(
                "a key URI needs something behind its scheme; write one such as "
                "file:/etc/dkim/s1.pem"
            )
        _refuse_secret_path(scheme, path)
        return cls(scheme=scheme, path=path, options=MappingProxyType(_parse_options(query)))

    def allow_options(self, *names: str) -> None:
        """Refuse every option but these, so that a misspelt one is noticed.

        Args:
            names: The options that the backend knows.

        Raises:
            KeyUriError: There is another one.
        """
        for name in self.options:
            if name not in names:
                known = ", ".join(names) or "none"
                raise KeyUriError(
                    f"{self.scheme}: has no option {name!r}; the options it knows: {known}"
                )

    def __str__(self) -> str:
        """The URI in its one spelling: scheme present, options encoded."""
        query = "&".join(f"{name}={quote(value, '/:,')}" for name, value in self.options.items())
        return f"{self.scheme}:{self.path}" + (f"?{query}" if query else "")


def _split_scheme(body: str) -> tuple[str, str]:
    scheme, colon, rest = body.partition(":")
    if not colon or not _SCHEME.fullmatch(scheme):
        return "file", body
    return scheme.lower(), rest


def _refuse_secret_path(scheme: str, path: str) -> None:
    if scheme == "file" and _BASE64.fullmatch(path):
        raise KeyUriError(
            "this looks like a private key in base64 where its name is wanted; put it into a "
            "file of mode 0600 and name the file (write ./ in front if it is a file's name)"
        )
    if _USER_INFO.match(path):
        raise KeyUriError(
            f"a password stands in the {scheme}: URI, which is printed and logged; "
            "leave user:password@ away and give the secret in the backend's settings"
        )
    for attribute in path.split(";"):
        name, equals, _ = attribute.partition("=")
        # RFC 7512 uses ``token=`` in the path for the label of a token, which is no secret.
        if equals and is_secret_name(name) and _normal(name) != "token":
            raise _secret(scheme, _normal(name))


def _parse_options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for option in query.split("&") if query else ():
        name, equals, value = option.partition("=")
        if is_secret_name(name):
            raise _secret("key", _normal(name))
        if not equals or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", name):
            raise KeyUriError("each option of a key URI is written name=value, joined by '&'")
        if name in options:
            raise KeyUriError(f"the option {name!r} stands twice in a key URI")
        decoded = unquote(value)
        if _CONTROL.search(decoded):
            raise KeyUriError(f"the option {name!r} of a key URI holds a control character")
        options[name] = decoded
    return options


def _secret(scheme: str, name: str) -> KeyUriError:
    return KeyUriError(
        f"a {scheme} URI holds no secrets, for it is printed and logged: take {name!r} out "
        f"and give it by the file or the environment variable that the backend reads"
    )
