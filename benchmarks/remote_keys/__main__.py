"""The command: ``python -m benchmarks.remote_keys``."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.contenders import WrongAnswer
from benchmarks.remote_keys import milter, scenario
from benchmarks.remote_keys.callers import NoSignature
from benchmarks.remote_keys.contest import measure
from benchmarks.remote_keys.overhead import overhead
from benchmarks.remote_keys.pictures import pictures
from benchmarks.remote_keys.scenario import Pace
from benchmarks.remote_keys.sites import Sites, at_hand
from benchmarks.remote_keys.tables import milter_section, sections, summary, targets
from benchmarks.report import Report, as_json, as_markdown, as_text
from benchmarks.throughput.answers import Failed
from dkimcore.errors import DkimError
from dkimcore.version import __version__
from tests.servers.filterprocess import DidNotStart

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.remote_keys.contest import Outcome
    from benchmarks.remote_keys.milter import MilterOutcome
    from benchmarks.remote_keys.scenario import Cell

__all__ = ["main"]

DOCS = Path(__file__).resolve().parents[2] / "docs" / "explanation"
_QUICK = Pace(rounds=1, seconds=0.25, local=0.06)
_FULL = Pace(rounds=3, seconds=0.6, local=0.15)
_MILTERS = 5, 1.0  # turns and seconds: a milter has more to do with its time than sign


def main() -> int:
    """Runs what the arguments say."""
    arguments = _parser().parse_args()
    pace = _QUICK if arguments.quick else _FULL
    pace = replace(
        pace, rounds=arguments.rounds or pace.rounds, seconds=arguments.seconds or pace.seconds
    )
    real = () if arguments.no_servers else at_hand()
    cells = scenario.quick(real) if arguments.quick else scenario.full(real)
    cells = [cell for cell in cells if arguments.only in str(cell)]
    try:
        report, outcomes, milters = _run(cells, pace, real, arguments)
    except (DkimError, NoSignature, Failed, WrongAnswer, DidNotStart) as error:
        print(f"a signature or a message failed: {error}", file=sys.stderr)
        return 1
    print(as_text(report), end="")
    if arguments.json:
        arguments.json.write_text(as_json(report), "utf-8")
    if arguments.docs:
        (DOCS / "remote_keys_table.md").write_text(as_markdown(report), "utf-8")
        (DOCS / "remote_keys_summary.md").write_text(summary(outcomes, milters), "utf-8")
        for name, picture in pictures(outcomes).items():
            (DOCS / name).write_text(picture, "utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.remote_keys",
        description="Signs with keys that are kept elsewhere, so and so far away, with so and so "
        "many messages in flight, and compares them with a key in a file. A signature that does "
        "not come ends the run. Progress is on standard error, the tables on standard output.",
        epilog="docs/explanation/performance.md says how to read the tables.",
    )
    parser.add_argument("--quick", action="store_true", help="under 30 s, with fewer cells")
    parser.add_argument("--rounds", type=int, metavar="N", help="turns of each cell")
    parser.add_argument("--seconds", type=float, metavar="S", help="of each turn")
    parser.add_argument(
        "--only",
        default="",
        metavar="TEXT",
        help='cells with this in their name, such as "stand-in awskms RSA-2048 10 ms"',
    )
    parser.add_argument(
        "--parts",
        default="keys,store,milter",
        metavar="LIST",
        help="keys: signatures in flight; store: what the key store costs; milter: the milter",
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="calls under way at once; sets threads="
    )
    parser.add_argument(
        "--work",
        action="store_true",
        help="the stand-in takes the time for each signature that OpenBao takes, on four cores",
    )
    parser.add_argument(
        "--no-servers",
        action="store_true",
        help="the stand-in alone, without OpenBao, ministack and SoftHSM",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to it")
    parser.add_argument(
        "--docs", action="store_true", help="write the tables and pictures of the documentation"
    )
    return parser


def _run(
    cells: Sequence[Cell], pace: Pace, real: Sequence[str], arguments: argparse.Namespace
) -> tuple[Report, list[Outcome], list[MilterOutcome]]:
    started = time.monotonic()
    parts = arguments.parts.split(",")
    report = Report(conditions=_conditions(pace, real, quick=arguments.quick))
    outcomes: list[Outcome] = []
    milters: list[MilterOutcome] = []
    with Sites(real, threads=arguments.threads, works=arguments.work) as sites:
        if "store" in parts:
            rounds, slot = (5, 0.04) if arguments.quick else (31, 0.15)
            report.sections.append(overhead(sites, rounds=rounds, slot=slot))
        if "milter" in parts:
            wanted = milter.quick() if arguments.quick else milter.full()
            turns, seconds = (pace.rounds, pace.seconds) if arguments.quick else _MILTERS
            milters = milter.measure_milters(wanted, sites, turns=turns, seconds=seconds)
            report.sections.append(milter_section(milters))
        if "keys" in parts and cells:
            outcomes = measure(cells, sites, pace)
            made = sections(outcomes)
            made[0].targets += targets(outcomes)
            report.sections += made
    report.conditions["duration"] = f"{time.monotonic() - started:.0f} s"
    return report, outcomes, milters


def _conditions(pace: Pace, real: Sequence[str], *, quick: bool) -> dict[str, str]:
    return {
        "date": time.strftime("%Y-%m-%d"),
        "mode": f"{'quick' if quick else 'full'}: {pace.rounds} turns of {pace.seconds:g} s",
        "machine": f"{_processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "servers": ", ".join(["the stand-in", *real]),
        "Python": platform.python_version(),
        "dkimcore": __version__,
        "urllib3": version("urllib3"),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    sys.exit(main())
