"""Logging in to a token: once per process, one after another, and never with a refused PIN.

Workers that start together would all try a wrong PIN before any of them could see, by the
token's flags, that it was; so would threads that sign, with a key that wants it each time.

Who holds the session, and when a login is needed, is left to `sessions`.
"""

from __future__ import annotations

from logging import INFO
from typing import TYPE_CHECKING

from dkimcore.errors import KeyDenied, KeyUnavailable, KeyUnusable
from dkimcore.keys.events import KeyEvent
from dkimcore.keys.pkcs11 import returncodes
from dkimcore.keys.pkcs11.cryptoki import CryptokiError
from dkimcore.keys.pkcs11.pin import fail, is_refused, refuse, rest, succeed, wiped
from dkimcore.keys.pkcs11.structures import TokenFlag, User
from dkimcore.keys.turns import TURNS

if TYPE_CHECKING:
    from dkimcore.keys.events import KeyObserver
    from dkimcore.keys.pkcs11.cryptoki import Cryptoki, TokenInfo
    from dkimcore.keys.pkcs11.pin import PinSource
    from dkimcore.keys.pkcs11.sessions import Session

__all__ = ["Login"]

_LOCKS = "it is not tried again until it changes, for tokens lock after a few tries"
_COUNTER = "log in once by hand with the right PIN, which sets the counter back: pkcs11-tool -l -O"


class Login:
    """Logs in to tokens with the PIN of one source.

    Args:
        pin: The source.
        observer: Hears of logins.
        endpoint: What the observer calls the token's endpoint.
    """

    def __init__(self, pin: PinSource, *, observer: KeyObserver, endpoint: str) -> None:
        self._pin = pin
        self._observer = observer
        self._endpoint = endpoint

    def user(self, session: Session, *, deadline: float, uri: str) -> None:
        """Log in as the token's user, for all sessions of this process.

        Args:
            session: A session with the token.
            deadline: Until when to wait for another that logs in.
            uri: What errors name.

        Raises:
            KeyDenied: There is no PIN, it was refused, or trying it might lock the token.
            KeyUnusable: The token wants its PIN typed in at a keypad.
            KeyUnavailable: Another is logging in, or a login has just failed.
            CryptokiError: The module failed otherwise.
        """
        self._in_turn(session, User.USER, deadline, uri)
        token = session.token
        self._observer.event(
            KeyEvent(
                level=INFO,
                event="login",
                text=f"logged in to the token {token.label!a} (serial {token.serial!a})",
                endpoint=self._endpoint,
            )
        )

    def context(self, session: Session, *, deadline: float, uri: str) -> None:
        """Give the PIN for the one signature that was begun (CKA_ALWAYS_AUTHENTICATE).

        The arguments and errors are those of `user`.
        """
        self._in_turn(session, User.CONTEXT_SPECIFIC, deadline, uri)

    def _in_turn(self, session: Session, user: User, deadline: float, uri: str) -> None:
        """Be the only one that tries a PIN on this token."""
        name = session.token.name
        with TURNS.taken(name, deadline, uri=uri), self._pin.turn(deadline, uri=uri):
            # Its flags as they are by now.
            self._refuse_to_try(session.cryptoki.token_info(session.slot), uri)
            self._try(session.cryptoki, session.handle, user, name=name, uri=uri)

    def _refuse_to_try(self, token: TokenInfo, uri: str) -> None:
        flags = token.flags
        if flags & TokenFlag.PROTECTED_AUTHENTICATION_PATH:
            raise KeyUnusable(
                "the token wants its PIN at a keypad of its own, and no person is there when a "
                "mail server starts; take a token without one, or turn it off",
                uri=uri,
            )
        if flags & TokenFlag.USER_PIN_LOCKED:
            raise KeyDenied("the token's PIN is locked; the security officer unlocks it", uri=uri)
        if flags & TokenFlag.USER_PIN_FINAL_TRY:
            raise KeyDenied(
                "the token's PIN was entered wrong so often that one more try may lock it; "
                + _COUNTER,
                uri=uri,
            )

    def _try(self, cryptoki: Cryptoki, session: int, user: User, *, name: str, uri: str) -> None:
        """Try a PIN.  It is wiped before anything is raised, so that no frame shows it."""
        pin = self._pin.read(uri=uri)
        problem, wait = None, 0.0
        try:
            if is_refused(name, pin):
                problem = f"{self._pin.where} was refused by the token before; {_LOCKS}"
            else:
                wait = rest(name, pin)
                if wait <= 0:
                    cryptoki.login(session, user, pin=pin)
                    succeed(name, pin)
        except CryptokiError as exc:
            if exc.code in returncodes.PIN_REFUSED:
                refuse(name, pin)
                cause = returncodes.described(exc)
                problem = f"{self._pin.where} was refused ({cause}); {_LOCKS}"
            elif exc.code != returncodes.USER_ALREADY_LOGGED_IN:
                if exc.code not in returncodes.NOT_ABOUT_PIN:
                    fail(name, pin)
                raise
        finally:
            wiped(pin)
        if problem is not None:
            raise KeyDenied(problem, uri=uri)
        if wait > 0:
            raise KeyUnavailable(
                "a login to the token failed, maybe for its PIN, and tokens lock after a few "
                f"tries; it is tried again in {wait:.0f} s",
                uri=uri,
                retry_after=wait,
            )
