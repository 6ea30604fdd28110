"""The two files of a key when one cannot be written, or is there meanwhile."""

from __future__ import annotations

import errno
import threading

import pytest

from dkimcore.cli.exits import CommandError
from dkimcore.cli.keyfiles import KeyFiles
from dkimcore.cli.newkeys import NewFileKey
from dkimcore.cli.recordplan import RecordPlan
from dkimcore.protocol.algorithm import KeyType
from dkimcore.protocol.keyrecord import KeyRecord
from dkimcore.protocol.names import Selector

SELECTOR = Selector.parse("s1")
PLAN = RecordPlan(domain=None, template=KeyRecord(public_key=None), append_domain=False)


@pytest.fixture
def files(tmp_path):
    """The two files, in folders of their own."""
    for name in ("keys", "records"):
        (tmp_path / name).mkdir()
    return KeyFiles(
        private=tmp_path / "keys" / "s1.private", record=tmp_path / "records" / "s1.txt"
    )


def make(files, *, force):
    one = NewFileKey(key_type=KeyType.ED25519, selector=SELECTOR, files=files)
    one.make(PLAN, bits=0, force=force)


def found(tmp_path):
    """All that is in both folders; None for a folder."""
    return {
        str(path.relative_to(tmp_path)): path.read_bytes() if path.is_file() else None
        for path in tmp_path.rglob("*")
    }


@pytest.mark.parametrize("force", [False, True])
def test_both_are_there_and_nothing_else(files, tmp_path, force):
    make(files, force=force)
    assert set(found(tmp_path)) == {"keys", "keys/s1.private", "records", "records/s1.txt"}
    assert files.self_check(None, SELECTOR) == ""


def test_both_are_replaced(files, tmp_path):
    make(files, force=False)
    before = found(tmp_path)
    make(files, force=True)
    after = found(tmp_path)
    assert set(after) == set(before)
    assert after["keys/s1.private"] != before["keys/s1.private"]
    assert files.self_check(None, SELECTOR) == ""


@pytest.mark.parametrize("blocked", ["private", "record"])
@pytest.mark.parametrize("other_is_there", [True, False])
def test_what_cannot_be_replaced_costs_nothing_else(files, tmp_path, blocked, other_is_there):
    """A folder that got into the place of one of them after it was looked at."""
    if other_is_there:
        make(files, force=False)
        getattr(files, blocked).unlink()
    getattr(files, blocked).mkdir()
    before = found(tmp_path)
    with pytest.raises((OSError, CommandError), match=getattr(files, blocked).name):
        make(files, force=True)
    assert found(tmp_path) == before


@pytest.mark.parametrize("force", [False, True])
def test_a_key_that_does_not_fit_its_record_replaces_nothing(files, tmp_path, force):
    if force:
        make(files, force=False)
    before = found(tmp_path)
    one = NewFileKey(key_type=KeyType.ED25519, selector=SELECTOR, files=files)
    for_others = KeyRecord(public_key=None, service_types=("other",))
    plan = RecordPlan(domain=None, template=for_others, append_domain=False)
    with pytest.raises(CommandError, match="does not fit the key"):
        one.make(plan, bits=0, force=force)
    assert found(tmp_path) == before


@pytest.mark.parametrize("name", ["private", "record"])
def test_what_somebody_made_meanwhile_stays(files, tmp_path, name):
    one = NewFileKey(key_type=KeyType.ED25519, selector=SELECTOR, files=files)
    one.check(force=False)
    getattr(files, name).write_text("mine")
    before = found(tmp_path)
    with pytest.raises(CommandError, match=r"is there already; choose another selector"):
        one.make(PLAN, bits=0, force=False)
    assert found(tmp_path) == before


def test_of_several_at_once_one_makes_the_key(files, tmp_path):
    """And it has its own record."""
    together = threading.Barrier(8)
    refused = []

    def work():
        together.wait()
        try:
            make(files, force=False)
        except CommandError as error:
            refused.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 7
    assert set(found(tmp_path)) == {"keys", "keys/s1.private", "records", "records/s1.txt"}
    assert files.self_check(None, SELECTOR) == ""


def test_file_systems_without_links_have_the_files_too(files, tmp_path, monkeypatch):
    def link(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")  # of vfat

    monkeypatch.setattr("os.link", link)
    make(files, force=False)
    before = found(tmp_path)
    assert files.self_check(None, SELECTOR) == ""
    with pytest.raises(CommandError, match="is there already"):
        make(files, force=False)
    assert found(tmp_path) == before
