"""The clock is stepped, forwards and backwards, while mail is served.

The filter runs with a C library's clock that the test moves: a shared object in front of it
(LD_PRELOAD) adds what a file says to the time of day.  Only decisions follow it (t=, x=);
whatever waits is timed by the monotonic clock, which nobody can step.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import signal
import struct
import subprocess
import time
from pathlib import Path

import pytest

import dkimcore
import dkimcore_milter
from dkimcore.testing import StaticResolver
from tests.faults.harness import (
    DOMAIN,
    FILES,
    INSIDE,
    KEY,
    MESSAGE,
    OUTSIDE,
    SIGNING,
    demand_signed,
    the_worker,
)
from tests.faults.test_key_files import NEW, TABLE_FILES, TABLES, put
from tests.milter.processes import children
from tests.resolvers.hostile import HostileServer, answered, records
from tests.servers.dkimcoremilter import DkimcoreMilter
from tests.servers.milterclient import Outlook, deliver

DAY = 86_400
YEAR = 365 * DAY
STEPS = {
    "a day back": -DAY,
    "ten years back": -10 * YEAR,
    "a day on": DAY,
    "ten years on": 10 * YEAR,
}

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

static volatile long *offset;

__attribute__((constructor)) static void start(void) {
    int file = open(getenv("CLOCK_OFFSET"), O_RDONLY);
    offset = mmap(0, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
}

int clock_gettime(clockid_t id, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, now);
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)
        now->tv_sec += *offset;
    return result;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now)
        *now = precise.tv_sec;
    return precise.tv_sec;
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("the clock is moved by a few lines of C, and there is no compiler")
    folder = tmp_path_factory.mktemp("clock")
    (folder / "clock.c").write_text(SOURCE)
    command = [compiler, "-shared", "-fPIC", "-o", "clock.so", "clock.c", "-ldl"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "clock.so"


class Clock:
    """The clock of filters that start from now on.

    Attributes:
        offset: Seconds by which it is wrong.
    """

    def __init__(self, path):
        self._path = path
        self.step(0)

    def step(self, offset):
        """Sets how wrong it is."""
        self.offset = offset
        with open(os.open(self._path, os.O_WRONLY | os.O_CREAT), "wb") as file:
            file.write(struct.pack("l", offset))

    @property
    def now(self):
        return int(time.time()) + self.offset


@pytest.fixture
def clock(library, tmp_path, monkeypatch):
    made = Clock(tmp_path / "offset")
    monkeypatch.setenv("CLOCK_OFFSET", str(tmp_path / "offset"))
    # Only the filter may get it: what else a test starts needs the right time.
    command = DkimcoreMilter.command

    def preloaded(self, conf, socket_name):
        return ["/usr/bin/env", f"LD_PRELOAD={library}", *command(self, conf, socket_name)]

    monkeypatch.setattr(DkimcoreMilter, "command", preloaded)
    return made


def signed_at(outcome):
    """The time of a message's only signature, after demanding that it passes at that time."""
    (change,) = outcome.changes
    (text,) = re.findall(rb"\bt=(\d+)", change.value)
    records_ = {f"s1._domainkey.{DOMAIN}": KEY.key_record()}
    at = int(text)
    results = dkimcore.verify(outcome.message(), resolver=StaticResolver(records_), now=at)
    assert [str(result.status) for result in results] == ["pass"]
    return at


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_signatures_have_the_time_of_the_clock_as_it_is(clock, step):
    with DkimcoreMilter(SIGNING, files=FILES) as milter:
        worker = the_worker(milter)
        for offset in (0, step, 0):
            clock.step(offset)
            before = clock.now
            at = signed_at(deliver(milter.address, MESSAGE, INSIDE))
            assert before <= at <= clock.now + 1
        assert the_worker(milter) == worker


