"""Runs the commands: in this process for speed, or as a person does, in one of their own."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from dkimcore.cli import main

ROOT = Path(__file__).resolve().parents[2]
COMMAND = Path(sys.executable).with_name("dkimcore")

MESSAGE = (
    b"From: Ada <ada@example.com>\r\n"
    b"To: bo@recipient.example\r\n"
    b"Subject: Minutes\r\n"
    b"Date: Mon, 16 Nov 2026 09:12:44 +0000\r\n"
    b"\r\n"
    b"Dear Bo,\r\n"
    b"\r\n"
    b"here they are.\r\n"
)


@dataclass(frozen=True, slots=True)
class Run:
    """What a command did."""

    status: int
    out: bytes
    err: str

    @property
    def json(self):
        """The JSON objects it printed, one per line."""
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def run(monkeypatch, capfdbinary):
    """Runs a command in this process; standard input is what `stdin` says."""

    def call(*arguments, stdin=b""):
        capfdbinary.readouterr()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        status = main([str(argument) for argument in arguments])
        sys.stdout.flush()
        out, err = capfdbinary.readouterr()
        return Run(status, out, err.decode())

    return call


@pytest.fixture
def program():
    """Runs the installed command in a process of its own."""

    def call(*arguments, stdin=b"", **environment):
        ran = subprocess.run(
            [COMMAND, *map(str, arguments)],
            input=stdin,
            capture_output=True,
            check=False,
            timeout=60,
            env={**os.environ, **environment},
        )
        return Run(ran.returncode, ran.stdout, ran.stderr.decode())

    return call


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    """A folder with the keys s1 and s1-ed25519 of example.com, other, and ``records``."""
    folder = tmp_path_factory.mktemp("keys")
    assert main(["keygen", "-d", "example.com", "-s", "s1", "-D", str(folder)]) == 0
    other = ["keygen", "-d", "example.com", "-s", "other", "-D", str(folder), "--type", "rsa"]
    assert main(other) == 0
    texts = [path.read_text() for path in sorted(folder.glob("s1*.txt"))]
    (folder / "records").write_text("".join(texts))
    return folder


@pytest.fixture
def records(keys):
    """The file with the records of s1 and s1-ed25519."""
    return keys / "records"


@pytest.fixture
def signers(keys):
    """The options that sign with both keys."""
    return [
        "--signer",
        f"example.com:s1:{keys}/s1.private",
        "--signer",
        f"example.com:s1-ed25519:file:{keys}/s1-ed25519.private",
    ]


@pytest.fixture
def message(tmp_path):
    """A file with a message."""
    path = tmp_path / "message.eml"
    path.write_bytes(MESSAGE)
    return path


@pytest.fixture
def signed(run, signers, message):
    """A file with a signed message."""
    ran = run("sign", *signers, message)
    assert ran.status == 0
    path = message.with_name("signed.eml")
    path.write_bytes(ran.out)
    return path


@pytest.fixture
def open_folder():
    """A folder that every user can enter; pytest's own are closed."""
    with tempfile.TemporaryDirectory(prefix="dkimcore-test-") as folder:
        path = Path(folder)
        path.chmod(0o755)
        yield path


@dataclass(frozen=True, slots=True)
class Shelf:
    """An installed key backend of a third party, `tests.cli.shelf`, and the file that names it."""

    folder: Path
    backends: Path
    site: Path

    @property
    def environment(self):
        """What makes a process of its own find it."""
        return {"PYTHONPATH": f"{self.site}{os.pathsep}{ROOT}"}


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """Installs a backend with the scheme ``shelf`` and a key maker for it."""
    site, folder = tmp_path / "site", tmp_path / "shelf"
    folder.mkdir()
    info = site / "dkim_shelf-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dkim-shelf\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[dkimcore.keys]\nshelf = tests.cli.shelf:open_key\nmissing = tests.cli.no_such:open_key\n"
        "[dkimcore.keymakers]\nshelf = tests.cli.shelf\n"
    )
    monkeypatch.syspath_prepend(str(site))
    backends = tmp_path / "keys.toml"
    backends.write_text('[backend.hall]\ntype = "shelf"\nfolder = "shelf"\n')
    return Shelf(folder, backends, site)
