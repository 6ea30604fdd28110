"""The command: ``python -m benchmarks.throughput``."""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.contenders import WrongAnswer
from benchmarks.report import Report, Target, as_json, as_markdown, as_text
from benchmarks.throughput import scenario
from benchmarks.throughput.answers import Failed
from benchmarks.throughput.bare import BareSigning
from benchmarks.throughput.contest import BUSY, crowd, measure
from benchmarks.throughput.mail import Mail
from benchmarks.throughput.pictures import pictures
from benchmarks.throughput.scenario import Pace
from benchmarks.throughput.tables import sections, targets
from dkimcore.version import __version__
from tests.servers import find_program
from tests.servers.filterprocess import DidNotStart

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.throughput.contest import Outcome
    from benchmarks.throughput.scenario import Cell

__all__ = ["main"]

DOCS = Path(__file__).resolve().parents[2] / "docs" / "explanation"
_MODES = {
    "quick": (scenario.quick, Pace(turns=3, seconds=0.15)),
    "normal": (scenario.normal, Pace(turns=3, seconds=0.8)),
    "full": (scenario.full, Pace(turns=5, seconds=1.0)),
}


def main() -> int:
    """Runs what the arguments say."""
    arguments = _parser().parse_args()
    if find_program("opendkim") is None:
        print("opendkim is not installed: sudo apt-get install opendkim", file=sys.stderr)
        return 69
    mode = "quick" if arguments.quick else "full" if arguments.full else "normal"
    cells, pace = _MODES[mode][0](), _MODES[mode][1]
    pace = replace(
        pace, turns=arguments.turns or pace.turns, seconds=arguments.seconds or pace.seconds
    )
    cells = [cell for cell in cells if arguments.only in str(cell)]
    if not cells:
        print(f"no cell has {arguments.only!r} in its name", file=sys.stderr)
        return 64
    try:
        report, outcomes = _run(cells, pace, _conditions(mode, pace))
    except (Failed, WrongAnswer) as error:
        print(f"a message failed: {error}", file=sys.stderr)
        return 1
    except DidNotStart as error:
        print(f"a filter did not start: {error}", file=sys.stderr)
        return 1
    print(as_text(report), end="")
    if arguments.json:
        arguments.json.write_text(as_json(report), "utf-8")
    if arguments.docs:
        (DOCS / "throughput_table.md").write_text(as_markdown(report), "utf-8")
        for name, picture in pictures(outcomes).items():
            (DOCS / name).write_text(picture, "utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput",
        description="Sends messages to dkimcore-milter and to opendkim in turn and compares them. "
        "A message that fails ends the run. Progress is on standard error, the tables on standard "
        "output.",
        epilog="docs/explanation/performance.md says how to read the tables.",
    )
    extent = parser.add_mutually_exclusive_group()
    extent.add_argument("--quick", action="store_true", help="under a minute, with fewer cells")
    extent.add_argument("--full", action="store_true", help="25 minutes instead of 8")
    parser.add_argument("--turns", type=int, metavar="N", help="of each filter in each cell")
    parser.add_argument("--seconds", type=float, metavar="S", help="of each turn")
    parser.add_argument(
        "--only",
        default="",
        metavar="TEXT",
        help="cells with this in their name, as progress has it",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to it")
    parser.add_argument(
        "--docs", action="store_true", help="write the tables and pictures of the documentation"
    )
    return parser


def _run(
    cells: Sequence[Cell], pace: Pace, conditions: dict[str, str]
) -> tuple[Report, list[Outcome]]:
    started = time.monotonic()
    _many_descriptors(pace.crowd)
    report = Report(conditions=conditions)
    mails = {algorithm: Mail(algorithm) for algorithm in (scenario.RSA, scenario.ED25519)}
    outcomes = []
    with BareSigning(mails[scenario.RSA].pair.pem) as bare:
        for number, cell in enumerate(cells, 1):
            outcomes.append(measure(cell, mails[cell.algorithm], pace, bare))
            elapsed = f"{time.monotonic() - started:.0f} s"
            told = f"{number}/{len(cells)} {cell}: {outcomes[-1].ratio} times, {elapsed}"
            print(told, file=sys.stderr, flush=True)
    report.sections += sections(outcomes)
    run = crowd(mails[scenario.RSA], pace)
    report.sections[0].targets += [
        *targets(outcomes),
        Target(
            name=f"{pace.crowd} idle and {BUSY} busy connections at once",
            goal="no refused or failed message",
            figure=f"{run.total} messages, {run.rate:.0f}/s, none failed",
            reached=True,  # or `Failed` had ended the run
        ),
    ]
    report.conditions["duration"] = f"{time.monotonic() - started:.0f} s"
    return report, outcomes


def _many_descriptors(count: int) -> None:
    """The generator and the filters, which inherit it, need one for each connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * count + 512
    if soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _conditions(mode: str, pace: Pace) -> dict[str, str]:
    told = subprocess.run(
        [find_program("opendkim") or "opendkim", "-V"], capture_output=True, text=True, check=False
    ).stdout
    return {
        "date": time.strftime("%Y-%m-%d"),
        "mode": f"{mode}: {pace.turns} turns of {pace.seconds:g} s for each filter in each cell",
        "machine": f"{_processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "Python": platform.python_version(),
        "dkimcore": __version__,
        "opendkim": told.partition("\n")[0].partition(": ")[2],
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    sys.exit(main())
