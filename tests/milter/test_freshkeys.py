"""Files of keys that are replaced, changed or removed while the filter runs."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from pathlib import Path

import pytest

from dkimcore.errors import KeyDenied, KeyNotFound, KeyUnusable, KeyUriError, StateError
from dkimcore.testing import EphemeralKey
from dkimcore_milter.freshkeys import FreshKeyStore

DIGEST = bytes(32)
OLD, NEW = EphemeralKey.ed25519(bytes(32)), EphemeralKey.ed25519(bytes(range(32)))


def later():
    """A clock by which every change is long ago."""
    return time.time_ns() + 3600 * 10**9


@pytest.fixture
def folder(tmp_path):
    tmp_path.chmod(0o700)
    return tmp_path


@pytest.fixture
def open_folder():
    """One that everybody can enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture
def keys():
    with FreshKeyStore(clock=later) as store:
        yield store


def replace(path, key=NEW):
    """Puts another file in its place, as `mv` does."""
    beside = path.with_suffix(".new")
    write(beside, key)
    beside.rename(path)


def write(path, key=OLD):
    path.write_bytes(key.private_pem())
    path.chmod(0o600)
    return path


def is_key(found, key):
    return found.public_key.encode() == key.public_key.encode()


def test_a_file_that_stays_is_opened_once(folder, keys):
    path = write(folder / "k.pem")
    key = keys.get(f"file:{path}")
    assert keys.get(f"file:{path}") is key
    assert keys.get(str(path)) is key
    assert keys.get(f"FILE:{path}") is key


def test_a_file_that_is_replaced_signs_from_the_next_message_on(folder, keys):
    path = write(folder / "k.pem")
    uri = f"file:{path}"
    old = keys.get(uri)
    assert is_key(keys.get(str(path)), OLD)
    replace(path)
    new = keys.get(uri)
    assert is_key(new, NEW)
    assert keys.get(str(path)) is new
    # A message under way ends with the key it began with.
    assert old.sign_digest(DIGEST) == OLD.sign_digest(DIGEST)


def test_a_file_that_is_written_over_is_read_again(folder, keys):
    path = write(folder / "k.pem")
    assert is_key(keys.get(f"file:{path}"), OLD)
    times = path.stat()
    write(path, NEW)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert is_key(keys.get(f"file:{path}"), NEW)


def test_a_link_that_is_turned_is_followed(folder, keys):
    link = folder / "link"
    link.symlink_to(write(folder / "old.pem"))
    assert is_key(keys.get(f"file:{link}"), OLD)
    link.unlink()
    link.symlink_to(write(folder / "new.pem", NEW))
    assert is_key(keys.get(f"file:{link}"), NEW)


def test_a_file_that_is_gone_signs_no_more_until_it_is_there_again(folder, keys):
    path = write(folder / "k.pem")
    uri = f"file:{path}"
    keys.get(uri)
    path.unlink()
    for _ in range(2):
        with pytest.raises(KeyNotFound, match=r"k\.pem does not exist"):
            keys.get(uri)
    write(path, NEW)
    assert is_key(keys.get(uri), NEW)


def test_a_file_that_is_damaged_signs_no_more_until_it_is_mended(folder, keys):
    path = write(folder / "k.pem")
    keys.get(f"file:{path}")
    path.write_bytes(OLD.private_pem()[:40])
    with pytest.raises(KeyUnusable):
        keys.get(f"file:{path}")
    write(path)
    assert is_key(keys.get(f"file:{path}"), OLD)


def test_a_file_that_others_may_read_now_is_refused(open_folder, keys):
    path = write(open_folder / "k.pem")
    keys.get(f"file:{path}")
    path.chmod(0o644)
    with pytest.raises(KeyDenied, match="can be read or written by every user"):
        keys.get(f"file:{path}")
    path.chmod(0o600)
    assert is_key(keys.get(f"file:{path}"), OLD)


def test_two_changes_within_one_tick_of_the_file_systems_clock_are_told_apart(folder):
    """An Ed25519 key of the same size, with the same times: nothing tells it but reading."""
    path = write(folder / "k.pem")
    now = path.stat().st_ctime_ns
    with FreshKeyStore(clock=lambda: now) as keys:
        first = keys.get(f"file:{path}")
        again = keys.get(f"file:{path}")
        assert again is not first
        assert is_key(again, OLD)
        now += 3 * 10**9
        settled = keys.get(f"file:{path}")
        assert keys.get(f"file:{path}") is settled


def test_the_one_key_is_read_once(folder, keys):
    path = write(folder / "k.pem")
    key = keys.get_once(f"file:{path}")
    path.unlink()
    assert keys.get_once(f"file:{path}") is key


def test_keys_that_are_in_no_file_are_left_alone(folder, keys):
    keys.add("inline:k", OLD)
    assert keys.get("inline:k") is keys.get("inline:k")
    with pytest.raises(KeyUriError, match="no key backend has the scheme"):
        keys.get("nosuch:x")
    with pytest.raises(KeyUriError, match="files of this host"):
        keys.get("file://elsewhere/k.pem")


def test_nothing_is_given_out_after_closing(folder):
    path = write(folder / "k.pem")
    keys = FreshKeyStore(clock=later)
    key = keys.get(f"file:{path}")
    keys.close()
    with pytest.raises(StateError, match="closed"):
        keys.get(f"file:{path}")
    with pytest.raises(KeyUnusable, match="closed"):
        key.sign_digest(DIGEST)


def test_many_threads_never_get_a_key_that_was_replaced_before_they_asked(folder, keys):
    path = write(folder / "k.pem")
    uri, rounds, faults = f"file:{path}", 20, []
    wanted = OLD
    ready, done = threading.Barrier(5), threading.Barrier(5)

    def work():
        for _ in range(rounds):
            ready.wait()
            for _ in range(5):
                key = keys.get(uri)
                if not is_key(key, wanted) or not key.sign_digest(DIGEST):
                    faults.append("another key")
            done.wait()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(rounds):
        wanted = (OLD, NEW)[number % 2]
        replace(path, wanted)
        ready.wait()
        done.wait()
    for thread in threads:
        thread.join()
    assert faults == []
