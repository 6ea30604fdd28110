"""Ways to log in: a token that somebody else got, AppRole, Kubernetes, a TLS certificate.

Each knows its keys of a section, reads its files anew for each login, and makes one call.  When
that is done, and what follows from a refusal, is left to `tokens`.
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import quote

from hvac.api.auth_methods import AppRole, Kubernetes

from dkimcore.errors import KeyDenied
from dkimcore.keys.secret import Secret
from dkimcore.keys.vault.channel import Document
from dkimcore.keys.vault.credentials import CredentialFile, checked_credential
from dkimcore.keys.vault.grant import lease_of
from dkimcore.keys.vault.place import ambient

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dkimcore.keys import KeyContext
    from dkimcore.keys.sections import BackendSection
    from dkimcore.keys.vault.channel import Channel
    from dkimcore.keys.vault.place import VaultPlace

__all__ = ["LOGIN_KEYS", "Login", "Outcome", "login_of"]

_KEYS: Final = {
    "token": ("token_file", "token_owner"),
    "approle": ("role_id", "role_id_file", "secret_id_file", "mount"),
    "kubernetes": ("role", "jwt_file", "mount"),
    "cert": ("name", "mount"),
}
LOGIN_KEYS: Final = (
    "auth",
    "renew",
    *dict.fromkeys(key for keys in _KEYS.values() for key in keys),
)
"""The keys of a section that are read here."""

_JWT_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/token"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a login gave.

    Attributes:
        token: The token.
        lease: Seconds that it lives; None: not said.
        renewable: Whether it can be renewed.
        is_batch: Whether it is a batch token, which can be neither renewed nor revoked.
    """

    token: Secret
    lease: float | None = None
    renewable: bool = False
    is_batch: bool = False


class Login(Protocol):
    """A way to log in."""

    name: str
    """What the section calls it."""

    is_ours: bool
    """Whether the token is one that we asked for, and revoke when we end."""

    files: tuple[CredentialFile, ...]
    """What it reads."""

    def obtain(self, channel: Channel, *, deadline: float, uri: str) -> Outcome:
        """Log in once.

        Args:
            channel: Where.
            deadline: Until when, on the clock of `time.monotonic`.
            uri: What errors name.

        Raises:
            KeyBackendError: It is refused, or cannot be done now.
        """
        ...


def login_of(section: BackendSection, context: KeyContext, place: VaultPlace) -> Login:
    """Read which way to log in a section asks for.

    Args:
        section: A section of type ``vault``.
        context: Where secrets come from, and whether files are checked.
        place: What else the section says.

    Raises:
        ConfigError: There is no such way, or something is missing for it.
    """
    name = section.text("auth", "token") or "token"
    if name not in _KEYS:
        raise section.error(f"auth is one of: {', '.join(_KEYS)}", key="auth")
    for key in section.values:
        if key in LOGIN_KEYS and key not in ("auth", "renew", *_KEYS[name]):
            known = ", ".join(_KEYS[name])
            raise section.error(f'auth = "{name}" has no such key; it knows: {known}', key=key)
    reader = _Reader(section, context, place)
    ways: dict[str, Callable[[], Login]] = {
        "token": reader.token,
        "approle": reader.approle,
        "kubernetes": reader.kubernetes,
        "cert": reader.certificate,
    }
    return ways[name]()


class _Reader:
    def __init__(self, section: BackendSection, context: KeyContext, place: VaultPlace) -> None:
        self._section = section
        self._context = context
        self._place = place

    def token(self) -> Login:
        owner = self._section.text("token_owner")
        uid = self._context.uid
        if owner is not None:
            try:
                uid = pwd.getpwnam(owner).pw_uid
            except KeyError:
                problem = f"there is no user {owner}; name the one that the agent runs as"
                raise self._section.error(problem, key="token_owner") from None
        path = self._section.path("token_file")
        if path is None:
            return _GivenToken(self._context, is_ambient=self._place.is_ambient)
        return _TokenFile(self._file("token_file", path, uid=uid, is_awaited=True))

    def approle(self) -> Login:
        section = self._section
        role_id, path = section.text("role_id"), section.path("role_id_file")
        if (role_id is None) == (path is None):
            raise section.error('auth = "approle" needs either role_id or role_id_file')
        if role_id is not None:
            checked_credential(role_id, what="role_id", uri=f"vault:{section.name}")
        secret_path = section.path("secret_id_file")
        return _AppRole(
            mount=self._mount("approle"),
            role_id=role_id,
            role_id_file=None if path is None else self._file("role_id_file", path),
            secret_id_file=(
                None if secret_path is None else self._file("secret_id_file", secret_path)
            ),
        )

    def kubernetes(self) -> Login:
        role = self._section.text("role")
        if role is None:
            raise self._section.error('auth = "kubernetes" needs the name of a role: role')
        path = self._section.path("jwt_file") or _JWT_FILE
        # The kubelet lays it down readable for all, in a container that is its only reader.
        file = CredentialFile(path=path, key="jwt_file", is_checked=False)
        return _Kubernetes(mount=self._mount("kubernetes"), role=role, file=file)

    def certificate(self) -> Login:
        if self._place.certificate is None:
            raise self._section.error('auth = "cert" needs the files certificate and key')
        return _Certificate(
            mount=self._mount("cert"),
            role=self._section.text("name"),
            files=self._place.certificate_files,
        )

    def _mount(self, default: str) -> str:
        mount = (self._section.text("mount", default) or default).strip("/")
        if not mount or not mount.isascii() or not mount.isprintable() or ".." in mount:
            raise self._section.error("write the path of the login, such as approle", key="mount")
        return mount

    def _file(
        self, key: str, path: str, *, uid: int | None = None, is_awaited: bool = False
    ) -> CredentialFile:
        return CredentialFile(
            path=path,
            key=key,
            is_checked=self._context.check_permissions,
            uid=self._context.uid if uid is None else uid,
            is_awaited=is_awaited,
        )


