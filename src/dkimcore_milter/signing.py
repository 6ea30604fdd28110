"""A message that is signed: its keys, its body, its new fields.

Which messages these are is left to `session`, and which keys to the engine.  A signature that
the settings ask for and that cannot be made ends in the action of On-InternalError (a table, a
key, a key service), if DkimcoreOnKeyFailure does not say otherwise, or On-SignatureError (the
message, or a key too small): never in unsigned mail that nobody decided on.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from dkimcore.errors import ConfigError, KeyBackendError, MessageError
from dkimcore.protocol.algorithm import Algorithm
from dkimcore.protocol.sign import Signing
from dkimcore.settings.model import Action
from dkimcore_milter.action import DeleteField, InsertField
from dkimcore_milter.asking import Asked, deadline_in, signs_here
from dkimcore_milter.choice import is_remote
from dkimcore_milter.keymeter import backend_of, sign_and_count
from dkimcore_milter.keyproblems import (
    Seat,
    Unmade,
    is_among,
    is_final,
    refused,
    say_error,
    say_failed,
    settle_error,
    settle_unsigned,
    substitute,
    unsignable,
)
from dkimcore_milter.logline import Level
from dkimcore_milter.messageprofile import (
    LineEnds,
    find_identity,
    message_profile,
    old_signatures,
    with_identity,
)
from dkimcore_milter.metrics import Count
from dkimcore_milter.outcome import Deferred, conclude, software_field

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dkimcore.protocol.message import Header, HeaderField
    from dkimcore.protocol.names import Auid
    from dkimcore.protocol.policy import SigningProfile
    from dkimcore.protocol.sign import SigningTask
    from dkimcore_milter.action import Conclusion
    from dkimcore_milter.engine import Choice, Engine, Planned
    from dkimcore_milter.outcome import Settled
    from dkimcore_milter.transaction import Transaction

__all__ = ["MessageSigning", "start_signing"]

_Made: TypeAlias = "tuple[Seat, HeaderField]"
_Failed: TypeAlias = "tuple[Planned, ConfigError | KeyBackendError]"
_Ready: TypeAlias = "Callable[..., MessageSigning | Settled]"
_COUNTS = {
    Algorithm.RSA_SHA256: Count.SIGNED_RSA,
    Algorithm.ED25519_SHA256: Count.SIGNED_ED25519,
}


class MessageSigning:
    """Signs one message.

    Args:
        transaction: The message.
        header: Its header, as the next host will see it.
        seats: Who signs, in order; the last ends up on top.
        may_be_slow: Whether others may have to be waited for at its end.
        identity: What i= is to be (IdentityHeader).
        deleted: Fields to delete, with numbers as of the message as it was received.
        unmade: Signatures that will not be made, and why the message may go without.

    Raises:
        MessageError: The header cannot be signed honestly.
    """

    def __init__(
        self,
        transaction: Transaction,
        header: Header,
        *,
        seats: Sequence[Seat],
        may_be_slow: bool = False,
        identity: Auid | None = None,
        deleted: Sequence[DeleteField] = (),
        unmade: Unmade | None = None,
    ) -> None:
        engine = transaction.engine
        self._transaction = transaction
        self._seats = seats
        self._identity = identity
        self._deleted = deleted
        self._unmade = unmade
        self._line_ends = LineEnds() if engine.settings.signing.fix_crlf else None
        self._tasks: tuple[SigningTask, ...] = ()
        self._asked: Asked | None = None
        self.may_be_slow = may_be_slow
        requests = [seat.signer.request() for seat in seats]
        self._signing = Signing(header, requests, now=engine.now(), final=True)

    @property
    def count(self) -> int:
        """How many signatures are to be made."""
        return len(self._seats)

    @property
    def wants_body(self) -> bool:
        """Always: all of the body is hashed."""
        return True

    def feed(self, chunk: bytes) -> None:
        """Take the next octets of the body."""
        self._signing.feed(chunk if self._line_ends is None else self._line_ends.feed(chunk))

    def _end_body(self) -> None:
        if self._line_ends is not None:
            self._signing.feed(self._line_ends.finish())
        self._tasks = self._signing.finish()

    # --- The end --------------------------------------------------------------------------

    def begin(self, notify: Callable[[], None]) -> None:
        """Ask all keys at once, and wait for none.

        Args:
            notify: Called, by any thread, once `complete` has something to say.
        """
        self._ask()
        if self._asked is not None:
            self._asked.when_done(notify)

    def complete(self) -> Conclusion | None:
        """Add the signatures; None: call `finish`, in a thread that may wait for other keys."""
        return self._concluded(may_wait=False)

    def finish(self) -> Conclusion:
        """Add the signatures, waiting for them."""
        if not self.may_be_slow:
            return self._signed_here()
        if self._asked is None:
            self._ask()
        made = self._concluded(may_wait=True)
        if made is None:
            raise AssertionError("who may wait, concludes")
        return made

    def _signed_here(self) -> Conclusion:
        """Sign with keys at hand, one after the other."""
        self._end_body()
        meter = self._transaction.meter
        made: list[_Made] = []
        failed: list[tuple[Seat, KeyBackendError]] = []
        for seat, task in zip(self._seats, self._tasks, strict=True):
            try:
                signature_data = sign_and_count(
                    seat.signer.key, task.header_hash, timer=seat.timer, meter=meter
                )
            except KeyBackendError as exc:
                failed.append((seat, exc))
            else:
                made.append((seat, task.complete(signature_data)))
        return self._added(made, failed)

    def _ask(self) -> None:
        self._end_body()
        pairs = zip(self._seats, self._tasks, strict=True)
        self._asked = self._ask_for(list(pairs), self._deadline())

    def _ask_for(self, wanted: Sequence[tuple[Seat, SigningTask]], deadline: float) -> Asked:
        keys = [(seat.signer.key, task.header_hash, seat.timer) for seat, task in wanted]
        return Asked(keys, deadline=deadline, meter=self._transaction.meter)

    def _deadline(self) -> float:
        return deadline_in(self._transaction.engine.keys.sections.store.deadline)

    def _concluded(self, *, may_wait: bool) -> Conclusion | None:
        outcomes = [] if self._asked is None else self._asked.outcomes()
        made: list[_Made] = []
        failed: list[tuple[Seat, KeyBackendError]] = []
        for seat, task, outcome in zip(self._seats, self._tasks, outcomes, strict=True):
            if isinstance(outcome, KeyBackendError):
                failed.append((seat, outcome))
            else:
                made.append((seat, task.complete(outcome)))
        engine = self._transaction.engine
        if not may_wait and any(_falls_back(engine, seat) for seat, _ in failed):
            return None
        return self._added(made, failed)

    def _added(
        self, made: list[_Made], failed: Sequence[tuple[Seat, KeyBackendError]]
    ) -> Conclusion:
        """Conclude with the signatures that there are, and what is done about the others."""
        if failed and (problem := self._go_without(made, failed)) is not None:
            return problem
        unmade = self._unmade
        if unmade and not unmade.is_made_up_for(seat.planned for seat, _ in made):
            return settle_unsigned(self._transaction, unmade).finish()
        return self._signed(made)

    def _signed(self, made: Sequence[_Made]) -> Conclusion:
        transaction = self._transaction
        for seat, _ in made:
            transaction.meter.count(_COUNTS[seat.signer.key.algorithm])
        if transaction.engine.settings.logging.success:
            for seat, _ in made:
                names = seat.names
                text = f"DKIM-Signature field added (s={names['selector']}, d={names['domain']})"
                transaction.say(Level.INFO, text, event="signed", **names)
        if self._unmade is not None:
            self._unmade.conclude(transaction, is_signed=True)
        inserted = [InsertField(field) for _, field in made]
        return conclude(Action.ACCEPT, (*self._deleted, *inserted, *software_field(transaction)))

    # --- What cannot be signed ------------------------------------------------------------

    def _go_without(
        self,
        made: list[_Made],
        failed: Sequence[tuple[Seat, KeyBackendError]],
    ) -> Conclusion | None:
        """Do what is to be done about keys that failed; return what ends the message."""
        transaction, deadline = self._transaction, self._deadline()
        unmade = self._unmade = self._unmade or Unmade()
        substitutes: list[Seat] = []
        for seat, error in failed:
            say_failed(transaction, seat, error)
            rule = transaction.engine.failures.find(seat.planned.domain)
            if is_final(rule, error) or unmade.relies_on(seat.planned):
                return refused(transaction, is_remote=is_remote(seat.planned.key_uri))
            instead = unmade.add(transaction, seat.planned, rule)
            taken = [other.planned for other, _ in made] + [other.planned for other in substitutes]
            if instead is None or is_among(instead, taken):
                continue
            opened = _opened(transaction, instead, seat.signer.profile)
            if not isinstance(opened, Seat):
                return settle_error(transaction, instead, opened).finish()
            signer = with_identity(opened.signer, self._identity)
            substitutes.append(opened._replace(signer=signer))
        return self._sign_instead(made, substitutes, deadline)

    def _sign_instead(
        self, made: list[_Made], substitutes: Sequence[Seat], deadline: float
    ) -> Conclusion | None:
        """Sign with the keys of other rows; return what ends the message if one fails, too."""
        if not substitutes:
            return None
        tasks = [self._signing.further(seat.signer.request()) for seat in substitutes]
        wanted = list(zip(substitutes, tasks, strict=True))
        outcomes = self._ask_for(wanted, deadline).outcomes()
        for seat, task, outcome in zip(substitutes, tasks, outcomes, strict=True):
            if isinstance(outcome, KeyBackendError):
                say_failed(self._transaction, seat, outcome)
                return refused(self._transaction, is_remote=is_remote(seat.planned.key_uri))
            made.append((seat, task.complete(outcome)))
        return None


def start_signing(
    transaction: Transaction,
    choice: Choice,
    *,
    received: Header,
    header: Header,
    may_wait: bool = True,
) -> MessageSigning | Settled | Deferred:
    """Open the keys and begin to sign.

    Args:
        transaction: The message.
        choice: The signatures to make.
        received: The header as it was received, which fields to delete are numbered by.
        header: The header as the next host will see it (ReplaceRules).
        may_wait: Whether others may be waited for.

    Returns:
        The message's fate instead, if a key or the header is not as it should be; what has to
        wait for others, if `may_wait` is false.
    """
    profile = message_profile(transaction, header)
    seats: list[Seat] = []
    failed: list[_Failed] = []
    signer_of = transaction.engine.keys.signer
    for planned in choice.planned:
        try:
            seats.append(Seat(planned, signer_of(planned, profile), backend_of(planned.key_uri)))
        except (ConfigError, KeyBackendError) as exc:
            failed.append((planned, exc))
            if is_final(transaction.engine.failures.find(planned.domain), exc):
                return _ended(transaction, failed)
    if not failed:
        return _ready(transaction, seats, received=received, header=header)
    ready = partial(_ready, transaction, received=received, header=header)
    if not may_wait and _has_to_wait(transaction, failed):
        return Deferred(lambda: _mended(transaction, seats, failed, profile, ready))
    return _mended(transaction, seats, failed, profile, ready)


def _ended(transaction: Transaction, failed: Sequence[_Failed]) -> Settled:
    """Say which keys cannot be had; the last one is the end of the message."""
    *others, (planned, error) = failed
    for other, reason in others:
        say_error(transaction, other, reason)
    return settle_error(transaction, planned, error)


def _opened(
    transaction: Transaction, planned: Planned, profile: SigningProfile
) -> Seat | ConfigError | KeyBackendError:
    """Open the key of a signature; return why that is not possible."""
    try:
        signer = transaction.engine.signer(planned, profile)
    except (ConfigError, KeyBackendError) as exc:
        return exc
    return Seat(planned, signer, backend_of(planned.key_uri))


def _has_to_wait(transaction: Transaction, failed: Sequence[_Failed]) -> bool:
    """Whether keys that sign instead of others may have to be waited for."""
    engine = transaction.engine
    rules = ((planned, engine.failures.find(planned.domain)) for planned, _ in failed)
    substitutes = (substitute(transaction, planned, rule) for planned, rule in rules)
    return not all(map(engine.keys.is_at_hand, filter(None, substitutes)))


def _mended(
    transaction: Transaction,
    seats: list[Seat],
    failed: Sequence[_Failed],
    profile: SigningProfile,
    ready: _Ready,
) -> MessageSigning | Settled:
    """Begin to sign though keys cannot be had, as far as DkimcoreOnKeyFailure allows it."""
    unmade = Unmade()
    for planned, error in failed:
        say_error(transaction, planned, error)
        rule = transaction.engine.failures.find(planned.domain)
        instead = unmade.add(transaction, planned, rule)
        if instead is None or is_among(instead, [seat.planned for seat in seats]):
            continue
        opened = _opened(transaction, instead, profile)
        if not isinstance(opened, Seat):
            return settle_error(transaction, instead, opened)
        seats.append(opened)
    if not seats:
        return settle_unsigned(transaction, unmade)
    return ready(seats, unmade)


def _ready(
    transaction: Transaction,
    seats: list[Seat],
    unmade: Unmade | None = None,
    *,
    received: Header,
    header: Header,
) -> MessageSigning | Settled:
    """Begin to sign with keys that are open."""
    identity, removed = find_identity(transaction, header)
    if identity is not None:
        seats = [seat._replace(signer=with_identity(seat.signer, identity)) for seat in seats]
    deleted = old_signatures(transaction, received)
    if removed:
        name = (transaction.engine.settings.signing.identity_header or "").encode()
        deleted += [DeleteField(name, number) for number in range(len(removed), 0, -1)]
        header = header.without(removed)
    try:
        return MessageSigning(
            transaction,
            header,
            seats=seats,
            may_be_slow=_may_be_slow(transaction.engine, seats),
            identity=identity,
            deleted=deleted,
            unmade=unmade,
        )
    except MessageError as exc:
        return unsignable(transaction, str(exc))


def _may_be_slow(engine: Engine, seats: Sequence[Seat]) -> bool:
    """Whether others may have to be waited for until a message is signed."""
    for seat in seats:
        if not signs_here(seat.signer.key):
            return True
    return engine.failures.may_fall_back and any(_falls_back(engine, seat) for seat in seats)


def _falls_back(engine: Engine, seat: Seat) -> bool:
    """Whether another key signs if one fails, which may have to be opened."""
    return engine.failures.find(seat.planned.domain).key_row is not None
