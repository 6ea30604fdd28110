"""The pid file: written in one step, and removed only if it is ours."""

from __future__ import annotations

import os
import stat

import pytest

from dkimcore_milter.pidfile import PidFile
from tests.forked import fork


def test_it_holds_the_process_id_and_goes_at_the_end(tmp_path):
    path = tmp_path / "pid"
    file = PidFile(str(path))
    assert file.write(4711) is None
    assert path.read_text() == "4711\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(tmp_path) == ["pid"]
    assert file.remove() is None
    assert os.listdir(tmp_path) == []
    assert file.remove() is None


def test_an_old_one_is_replaced(tmp_path):
    path = tmp_path / "pid"
    path.write_text("1\n")
    assert PidFile(str(path)).write(2) is None
    assert path.read_text() == "2\n"


def test_a_directory_is_no_pid_file(tmp_path):
    # The guide that many follow has "PidFile /var/run/opendkim/".
    assert PidFile(f"{tmp_path}/").write(1) == "Is a directory"
    assert os.listdir(tmp_path) == []


def test_a_missing_directory_is_a_reason_and_no_error(tmp_path):
    file = PidFile(str(tmp_path / "none" / "pid"))
    assert file.write(1) == "No such file or directory"
    assert file.remove() is None


def test_what_a_successor_wrote_stays(tmp_path):
    path = tmp_path / "pid"
    file = PidFile(str(path))
    file.write(1)
    path.write_text("22\n")
    assert file.remove() is None
    assert path.read_text() == "22\n"
    file.write(1)
    path.unlink()
    assert file.remove() is None


def test_nothing_half_written_stays(tmp_path):
    (tmp_path / "pid").mkdir()
    (tmp_path / "pid" / "x").touch()
    file = PidFile(str(tmp_path / "pid"))
    assert file.write(1) is not None
    assert os.listdir(tmp_path) == ["pid"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take its own rights away")
def test_a_directory_that_is_not_ours_is_a_reason(tmp_path):
    path = tmp_path / "pid"
    file = PidFile(str(path))
    file.write(1)
    child = fork()
    if child == 0:
        os.setuid(65534)
        os._exit(0 if file.remove() in ("Permission denied",) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert path.exists()


def test_what_is_no_file_is_written_into_and_stays(tmp_path):
    """PidFile /dev/null, said by root, must not put a file in the place of the device."""
    os.mkfifo(tmp_path / "pid")
    with open(os.open(tmp_path / "pid", os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        file = PidFile(str(tmp_path / "pid"))
        assert file.write(17) is None
        assert reader.read() == b"17\n"
    assert file.remove() is None
    assert os.listdir(tmp_path) == ["pid"]
    assert file.write(17) == "No such device or address"  # nobody reads
