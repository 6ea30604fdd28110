"""The command: ``python -m benchmarks.soak``."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.report import Report, as_json, as_markdown, as_text
from benchmarks.soak.site import Site
from benchmarks.soak.soak import WARM_UP, Plan, Soak, soak
from benchmarks.soak.tables import sections
from benchmarks.soak.traffic import WrongAnswer
from dkimcore.version import __version__

__all__ = ["main"]

TABLE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "soak_table.md"


def main() -> int:
    """Runs what the arguments say; 1 if something is not as it should be."""
    parser = _parser()
    arguments = parser.parse_args()
    if arguments.messages <= WARM_UP:
        parser.error(f"--messages has to be over {WARM_UP}, after which memory is compared")
    plan = Plan(messages=arguments.messages, lanes=arguments.lanes)
    plan = replace(plan, stretch=max(1000, arguments.messages // 30))
    plans = [plan]
    if arguments.reloads:
        plans.append(replace(plan, reloads=arguments.reloads))
    try:
        runs = [_run(each) for each in plans]
    except (WrongAnswer, TimeoutError) as error:
        print(f"a message failed: {error}", file=sys.stderr)
        return 1
    report = Report(conditions=_conditions(), sections=sections(runs))
    print(as_text(report), end="")
    if arguments.json:
        arguments.json.write_text(as_json(report), "utf-8")
    if arguments.docs:
        TABLE.write_text(as_markdown(report), "utf-8")
    faults = [fault for run in runs for fault in run.faults()]
    for fault in faults:
        print(f"FAULT: {fault}", file=sys.stderr)
    return 1 if faults else 0


def _run(plan: Plan) -> Soak:
    def tell(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    with Site(dns=Site.can_ask()) as site:
        return soak(site, plan, tell)


def _conditions() -> dict[str, str]:
    return {
        "date": time.strftime("%Y-%m-%d"),
        "dkimcore": __version__,
        "Python": platform.python_version(),
        "cores": str(len(os.sched_getaffinity(0))),
        "keys": "from NSD over the DNS" if Site.can_ask() else "from a file",
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak",
        description="Sends mixed, hostile and unfinished messages to a milter of two workers and "
        "watches its memory, its descriptors and its answers. Progress is on standard error, "
        "the tables on standard output.",
    )
    parser.add_argument("--messages", type=int, default=300_000, metavar="N")
    parser.add_argument(
        "--reloads", type=int, default=0, metavar="N", help="a second run with so many reloads"
    )
    parser.add_argument("--lanes", type=int, default=16, metavar="N", help="connections at once")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to it")
    parser.add_argument("--docs", action="store_true", help="write the table of the documentation")
    return parser


if __name__ == "__main__":
    sys.exit(main())
