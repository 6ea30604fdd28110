"""Each fuzz target runs for a short while; the long runs are a person's, or a nightly job's."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import servers_required

ROOT = Path(__file__).resolve().parent.parent.parent
TARGETS = sorted(path.stem for path in Path(__file__).parent.glob("fuzz_*.py"))
RUNS = 5000


def run(target, *options, folder):
    # libFuzzer looks at the greatest memory that its process ever had, which a process gets from
    # the one that made it: from ours, which may be large, if the shell did not make another.
    return subprocess.run(
        [
            "sh",
            "-c",
            '"$@"; exit $?',
            "sh",
            sys.executable,
            "-m",
            f"tests.fuzz.{target}",
            f"-artifact_prefix={folder}/",
            *options,
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=110,
        check=False,
    )


def requires_atheris():
    if importlib.util.find_spec("atheris") is None:
        if servers_required():
            pytest.fail("atheris is not installed: pip install -e '.[test]'")
        pytest.skip("atheris is not installed: pip install -e '.[test]'")


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_finds_nothing_in_a_short_run(target, tmp_path):
    requires_atheris()
    options = (f"-runs={RUNS}", f"-seed={1 if servers_required() else 0}")
    done = run(target, *options, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Done {RUNS} runs" in done.stderr
    # Branches of the library were seen, and more than the seeds alone reach.
    covered = [int(number) for number in re.findall(r"cov: (\d+)", done.stderr)]
    assert covered[-1] > 50


def test_every_target_has_seeds():
    for target in TARGETS:
        folder = Path(__file__).parent / "corpus" / target.removeprefix("fuzz_")
        assert len(list(folder.iterdir())) > 4
