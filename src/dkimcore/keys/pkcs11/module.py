"""The PKCS #11 modules of this process: each loaded and initialised once.

A module knows one application per process, however many `KeyStore`s there are, so its users are
counted here: the first one initialises it, the last one finalises it, unless somebody else in
the process had initialised it before.  A child process begins with none, as the standard wants.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
import threading
import time
from typing import TYPE_CHECKING

from dkimcore.errors import KeyDenied, KeyUnavailable, KeyUnusable
from dkimcore.keys.forking import renew_after_fork
from dkimcore.keys.pkcs11.cryptoki import Cryptoki, CryptokiError, ModuleError
from dkimcore.keys.pkcs11.returncodes import explain
from dkimcore.keys.turns import TURNS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dkimcore.errors import KeyBackendError

__all__ = ["Module", "module_at", "module_danger"]

# How long the last user waits to finalise a module in which another call hangs.
_PATIENCE = 1.0

_COURTESY = 1.0  # seconds that a worker waits for another; SoftHSM takes 0.02

_PACKAGES = (
    "install what brings it: softhsm2 for SoftHSM, opensc-pkcs11 for smart cards, the maker's "
    "package for other tokens"
)


class Module:
    """A module that this process uses.  Safe to share between threads.

    Args:
        path: Its file.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._users = 0
        self._is_ours = False
        self._cryptoki: Cryptoki | None = None

    @property
    def cryptoki(self) -> Cryptoki:
        """Its functions."""
        if self._cryptoki is None:
            raise RuntimeError("a module is used before it is entered")
        return self._cryptoki

    def enter(self, *, uri: str, check_permissions: bool) -> None:
        """Become one of its users, initialising it if there is none; while `held`.

        Args:
            uri: What errors name.
            check_permissions: Refuse a module that another user can replace.

        Raises:
            KeyDenied: Another user can replace it.
            KeyUnusable: It cannot be loaded, is no PKCS #11 module, or cannot lock.
            KeyUnavailable: It failed.
        """
        if self._users == 0:
            danger = module_danger(self.path, uid=os.geteuid()) if check_permissions else None
            if danger:
                raise KeyDenied(f"its module {danger}", uri=uri)
            self._load(uri)
        self._users += 1

    def leave(self) -> None:
        """Be its user no longer; one in which a call hangs is never finalised."""
        if not self._lock.acquire(timeout=_PATIENCE):
            return
        try:
            self._users -= 1
            if self._users == 0 and self._is_ours:
                self._is_ours = False
                with contextlib.suppress(CryptokiError):  # somebody else finalised it
                    self.cryptoki.finalize()
        finally:
            self._lock.release()

    def initialize(self) -> None:
        """Initialise it again, after somebody else in this process has finalised it.

        Raises:
            CryptokiError: It failed.
        """
        self._is_ours = self.cryptoki.initialize() or self._is_ours

    @contextlib.contextmanager
    def held(self, deadline: float, *, uri: str) -> Iterator[None]:
        """Be the only one that initialises, looks for tokens or logs in.

        In this process.  Workers let each other go first for a moment: SoftHSM 2.6 loses a token
        whose file one process reads while another logs in (seen in half of 200 logins of six
        processes each), and a device that is slow to start is not to delay each by all others.

        Args:
            deadline: Until when to wait for that.
            uri: What errors name.

        Raises:
            KeyUnavailable: Another call holds it up.
        """
        if not self._lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise KeyUnavailable(
                f"{self.path} does not return from a call; the token hangs, or its module",
                uri=uri,
            )
        try:
            with TURNS.offered(self.path, min(_COURTESY, max(0.0, deadline - time.monotonic()))):
                yield
        finally:
            self._lock.release()

    def _load(self, uri: str) -> None:
        error: KeyBackendError
        try:
            if self._cryptoki is None:
                self._cryptoki = Cryptoki(self.path)
            self._is_ours = self._cryptoki.initialize()
        except ModuleError as exc:
            problem = f"{self.path} cannot be used: {exc}; {_PACKAGES}"
            error = KeyUnusable(problem, uri=uri)
        except CryptokiError as exc:
            error = explain(exc, uri=uri, doing=f"initialising {self.path}")
        else:
            return
        raise error


class _Modules:
    """The modules, by their real paths: a link to a library is the same library."""

    def __init__(self) -> None:
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Begin with none; what the parent initialised is its own."""
        self._lock = threading.Lock()
        self._modules: dict[str, Module] = {}

    def at(self, path: str) -> Module:
        real = os.path.realpath(path)
        with self._lock:
            return self._modules.setdefault(real, Module(real))


_MODULES = _Modules()


def module_at(path: str) -> Module:
    """Return the module of a path, which may not be loaded yet.

    Args:
        path: An absolute path.
    """
    return _MODULES.at(path)


def module_danger(path: str, *, uid: int) -> str | None:
    """Say how others could put code into a user's process through a module, or None.

    The path may come from a key table that others write, such as one in SQL.

    Args:
        path: The module's path.
        uid: The user; nothing but the user's own and root's is safe.
    """
    component = os.path.realpath(path)
    path = component
    while True:
        try:
            status = os.stat(component)
        except OSError:
            return None  # loading it will say so
        who = f"{component} (mode {stat.S_IMODE(status.st_mode):04o}, user {status.st_uid})"
        quoted = shlex.quote(component)
        if status.st_uid not in (0, uid):
            return f"{who} belongs to another user, who can change it; run: chown root {quoted}"
        # In a sticky directory nobody can replace what is not his.
        others = 0 if status.st_mode & stat.S_ISVTX else status.st_mode & stat.S_IWOTH
        if component == path:
            others |= status.st_mode & stat.S_IWGRP
        if others:
            return f"{who} can be changed by other users; run: chmod go-w {quoted}"
        if component == "/":
            return None
        component = os.path.dirname(component)
