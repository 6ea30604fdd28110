"""Shows that each module of the protocol core is fully covered by its own test file.

For every ``src/dkimcore/protocol/X.py`` it runs ``tests/protocol/test_X.py`` alone and
demands that all lines and all branches of X were taken. Coverage by some other
module's tests is luck, and goes when that other test changes.

usage: python scripts/module_coverage.py [MODULE...]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Measurement", "main", "measure"]

ROOT = Path(__file__).resolve().parent.parent
SOURCES = Path("src/dkimcore/protocol")
TESTS = Path("tests/protocol")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one test file covers of its module; ``problem`` is empty when that is all of it."""

    module: str
    percent: float
    problem: str


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Runs a module of Python's in the project's folder and keeps what it prints."""
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, text=True, capture_output=True, check=False
    )


def measure(module: str) -> Measurement:
    """Runs one test file under coverage, for its module only."""
    source = SOURCES / f"{module}.py"
    test = TESTS / f"test_{module}.py"
    if not (ROOT / test).exists():
        return Measurement(module=module, percent=0.0, problem=f"{test} does not exist")
    with tempfile.TemporaryDirectory() as folder:
        # The project's own configuration traces the whole package, which only costs time here.
        settings = Path(folder, "settings")
        settings.write_text(f"[run]\nbranch = true\nrelative_files = true\ninclude = {source}\n")
        data, report = Path(folder, "data"), Path(folder, "report.json")
        tests = run(
            [
                *("coverage", "run", f"--rcfile={settings}", f"--data-file={data}"),
                *("-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", str(test)),
            ]
        )
        if tests.returncode:
            return Measurement(module=module, percent=0.0, problem=closing(tests.stdout))
        run(["coverage", "json", "-q", f"--data-file={data}", "-o", str(report)])
        if not report.exists():
            return Measurement(module=module, percent=0.0, problem=f"{test} never imports it")
        return judge(module, json.loads(report.read_text())["files"][str(source)])


def closing(output: str) -> str:
    """Returns pytest's summary: the names of the tests that failed."""
    _, found, summary = output.partition("short test summary info")
    return f"{TESTS} fails:\n{summary.partition(chr(10))[2] if found else output}"


def judge(module: str, figures: dict[str, object]) -> Measurement:
    """Reads coverage's own report on one file."""
    summary = figures["summary"]
    assert isinstance(summary, dict)
    problem = ""
    if figures["missing_lines"] or figures["missing_branches"]:
        problem = (
            f"lines not run: {figures['missing_lines']}; "
            f"branches not taken: {figures['missing_branches']}"
        )
    return Measurement(module=module, percent=summary["percent_covered"], problem=problem)


def main(arguments: list[str]) -> int:
    """Measures the named modules, or all; the exit status is 1 if any has a gap."""
    modules = arguments or sorted(
        path.stem for path in (ROOT / SOURCES).glob("*.py") if path.stem != "__init__"
    )
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        measurements = list(pool.map(measure, modules))
    for found in measurements:
        print(f"{found.percent:6.1f} %  {SOURCES / found.module}.py  {found.problem}".rstrip())
    gaps = sum(bool(found.problem) for found in measurements)
    print(f"{len(measurements) - gaps} of {len(measurements)} modules covered by their own tests")
    return 1 if gaps else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
