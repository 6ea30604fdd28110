"""No command that holds a private key can be dumped or traced by others of its user."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, MESSAGE

DOMAIN = ("-d", "example.com", "-s", "s1")
CALLS = {
    "keygen": ["keygen", *DOMAIN, "--type", "ed25519", "-D", "{new}"],
    "sign": ["sign", *DOMAIN, "-k", "{key}", "{message}"],
    "record": ["record", "--key", "{key}"],
    "testkey": ["testkey", *DOMAIN, "-k", "{key}", "--records", "{records}"],
    "testkey -x": ["testkey", "-x", "{conf}", "--records", "{records}"],
    "key show": ["key", "show", "{key}"],
    "key check": ["key", "check", "{key}"],
    "key import": ["key", "import", "{key}", "--to", "shelf:moved", "--backends", "{backends}"],
    "why": ["why", "-x", "{conf}", "{message}"],
}
# prctl(2): 3 is PR_GET_DUMPABLE.
CODE = """
import ctypes, resource, sys
from dkimcore.cli import main
prctl = ctypes.CDLL(None).prctl
hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
before = prctl(3, 0, 0, 0, 0)
status = main(sys.argv[1:])
now = prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE)[0]
print(status, before, *now, file=sys.stderr)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl")
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_command_is_protected(tmp_path, keys, records, message, shelf, call):
    conf = tmp_path / "milter.conf"
    conf.write_text(f"KeyFile {keys}/s1.private\nDomain example.com\nSelector s1\n")
    names = {
        "new": tmp_path,
        "key": f"{keys}/s1.private",
        "records": records,
        "message": message,
        "conf": conf,
        "backends": shelf.backends,
    }
    ran = subprocess.run(
        [sys.executable, "-c", CODE, *(word.format_map(names) for word in call)],
        capture_output=True,
        check=False,
        env={**os.environ, **shelf.environment},
    )
    assert ran.stderr.decode().splitlines()[-1] == "0 1 0 0"


def test_it_is_so_while_a_key_is_open(keys):
    """As a person calls it; more of a message than a pipe takes is only read by an open key."""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    with subprocess.Popen(
        [COMMAND, "sign", *DOMAIN, "-k", f"{keys}/s1.private"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (hard, hard)),
    ) as process:
        process.stdin.write(MESSAGE + b"more of it\r\n" * 100_000)
        process.stdin.flush()
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        signed, _ = process.communicate()
    assert signed.startswith(b"DKIM-Signature:")
    assert re.search(r"^Max core file size +0 ", limits, re.MULTILINE)
