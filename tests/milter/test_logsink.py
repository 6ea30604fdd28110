"""Log lines arrive where they should, one line each, and never stop the mail."""

from __future__ import annotations

import fcntl
import json
import os
import re
import socket
import syslog as syslog_codes
import time
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest

from dkimcore.settings.model import LogFormat, Logging, Settings
from dkimcore.settings.words import FACILITIES
from dkimcore_milter import outlets
from dkimcore_milter.logline import Level, LogLine
from dkimcore_milter.logsink import MAX_JSON_OCTETS, MAX_TEXT_OCTETS, escaped, make_log
from dkimcore_milter.meter import Meter, measure
from dkimcore_milter.metrics import Count
from tests.forked import fork

SYSLOG = Settings(logging=Logging(enabled=True))
JSON = Settings(logging=Logging(format=LogFormat.JSON))
SIGNED = LogLine(
    level=Level.INFO,
    text="DKIM-Signature field added (s=s1, d=example.com)",
    event="signed",
    job_id="4XyZ",
    fields={"domain": "example.com", "bits": 2048, "none": None},
)
NOTICE = LogLine(level=Level.NOTICE, text="terminating", event="stop")
FORGED = "bad\n<22>Nov 22 00:00:00 mx postfix: forged\r\x1b[2J\u2028\u202e\x85\udc80\U000e0041"
HARMLESS = (
    r"bad\x0a<22>Nov 22 00:00:00 mx postfix: forged\x0d\x1b[2J\u2028\u202e\x85\udc80\U000e0041"
)


@contextmanager
def daemon(path, kind=socket.SOCK_DGRAM):
    """A syslog daemon's socket."""
    with socket.socket(socket.AF_UNIX, kind) as listening:
        listening.bind(str(path))
        listening.settimeout(10)
        if kind == socket.SOCK_STREAM:
            listening.listen()
        yield listening
    path.unlink()


def waiting(listening):
    """How many datagrams can be received at once."""
    listening.settimeout(0)
    count = 0
    with suppress(BlockingIOError):
        while listening.recv(10_000):
            count += 1
    return count


def syslog(address, **options):
    settings = replace(SYSLOG, logging=replace(SYSLOG.logging, **options))
    return make_log(settings, name="dkimcore-milter", address=str(address))


