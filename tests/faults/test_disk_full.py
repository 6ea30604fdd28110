"""No room for the log or the pid file: mail goes on, and lost lines are told of later."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.faults.harness import FILES, INSIDE, MESSAGE, SIGNING, demand_signed, the_worker
from tests.servers.dkimcoremilter import DkimcoreMilter
from tests.servers.milterclient import MilterClient, converse, deliver

CONF = SIGNING + "SyslogSuccess yes\nLogWhy yes\n"


@pytest.fixture
def small_disk():
    """A file system of 64 kB; its name leaves room for that of a socket."""
    place = Path(tempfile.mkdtemp())
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(place)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        place.rmdir()
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)
    place.rmdir()


def fill(place):
    """Fills a file system to the last octet, and returns the file that does."""
    path = place / "filler"
    with open(path, "wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return path


def test_mail_goes_on_while_the_log_has_no_room(small_disk, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))  # the filter's folder is made there
    with DkimcoreMilter(CONF, files=FILES) as milter:
        worker = the_worker(milter)
        with MilterClient(milter.address) as client:
            client.negotiate()
            demand_signed(converse(client, MESSAGE, INSIDE))
            filler = fill(small_disk)
            for _ in range(100):  # more than fits into what the last page has left
                demand_signed(converse(client, MESSAGE, INSIDE, greeted=True))
            written = (milter.folder / "stdout").read_bytes()
            filler.unlink()
            demand_signed(converse(client, MESSAGE, INSIDE, greeted=True))
            demand_signed(converse(client, MESSAGE, INSIDE, greeted=True))
        assert the_worker(milter) == worker
        lines = (milter.folder / "stdout").read_bytes().split(b"\n")[:-1]
        (told,) = (json.loads(line) for line in lines if b'"event": "lines-lost"' in line)
        before = written.count(b'"event": "signed"')
        signed = [line for line in lines if b'"event": "signed"' in line]
        assert before < 101  # it was full indeed
        # Each line is there or counted.
        assert told["fields"]["lines"] + len(signed) >= 103


def test_half_a_line_does_not_spoil_the_next(small_disk, monkeypatch):
    """The disk takes the first octets of a line only: the next one begins a line of its own."""
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    with DkimcoreMilter(CONF, files=FILES) as milter:
        for _ in range(5):
            filler = fill(small_disk)
            for _ in range(20):
                demand_signed(deliver(milter.address, MESSAGE, INSIDE))
            filler.unlink()
            demand_signed(deliver(milter.address, MESSAGE, INSIDE))
        lines = (milter.folder / "stdout").read_bytes().split(b"\n")[:-1]
    halves = [line for line in lines if not line.endswith(b"}}")]
    assert halves  # or the test shows nothing
    for line in lines:
        if line not in halves:
            assert isinstance(json.loads(line), dict)


class IntoFull(DkimcoreMilter):
    """A filter whose standard output takes nothing, as /dev/full does."""

    def command(self, conf, socket_name):
        command = super().command(conf, socket_name)
        return ["/bin/sh", "-c", 'exec "$@" >/dev/full', "sh", *command]


def test_a_log_that_takes_nothing():
    with IntoFull(CONF, files=FILES, workers=2) as milter:
        for _ in range(50):
            demand_signed(deliver(milter.address, MESSAGE, INSIDE))
        assert milter.stop() == 0
        assert milter.output() == ""


def test_no_room_for_the_pid_file(small_disk):
    fill(small_disk)
    conf = f"{CONF}PidFile {small_disk}/pid\n"
    with DkimcoreMilter(conf, files=FILES) as milter:
        line = milter.wait_for("can't write pid to")
        assert "No space left on device" in line["text"]
        demand_signed(deliver(milter.address, MESSAGE, INSIDE))
        assert milter.stop() == 0
    assert sorted(os.listdir(small_disk)) == ["filler"]


@pytest.mark.parametrize("minor", [7, 3], ids=["full", "null"])
def test_a_device_as_pid_file_stays_a_device(tmp_path, minor):
    """PidFile /dev/null is a way to say that none is wanted."""
    device = tmp_path / "device"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, minor))
    except PermissionError:
        pytest.skip("a device cannot be made here")
    with DkimcoreMilter(f"{CONF}PidFile {device}\n", files=FILES) as milter:
        demand_signed(deliver(milter.address, MESSAGE, INSIDE))
        if minor == 7:
            assert "No space left on device" in milter.wait_for("can't write pid to")["text"]
        assert milter.stop() == 0
    assert stat.S_ISCHR(device.stat().st_mode)
