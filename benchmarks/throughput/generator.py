"""Sends messages to a filter on many connections at once, and checks every answer.

One thread, one epoll: it shares the machine with the filter, so that all octets are made
beforehand and an answer is compared rather than taken apart.  Its own CPU time is part of the
figures.  An answer that is not what the message must get raises `Failed`.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.throughput.answers import PROGRESS, SKIP, Answer, Failed, Witness, read_answer
from benchmarks.throughput.packets import CONTINUE, Flight, greeting, offer
from tests.servers.milterconnection import open_socket
from tests.servers.milterwire import parse_negotiation

if TYPE_CHECKING:
    from tests.servers.milterwire import Negotiated

__all__ = ["Lane", "Load", "Run", "drive"]

PATIENCE = 30.0  # seconds without any answer, after which nothing will come
_READ = 1 << 18

Script = Sequence[Flight]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is sent, and for how long.

    Attributes:
        scripts: Messages; the connections take one after the other.
        witness: What each answer must have.
        seconds: How long to count.
        least: How many messages to count at least, so that slow ones give a figure, too.
        sample: Each so many messages an answer is kept.
    """

    scripts: Sequence[Script]
    witness: Witness
    seconds: float
    least: int = 1
    sample: int = 97


@dataclass(slots=True, kw_only=True)
class Run:
    """What came of it.

    Attributes:
        messages: How many were answered in the time.
        elapsed: Seconds.
        cpu: CPU seconds of the filter in that time.
        own_cpu: CPU seconds of the generator.
        latencies: Seconds from a message's first octet to its decision.
        samples: Number of a script and the answer to it.
        total: All messages that were answered, those before and after that time included.
    """

    messages: int = 0
    elapsed: float = 0.0
    cpu: float = 0.0
    own_cpu: float = 0.0
    latencies: list[float] = field(default_factory=list)
    samples: list[tuple[int, Answer]] = field(default_factory=list)
    total: int = 0

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.elapsed


class Lane:
    """A connection to the filter, greeted, ready for messages."""

    __slots__ = ("agreed", "flight", "position", "rest", "script", "socket", "started", "unsent")

    def __init__(self, address: str, client: str) -> None:
        """Connects and says hello.

        Args:
            address: As in OpenDKIM's Socket option.
            client: The IPv4 address of the SMTP client.

        Raises:
            Failed: The filter does not take the connection.
        """
        try:
            self.socket = open_socket(address, timeout=PATIENCE)
        except OSError as error:
            raise Failed(f"no connection: {error}") from error
        try:
            self.agreed = self._greet(client)
        except (OSError, Failed) as error:
            self.socket.close()
            raise Failed(f"greeting: {error}") from error
        if self.socket.family != socket.AF_UNIX:  # the greeting's stalls are not in the figures
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)  # as Postfix has it
        self.socket.settimeout(0)
        self.rest = b""
        self.unsent: bytes | memoryview = b""
        self.script = self.position = 0
        self.flight: Flight | None = None
        self.started = 0.0

    def _greet(self, client: str) -> Negotiated:
        self.socket.sendall(offer())
        (length,) = struct.unpack(">I", self._exactly(4))
        packet = self._exactly(length)
        if packet[:1] != b"O":
            raise Failed(f"{packet!r} is no negotiation")
        agreed = parse_negotiation(packet[1:])
        hello = greeting(agreed, client)
        self.socket.sendall(hello.octets)
        got = self._exactly(len(hello.expected))
        if got != hello.expected:
            raise Failed(f"answered {got!r}")
        return agreed

    def _exactly(self, count: int) -> bytes:
        octets = b""
        while len(octets) < count:
            part = self.socket.recv(count - len(octets))
            if not part:
                raise Failed("the filter closed the connection")
            octets += part
        return octets

    def close(self) -> None:
        """Says QUIT and closes; again is harmless."""
        with contextlib.suppress(OSError):
            self.socket.send(b"\0\0\0\1Q")
        self.socket.close()


