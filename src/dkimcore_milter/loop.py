"""A worker's event loop: one thread that serves all connections, each in its turn.

Everything is done here that does not wait for others; what does is done by `threads`, or begun
here and concluded when a key service has answered, while the loop serves other connections.
Nothing that happens on a connection ends the loop.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections import deque
from typing import TYPE_CHECKING

from dkimcore_milter.acceptor import Acceptor
from dkimcore_milter.channel import Channel
from dkimcore_milter.conversation import Conversation
from dkimcore_milter.failure import internal_error_line
from dkimcore_milter.logline import Level, LogLine
from dkimcore_milter.metrics import Count
from dkimcore_milter.poller import READ, Poller
from dkimcore_milter.threads import THREADS, Threads
from dkimcore_milter.timers import Timers

if TYPE_CHECKING:
    from collections.abc import Callable

    from dkimcore_milter.service import Service

__all__ = [
    "IDLE_SECONDS",
    "MAXIMUM_CONNECTIONS",
    "PROGRESS_SECONDS",
    "STUCK_SECONDS",
    "Loop",
]

IDLE_SECONDS = 7210.0
"""How long an MTA may say nothing, as libmilter has it (MI_TIMEOUT)."""

STUCK_SECONDS = 300.0
"""How long the rest of a packet may take to go on: Postfix's milter_content_timeout."""

PROGRESS_SECONDS = 2.0
"""How often an MTA is told that a slow message is being worked on; Postfix waits 300 s."""

MAXIMUM_CONNECTIONS = 1024
"""How many connections a worker serves; more than a Postfix of 1000 processes opens."""

_ZONE_SHARE = 4
"""Messages that wait for one domain's name servers have at most one thread in so many."""

_SWEEP_SECONDS = 60.0

_EPISODE_SECONDS = 60.0
"""What happens again sooner than this is not logged again."""

_Result = tuple[Channel, "Callable[[], bytes] | BaseException"]


