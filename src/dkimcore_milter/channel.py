"""A socket and the conversation on it: reads, writes what fits, waits when it must.

While something waits to be sent, or a thread or a key service works for the conversation, nothing
is read, and no such work is begun: an MTA that does not read answers gets no more of them.  Which
channel has its turn is `loop`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from dkimcore_milter.need import Need
from dkimcore_milter.poller import READ, WRITE

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from dkimcore_milter.conversation import Conversation

__all__ = ["Channel", "Host"]

_A = TypeVar("_A")

_READ_OCTETS = 65_536
"""What is read at once: nearly all messages are smaller.  With 128 KiB, which malloc() asks the
kernel for and gives back each time, reading takes 12 us instead of 1.4 us."""

_OCTETS = Need.OCTETS


class Host(Protocol):
    """What a channel asks of its loop."""

    now: float

    def watch(self, channel: Channel, events: int) -> None:
        """Call `Channel.turn` at these events, `READ` or `WRITE`; 0: at none."""

    def again(self, channel: Channel) -> None:
        """Call `Channel.again` when the others had their turn."""

    def work(self, channel: Channel) -> None:
        """Let a thread do the conversation's work, and call `Channel.resume`."""

    def begin(self, channel: Channel) -> None:
        """Begin what the conversation waits for, and call `Channel.resume` when it is there."""

    def drop(self, channel: Channel) -> None:
        """Close it."""

    def failed(self, channel: Channel, exc: Exception) -> None:
        """Say what nobody expected."""


class Channel:
    """A connection of an MTA.

    Args:
        sock: Its socket; does not block.
        conversation: What is said on it.
        host: The loop.

    Attributes:
        sock: The socket.
        conversation: The conversation.
        events: What it waits for.
        heard: When octets came last.
        working: Whether a thread works for it, or keys that are kept elsewhere do.
        gone: Whether its socket was closed.
    """

    __slots__ = (
        "_host",
        "_receive",
        "_recv",
        "_send",
        "_unsent",
        "conversation",
        "events",
        "gone",
        "heard",
        "sock",
        "working",
    )

    def __init__(self, sock: socket.socket, conversation: Conversation, host: Host) -> None:
        self.sock = sock
        self.conversation = conversation
        self._host = host
        self._recv, self._send = sock.recv, sock.send
        self._receive = conversation.receive
        self._unsent: memoryview | None = None
        self.events = 0
        self.heard = host.now
        self.working = False
        self.gone = False

    @property
    def busy(self) -> bool:
        """Whether a message is under way, or its answer is."""
        return self.conversation.under_way or self.working or self._unsent is not None

    def turn(self) -> None:
        """Do what the socket is ready for."""
        if self.gone:
            return
        if self.events == WRITE:
            self._send_rest()
            return
        try:
            octets = self._recv(_READ_OCTETS)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:  # the MTA's end is gone
            octets = b""
        if not octets:
            self._host.drop(self)
            return
        self.heard = self._host.now
        self._run(self._receive, octets)
        if self.conversation.need is not _OCTETS:
            self._settle()

    def again(self) -> None:
        """Go on with what was read before."""
        if not self.gone and not self.working and self._unsent is None:
            self._run(self._receive, b"")
            self._settle()

    def resume(self, go_on: Callable[[], bytes]) -> None:
        """Go on after others' work."""
        self.working = False
        self.heard = self._host.now
        if not self.gone:
            self._run(self.conversation.resume, go_on)
            self._settle()

    def tell_progress(self) -> None:
        """Tell the MTA that we still work, unless it has not read the last time."""
        if self._unsent is None:
            self._put(self.conversation.progress())

    def _run(self, step: Callable[[_A], bytes], argument: _A) -> None:
        try:
            out = step(argument)
        except Exception as exc:  # noqa: BLE001 - a bug ends this connection and no other
            self._host.failed(self, exc)
            self._host.drop(self)
            return
        if out:
            self._put(out)

    def _put(self, out: bytes) -> None:
        if self._unsent is not None:  # no more than progress that was told meanwhile
            self._unsent = memoryview(bytes(self._unsent) + out)
            return
        sent = self._try_send(out)
        if sent < len(out):
            self._unsent = memoryview(out)[sent:]
            self._settle()

    def _send_rest(self) -> None:
        rest = self._unsent
        if rest is not None:
            self.heard = self._host.now
            rest = rest[self._try_send(rest) :]
            self._unsent = rest if rest else None
        self._settle()

    def _try_send(self, octets: bytes | memoryview) -> int:
        """Send what the system takes; return how much that was."""
        try:
            return self._send(octets)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:  # the MTA's end is gone
            self._host.drop(self)
            return len(octets)

    def _settle(self) -> None:
        """Wait for what is needed next."""
        if self.gone:
            return
        host, need = self._host, self.conversation.need
        unsent = self._unsent is not None
        if need is Need.END and not unsent:
            host.drop(self)
            return
        if unsent:
            host.watch(self, WRITE)
            return
        host.watch(self, READ if need is Need.OCTETS else 0)
        if need is Need.WORK and not self.working:
            self.working = True
            host.work(self)
        elif need is Need.SIGNAL and not self.working:
            self.working = True
            host.begin(self)
        elif need is Need.TURN:
            host.again(self)
