"""Sends letters on several connections at once, and checks that each gets one verdict.

One thread, one epoll.  Now and then a connection is closed and another one opened, as MTAs do.
"""

from __future__ import annotations

import contextlib
import random
import select
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.soak.letters import DROP, Letter, letters
from tests.servers.milterconnection import open_socket
from tests.servers.milterwire import FilterActions, Steps, pack, parse_negotiation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dkimcore.keys import SigningKey
    from tests.servers.milterwire import Negotiated

__all__ = ["Tally", "Traffic", "WrongAnswer"]

PATIENCE = 60.0
_MESSAGES = 80  # for one connection
_READ = 1 << 18
_CHANGES = frozenset(b"ihm+-q")
_PROGRESS = ord("p")


class WrongAnswer(Exception):
    """A message was not answered as it must be."""


@dataclass(slots=True)
class Tally:
    """What became of the messages.

    Attributes:
        sent: How many were begun.
        verdicts: How many got one.
        given_up: How many were aborted, or lost with their connection.
        kinds: How many there were of each kind.
        connections: How many connections were opened.
    """

    sent: int = 0
    verdicts: int = 0
    given_up: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    connections: int = 0


class _Lane:
    """A connection, with the message that is on it."""

    __slots__ = ("answers", "heard", "left", "letter", "seen", "socket", "unsent")

    def __init__(self, address: str, *, inside: bool) -> None:
        self.socket = open_socket(address, timeout=PATIENCE)
        self.socket.sendall(_offer() + _client(b"127.0.0.1" if inside else b"192.0.2.1"))
        self.left = _MESSAGES
        self.letter: Letter | None = None
        self.unsent = memoryview(b"")
        self.heard = bytearray()
        self.answers = 0
        self.seen = True

    def greet(self) -> Negotiated:
        """Reads what is agreed on, and the answer to the client."""
        octets = b""
        while len(octets) < 4 or len(octets) < 4 + struct.unpack_from(">I", octets)[0] + 5:
            part = self.socket.recv(_READ)
            if not part:
                raise WrongAnswer("the filter closed the connection")
            octets += part
        size = struct.unpack_from(">I", octets)[0]
        if octets[4:5] != b"O" or octets[4 + size :] != b"\0\0\0\1c":
            raise WrongAnswer(f"greeted with {octets!r}")
        self.socket.settimeout(0)
        return parse_negotiation(octets[5 : 4 + size])


def _offer() -> bytes:
    return pack(b"O", struct.pack(">III", 6, FilterActions.ALL, Steps.ALL))


def _client(address: bytes) -> bytes:
    macros = pack(b"D", b"Cj\0mx.example.net\0{daemon_name}\0mx.example.net\0")
    return macros + pack(b"C", b"client.example.org\0004\0\x19" + address + b"\0")