def test_a_signature_expires_by_the_clock_as_it_is(clock):
    signer = dkimcore.Signer.make(DOMAIN, "s1", KEY, profile=dkimcore.SigningProfile(lifetime=DAY))
    (field,) = dkimcore.sign(MESSAGE, [signer])
    message = field.raw + b"\r\n" + MESSAGE
    rows = f"s1._domainkey.{DOMAIN} {KEY.key_record().decode()}\n"
    conf = "Mode v\nTestPublicKeys {folder}/records\n"
    with DkimcoreMilter(conf, files={"records": rows}) as milter:
        told = []
        for offset in (0, 2 * DAY, 0, -2 * DAY, 0):
            clock.step(offset)
            (change,) = deliver(milter.address, message, OUTSIDE).changes
            told.append(b"dkim=pass" in change.value)
        assert told == [True, False, True, False, True]


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_a_step_while_the_dns_is_asked(clock, step):
    """Neither is the answer missed, nor is an answer that never comes waited for longer."""
    (field,) = dkimcore.sign(MESSAGE, [dkimcore.Signer.make(DOMAIN, "s1", KEY)])
    message = field.raw + b"\r\n" + MESSAGE
    silent = []

    def reply(query, _over_tcp):
        clock.step(clock.offset + step)
        if silent:
            return b"no answer"  # wakes who waits, so that it looks at its clock again
        return answered(query, records(query, KEY.key_record(), ttl=0))

    with HostileServer(reply) as server:
        host, port = server.address
        conf = f"Mode v\nNameservers {host}:{port}\nDNSTimeout 2\nClockDrift {20 * YEAR}\n"
        with DkimcoreMilter(conf) as milter:
            (change,) = deliver(milter.address, message, OUTSIDE).changes
            assert b"dkim=" in change.value
            assert b"temperror" not in change.value
            silent.append(True)
            outcome = deliver(milter.address, message, OUTSIDE, timeout=15)
            assert outcome.changes == ()
            assert outcome.reply.outlook is Outlook.TEMPFAIL or "451" in outcome.reply.text


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_a_step_before_a_worker_dies_and_a_key_changes(clock, step):
    """Restarts are timed by another clock, and a new key file is seen whatever its time says."""
    conf = f"{TABLES}AutoRestart yes\nAutoRestartRate 10/1h\n"
    with DkimcoreMilter(conf, files=TABLE_FILES) as milter:
        demand_signed(deliver(milter.address, MESSAGE, INSIDE))
        worker = the_worker(milter)
        clock.step(step)
        os.kill(worker, signal.SIGKILL)
        milter.wait_for("terminated with signal 9, restarting")
        signed_at(deliver(milter.address, MESSAGE, INSIDE, timeout=15))
        assert children(milter.pid, 1) != [worker]
        put(milter, NEW.private_pem())
        assert deliver(milter.address, MESSAGE, INSIDE).changes
        put(milter, KEY.private_pem())
        signed_at(deliver(milter.address, MESSAGE, INSIDE))
        os.kill(milter.pid, signal.SIGHUP)
        milter.wait_for("configuration reloaded from")
        signed_at(deliver(milter.address, MESSAGE, INSIDE))
        assert milter.stop() == 0


# --- Who looks at the clock at all ------------------------------------------------------

TIME_OF_DAY = {"time", "time_ns", "now", "utcnow", "today", "localtime", "gmtime", "ctime"}
MAY_LOOK = {
    "engine.py": "decides about t= and x=",
    "freshkeys.py": "compares with the times of files",
    "logsink.py": "dates lines",
    "metrics.py": "dates what it exports",
    "collector.py": "dates what it exports",
    "supervisor.py": "says when it was started",
    "testmode.py": "decides about t= and x=, in -t",
}


def looks(path):
    """Whether a module asks for the time of day: ``time.time`` or ``datetime.now``."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Attribute(value=ast.Name(id="time" | "datetime" | "date"), attr=name):
                found = {name}
            case ast.ImportFrom(module="time", names=names):
                found = {name.name for name in names}
            case _:
                continue
        if found & TIME_OF_DAY:
            return True
    return False


def test_only_these_look_at_the_time_of_day():
    folder = Path(dkimcore_milter.__file__).parent
    found = {path.name for path in folder.glob("*.py") if looks(path)}
    resolvers = Path(dkimcore.__file__).parent / "resolvers"
    assert not {path.name for path in resolvers.glob("*.py") if looks(path)}
    assert found <= set(MAY_LOOK), f"wait by time.monotonic: {sorted(found - set(MAY_LOOK))}"
