"""The command: ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.backends.openssl import backend

from benchmarks import canonical, cells, messages, speedups
from benchmarks.breakdown import breakdown, hot_spot
from benchmarks.contenders import KeyPair
from benchmarks.import_time import imports
from benchmarks.memory import memory
from benchmarks.report import Report, Section, as_json, as_markdown, as_text
from benchmarks.rounds import Plan
from dkimcore.protocol.speedups import in_use

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["main"]

_MODES = {
    "full": "full",
    "quick": "quick: fewer cells, fewer and shorter rounds",
    "breakdown": "breakdown",
    "speedups": "speedups",
}
_STEPS = [("verify", 2_000, "text"), ("verify", 10_000, "text"), ("sign", 10_000, "text")]
_ALL_STEPS = [(operation, octets, body) for operation, octets, _ in _STEPS for body in cells.BODIES]


def main() -> int:
    """Runs what the arguments say."""
    arguments = _parser().parse_args()
    if arguments.what == "breakdown":
        section = breakdown(_ALL_STEPS, 200 if arguments.quick else 2000)
        report = Report(conditions=_conditions("breakdown"), sections=[section])
    elif arguments.what == "speedups":
        turns = 15 if arguments.quick else 100
        sections = [speedups.bodies(turns), speedups.whole_messages(turns)]
        report = Report(conditions=_conditions("speedups"), sections=sections)
    else:
        report = _run("quick" if arguments.quick else "full")
    print(as_text(report), end="")
    if arguments.json:
        arguments.json.write_text(as_json(report), "utf-8")
    if arguments.markdown:
        arguments.markdown.write_text(as_markdown(report), "utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Compares dkimcore with dkimpy, Mail::DKIM and the cryptography itself, all "
        "in the same run. Progress is on standard error, the tables on standard output.",
        epilog="docs/explanation/performance.md says how to read the tables. The milter has "
        "commands of its own: python -m benchmarks.throughput and benchmarks.postfix_latency.",
    )
    parser.add_argument(
        "what",
        nargs="?",
        choices=["run", "breakdown", "speedups"],
        default="run",
        help="run: everything (default); breakdown: where the time of one message goes; "
        "speedups: the accelerator against the Python code",
    )
    parser.add_argument("--quick", action="store_true", help="under a minute, with fewer cells")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to it")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables to it")
    return parser


def _run(mode: str) -> Report:
    started = time.monotonic()
    quick = mode == "quick"
    if quick:
        plan, hostile = Plan(rounds=3, slot=0.01, budget=0.3), 2_000_000
        promised, steps = replace(plan, rounds=5, slot=0.015), 200
    else:
        plan, hostile = Plan(rounds=5, slot=0.03, budget=1.0), 10_000_000
        promised, steps = replace(plan, rounds=9, slot=0.05), 2000
    compared, mail_dkim = cells.compare(cells.quick() if quick else cells.full(), plan, promised)
    _name_hot_spots(compared, steps)
    report = Report(conditions=_conditions(mode) | {"Mail::DKIM": mail_dkim or "absent"})
    rest: tuple[Callable[[], Section], ...] = (
        lambda: canonical.relaxed(promised),
        lambda: canonical.hostile(replace(plan, slot=plan.slot / 2), hostile),
        lambda: memory(("text",) if quick else cells.BODIES),
        lambda: imports(3 if quick else 9),
        lambda: breakdown(_STEPS, steps),
    )
    report.sections.append(compared)
    for part in rest:
        report.sections.append(part())
        elapsed = f"{time.monotonic() - started:.0f} s"
        print(f"{report.sections[-1].title}: done at {elapsed}", file=sys.stderr, flush=True)
    report.conditions["duration"] = f"{time.monotonic() - started:.0f} s"
    return report


def _name_hot_spots(section: Section, count: int) -> None:
    """Says of each target that is not reached where the time goes."""
    pair = KeyPair.make(cells.RSA)
    known: dict[tuple[str, ...], str] = {}
    for position, target in enumerate(section.targets):
        if target.reached or target.cell is None:
            continue
        operation, size, body, canonicalization = target.cell
        if target.cell not in known:
            octets = messages.message(body, cells.SIZES[size])
            known[target.cell] = hot_spot(
                operation, octets, pair, count, canonicalization=canonicalization
            )
        section.targets[position] = replace(target, hot_spot=known[target.cell])


def _conditions(mode: str) -> dict[str, str]:
    return {
        "date": time.strftime("%Y-%m-%d"),
        "mode": _MODES[mode],
        "machine": f"{_processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "Python": platform.python_version(),
        "dkimcore": f"{version('dkimcore')} (speedups: {in_use()})",
        "cryptography": f"{version('cryptography')}, {backend.openssl_version_text()}",
        "dkimpy": _version("dkimpy"),
        "PyNaCl": _version("pynacl"),
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    sys.exit(main())