class Traffic:
    """All connections to a filter.

    Args:
        address: As in OpenDKIM's Socket option.
        key: Signs what is verified.
        lanes: How many connections, half of them of the site's own clients.
        seed: Decides which letter is next.
    """

    def __init__(self, address: str, key: SigningKey, *, lanes: int = 16, seed: int = 1) -> None:
        self._address = address
        self._count = lanes
        self._random = random.Random(seed)
        probe = _Lane(address, inside=True)
        all_letters = letters(probe.greet(), key)
        probe.socket.close()
        self._letters = {
            side: [one for one in all_letters if one.inside is side] for side in (True, False)
        }
        self._shares = {
            side: _sums([one.share for one in these]) for side, these in self._letters.items()
        }
        self._lanes: dict[int, tuple[_Lane, bool]] = {}
        self._poll = select.epoll()
        self._to_send = 0
        self.tally = Tally()

    def close(self) -> None:
        """Closes everything."""
        for lane, _ in self._lanes.values():
            lane.socket.close()
        self._lanes.clear()
        self._poll.close()

    def run(self, count: int, halfway: Callable[[], object] | None = None) -> None:
        """Sends so many messages, waits for their verdicts, and closes all connections.

        Args:
            count: How many.
            halfway: What to do when half of them were sent.

        Raises:
            WrongAnswer: A message did not get just one verdict, the right one.
        """
        self._to_send = count
        for number in range(self._count):
            self._open(inside=number % 2 == 0)
        while self._lanes:
            if halfway is not None and self._to_send <= count // 2:
                halfway()
                halfway = None
            ready = self._poll.poll(PATIENCE)
            if not ready:
                raise WrongAnswer(
                    f"no answer in {PATIENCE:.0f} s on {len(self._lanes)} connections"
                )
            for number, events in ready:
                if number in self._lanes:
                    self._turn(*self._lanes[number], events)

    def _open(self, *, inside: bool) -> None:
        lane = _Lane(self._address, inside=inside)
        lane.greet()
        self.tally.connections += 1
        self._lanes[lane.socket.fileno()] = lane, inside
        self._poll.register(lane.socket, select.EPOLLIN)
        self._next(lane, inside=inside)

    def _shut(self, lane: _Lane, *, goodbye: bool = True) -> None:
        del self._lanes[lane.socket.fileno()]
        self._poll.unregister(lane.socket)
        if goodbye:
            with contextlib.suppress(OSError):
                lane.socket.send(pack(b"Q"))
        lane.socket.close()

    def _next(self, lane: _Lane, *, inside: bool) -> None:
        """Begins another message, on another connection if it is time for one."""
        if not self._to_send:
            self._shut(lane)
            return
        if not lane.left:
            self._shut(lane)
            self._open(inside=inside)
            return
        lane.left -= 1
        self._to_send -= 1
        (letter,) = self._random.choices(self._letters[inside], cum_weights=self._shares[inside])
        tally = self.tally
        tally.sent += 1
        tally.kinds[letter.kind] = tally.kinds.get(letter.kind, 0) + 1
        lane.letter, lane.answers, lane.seen = letter, 0, not letter.witness
        lane.unsent = memoryview(letter.octets)
        self._flush(lane, inside=inside)

    def _turn(self, lane: _Lane, inside: bool, events: int) -> None:  # noqa: FBT001
        if events & ~select.EPOLLOUT:
            try:
                octets = lane.socket.recv(_READ)
            except BlockingIOError:
                return
            if not octets:
                raise WrongAnswer(f"closed in the middle: {lane.letter and lane.letter.kind}")
            lane.heard += octets
            self._listen(lane, inside=inside)
        elif lane.unsent:
            self._flush(lane, inside=inside)

    def _flush(self, lane: _Lane, *, inside: bool) -> None:
        with contextlib.suppress(BlockingIOError):
            lane.unsent = lane.unsent[lane.socket.send(lane.unsent) :]
        self._poll.modify(lane.socket, select.EPOLLIN | (select.EPOLLOUT if lane.unsent else 0))
        letter = lane.letter
        if not lane.unsent and letter is not None and letter.end:
            if letter.end == DROP:
                self.tally.given_up += 1
                self._shut(lane, goodbye=False)
                self._open(inside=inside)
            elif lane.answers == letter.answers:
                self._give_up(lane, inside=inside)

    def _give_up(self, lane: _Lane, *, inside: bool) -> None:
        self.tally.given_up += 1
        lane.letter = None
        self._next(lane, inside=inside)

    def _listen(self, lane: _Lane, *, inside: bool) -> None:
        """Reads whole packets; the last answer is the verdict."""
        heard, at, letter = lane.heard, 0, lane.letter
        if letter is None:
            raise WrongAnswer(f"{bytes(heard[:60])!r} out of turn")
        while len(heard) - at >= 5:
            end = at + 4 + struct.unpack_from(">I", heard, at)[0]
            if end > len(heard):
                break
            command = heard[at + 4]
            if command in _CHANGES:
                lane.seen = lane.seen or letter.witness in heard[at + 5 : end]
            elif command != _PROGRESS:
                lane.answers += 1
                if lane.answers == letter.answers and not letter.end:
                    self._judge(lane, letter, bytes([command]), bytes(heard[end:]))
            at = end
        del heard[:at]
        if lane.answers > letter.answers:
            raise WrongAnswer(f"{letter.kind}: {lane.answers} answers instead of {letter.answers}")
        if lane.answers == letter.answers and not lane.unsent:
            if letter.end:
                self._give_up(lane, inside=inside)
            else:
                self.tally.verdicts += 1
                lane.letter = None
                self._next(lane, inside=inside)

    def _judge(self, lane: _Lane, letter: Letter, verdict: bytes, rest: bytes) -> None:
        if verdict not in letter.verdicts:
            raise WrongAnswer(f"{letter.kind}: the verdict is {verdict!r}")
        if not lane.seen:
            raise WrongAnswer(f"{letter.kind}: {letter.witness!r} is not among the changes")
        if rest:
            raise WrongAnswer(f"{letter.kind}: {rest[:60]!r} after the verdict")


def _sums(shares: Sequence[float]) -> list[float]:
    total, sums = 0.0, []
    for share in shares:
        total += share
        sums.append(total)
    return sums
