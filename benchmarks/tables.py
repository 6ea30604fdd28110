"""How long tables take to load and to look up, and how much memory they take.

usage: python -m benchmarks.tables [SCALE]

SCALE 1 (the default) is 1 000 000 rows of a ``file:`` SigningTable, 100 000 rows of a
KeyTable, 10 000 patterns of a ``refile:`` SigningTable and 100 000 networks.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from dkimcore.protocol.mailbox import Mailbox
from dkimcore.tables import HostSet, KeyTable, SigningTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["main", "measure"]


def resident() -> int:
    """Octets of memory in use; 0 where /proc is missing."""
    gc.collect()
    if sys.platform != "linux":
        return 0
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def measure(
    name: str,
    path: Path,
    rows: Iterable[str],
    load: Callable[[], Callable[[], object]],
    *,
    lookups: int = 2000,
) -> str:
    """Writes a table, loads it, looks things up, and returns a row of figures."""
    path.write_text("\n".join(rows) + "\n")
    before, start = resident(), time.perf_counter()
    look_up = load()
    loaded = time.perf_counter() - start
    memory = resident() - before
    look_up()
    start = time.perf_counter()
    for _ in range(lookups):
        look_up()
    each = (time.perf_counter() - start) / lookups
    return f"{name:48} {loaded:7.2f} s {memory / 1e6:8.0f} MB {each * 1e6:9.1f} us"


def _signing(text: str, address: bytes) -> Callable[[], Callable[[], object]]:
    def load() -> Callable[[], object]:
        table, author = SigningTable.load(text), Mailbox.parse(address)
        return lambda: table.match(author, all_matches=True)

    return load


def _keys(text: str, name: str) -> Callable[[], Callable[[], object]]:
    def load() -> Callable[[], object]:
        table = KeyTable.load(text)
        return lambda: table.get(name)

    return load


def _hosts(text: str, address: str) -> Callable[[], Callable[[], object]]:
    def load() -> Callable[[], object]:
        hosts = HostSet.load(text)
        return lambda: hosts.matches("a.b.example.com", address)

    return load


def main(arguments: list[str]) -> None:
    """Prints the figures."""
    scale = float(arguments[0]) if arguments else 1.0
    million, many, some = int(1_000_000 * scale), int(100_000 * scale), int(10_000 * scale)
    hostile = b"a" * 900 + b"@none.example"
    print(f"{'table':48} {'load':>9} {'memory':>11} {'look up':>12}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table"
        for count in (million // 100, million):
            text, last = f"file:{path}", f"u@d{count - 1}.example".encode()
            rows = (f"d{n}.example key{n % 100}" for n in range(count))
            print(measure(f"SigningTable file:, {count} rows", path, rows, _signing(text, last)))
        for count in (many // 100, many):
            rows = (f"key{n} d{n}.example:s1:/etc/dkim/d{n}/s1.private" for n in range(count))
            load = _keys(f"file:{path}", f"key{count - 1}")
            print(measure(f"KeyTable file:, {count} rows", path, rows, load))
        refile = f"refile:{path}"
        last = f"u{some - 1}@d{some - 1}.example".encode()
        for name, row, address in (
            ("*@dN.example", "*@d{}.example k", last),
            ("*@dN.example, no match", "*@d{}.example k", hostile),
            ("uN*@d.example, hostile address", "u{}*@d.example k", b"u1" * 450 + b"@d.example"),
            ("*N* (nothing to index)", "*x{}y* k", hostile),
            ("[u]N@dN.example (expressions)", "[u]{0}@d{0}.example k", last),
        ):
            rows = (row.format(n) for n in range(some))
            title = f"refile:, {some} x {name}"
            print(measure(title, path, rows, _signing(refile, address), lookups=50))
        rows = (f"10.{n >> 8 & 255}.{n & 255}.{n >> 16 << 6}/26" for n in range(many))
        load = _hosts(f"file:{path}", "10.0.77.9")
        print(measure(f"HostSet, {many} networks", path, rows, load))


if __name__ == "__main__":
    main(sys.argv[1:])
