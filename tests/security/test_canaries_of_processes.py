"""No secret is in anything that the milter and the commands write, with keys kept anywhere.

The milter runs as a process of its own with every logger at DEBUG: what is searched is what its
loggers hear, both of its outputs, its log as JSON and as datagrams of syslog, the metrics, the
files around it, and what the system shows of its processes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dkimcore.cli import main
from tests.backends.subject import eventually, toml
from tests.backends.subjects import shim_library
from tests.milter.processes import children
from tests.milter.scraping import fetch
from tests.security.canaries import listening
from tests.security.canaryfixtures import (
    CREDENTIALS,
    make,
    search,
    secret_hsm,
    secret_library,
)
from tests.security.hostile import hostile_faults
from tests.servers.filterprocess import FilterProcess
from tests.servers.milterclient import Delivery, deliver
from tests.servers.ministack import ACCESS_KEY

__all__ = ["make", "search", "secret_hsm", "secret_library", "shim_library"]  # fixtures

ROOT = Path(__file__).resolve().parents[2]
INSIDE = Delivery(host="localhost", address="127.0.0.1")
KINDS = ("file-rsa", "vault-kv-rsa", "vault-transit-ed25519", "awskms-ed25519")
KINDS += ("awskms-envelope-ed25519", "pkcs11-rsa")
CONF = """\
Mode s
KeyTable {folder}/KeyTable
SigningTable refile:{folder}/SigningTable
DkimcoreKeyBackends {folder}/keys.toml
DkimcoreMetrics local:{folder}/metrics
DkimcoreWorkers 1
AutoRestart yes
RequireSafeKeys no
LogWhy yes
ResolverTracing yes
SyslogSuccess yes
"""
STORE = {"deadline": 0.8, "refresh": 1.0}
QUICK = {"connect_timeout": 0.4, "read_timeout": 0.4}
MESSAGE = b"From: a@%s.example\r\nSubject: x\r\n\r\nHello\r\n"


class LoudMilter(FilterProcess):
    """The milter behind `tests.security.loud`.

    Args:
        log: What loggers hear.
        syslog: The socket of a syslog daemon.
    """

    def __init__(self, conf, *, files, log, syslog):
        super().__init__(conf, files=files)
        self._log, self._syslog = str(log), str(syslog)

    def command(self, conf, socket_name):
        """Our command line."""
        module = [sys.executable, "-m", "tests.security.loud", self._log, self._syslog]
        return [*module, "-f", "-x", str(conf), "-p", socket_name]

    def environment(self):
        """Where the module is."""
        return {"PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}

    def outputs(self):
        """Both of them."""
        return self._read("stdout"), self._read("stderr")


@contextlib.contextmanager
def syslog_daemon(path):
    """Takes datagrams, and gives what has come."""
    lines = []
    stop = threading.Event()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(str(path))
        daemon.settimeout(0.1)

        def read():
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    lines.append(daemon.recv(65536))

        thread = threading.Thread(target=read)
        thread.start()
        try:
            yield lines
        finally:
            stop.set()
            thread.join()


@pytest.fixture
def subjects(make, search, monkeypatch, tmp_path):
    """A key of each kind; AWS's credentials are in a file, for the environment is no secret."""
    made = {name: make(name) for name in KINDS}
    for name in ("AWS_ACCESS_KEY_ID", *CREDENTIALS):
        monkeypatch.delenv(name)
    credentials = tmp_path / "credentials"
    credentials.write_text(
        f"[default]\naws_access_key_id = {ACCESS_KEY}\n"
        + "".join(f"{name.lower()} = {value}\n" for name, value in CREDENTIALS.items())
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    return made


def files_of(subjects):
    rows, sections = [], []
    for name, subject in subjects.items():
        uri = subject.uri
        if subject.kind:
            uri += f"{'&' if '?' in uri else '?'}backend={subject.name}"
            section = {**subject.section(), **QUICK}
            sections.append(toml(STORE if not sections else {}, subject, section))
        rows.append(f"{name} {name}.example:s1:{uri.removeprefix('file:')}\n")
    return {
        "KeyTable": "".join(rows),
        "SigningTable": "".join(f"*@{name}.example {name}\n" for name in subjects),
        "keys.toml": sections[0] + "".join(each.removeprefix("[store]\n") for each in sections[1:]),
    }


def processes(milter):
    """What the system shows of the milter's processes."""
    shown = []
    for pid in (milter.pid, *children(milter.pid)):
        with contextlib.suppress(OSError):
            shown += [Path(f"/proc/{pid}/{name}").read_bytes() for name in ("environ", "cmdline")]
    return shown


@pytest.mark.parametrize("form", ["json", "syslog"])
def test_the_milter(subjects, search, tmp_path, form):
    signed = {}

    def send(name):
        outcome = deliver(milter.address, MESSAGE % name.encode(), INSIDE)
        search.texts.append(repr(outcome))
        signed[name] = signed.get(name, 0) + bool(outcome.changes)
        return bool(outcome.changes)

    log = tmp_path / "loggers"
    conf = f"{CONF}DkimcoreLogFormat {form}\nSyslog yes\n"
    with contextlib.ExitStack() as stack:
        datagrams = stack.enter_context(syslog_daemon(tmp_path / "syslog"))
        milter = stack.enter_context(
            LoudMilter(conf, files=files_of(subjects), log=log, syslog=tmp_path / "syslog")
        )
        for name in subjects:
            eventually(lambda name=name: send(name))
        for name, subject in subjects.items():
            # Each with the others of its kind: after a few, the breaker is open anyway.
            faults = hostile_faults(subject) + subject.signing_faults
            for fault in faults[:: 1 if form == "json" else 3]:
                with fault.breaks(subject):
                    send(name)
        with contextlib.ExitStack() as broken:
            for subject in subjects.values():
                for fault in hostile_faults(subject)[:1]:
                    broken.enter_context(fault.breaks(subject))
            os.kill(milter.pid, signal.SIGHUP)  # all keys are opened anew, and cannot be
            eventually(lambda: not send("vault-kv-rsa"))
            for name in subjects:
                send(name)
        for name in subjects:
            eventually(lambda name=name: send(name))
        status, _, metrics = fetch(f"local:{milter.folder}/metrics", "/metrics")
        assert status == 200
        shown = processes(milter)
        # The keys' files are ours; everything else in the folder is the milter's.
        search.folder = milter.folder
        milter.stop()
        said = [log.read_bytes(), metrics, *datagrams, *shown, *milter.outputs()]
        assert b"".join(datagrams if form == "syslog" else [milter.outputs()[0].encode()])
        search.demand_nothing(*said)
    assert all(signed.values())


def test_no_process_leaves_a_core_when_it_crashes(subjects, search, tmp_path):
    """A worker with open keys is ended by a crash; its memory is not written anywhere."""
    subjects = {"vault-kv-rsa": subjects["vault-kv-rsa"]}
    log = tmp_path / "loggers"
    before = set(ROOT.glob("core*"))
    with LoudMilter(
        f"{CONF}DkimcoreLogFormat json\n", files=files_of(subjects), log=log, syslog=tmp_path
    ) as milter:

        def send():
            message = MESSAGE % b"vault-kv-rsa"
            return bool(deliver(milter.address, message, INSIDE).changes)

        for number in (signal.SIGABRT, signal.SIGSEGV):
            eventually(send)
            crashed = children(milter.pid)  # the worker, and who serves the metrics
            assert crashed
            for pid in crashed:
                os.kill(pid, number)
            eventually(lambda crashed=crashed: not set(crashed) & set(children(milter.pid)))
        eventually(send)
        search.folder = milter.folder
        search.demand_nothing(log.read_bytes(), *milter.outputs())
        assert not list(milter.folder.glob("core*"))
    assert set(ROOT.glob("core*")) == before


CRASH = """
import os, resource, signal, sys
resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
from dkimcore.keys.coredumps import protect_memory
protect_memory(core_dumps=False)
os.kill(os.getpid(), signal.{name})
"""


@pytest.mark.parametrize("name", ["SIGABRT", "SIGSEGV"])
def test_the_system_writes_no_core_of_a_protected_process(tmp_path, name):
    child = subprocess.Popen([sys.executable, "-c", CRASH.format(name=name)], cwd=tmp_path)
    _, status = os.waitpid(child.pid, 0)
    child.returncode = status
    assert os.WTERMSIG(status) == signal.Signals[name]
    assert not os.WCOREDUMP(status)
    assert list(tmp_path.iterdir()) == []


# --- Commands -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in KINDS if name != "file-rsa"])
def test_the_commands(make, search, tmp_path, capfd, name):
    subject = make(name)
    if subject.kind == "vault":  # who makes keys may do more than who signs
        subject.token = subject.server.root_token
        subject.write("token", subject.token)
        search.add(subject)
    backends = tmp_path / "keys.toml"
    backends.write_text(toml({}, subject, {**subject.section(), "read_timeout": 10.0}))
    message = tmp_path / "message"
    message.write_bytes(MESSAGE % b"example")
    own = make("file-rsa")
    path = own.uri.removeprefix("file:")
    where = ["--backends", str(backends)]
    key = ["-d", "example.com", "-s", "s1"]
    made = [*where, "-D", str(tmp_path), "-v"]
    calls = [
        ["key", "import", path, "--to", subject.another_uri("old"), *where],
        ["keygen", *key, "--type", "rsa", "--key", subject.another_uri("new"), *made],
        ["record", "--key", subject.uri, *where],
        ["testkey", *key, "-k", subject.uri, *where, "--records", str(tmp_path / "s1.txt"), "-vvv"],
        ["sign", *key, "-k", subject.uri, *where, str(message)],
        ["key", "show", subject.uri, *where],
        ["key", "check", subject.uri, *where],
    ]
    statuses = []
    with listening() as heard:
        for call in calls:
            statuses.append(main(call))
        for fault in (*hostile_faults(subject), *subject.opening_faults[:2]):
            for call in calls[2:3] + calls[:1]:
                with fault.breaks(subject) as other:
                    main([other if each == subject.uri and other else each for each in call])
    out, err = capfd.readouterr()
    assert statuses == [0, 0, 0, 65, 0, 0, 0], err  # s1.txt has the record of the new key
    assert out
    search.demand_nothing(heard.text, out, err)