@pytest.fixture
def pipe():
    """A pipe: the end to read from, and the end for the log."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "wb") as writer:
        yield reader, writer


def to(writer):
    return make_log(JSON, name="dkimcore-milter", descriptor=writer.fileno())


def fill(writer):
    """Writes until a pipe takes no more; returns how many octets that were."""
    flags = fcntl.fcntl(writer, fcntl.F_GETFL)
    fcntl.fcntl(writer, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    count = 0
    try:
        while True:
            count += os.write(writer.fileno(), b"\n" * 1024)
    except BlockingIOError:
        return count
    finally:
        fcntl.fcntl(writer, fcntl.F_SETFL, flags)


class TestSyslog:
    def test_a_line_has_the_form_of_syslog_3(self, tmp_path):
        with daemon(tmp_path / "log") as listening:
            syslog(tmp_path / "log")(SIGNED)
            line = listening.recv(10_000).decode()
        pattern = r"<22>([A-Z][a-z]{2} [ 1-3]\d \d\d:\d\d:\d\d) dkimcore-milter\[(\d+)\]: (.*)"
        found = re.fullmatch(pattern, line)
        assert found
        assert int(found[2]) == os.getpid()
        assert found[3] == "4XyZ: DKIM-Signature field added (s=s1, d=example.com)"
        assert found[1] in {
            time.strftime("%b %e %H:%M:%S", time.localtime(time.time() - ago)) for ago in range(60)
        }

    def test_facility_and_ident_are_those_of_the_settings(self, tmp_path):
        with daemon(tmp_path / "log") as listening:
            syslog(tmp_path / "log", facility="Local3", name="opendkim")(NOTICE)
            line = listening.recv(10_000).decode()
        assert line.startswith(f"<{19 * 8 + 5}>")
        assert line.endswith(f" opendkim[{os.getpid()}]: terminating")

    @pytest.mark.parametrize("facility", sorted(set(FACILITIES.values()) - {"ftp"}))
    def test_each_facility_has_the_code_of_syslog_3(self, tmp_path, facility):
        with daemon(tmp_path / "log") as listening:
            syslog(tmp_path / "log", facility=facility)(NOTICE)
            code = getattr(syslog_codes, f"LOG_{facility.upper()}")
            assert listening.recv(100).startswith(f"<{code | syslog_codes.LOG_NOTICE}>".encode())

    def test_what_a_stranger_sent_stays_on_its_line(self, tmp_path):
        with daemon(tmp_path / "log") as listening:
            syslog(tmp_path / "log")(replace(SIGNED, text=FORGED, job_id="a\nb"))
            line = listening.recv(10_000)
        assert line.decode().endswith(rf": a\x0ab: {HARMLESS}")

    def test_letters_of_all_languages_stay(self, tmp_path):
        with daemon(tmp_path / "log") as listening:
            syslog(tmp_path / "log")(replace(NOTICE, text="grüße 例"))
            assert listening.recv(10_000).endswith(": grüße 例".encode())

    def test_a_line_has_a_greatest_length(self, tmp_path):
        with daemon(tmp_path / "log") as listening:
            syslog(tmp_path / "log")(replace(NOTICE, text="ü" * 1_000_000))
            text = listening.recv(100_000).decode().partition("]: ")[2]
        assert len(text.encode()) <= MAX_TEXT_OCTETS
        assert text.endswith("ü...")

    def test_nothing_is_sent_without_the_option(self, tmp_path):
        with daemon(tmp_path / "log") as listening:
            syslog(tmp_path / "log", enabled=False)(SIGNED)
            assert waiting(listening) == 0

    def test_no_daemon_is_no_failure_and_the_loss_is_told_later(self, tmp_path, monkeypatch):
        monkeypatch.setattr(outlets, "PAUSE", 0)
        log = syslog(tmp_path / "log")
        log(SIGNED)
        log(SIGNED)
        with daemon(tmp_path / "log") as listening:
            log(NOTICE)
            assert listening.recv(10_000).endswith(b": terminating")
            assert b": 2 lines were lost before this one" in listening.recv(10_000)

    def test_a_missing_daemon_is_not_asked_for_at_each_line(self, tmp_path):
        log = syslog(tmp_path / "log")
        with daemon(tmp_path / "log") as listening:
            log(SIGNED)
            assert waiting(listening) == 0

    def test_a_restarted_daemon_is_found_without_a_loss(self, tmp_path):
        with daemon(tmp_path / "log"):
            log = syslog(tmp_path / "log")
            log(SIGNED)
        with daemon(tmp_path / "log") as listening:
            log(NOTICE)
            assert listening.recv(10_000).endswith(b": terminating")

    def test_a_daemon_that_does_not_read_holds_nothing_up(self, tmp_path):
        with daemon(tmp_path / "log") as listening:
            log = syslog(tmp_path / "log")
            for _ in range(2_000):  # more than the queue of a socket holds
                log(SIGNED)
            assert 0 < waiting(listening) < 2_000

    def test_a_daemon_with_a_stream_socket_is_served(self, tmp_path):
        with daemon(tmp_path / "log", socket.SOCK_STREAM) as listening:
            log = syslog(tmp_path / "log")
            accepted, _ = listening.accept()
            with accepted:
                log(NOTICE)
                assert accepted.recv(10_000).endswith(b": terminating\0")

    def test_a_closed_outlet_opens_again(self, tmp_path):
        with daemon(tmp_path / "log") as listening:
            outlet = outlets.SyslogSocket(str(tmp_path / "log"))
            outlet.close()
            outlet.close()
            assert outlet.send(b"line")
            assert listening.recv(100) == b"line"

    def test_a_line_that_no_socket_takes_is_lost(self, tmp_path):
        with daemon(tmp_path / "log") as listening:
            outlet = outlets.SyslogSocket(str(tmp_path / "log"))
            assert not outlet.send(b"x" * 100_000_000)
            assert outlet.send(b"line")
            assert listening.recv(100) == b"line"

    def test_a_socket_of_another_kind_is_no_daemon(self, tmp_path):
        with daemon(tmp_path / "log", socket.SOCK_SEQPACKET) as listening:
            listening.listen()
            assert not outlets.SyslogSocket(str(tmp_path / "log")).send(b"line")


class TestJson:
    def test_a_line_is_one_object(self, pipe):
        reader, writer = pipe
        to(writer)(SIGNED)
        record = json.loads(reader.readline())
        when = record.pop("time")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", when)
        assert record == {
            "level": "info",
            "event": "signed",
            "job_id": "4XyZ",
            "text": "DKIM-Signature field added (s=s1, d=example.com)",
            "fields": {"domain": "example.com", "bits": 2048, "none": None},
        }

    def test_what_a_stranger_sent_stays_on_its_line(self, pipe):
        reader, writer = pipe
        to(writer)(replace(NOTICE, text=FORGED, job_id=FORGED, fields={"author": FORGED}))
        line = reader.readline()
        record = json.loads(line)
        assert record["text"] == record["job_id"] == record["fields"]["author"] == HARMLESS
        assert line.decode().rstrip("\n").isprintable()

    @pytest.mark.parametrize(
        "long", ["x" * 1_000_000, "ü" * 10_000, '"' * 10_000, "\\" * 3_999, "\n" * 2_000]
    )
    def test_a_line_fits_into_what_a_pipe_takes_at_once(self, pipe, long):
        reader, writer = pipe
        to(writer)(replace(SIGNED, text=long, job_id=long, fields={"author": long}))
        line = reader.readline()
        assert len(line) <= MAX_JSON_OCTETS
        record = json.loads(line)
        assert record["cut"] is True
        assert record["fields"] == {}
        assert len(record["text"]) > 500
        assert len(record["job_id"]) > 100

    def test_a_reader_that_has_gone_is_no_failure(self):
        reading, writing = os.pipe()
        log = make_log(JSON, name="x", descriptor=writing)
        os.close(reading)
        log(SIGNED)
        os.close(writing)

    def test_a_reader_that_sleeps_holds_nothing_up_and_learns_of_the_loss(self, pipe):
        reader, writer = pipe
        log = to(writer)
        filled = fill(writer)
        log(SIGNED)
        log(SIGNED)
        assert reader.read(filled) == b"\n" * filled
        log(NOTICE)
        assert json.loads(reader.readline())["event"] == "stop"
        lost = json.loads(reader.readline())
        assert lost["event"] == "lines-lost"
        assert lost["fields"] == {"lines": 2}

    def test_the_inherited_pipe_stays_a_blocking_one(self, pipe):
        _, writer = pipe
        log = to(writer)
        log(SIGNED)
        assert not fcntl.fcntl(writer, fcntl.F_GETFL) & os.O_NONBLOCK

    def test_a_pipe_is_written_without_proc(self, pipe, monkeypatch):
        reader, writer = pipe

        def fail(*_args):
            raise FileNotFoundError

        with monkeypatch.context() as patched:
            patched.setattr(os, "open", fail)
            log = to(writer)
        log(NOTICE)
        assert json.loads(reader.readline())["event"] == "stop"

    def test_a_socket_of_the_service_manager(self):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            log = make_log(JSON, name="x", descriptor=ours.fileno())
            log(NOTICE)
            assert json.loads(theirs.recv(10_000))["event"] == "stop"
            theirs.close()
            log(NOTICE)

    def test_a_file_is_appended_to(self, tmp_path):
        with (tmp_path / "log").open("ab") as file:
            log = make_log(JSON, name="x", descriptor=file.fileno())
            log(NOTICE)
            log(SIGNED)
        lines = (tmp_path / "log").read_bytes().splitlines()
        assert [json.loads(line)["event"] for line in lines] == ["stop", "signed"]

    def test_a_full_disk_is_no_failure_and_lines_are_counted(self):
        meter = Meter.alone()
        with open("/dev/full", "wb", buffering=0) as full:
            log = make_log(JSON, name="x", descriptor=full.fileno())
            log(NOTICE)
            measure(log, meter)
            log(NOTICE)
            log(NOTICE)
        assert meter.value(Count.LOG_LINES_LOST) == 2

    def test_a_closed_standard_output_is_no_failure(self):
        reading, writing = os.pipe()
        os.close(reading)
        os.close(writing)
        make_log(JSON, name="x", descriptor=writing)(NOTICE)

    def test_lines_of_several_processes_do_not_mix(self, pipe):
        reader, writer = pipe
        children = []
        for letter in "abc":
            child = fork()
            if child == 0:
                log = to(writer)
                for _ in range(20):
                    log(replace(NOTICE, text=letter * 3_000))
                os._exit(0)
            children.append(child)
        writer.close()
        records = [json.loads(line) for line in reader]
        texts = {record["text"] for record in records if record["event"] == "stop"}
        for child in children:
            assert os.waitpid(child, 0)[1] == 0
        assert texts == {letter * 3_000 for letter in "abc"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain: ok", "plain: ok"),
        ("tab\t", r"tab\x09"),
        ("del\x7f", r"del\x7f"),
        (FORGED, HARMLESS),
    ],
)
def test_what_is_not_printable_is_escaped(text, shown):
    assert escaped(text) == shown
    assert escaped(text).isprintable()
