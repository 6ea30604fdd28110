"""The command as a whole: versions, help, errors, a missing extra."""

from __future__ import annotations

import subprocess
import sys

import pytest

import dkimcore
from dkimcore.protocol.speedups import in_use

from .conftest import COMMAND

VERBS = ["sign", "verify", "keygen", "testkey", "record"]


def test_the_version_names_accelerators(run):
    ran = run("--version")
    assert ran.status == 0
    assert ran.out == f"dkimcore {dkimcore.__version__} (speedups: {in_use()})\n".encode()


def test_without_a_verb_it_shows_its_help(run):
    ran = run()
    assert ran.status == 64
    assert all(verb in ran.err for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help(run, verb):
    ran = run(verb, "--help")
    assert ran.status == 0
    assert ran.out.startswith(f"Usage: dkimcore {verb} ".encode())
    assert b"--json" in ran.out


def test_an_unknown_verb(run):
    ran = run("frobnicate")
    assert (ran.status, ran.out) == (64, b"")


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_extra_it_says_how_to_get_it(tmp_path, missing):
    code = (
        "import importlib.util as u, sys; find = u.find_spec;"
        f"u.find_spec = lambda name, *rest: None if name == {missing!r} else find(name, *rest);"
        "from dkimcore.cli import main; sys.exit(main(['--version']))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert ran.returncode == 78
    assert b"pip install 'dkimcore[cli]'" in ran.stderr
    assert ran.stdout == b""


def test_a_bug_is_one_line_and_a_status(run, monkeypatch, message):
    def broken(_):
        raise ZeroDivisionError

    monkeypatch.setattr("dkimcore.cli.verify.find_sources", broken)
    ran = run("verify", message)
    assert (ran.status, ran.out) == (70, b"")
    assert "ZeroDivisionError" in ran.err
    assert len(ran.err.splitlines()) == 1


def test_output_that_cannot_be_written(signed, records):
    command = f"{COMMAND} verify --records {records} {signed}"
    ran = shell(f"{command} > /dev/full")
    assert ran.returncode == 74
    assert ran.stderr.count(b"\n") == 1
    assert shell(f"{command} >&-").returncode == 74
    assert shell(f"{COMMAND} verify --records {records} <&-").returncode == 66


def shell(command):
    return subprocess.run(["/bin/sh", "-c", command], capture_output=True, check=False)


def test_signing_does_not_import_dns(keys, message):
    code = (
        "import sys; from dkimcore.cli import main; status = main(sys.argv[1:]);"
        "sys.exit(status or any(name in sys.modules for name in ('dns', 'rich', 'asyncio')))"
    )
    signer = f"example.com:s1:{keys}/s1.private"
    ran = subprocess.run(
        [sys.executable, "-c", code, "sign", "--signer", signer, message],
        capture_output=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


def test_colour_only_on_a_terminal_and_not_with_no_color(message, records):
    command = f"dkimcore verify --records {records} {message}"
    assert b"\x1b[" in on_a_terminal(command)
    assert b"\x1b[" not in on_a_terminal(command, NO_COLOR="1")


def on_a_terminal(command, **environment):
    """Runs a shell command with a pseudo-terminal as its output."""
    import os
    import pty

    folder = os.path.dirname(sys.executable)
    environment = {
        **os.environ,
        "PATH": f"{folder}:{os.environ['PATH']}",
        "TERM": "xterm",
        **environment,
    }
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        ["/bin/sh", "-c", command], stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        output = b""
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # Linux says EIO when the other side is closed
                break
            if not piece:
                break
            output += piece
        process.wait(timeout=30)
    os.close(ours)
    return output


def test_a_progress_bar_for_many_files_on_a_terminal(message, records, tmp_path):
    for number in range(40):
        (tmp_path / f"{number}.eml").write_bytes(message.read_bytes())
    output = on_a_terminal(f"dkimcore verify --records {records} {tmp_path}/*.eml")
    assert b"verifying" in output
    piped = on_a_terminal(f"dkimcore verify --records {records} {tmp_path}/*.eml 2>/dev/null")
    assert b"verifying" not in piped
    seen = on_a_terminal(f"dkimcore verify --records {records} {tmp_path}/*.eml >{tmp_path}/out")
    assert b"verifying" in seen
    assert (tmp_path / "out").read_bytes().count(b": none\n") == 41
