"""What waits for the signatures of one key: put into calls, verified when it is taken."""

from __future__ import annotations

import contextlib
from collections import deque
from logging import ERROR
from typing import TYPE_CHECKING

from dkimcore.errors import KeyBackendError, KeyUnusable
from dkimcore.keys.events import KeyEvent
from dkimcore.keys.forking import renew_after_fork
from dkimcore.keys.pending import PendingSignature
from dkimcore.protocol.algorithm import KeyType

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dkimcore.keys import RemoteKey
    from dkimcore.keys.endpoint import Endpoint

__all__ = ["KeyLine"]

_AHEAD = 4  # calls of one key that go though they are not full
_YOUNG = 0.1  # seconds; what takes longer is waited for by nobody


class KeyLine:
    """The signatures of one key that wait for a call.

    Args:
        endpoint: Who makes the calls.
        key: The key.
        uri: Its name.
        contain: Makes one of our errors of what the backend raises.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        key: RemoteKey,
        *,
        uri: str,
        contain: Callable[[Exception], KeyBackendError],
    ) -> None:
        self._endpoint = endpoint
        self._key = key
        self._uri = uri
        self._contain = contain
        self._algorithm = key.algorithm
        self._public_key = key.public_key
        self._length = (self._public_key.bits + 7) // 8
        if self._public_key.key_type is KeyType.ED25519:
            self._length = 64
        self._batch = max(1, key.batch)
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Forget what waits in the parent: nobody here would take it, nor what comes behind it."""
        self._waiting: deque[PendingSignature] = deque()
        self._begun: list[float] = []  # calls under way
        self.is_ready = False
        """Whether it stands in its endpoint's queue for a call."""
        self.is_watched = False
        """Whether its endpoint will look at it again by itself."""

    def may_go(self, now: float) -> bool:
        """Whether what waits is worth a call now, under the endpoint's lock.

        With four calls under way, what comes meanwhile shares the next one: a call costs the
        processor as much as ten more signatures in it.  A full one need not wait for that, and
        nobody waits for a call that takes long.
        """
        waiting = len(self._waiting)
        if waiting >= self._batch:
            return True
        return waiting > 0 and sum(now - each < _YOUNG for each in self._begun) < _AHEAD

    @property
    def held_until(self) -> float:
        """When what waits and may not go may do so, if no call begins or ends until then."""
        return self._begun[-_AHEAD] + _YOUNG

    def begin(self, now: float) -> None:
        """Count a call, under the endpoint's lock."""
        self._begun.append(now)

    def end(self, begun: float) -> None:
        """Count a call no more, under the endpoint's lock.

        Args:
            begun: When it began.
        """
        with contextlib.suppress(ValueError):  # the parent's
            self._begun.remove(begun)

    @property
    def waiting(self) -> int:
        """How many signatures wait, also such as are not wanted any more."""
        return len(self._waiting)

    @property
    def calls(self) -> int:
        """How many calls they will take."""
        return -(-len(self._waiting) // self._batch)

    def start(self, digest: bytes, deadline: float) -> PendingSignature:
        """Ask for a signature.

        Args:
            digest: What is signed, 32 octets.
            deadline: Until when, on the clock of `time.monotonic`.
        """
        pending = PendingSignature(digest, uri=self._uri, deadline=deadline, check=self.verified)
        self._endpoint.enqueue(self, pending)
        return pending

    def put(self, pending: PendingSignature) -> None:
        """Add one, under the endpoint's lock."""
        self._waiting.append(pending)

    def take(self) -> list[PendingSignature]:
        """Take what goes into one call and is still wanted, under the endpoint's lock."""
        waiting = self._waiting
        batch: list[PendingSignature] = []
        while waiting and len(batch) < self._batch:
            pending = waiting.popleft()
            if not pending.done:
                batch.append(pending)
        return batch

    def ask(
        self, batch: Sequence[PendingSignature], timeout: float
    ) -> Sequence[bytes | KeyBackendError]:
        """Ask the backend once; what it raises is every one's outcome."""
        try:
            outcomes = list(
                self._key.sign_digests([each.digest for each in batch], timeout=timeout)
            )
        except Exception as exc:  # noqa: BLE001 - whatever a backend raises is contained
            return [self._contain(exc)] * len(batch)
        except BaseException as exc:  # noqa: BLE001 - a thread that ends here is nobody's
            problem = f"the key backend failed with {type(exc).__name__}"
            return [KeyBackendError(problem, uri=self._uri)] * len(batch)
        if len(outcomes) == len(batch):
            return outcomes
        problem = f"its backend answered {len(batch)} digests with {len(outcomes)} signatures"
        return [KeyUnusable(problem, uri=self._uri)] * len(batch)

    def verified(self, signature_data: bytes, digest: bytes) -> bytes | KeyBackendError:
        """Return signature data that verify, or the error that takes their place.

        Catches another key, another version, PSS padding, a digest that was hashed again, and
        octets that were damaged or forged on their way.
        """
        if type(signature_data) is not bytes or len(signature_data) != self._length:
            problem = "its backend returned something else than a signature"
        elif self._public_key.verifies(signature_data, digest, self._algorithm):
            return signature_data
        else:
            problem = (
                "what it signs does not verify with its public half, and was thrown away: its "
                "backend signs with another key or version, hashes the digest again, pads it "
                "otherwise than PKCS#1 v1.5, or the answer was changed on its way"
            )
        error = KeyUnusable(problem, uri=self._uri)
        self._endpoint.observer.event(
            KeyEvent(
                level=ERROR,
                event="signature-refused",
                text=error.problem,
                uri=self._uri,
                endpoint=self._endpoint.name,
            )
        )
        return error
