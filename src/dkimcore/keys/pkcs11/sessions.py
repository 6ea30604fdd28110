"""Sessions with one token: a pool of them, opened when they are needed, each with its key handles.

As many threads sign at once as there are sessions; no lock is held meanwhile.  Where the token
ended its sessions, or was away, everything is opened anew once.  Logging in is left to `login`,
finding the token to `tokens`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field
from logging import WARNING
from typing import TYPE_CHECKING, TypeVar

from dkimcore.errors import KeyNotFound, KeyUnavailable, KeyUnusable
from dkimcore.keys.events import KeyEvent
from dkimcore.keys.pkcs11 import returncodes
from dkimcore.keys.pkcs11.cryptoki import CryptokiError
from dkimcore.keys.pkcs11.module import module_at
from dkimcore.keys.pkcs11.structures import TokenFlag
from dkimcore.keys.pkcs11.tokens import find_token

if TYPE_CHECKING:
    from collections.abc import Callable

    from dkimcore.errors import KeyBackendError
    from dkimcore.keys.events import KeyObserver
    from dkimcore.keys.pkcs11.cryptoki import Cryptoki, Template, TokenInfo
    from dkimcore.keys.pkcs11.login import Login
    from dkimcore.keys.pkcs11.tokenuri import TokenUri

__all__ = ["Session", "SessionPool"]

_T = TypeVar("_T")


@dataclass(slots=True, kw_only=True)
class Session:
    """A session, used by one thread at a time.

    Attributes:
        cryptoki: The module.
        handle: The session's handle.
        slot: Where the token is.
        token: The token.
        generation: Which opening of the pool it belongs to.
    """

    cryptoki: Cryptoki
    handle: int
    slot: int
    token: TokenInfo
    generation: int
    _keys: dict[object, int] = field(default_factory=dict)

    def key(self, template: Template, *, uri: str) -> int:
        """Return the handle of the one object that has these attributes.

        Args:
            template: The attributes.
            uri: What errors name.

        Raises:
            KeyNotFound: There is none.
            KeyUnusable: There are several.
            CryptokiError: The module failed.
        """
        name = tuple(template)
        handle = self._keys.get(name)
        if handle is None:
            found = self.cryptoki.find(self.handle, template, limit=2)
            if not found:
                raise KeyNotFound("the key is gone from the token; bring it back", uri=uri)
            if len(found) > 1:
                raise KeyUnusable(
                    "the token has got another key of this label; add id= to the URI", uri=uri
                )
            handle = self._keys[name] = found[0]
        return handle


class SessionPool:
    """The sessions of one `KeyStore` and process with one token.  Safe to share between threads.

    Args:
        module: The path of the module.
        wanted: Which token.
        login: Logs in.
        size: How many sessions at most.
        observer: Hears what happens.
        endpoint: What the observer calls the token's endpoint.
        check_permissions: Refuse a module that another user can replace.
    """

    def __init__(
        self,
        module: str,
        wanted: TokenUri,
        *,
        login: Login,
        size: int,
        observer: KeyObserver,
        endpoint: str,
        check_permissions: bool,
    ) -> None:
        self._module = module_at(module)
        self._wanted = wanted
        self.login = login
        self._limit = self._size = size
        self._observer = observer
        self._endpoint = endpoint
        self._check_permissions = check_permissions
        self._changed = threading.Condition()
        self._free: list[Session] = []
        self._count = 0
        self._generation = 0
        self._place: tuple[int, TokenInfo] | None = None
        self._was_there = False
        self._is_inside = False
        self._closed = False

    def run(
        self,
        work: Callable[[Session], _T],
        *,
        uri: str,
        doing: str,
        timeout: float,
        writable: bool = False,
    ) -> _T:
        """Do something in a session; once more in a new one, where the old one was ended.

        Args:
            work: Does it; it may raise `CryptokiError`.
            uri: What errors name.
            doing: What it does, for errors: ``signing``.
            timeout: Seconds to wait for a session.
            writable: Open one of its own that may change the token.

        Raises:
            KeyBackendError: It could not be done.
        """
        deadline = time.monotonic() + timeout
        was_reopened = False
        while True:
            generation = self._generation
            session = None
            try:
                session = self._borrow(deadline, uri=uri, writable=writable)
                generation = session.generation
                made = work(session)
            except CryptokiError as exc:
                self._discard(session, exc)
                error = returncodes.explain(exc, uri=uri, doing=doing)
                if not was_reopened and exc.code in returncodes.REOPEN:
                    was_reopened = True
                    failure = self._reopen(generation, exc, deadline=deadline, uri=uri)
                    if failure is None:
                        continue
                    error = failure
            except BaseException:
                self._discard(session, None)
                raise
            else:
                self._give_back(session, writable=writable)
                return made
            raise error

    def close(self) -> None:
        """Close the sessions; those in use are closed by whoever uses them."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            free, self._free = self._free, []
            self._count -= len(free)
            self._changed.notify_all()
        for session in free:
            self._end(session)
        self._leave_if_done()

    def _borrow(self, deadline: float, *, uri: str, writable: bool) -> Session:
        while True:
            session = self._take(deadline, uri=uri, writable=writable)
            if session is not None:
                return session
            try:
                return self._open(deadline, uri=uri, writable=writable)
            except BaseException as exc:
                with self._changed:
                    self._count -= 1
                    self._changed.notify()
                    used = self._count
                self._leave_if_done()
                is_full = isinstance(exc, CryptokiError) and exc.code == returncodes.SESSION_COUNT
                if not is_full or not used or writable:
                    raise
            self._shrink(used)

    def _take(self, deadline: float, *, uri: str, writable: bool) -> Session | None:
        """Take a free session; None: one may be opened, and is counted already."""
        with self._changed:
            while True:
                if self._closed:
                    raise KeyUnusable("its KeyStore is closed", uri=uri)
                if self._free and not writable:
                    return self._free.pop()
                if self._count < self._size or writable:
                    self._count += 1
                    return None
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    raise KeyUnavailable(
                        f"all {self._size} sessions with the token are in use: it is too slow for "
                        "this much mail, or hangs",
                        uri=uri,
                    )

    def _shrink(self, used: int) -> None:
        """Make do with the sessions that the token grants."""
        with self._changed:
            changes = used < self._size
            self._size = min(self._size, used)
        if changes:
            text = f"the token grants {used} sessions and no more, of {self._limit} asked for"
            self._observer.event(
                KeyEvent(
                    level=WARNING, event="sessions-limited", text=text, endpoint=self._endpoint
                )
            )

    def _open(self, deadline: float, *, uri: str, writable: bool) -> Session:
        module, generation = self._module, self._generation
        slot, token = self._find(deadline, uri=uri)
        cryptoki = module.cryptoki
        handle = cryptoki.open_session(slot, writable=writable)
        session = Session(
            cryptoki=cryptoki, handle=handle, slot=slot, token=token, generation=generation
        )
        try:
            if token.flags & TokenFlag.LOGIN_REQUIRED and not cryptoki.is_user(handle):
                with module.held(deadline, uri=uri):
                    if not cryptoki.is_user(handle):
                        self.login.user(session, deadline=deadline, uri=uri)
        except BaseException:
            self._end(session)
            raise
        return session

    def _find(self, deadline: float, *, uri: str) -> tuple[int, TokenInfo]:
        """Return where the token is, looking for it once for all sessions."""
        place = self._place
        if place is None:
            with self._module.held(deadline, uri=uri):
                if not self._is_inside:
                    self._module.enter(uri=uri, check_permissions=self._check_permissions)
                    self._is_inside = True
                place = self._place = self._place or self._look(uri)
        return place

    def _look(self, uri: str) -> tuple[int, TokenInfo]:
        try:
            place = find_token(self._module.cryptoki, self._wanted, uri=uri)
        except KeyNotFound as exc:
            if not self._was_there:
                raise
            problem = f"the token has gone: {exc.problem}"
        else:
            self._was_there = True
            return place
        raise KeyUnavailable(problem, uri=uri)

    def _reopen(
        self, generation: int, cause: CryptokiError, *, deadline: float, uri: str
    ) -> KeyBackendError | None:
        """Have everything opened anew, unless another thread did so since.

        Returns:
            What went wrong.
        """
        with self._module.held(deadline, uri=uri):
            with self._changed:
                if self._closed or generation != self._generation:
                    return None
                self._generation += 1
                self._size = self._limit
                self._place = None
                free, self._free = self._free, []
                self._count -= len(free)
            if cause.code not in returncodes.SESSIONS_GONE:
                for session in free:
                    self._end(session)
            if cause.code == returncodes.NOT_INITIALIZED:
                try:
                    self._module.initialize()
                except CryptokiError as exc:
                    return returncodes.explain(exc, uri=uri, doing="initialising the module again")
        return None

    def _give_back(self, session: Session, *, writable: bool) -> None:
        with self._changed:
            if not writable and not self._closed and session.generation == self._generation:
                self._free.append(session)
                self._changed.notify()
                return
        self._discard(session, None)

    def _discard(self, session: Session | None, cause: CryptokiError | None) -> None:
        """End a session, unless the token ended it."""
        if session is None:
            return
        is_gone = cause is not None and (
            cause.code in returncodes.SESSIONS_GONE
            or cause.code == returncodes.SESSION_HANDLE_INVALID
        )
        if not is_gone:
            self._end(session)
        with self._changed:
            self._count -= 1
            self._changed.notify()
        self._leave_if_done()

    @staticmethod
    def _end(session: Session) -> None:
        with contextlib.suppress(CryptokiError):  # it is closed then
            session.cryptoki.close_session(session.handle)

    def _leave_if_done(self) -> None:
        """Leave the module to its other users, once no session of ours is in use."""
        with self._changed:
            leaves = self._closed and self._count == 0 and self._is_inside
            if leaves:
                self._is_inside = False
        if leaves:
            self._module.leave()
