"""A thousand RSA-2048 keys in a KeyTable: how the milter starts with them, and reloads.

    python -m benchmarks.many_keys [--quick] [--count N] [--keys DIR] [--json FILE] [--docs]

Mail from random domains of the thousand comes at a steady rate, whether or not it is answered: a
message's time begins when it was due.  Windows with a reload (SIGHUP) alternate with windows
without one, and the slowest message of the one kind is compared with that of the other.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import os
import platform
import random
import select
import signal
import statistics
import sys
import tempfile
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import messages
from benchmarks.report import Report, Section, Target, as_json, as_markdown, as_text
from benchmarks.throughput.answers import Failed, Witness, read_answer
from benchmarks.throughput.contest import percentile
from benchmarks.throughput.generator import Lane
from benchmarks.throughput.packets import pipelined
from benchmarks.throughput.processes import family
from dkimcore.keys.generation import generate_pem
from dkimcore.protocol.algorithm import KeyType
from dkimcore.version import __version__
from tests.servers.dkimcoremilter import DkimcoreMilter
from tests.servers.nsd import HOST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.throughput.generator import Script

__all__ = ["Window", "main", "sections"]

DOCS = Path(__file__).resolve().parents[1] / "docs" / "explanation"
START_GOAL, STALL_GOAL = 3.0, 0.020  # seconds
RATE = 200  # messages a second
WARM_UP = 1000  # messages a second before the first window, so that most keys are open
CONNECTIONS = 8
PER_CONNECTION = 20  # messages, after which an MTA closes its connection
PATIENCE = 10.0  # seconds without an answer
_CONF = f"""\
Mode s
KeyTable {{folder}}/KeyTable
SigningTable refile:{{folder}}/SigningTable
InternalHosts {HOST}
Canonicalization relaxed/relaxed
RequireSafeKeys no
UMask 000
"""


@dataclass(slots=True, kw_only=True)
class Window:
    """Some seconds of mail.

    Attributes:
        reload: Whether the milter read its configuration anew in it.
        latencies: Seconds from when a message was due to its signature.
        gap: The longest time without an answer.
        greeting: The longest time that a new connection took until it was greeted.
    """

    reload: bool
    latencies: list[float] = field(default_factory=list)
    gap: float = 0.0
    greeting: float = 0.0

    @property
    def slowest(self) -> float:
        """Of all messages."""
        return max(self.latencies)


class Mail:
    """Messages of many domains over connections that come and go.

    Args:
        milter: Where they go.
        count: How many domains there are.
    """

    def __init__(self, milter: DkimcoreMilter, count: int) -> None:
        self._milter = milter
        self._count = count
        self._random = random.Random(count)
        self._text = messages.message("text", 2000)
        self._scripts: dict[int, Script] = {}
        self._left: dict[Lane, int] = {}
        self._greeting = 0.0

    def drive(
        self, seconds: float, reload_at: float | None = None, *, rate: float = RATE
    ) -> Window:
        """Sends for so long.

        Args:
            seconds: How long.
            reload_at: When the milter is told to read its configuration; None: never.
            rate: Messages a second.

        Raises:
            Failed: A message was not signed.
        """
        window = Window(reload=reload_at is not None)
        self._greeting = 0.0
        idle = deque(self._open() for _ in range(CONNECTIONS))
        busy: dict[int, tuple[Lane, float, int]] = {}
        poll = select.epoll()
        begun = answered = time.perf_counter()
        number, total = 0, int(seconds * rate)
        while number < total or busy:
            now = time.perf_counter()
            if reload_at is not None and now >= begun + reload_at:
                os.kill(self._milter.pid, signal.SIGHUP)
                reload_at = None
            while number < total and idle and now >= begun + number / rate:
                lane, domain = idle.popleft(), self._random.randrange(self._count)
                busy[lane.socket.fileno()] = lane, begun + number / rate, domain
                self._send(lane, domain, poll)
                number += 1
            due = begun + number / rate - now if number < total and idle else PATIENCE
            ready = poll.poll(max(due, 0.0))
            if not ready and due == PATIENCE:
                raise Failed(f"no answer in {PATIENCE:.0f} s")
            for handle, _ in ready:
                lane, since, domain = busy[handle]
                if self._receive(lane, domain):
                    now = time.perf_counter()
                    window.gap = max(window.gap, now - answered)
                    answered = now
                    window.latencies.append(now - since)
                    del busy[handle]
                    poll.unregister(handle)
                    idle.append(self._next(lane))
        poll.close()
        while idle:
            idle.popleft().close()
        window.greeting = self._greeting
        return window

    def _open(self) -> Lane:
        begun = time.perf_counter()
        lane = Lane(self._milter.address, HOST)
        self._greeting = max(self._greeting, time.perf_counter() - begun)
        self._left[lane] = PER_CONNECTION
        return lane

    def _next(self, lane: Lane) -> Lane:
        """Returns the same connection, or another when this one has had its messages."""
        self._left[lane] -= 1
        if self._left[lane] > 0:
            return lane
        del self._left[lane]
        lane.close()
        return self._open()

    def _send(self, lane: Lane, domain: int, poll: select.epoll) -> None:
        script = self._scripts.get(domain)
        if script is None:
            text = self._text.replace(b"example.com", b"d%d.example" % domain)
            script = self._scripts[domain] = pipelined(lane.agreed, text)
        (lane.flight,) = script
        lane.socket.send(lane.flight.octets)  # 3 kB, which a socket always takes
        poll.register(lane.socket.fileno(), select.EPOLLIN)

    def _receive(self, lane: Lane, domain: int) -> bool:
        """Takes what came; returns whether the message is done."""
        octets = lane.socket.recv(65536)
        if not octets:
            raise Failed("the milter closed the connection")
        lane.rest += octets
        assert lane.flight is not None
        witness = Witness(name=b"DKIM-Signature", text=b"d=d%d.example" % domain)
        if read_answer(lane.rest, lane.flight, witness) is None:
            return False
        lane.rest = b""
        return True


def key_files(folder: Path, count: int) -> list[Path]:
    """Returns files with RSA-2048 keys, all different; makes those that are missing.

    Args:
        folder: Where they are kept from one run to the next.
        count: How many.
    """
    files = [folder / f"{number}.pem" for number in range(count)]
    missing = [path for path in files if not path.exists()]
    if missing:
        print(f"making {len(missing)} keys in {folder}", file=sys.stderr, flush=True)
        with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
            pool.map(_make_key, missing, chunksize=8)
    return files


def _make_key(path: Path) -> None:
    unfinished = path.with_suffix(".tmp")
    unfinished.touch(0o600)
    unfinished.write_bytes(generate_pem(KeyType.RSA, bits=2048))
    unfinished.rename(path)


def _own_folder() -> Path:
    """The folder that all runs of this user share; nobody else may write to it."""
    folder = Path(tempfile.gettempdir(), f"dkimcore-many-keys-{os.getuid()}")
    folder.mkdir(0o700, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077 or folder.is_symlink():
        raise SystemExit(f"{folder} is somebody else's; name a folder with --keys")
    return folder


def milter_of(files: Sequence[Path]) -> DkimcoreMilter:
    """Returns a milter with a domain for each key, not yet started."""
    keys = [f"k{n} d{n}.example:s1:{path}\n" for n, path in enumerate(files)]
    signing = [f"*@d{n}.example k{n}\n" for n in range(len(files))]
    return DkimcoreMilter(
        _CONF, files={"KeyTable": "".join(keys), "SigningTable": "".join(signing)}, workers=None
    )


def start_times(files: Sequence[Path], repetitions: int) -> list[float]:
    """Starts the milter some times; returns the seconds until it served."""
    taken = []
    for _ in range(repetitions):
        milter = milter_of(files)
        begun = time.perf_counter()
        with milter:
            taken.append(time.perf_counter() - begun)
    return taken


def windows(files: Sequence[Path], pairs: int, seconds: float) -> list[Window]:
    """Sends mail in windows with and without a reload.

    Raises:
        Failed: A message was not signed, or no new workers came.
    """
    made = []
    with milter_of(files) as milter:
        mail = Mail(milter, len(files))
        mail.drive(seconds, rate=WARM_UP)
        for number in range(pairs):
            # Which kind is first changes: what the machine does besides hits both alike.
            for reload in (True, False) if number % 2 else (False, True):
                before = set(family(milter.pid))
                made.append(mail.drive(seconds, seconds / 4 if reload else None))
                if reload and len(set(family(milter.pid)) - before) == 0:
                    raise Failed("the milter was told to reload and has the same workers")
            print(f"window {number + 1}/{pairs}", file=sys.stderr, flush=True)
    return made


def sections(
    count: int, starts: Sequence[float], few: Sequence[float], found: Sequence[Window]
) -> list[Section]:
    """Makes the tables.

    Args:
        count: How many keys there were.
        starts: Seconds that starts took with them.
        few: The same with one key.
        found: The windows.
    """
    started = statistics.median(starts)
    first = Section(
        title=f"{count} RSA-2048 keys: start",
        note="Seconds until the workers serve, median with the least and the greatest.",
        columns=["keys", "seconds"],
        rows=[["1", _range(few)], [str(count), _range(starts)]],
        data=[{"keys": 1, "seconds": list(few)}, {"keys": count, "seconds": list(starts)}],
        targets=[
            Target(
                name=f"{count} RSA-2048 keys in a KeyTable: start",
                goal=f"under {START_GOAL:g} s",
                figure=f"{started:.2f} s",
                reached=started < START_GOAL,
            )
        ],
    )
    second = Section(
        title=f"{count} RSA-2048 keys: reload",
        note=f"Mail of random domains, {RATE} messages a second over {CONNECTIONS} connections of "
        f"{PER_CONNECTION} messages each, in windows with a reload and without. Milliseconds, as "
        "medians of the windows with the least and the greatest: a message from when it was due "
        "to its signature, the longest time without any answer, the longest wait of a new "
        "connection for its greeting.",
        columns=["", "p50", "p99", "slowest", "longest gap", "greeting"],
        data=[asdict(one) for one in found],
    )
    slowest = {}
    for reload, name in ((False, "without a reload"), (True, "with a reload")):
        kind = [one for one in found if one.reload == reload]
        slowest[reload] = statistics.median(one.slowest for one in kind)
        figures = [
            [percentile(one.latencies, 0.5) for one in kind],
            [percentile(one.latencies, 0.99) for one in kind],
            [one.slowest for one in kind],
            [one.gap for one in kind],
            [one.greeting for one in kind],
        ]
        second.rows.append([name, *(_range([1000 * x for x in each]) for each in figures)])
    stall = slowest[True] - slowest[False]
    second.targets = [
        Target(
            name=f"{count} RSA-2048 keys in a KeyTable: the slowest message of a window with a "
            "reload to that of one without",
            goal=f"at most {STALL_GOAL * 1000:g} ms more",
            figure=f"{stall * 1000:.1f} ms",
            reached=stall <= STALL_GOAL,
        )
    ]
    return [first, second]


def _range(figures: Sequence[float]) -> str:
    return f"{statistics.median(figures):.2f} ({min(figures):.2f}..{max(figures):.2f})"


def main() -> int:
    """Runs what the arguments say."""
    arguments = _parser().parse_args()
    folder = arguments.keys or _own_folder()
    files = key_files(folder, arguments.count)
    pairs, seconds, repetitions = (2, 1.5, 1) if arguments.quick else (10, 4.0, 5)
    begun = time.monotonic()
    try:
        starts = functools.partial(start_times, repetitions=repetitions)
        made = sections(
            len(files), starts(files), starts(files[:1]), windows(files, pairs, seconds)
        )
    except Failed as error:
        print(f"a message failed: {error}", file=sys.stderr)
        return 1
    conditions = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "Python": platform.python_version(),
        "dkimcore": __version__,
        "duration": f"{time.monotonic() - begun:.0f} s",
    }
    report = Report(conditions=conditions, sections=made)
    print(as_text(report), end="")
    if arguments.json:
        arguments.json.write_text(as_json(report), "utf-8")
    if arguments.docs:
        (DOCS / "many_keys_table.md").write_text(as_markdown(report), "utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.many_keys",
        description="Starts and reloads the milter with many keys while it signs. Progress is on "
        "standard error, the tables on standard output.",
    )
    parser.add_argument("--quick", action="store_true", help="two windows of each kind")
    parser.add_argument("--count", type=int, default=1000, metavar="N", help="keys (1000)")
    parser.add_argument(
        "--keys",
        type=Path,
        metavar="DIR",
        help="where keys are kept from one run to the next; making 1000 takes a minute or two",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to it")
    parser.add_argument("--docs", action="store_true", help="write the tables of the documentation")
    return parser


if __name__ == "__main__":
    sys.exit(main())
