"""Programs of the tests: as nobody, and never left behind."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import requires_server
from tests.servers.postfix import wait_until
from tests.servers.program import Program, open_folder, unprivileged

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
SLEEP = ["/bin/sleep", "100"]
KILLED = """
import os, signal, sys
from pathlib import Path
from tests.servers.program import Program
program = Program(["/bin/sleep", "100"], folder=Path(sys.argv[1]), environment={})
print(program.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def folder():
    path = open_folder("dkimcore-test-")
    yield path
    for file in path.iterdir():
        file.unlink()
    path.rmdir()


def test_it_runs_until_it_is_closed_and_its_pid_is_free_then(folder):
    with Program(SLEEP, folder=folder, environment={}) as program:
        assert program.running
        assert program.memory() > 0
    assert not program.running
    assert not Path(f"/proc/{program.pid}").exists()
    program.stop()  # again is harmless


def test_one_that_ends_by_itself_does_not_become_ready(folder):
    with Program(["/bin/sh", "-c", "echo no"], folder=folder, environment={}) as program:
        assert not program.becomes(lambda: False)
        assert program.log() == "no\n"


@AS_ROOT
def test_root_runs_it_as_nobody_though_its_folder_is_closed(folder, tmp_path):
    tmp_path.chmod(0o700)
    copy = tmp_path / "sleep"
    copy.write_bytes(Path("/bin/sleep").read_bytes())
    copy.chmod(0o755)
    nobody = pwd.getpwnam("nobody").pw_uid
    with Program([str(copy), "100"], folder=folder, environment={}) as program:
        owner = Path(f"/proc/{program.pid}/status").read_text().split("Uid:")[1].split()
        assert set(owner[:4]) == {str(nobody)}


@AS_ROOT
def test_a_script_in_a_closed_folder_may_read_but_not_write(folder, tmp_path):
    tmp_path.chmod(0o700)
    script = tmp_path / "script"
    script.write_text('#!/bin/sh\nid -u; cat "$0" >/dev/null && ! touch "$0.new" 2>/dev/null\n')
    script.chmod(0o755)
    command = unprivileged([str(script)], [str(script)])
    if command[0] != str(script):
        assert "--no-new-privs" in command
    with Program(command, folder=folder, environment={"PATH": os.defpath}) as program:
        program.becomes(lambda: False)
        assert program.log() == f"{pwd.getpwnam('nobody').pw_uid}\n"
    assert list(tmp_path.iterdir()) == [script]


def test_a_program_that_nobody_can_run_is_an_error_that_says_so():
    if os.geteuid() == 0:
        with pytest.raises(RuntimeError, match="cannot be run as the user nobody"):
            unprivileged(["/nonexistent"], ["/nonexistent"])
    else:
        assert unprivileged(["/nonexistent"], ["/nonexistent"]) == ["/nonexistent"]


def test_a_killed_run_of_the_tests_takes_it_along(folder):
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert killed.returncode == -signal.SIGKILL
    process = Path(f"/proc/{int(killed.stdout)}")
    wait_until(lambda: not process.exists(), "the program to end")


@pytest.mark.parametrize("name", ["openbao", "ministack", "softhsm"])
def test_a_server_that_is_absent_is_said_with_its_cure(name, monkeypatch, tmp_path):
    monkeypatch.setattr("tests.servers.openbao.SERVERS", tmp_path)
    monkeypatch.setattr("tests.servers.ministack.SERVERS", tmp_path)
    monkeypatch.setattr("tests.servers.find_program", lambda _: None)
    monkeypatch.setattr("tests.servers.openbao.find_program", lambda _: None)
    cure = "apt-get install softhsm2" if name == "softhsm" else "scripts/setup.sh test"
    for variable in ("CI", "DKIMCORE_REQUIRE_SERVERS"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(pytest.skip.Exception, match=f"{name} is not installed: .*{cure}"):
        requires_server(name)
    monkeypatch.setenv("DKIMCORE_REQUIRE_SERVERS", "1")
    with pytest.raises(pytest.fail.Exception, match=cure):
        requires_server(name)