class _Traffic:
    """The loop of one run."""

    def __init__(
        self, lanes: Sequence[Lane], load: Load, usage: Callable[[], float], run: Run
    ) -> None:
        self.lanes = {lane.socket.fileno(): lane for lane in lanes}
        self.load, self.usage, self.run = load, usage, run
        self.poll = select.epoll()
        self.turn = 0
        self.open = len(lanes)
        self.counting = self.stopping = False

    def go(self) -> None:
        warm = len(self.lanes)
        begun = finish = 0.0
        with self.poll:
            for number, lane in self.lanes.items():
                self.poll.register(number, select.EPOLLIN)
                self.begin(lane)
            while self.open:
                ready = self.poll.poll(PATIENCE)
                if not ready:
                    raise Failed(f"no answer in {PATIENCE:.0f} s, {self.open} messages are open")
                for number, events in ready:
                    lane = self.lanes[number]
                    if events & select.EPOLLOUT:
                        self.flush(lane)
                    if events & ~select.EPOLLOUT:
                        self.receive(lane)
                if self.stopping:
                    continue
                if not self.counting:
                    if self.run.total >= warm * 2:
                        self.counting = True
                        self.run.cpu, self.run.own_cpu = -self.usage(), -time.process_time()
                        begun = time.perf_counter()
                        finish = begun + self.load.seconds
                elif time.perf_counter() >= finish and self.run.messages >= self.load.least:
                    self.run.elapsed = time.perf_counter() - begun
                    self.run.cpu += self.usage()
                    self.run.own_cpu += time.process_time()
                    self.stopping = True

    def begin(self, lane: Lane) -> None:
        lane.script = self.turn
        self.turn = (self.turn + 1) % len(self.load.scripts)
        lane.position = 0
        lane.started = time.perf_counter()
        self.send(lane)

    def send(self, lane: Lane) -> None:
        """Sends up to the next octets that are answered."""
        script = self.load.scripts[lane.script]
        while True:
            flight = lane.flight = script[lane.position]
            if lane.unsent:
                lane.unsent = bytes(lane.unsent) + flight.octets
            else:
                try:
                    sent = lane.socket.send(flight.octets)
                except BlockingIOError:
                    sent = 0
                except OSError as error:
                    raise Failed(f"the filter closed the connection: {error}") from error
                if sent < len(flight.octets):
                    lane.unsent = memoryview(flight.octets)[sent:]
                    self.poll.modify(lane.socket.fileno(), select.EPOLLIN | select.EPOLLOUT)
            if flight.expected or flight.decides:
                return
            lane.position += 1

    def flush(self, lane: Lane) -> None:
        try:
            sent = lane.socket.send(lane.unsent)
        except BlockingIOError:
            return
        except OSError as error:
            raise Failed(f"the filter closed the connection: {error}") from error
        lane.unsent = lane.unsent[sent:]
        if not lane.unsent:
            self.poll.modify(lane.socket.fileno(), select.EPOLLIN)

    def receive(self, lane: Lane) -> None:
        try:
            octets = lane.socket.recv(_READ)
        except BlockingIOError:
            return
        except OSError as error:
            raise Failed(f"the filter closed the connection: {error}") from error
        if not octets:
            raise Failed("the filter closed the connection")
        octets = lane.rest + octets
        lane.rest = b""
        flight = lane.flight
        if flight is None:
            raise Failed(f"answered {octets[:60]!r} to nothing")
        if flight.decides:
            answer = read_answer(octets, flight, self.load.witness)
            if answer is None:
                lane.rest = octets
            else:
                self.finish(lane, answer)
        elif octets == CONTINUE:
            lane.position += 1
            self.send(lane)
        else:
            self.other(lane, octets, flight)

    def other(self, lane: Lane, octets: bytes, flight: Flight) -> None:
        """Takes an answer before the decision that is not CONTINUE."""
        octets = octets.replace(PROGRESS, b"")
        if octets == SKIP and flight.body:
            lane.position = len(self.load.scripts[lane.script]) - 1
            self.send(lane)
        elif octets == CONTINUE:
            lane.position += 1
            self.send(lane)
        elif len(octets) < len(CONTINUE):
            lane.rest = octets
        else:
            raise Failed(f"answered {octets[:60]!r} before the end of the message")

    def finish(self, lane: Lane, answer: Answer) -> None:
        run = self.run
        if run.total % self.load.sample == 0:
            run.samples.append((lane.script, answer))
        run.total += 1
        lane.flight = None
        if self.counting and not self.stopping:
            run.messages += 1
            run.latencies.append(time.perf_counter() - lane.started)
        if self.stopping:
            self.open -= 1
        else:
            self.begin(lane)


def drive(lanes: Sequence[Lane], load: Load, usage: Callable[[], float]) -> Run:
    """Sends messages on all connections, one after the other on each.

    Counting begins when the connections have had two messages each on average, and goes on
    while all are busy.  All messages are waited for.

    Args:
        lanes: The connections.
        load: What to send.
        usage: Tells the filter's CPU seconds so far.

    Raises:
        Failed: A message was refused, not answered, or not treated as it must be.
    """
    run = Run()
    _Traffic(lanes, load, usage, run).go()
    return run