class _TokenFile:
    """A token that an agent keeps in a file."""

    name = "token"
    is_ours = False

    def __init__(self, file: CredentialFile) -> None:
        self.files: tuple[CredentialFile, ...] = (file,)

    def obtain(self, channel: Channel, *, deadline: float, uri: str) -> Outcome:
        return Outcome(token=self.files[0].read(uri=uri))


class _GivenToken:
    """A token of the secret ``vault-token``, of the environment, or of ~/.vault-token."""

    name = "token"
    is_ours = False

    def __init__(self, context: KeyContext, *, is_ambient: bool) -> None:
        self._context = context
        self._is_ambient = is_ambient
        home = CredentialFile(
            path=os.path.expanduser("~/.vault-token"),
            key="the file",
            is_checked=context.check_permissions,
            uid=context.uid,
        )
        self.files: tuple[CredentialFile, ...] = (home,) if is_ambient else ()

    def obtain(self, channel: Channel, *, deadline: float, uri: str) -> Outcome:
        given = self._context.secret("vault-token")
        if given:
            return _given(given, "the secret vault-token", uri)
        if self._is_ambient:
            given = ambient(os.environ, "TOKEN")
            if given:
                return _given(given, "VAULT_TOKEN", uri)
            (home,) = self.files
            if os.access(home.path, os.R_OK):  # another's is another's login, and not lent
                return Outcome(token=home.read(uri=uri))
        other = "log in with bao login" if self._is_ambient else "give the secret vault-token"
        raise KeyDenied(
            f"there is no token for {channel.address}; name a file (token_file) or another way "
            f"to log in (auth) in its section, or {other}",
            uri=uri,
        )


def _given(text: str, what: str, uri: str) -> Outcome:
    return Outcome(token=checked_credential(text.strip(), what=what, uri=uri))


class _AppRole:
    name = "approle"
    is_ours = True

    def __init__(
        self,
        *,
        mount: str,
        role_id: str | None,
        role_id_file: CredentialFile | None,
        secret_id_file: CredentialFile | None,
    ) -> None:
        self._mount = mount
        self._role_id = role_id
        self._role_id_file = role_id_file
        self._secret_id_file = secret_id_file
        self.files = tuple(file for file in (role_id_file, secret_id_file) if file is not None)

    def obtain(self, channel: Channel, *, deadline: float, uri: str) -> Outcome:
        file = self._role_id_file
        role_id = Secret(self._role_id or "") if file is None else file.read(uri=uri)
        # A role may ask for none (bind_secret_id=false).
        file = self._secret_id_file
        secret_id = None if file is None else file.read(uri=uri)
        hidden = () if secret_id is None else (secret_id,)
        adapter = channel.adapter(token=None, deadline=deadline, uri=uri, hidden=hidden)
        return _outcome(
            AppRole(adapter).login(
                role_id=role_id.reveal(),
                secret_id=None if secret_id is None else secret_id.reveal(),
                mount_point=self._mount,
            ),
            channel,
            uri,
        )


class _Kubernetes:
    name = "kubernetes"
    is_ours = True

    def __init__(self, *, mount: str, role: str, file: CredentialFile) -> None:
        self._mount = mount
        self._role = role
        self.files: tuple[CredentialFile, ...] = (file,)

    def obtain(self, channel: Channel, *, deadline: float, uri: str) -> Outcome:
        jwt = self.files[0].read(uri=uri)
        adapter = channel.adapter(token=None, deadline=deadline, uri=uri, hidden=(jwt,))
        login = Kubernetes(adapter).login
        return _outcome(
            login(role=self._role, jwt=jwt.reveal(), mount_point=self._mount), channel, uri
        )


class _Certificate:
    name = "cert"
    is_ours = True

    def __init__(self, *, mount: str, role: str | None, files: tuple[CredentialFile, ...]) -> None:
        self._mount = mount
        self._role = role
        self.files = files  # the channel shows them

    def obtain(self, channel: Channel, *, deadline: float, uri: str) -> Outcome:
        channel.show_certificate()  # it may have been replaced since the last login
        adapter = channel.adapter(token=None, deadline=deadline, uri=uri)
        # hvac's own method wants the files again, and makes connections with them.
        body: Mapping[str, object] = {} if self._role is None else {"name": self._role}
        url = f"/v1/auth/{quote(self._mount)}/login"
        return _outcome(adapter.login(url, use_token=False, json=body), channel, uri)


def _outcome(document: Document, channel: Channel, uri: str) -> Outcome:
    """Read what the server answered to a login."""
    auth = document.get("auth")
    token = auth.get("client_token") if isinstance(auth, dict) else None
    if not isinstance(auth, dict) or not isinstance(token, str) or not token:
        problem = f"{channel.address} let us in without a token; see its log"
        if isinstance(auth, dict) and auth.get("mfa_requirement"):
            problem = f"{channel.address} asks for a second factor, which a mail server has not"
        raise KeyDenied(problem, uri=uri)
    return Outcome(
        token=checked_credential(token, what="the login's answer", uri=uri),
        lease=lease_of(auth.get("lease_duration")),
        renewable=auth.get("renewable") is True,
        is_batch=auth.get("token_type") == "batch",
    )
