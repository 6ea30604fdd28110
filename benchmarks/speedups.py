"""The accelerator against the Python code, in the same run: bodies, headers, whole messages.

Processor time, and the least of many turns: ratios hold on a busy machine, too.
"""

from __future__ import annotations

import hashlib
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks import cells, messages
from benchmarks.contenders import KeyPair, Ours
from benchmarks.report import Section, Target
from benchmarks.rounds import duration, timed
from dkimcore.protocol import canonical, hashing, message
from dkimcore.protocol.canonical import Canonicalization, PythonBodyCanonicalizer
from dkimcore.protocol.message import Header
from dkimcore.protocol.speedups import compiled
from dkimcore.source import CHUNK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from benchmarks.rounds import Timed

__all__ = ["bodies", "whole_messages"]

_OCTETS = 1_000_000
_TIMES_SHA256 = 1.5
_FASTER = 4
_MORE = {"lines of one SP": b" \r\n", '"a " again and again': b"a ", "CRLF SP": b"\r\n "}


def bodies(turns: int) -> Section:
    """Measures canonicalization alone, of ordinary and of hostile bodies."""
    section = Section(
        title="The accelerator: relaxed canonicalization",
        note="How many times as long as SHA-256 over the same octets takes, for "
        f"{_OCTETS // 1_000_000} MB in chunks of {CHUNK} octets and as a single chunk: "
        "canonicalization alone, and the body hash, SHA-256 itself included. "
        f"The least processor time of {turns} turns.",
        columns=["body", "C", "C, one chunk", "C, body hash", "Python", "Python, body hash"],
    )
    kinds = {name: messages.body(name, _OCTETS) for name in messages.BODIES}
    for name, piece in {**messages.HOSTILE, **_MORE}.items():
        kinds[name] = piece * (_OCTETS // len(piece))
    for name, octets in kinds.items():
        _body_row(section, name, octets, turns)
    if compiled is not None:
        worst = max(section.data, key=lambda row: max(_figures(row)[:2]))
        figure = max(_figures(worst)[:2])
        section.targets.append(
            Target(
                name=f"relaxed canonicalization in C, the worst of {len(kinds)} bodies",
                goal=f"at most {_TIMES_SHA256} times SHA-256",
                figure=f"{figure:.2f}: {worst['body']}",
                reached=figure <= _TIMES_SHA256,
            )
        )
    return section


def _figures(row: dict[str, object]) -> list[float]:
    return [float(str(row[name])) for name in ("C", "C, one chunk") if name in row]


def _body_row(section: Section, name: str, octets: bytes, turns: int) -> None:
    chunks = [octets[start : start + CHUNK] for start in range(0, len(octets), CHUNK)]
    contenders = {
        "sha256": timed(lambda: hashlib.sha256(octets).digest()),
        "Python": timed(lambda: _canonicalize(PythonBodyCanonicalizer, chunks)),
        "Python, body hash": timed(lambda: _hash(PythonBodyCanonicalizer, chunks)),
    }
    if compiled is not None:
        fast = compiled.BodyCanonicalizer
        contenders["C"] = timed(lambda: _canonicalize(fast, chunks))
        contenders["C, one chunk"] = timed(lambda: _canonicalize(fast, [octets]))
        contenders["C, body hash"] = timed(lambda: _hash(fast, chunks))
    seconds = _least(contenders, turns, 1)
    ratios = {name: figure / seconds["sha256"] for name, figure in seconds.items()}
    section.rows.append(
        [name, *(f"{ratios[name]:.2f}" if name in ratios else "" for name in section.columns[1:])]
    )
    section.data.append({"body": name, "seconds": seconds, **ratios})


def _canonicalize(make: Callable[..., PythonBodyCanonicalizer], chunks: list[bytes]) -> None:
    canonicalizer = make(Canonicalization.RELAXED, len)
    for chunk in chunks:
        canonicalizer.feed(chunk)
    canonicalizer.finish()


def _hash(make: Callable[..., PythonBodyCanonicalizer], chunks: list[bytes]) -> bytes:
    digest = hashlib.sha256()
    canonicalizer = make(Canonicalization.RELAXED, digest.update)
    for chunk in chunks:
        canonicalizer.feed(chunk)
    canonicalizer.finish()
    return digest.digest()


def whole_messages(turns: int) -> Section:
    """Measures reading a header, verifying and signing, with the accelerator and without."""
    section = Section(
        title="The accelerator: whole messages",
        note="The same work in turn with both, with RSA-2048 and relaxed/relaxed; the key is at "
        f"hand. The least processor time of {turns} turns.",
        columns=["", "Python", "C", "times as fast"],
    )
    header = messages.HEADER.removesuffix(b"\r\n\r\n")
    _whole_row(section, "read a header of 17 fields", timed(lambda: Header(header)), turns)
    pair = KeyPair.make(cells.RSA)
    for operation in ("verify", "sign"):
        for size in ("2 kB", "100 kB"):
            for body in cells.BODIES:
                octets = messages.message(body, cells.SIZES[size])
                if operation == "verify":
                    octets = pair.sign(octets, cells.RELAXED)
                cell = cells.Cell(
                    size=size,
                    body=body,
                    algorithm=cells.RSA,
                    canonicalization=cells.RELAXED,
                    operation=operation,
                )
                run = Ours().prepare(cell, pair, octets)
                assert run is not None
                _whole_row(section, f"{operation} {size} of {body}", run, turns)
    promised = next((row for row in section.data if row["what"] == "verify 100 kB of html"), {})
    if "times" in promised:
        times = float(str(promised["times"]))
        section.targets.append(
            Target(
                name="verify 100 kB of html with the accelerator",
                goal=f"{_FASTER} times as fast as without it",
                figure=f"{times:.2f}",
                reached=times >= _FASTER,
            )
        )
    return section


def _whole_row(section: Section, what: str, run: Timed, turns: int) -> None:
    contenders = {"Python": _without(run)}
    if compiled is not None:
        contenders["C"] = run
    seconds = _least(contenders, turns, 10)
    row: dict[str, object] = {"what": what, "seconds": seconds}
    shown = [what, duration(seconds["Python"]), "", ""]
    if compiled is not None:
        row["times"] = times = seconds["Python"] / seconds["C"]
        shown[2:] = [duration(seconds["C"]), f"{times:.2f}"]
    section.rows.append(shown)
    section.data.append(row)


def _least(contenders: Mapping[str, Timed], turns: int, count: int) -> dict[str, float]:
    """The least seconds of one execution; contenders take turns of so many."""
    seconds = dict.fromkeys(contenders, float("inf"))
    for _ in range(turns):
        for name, run in contenders.items():
            started = time.thread_time()
            run(count)
            seconds[name] = min(seconds[name], (time.thread_time() - started) / count)
    return seconds


def _without(run: Timed) -> Timed:
    def run_in_python(count: int) -> float:
        with _python():
            return run(count)

    return run_in_python


@contextmanager
def _python() -> Iterator[None]:
    """Has the library use its Python code."""
    changes = (
        (hashing, "BodyCanonicalizer", PythonBodyCanonicalizer),
        (canonical, "_relax_field", canonical.relax_field_in_python),
        (message, "_parse_fields", message.parse_fields_in_python),
        (message, "_split_fields", message.split_fields_in_python),
    )
    kept = [getattr(module, name) for module, name, _ in changes]
    for module, name, value in changes:
        setattr(module, name, value)
    try:
        yield
    finally:
        for (module, name, _), value in zip(changes, kept, strict=True):
            setattr(module, name, value)