class Loop:
    """The connections of a worker.

    Args:
        service: What they are served with.
        listener: The listening socket; closed at the end.
        maximum: How many connections there may be.
        threads: How many of them may wait for the DNS at once, and how many to open keys.
        progress_seconds: How often an MTA is told that we still work.

    Attributes:
        now: When the current turn began, in seconds of the monotonic clock.
    """

    def __init__(
        self,
        service: Service,
        listener: socket.socket,
        *,
        maximum: int = MAXIMUM_CONNECTIONS,
        threads: int = THREADS,
        progress_seconds: float = PROGRESS_SECONDS,
    ) -> None:
        self._service = service
        self._progress_seconds = progress_seconds
        self.now = time.monotonic()
        self._poller = Poller()
        self._timers = Timers()
        self._dns_threads = Threads(threads, share=max(1, threads // _ZONE_SHARE))
        self._key_threads = Threads(threads)
        self._channels: set[Channel] = set()
        self._working: dict[Channel, float] = {}  # since when, or when their MTA was told last
        self._again: list[Channel] = []
        self._results: deque[_Result] = deque()
        self._is_waking = False
        self._quiet_until = 0.0
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.setblocking(False)  # noqa: FBT003 - its only form
        self._poller.register(self._woken, READ, self._on_wake)
        self._is_listening = True
        self._is_ending = False
        self._is_over = False
        self._acceptor = Acceptor(
            listener,
            service=service,
            poller=self._poller,
            timers=self._timers,
            clock=time.monotonic,
            adopt=self._adopt,
            maximum=maximum,
        )
        self._timers.set(self._sweep, self.now + _SWEEP_SECONDS)

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._channels)

    def listen_to(self, sock: socket.socket, call: Callable[[], None]) -> None:
        """Call something whenever there is something to read."""
        self._poller.register(sock, READ, call)

    def ignore(self, sock: socket.socket) -> None:
        """Undo `listen_to`."""
        self._poller.unregister(sock)

    def every(self, seconds: float, call: Callable[[], None]) -> None:
        """Call something now, and again and again."""

        def again() -> None:
            self._timers.set(again, self.now + seconds)  # first: the call may fail
            call()

        again()

    def run(self) -> None:
        """Serve until `stop_listening` or `finish` was called and nothing is left to do."""
        wait, calls = self._poller.wait, self._poller.calls
        timers, clock = self._timers, time.monotonic
        while not self._is_done():
            patience = 0.0 if self._again or self._results else timers.next - self.now
            ready = wait(patience)
            self.now = clock()
            for number, _ in ready:
                call = calls.get(number)
                if call is None:  # another's turn closed it
                    continue
                try:
                    call()
                except Exception as exc:  # noqa: BLE001 - mail is served, whatever it is
                    self._give_up(call, exc)
            try:
                if self._again:
                    self._give_turns()
                if self._results:
                    self._take_results()
                if self.now >= timers.next:
                    timers.run(self.now)
            except Exception as exc:  # noqa: BLE001 - the rest is done in the next turn
                self._say(exc, None)
        self._close()

    def _give_up(self, call: object, exc: Exception) -> None:
        """Log a bug, and close the connection that it came with: it would come again."""
        channel = getattr(call, "__self__", None)
        if isinstance(channel, Channel):
            self.failed(channel, exc)
            self.drop(channel)
        else:
            self._say(exc, None)

    def stop_listening(self) -> None:
        """Take no more connections; `run` ends with the last one that is open."""
        if self._is_listening:
            self._is_listening = False
            self._acceptor.stop()

    def finish(self, seconds: float) -> None:
        """End: let only messages that are under way come to their end.

        Args:
            seconds: How long they may take.
        """
        self.stop_listening()
        self._is_ending = True
        self._timers.set(self._end, self.now + seconds)

    def _end(self) -> None:
        self._is_over = True

    def _is_done(self) -> bool:
        if self._is_listening:
            return False
        if self._is_ending:
            return self._is_over or not any(channel.busy for channel in self._channels)
        return not self._channels and not self._working

    def _adopt(self, taken: socket.socket) -> None:
        try:
            channel = Channel(taken, Conversation(self._service), self)
        except Exception as exc:  # noqa: BLE001 - a bug ends this connection and no other
            self._say(exc, None)
            taken.close()
            self._acceptor.closed()
            return
        self._channels.add(channel)
        self.watch(channel, READ)

    def watch(self, channel: Channel, events: int) -> None:
        """Wait for events of a channel's socket; 0: for none."""
        if events == channel.events:
            return
        if channel.events == 0:
            self._poller.register(channel.sock, events, channel.turn)
        elif events == 0:
            self._poller.unregister(channel.sock)
        else:
            self._poller.modify(channel.sock, events)
        channel.events = events

    def again(self, channel: Channel) -> None:
        """Let a channel go on when the others had their turn."""
        self._again.append(channel)

    def drop(self, channel: Channel) -> None:
        """Close a connection; what a thread works on for it is closed later."""
        if channel.gone:
            return
        self.watch(channel, 0)
        channel.gone = True
        channel.sock.close()
        self._channels.discard(channel)
        self._acceptor.closed()
        if not channel.working:
            self._close_conversation(channel)

    def failed(self, channel: Channel, exc: Exception) -> None:
        """Log what nobody expected."""
        self._say(exc, channel.conversation.job_id)

    def work(self, channel: Channel) -> None:
        """Let a thread do a conversation's work."""
        work = channel.conversation.work
        if work is None:
            return
        self._expect(channel)

        def run() -> _Result:
            try:
                return channel, work()
            except BaseException as exc:  # noqa: BLE001 - the loop says what it was
                return channel, exc

        zone = channel.conversation.zone
        threads = self._key_threads if zone is None else self._dns_threads
        if not threads.do(run, self._take, group=zone):
            self._tell_busy(channel)

    def begin(self, channel: Channel) -> None:
        """Begin what a conversation waits for without a thread."""
        self._expect(channel)
        conversation = channel.conversation
        go_on = conversation.begin(lambda: self._take((channel, conversation.complete)))
        if go_on is not None:
            self._results.append((channel, go_on))  # taken before the loop waits

    def _expect(self, channel: Channel) -> None:
        """Remember that a channel waits for a result, and let its MTA be told of progress."""
        if not self._working:
            self._timers.set(self._tell_progress, self.now + self._progress_seconds)
        self._working[channel] = self.now

    def _take(self, result: _Result) -> None:
        """Take a result, from any thread, and let the loop look at it.

        Results that come together, such as the signatures of one call, wake it once.
        """
        self._results.append(result)
        if self._is_waking:
            return
        self._is_waking = True
        with contextlib.suppress(OSError):  # it is over
            self._waker.send(b"!")

    def _tell_busy(self, channel: Channel) -> None:
        """Count a message that waits for a thread; say so now and then."""
        self._service.meter.count(Count.LIMIT_THREADS)
        if self.now >= self._quiet_until:
            self._quiet_until = self.now + _EPISODE_SECONDS
            self._service.log(
                LogLine(
                    level=Level.WARNING,
                    text="limit reached: as many messages as may wait for the DNS, one domain's "
                    "part of it, or keys to be opened; this one waits for a thread",
                    event="limit-reached",
                    job_id=channel.conversation.job_id,
                    fields={"limit": Count.LIMIT_THREADS.labels[0]},
                )
            )

    def _take_results(self) -> None:
        while self._results:
            channel, result = self._results.popleft()
            del self._working[channel]
            if channel.gone:
                self._close_conversation(channel)
            elif isinstance(result, BaseException):
                channel.working = False
                self._say(result, channel.conversation.job_id)
                self.drop(channel)
            else:
                channel.resume(result)

    def _give_turns(self) -> None:
        channels, self._again = self._again, []
        for channel in channels:
            try:
                channel.again()
            except Exception as exc:  # noqa: BLE001 - the others have their turns
                self._give_up(channel.again, exc)

    def _tell_progress(self) -> None:
        """Tell the MTAs that wait longer than they know."""
        if self._working:
            self._timers.set(self._tell_progress, self.now + self._progress_seconds)
        told = self.now - self._progress_seconds / 2
        for channel, since in tuple(self._working.items()):
            if since < told and not channel.gone:
                self._working[channel] = self.now
                channel.tell_progress()

    def _sweep(self) -> None:
        """Close connections that nobody needs any more."""
        self._timers.set(self._sweep, self.now + _SWEEP_SECONDS)
        idle, stuck = self.now - IDLE_SECONDS, self.now - STUCK_SECONDS
        for channel in tuple(self._channels):
            oldest = stuck if channel.conversation.is_within_packet else idle
            if channel.heard < oldest and not channel.working:
                self.drop(channel)

    def _on_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)
        self._is_waking = False  # before results are taken: what comes now wakes again

    def _close(self) -> None:
        self.stop_listening()
        for channel in tuple(self._channels):
            self.drop(channel)
        self._dns_threads.end()
        self._key_threads.end()
        self._poller.close()
        self._woken.close()
        self._waker.close()

    def _close_conversation(self, channel: Channel) -> None:
        try:
            channel.conversation.close()
        except Exception as exc:  # noqa: BLE001 - a bug ends this connection and no other
            self._say(exc, None)

    def _say(self, exc: BaseException, job_id: str | None) -> None:
        self._service.log(internal_error_line(exc, job_id=job_id))
