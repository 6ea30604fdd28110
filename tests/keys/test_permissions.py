"""Key files that others can read or replace are refused, with the component and the cure."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import re
import shlex
import subprocess

import pytest

from dkimcore.errors import KeyDenied, KeyNotFound, KeyUnavailable, KeyUnusable
from dkimcore.keys.permissions import MAX_FILE_OCTETS, read_private_file

ROOT = os.geteuid() == 0
STRANGER = 54321  # a uid and gid without a name


@pytest.fixture
def as_root():
    if not ROOT:
        pytest.skip("only root can give files away")


@pytest.fixture
def key(open_folder):
    path = open_folder / "s1 key.pem"
    path.write_bytes(b"secret")
    path.chmod(0o600)
    return path


@pytest.fixture
def people(monkeypatch):
    """Adds users and a group to what the system knows."""

    def add(*, uid, group, primary=False):
        real_users, real_group = pwd.getpwall(), grp.getgrgid
        user = pwd.struct_passwd(
            ("alice", "x", uid, group if primary else STRANGER + 9, "", "/", "/bin/sh")
        )
        names = [] if primary else ["alice"]
        monkeypatch.setattr(pwd, "getpwall", lambda: [*real_users, user])
        monkeypatch.setattr(
            grp,
            "getgrgid",
            lambda gid: (
                grp.struct_group(("dkim", "x", group, names)) if gid == group else real_group(gid)
            ),
        )

    return add


@contextlib.contextmanager
def user(uid):
    os.setegid(uid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def read(path, **options):
    return read_private_file(str(path), uri="file:k", **options)


def refusal(path):
    with pytest.raises(KeyDenied) as caught:
        read(path)
    return str(caught.value)


def cure(text):
    """Runs the command that an error advises."""
    subprocess.run(re.search(r"run: (ch[^,]*)", text)[1], shell=True, check=True)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o440])
def test_a_safe_file_is_read(key, mode):
    key.chmod(mode)
    assert read(key) == b"secret"


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o666])
def test_a_file_that_every_user_can_read_or_write_is_refused_and_mended(key, mode):
    key.chmod(mode)
    text = refusal(key)
    assert f"{key} (mode {mode:04o}, " in text
    assert f"chmod o-rw {shlex.quote(str(key))}" in text
    cure(text)
    if mode != 0o666:
        assert read(key) == b"secret"
    assert read(key, check_permissions=False) == b"secret"


def test_a_file_that_its_group_can_write_is_refused_and_mended(key):
    key.chmod(0o660)
    text = refusal(key)
    assert "written by its group" in text
    cure(text)
    assert read(key) == b"secret"


def test_the_guides_root_opendkim_0640_is_safe_also_with_postfix_in_the_group(key, people, as_root):
    people(uid=105, group=STRANGER)
    os.chown(key, 0, STRANGER)
    key.chmod(0o640)
    assert read(key) == b"secret"
    with user(STRANGER):
        assert read(key) == b"secret"


@pytest.mark.parametrize("primary", [False, True])
def test_a_person_in_the_group_is_named(key, people, as_root, primary):
    people(uid=1007, group=STRANGER, primary=primary)
    os.chown(key, 0, STRANGER)
    key.chmod(0o640)
    text = refusal(key)
    assert "group dkim, of which alice is a member" in text
    cure(text)
    assert read(key) == b"secret"


def test_a_group_without_a_name_is_dedicated(key, as_root):
    os.chown(key, 0, STRANGER)
    key.chmod(0o640)
    assert read(key) == b"secret"


def test_our_own_group_is_dedicated(key, people, as_root):
    people(uid=STRANGER, group=STRANGER, primary=True)
    os.chown(key, STRANGER, STRANGER)
    key.chmod(0o640)
    with user(STRANGER):
        assert read(key) == b"secret"


@pytest.mark.parametrize(("mode", "says"), [(0o777, "chmod o-w"), (0o757, "chmod o-w")])
def test_a_folder_that_every_user_can_write_is_refused_and_mended(key, open_folder, mode, says):
    open_folder.chmod(mode)
    text = refusal(key)
    assert f"{open_folder} (mode {mode:04o}, " in text
    assert says in text
    cure(text)
    open_folder.chmod(0o755)
    assert read(key) == b"secret"


def test_a_sticky_folder_protects_what_it_holds(key, open_folder):
    open_folder.chmod(0o1777)
    assert read(key) == b"secret"


def test_a_folder_that_a_person_can_write_through_the_group_is_refused(
    key, open_folder, people, as_root
):
    people(uid=1007, group=STRANGER)
    os.chown(open_folder, 0, STRANGER)
    open_folder.chmod(0o775)
    text = refusal(key)
    assert "alice" in text
    cure(text)
    assert read(key) == b"secret"


def test_below_a_folder_that_only_we_can_enter_nothing_else_matters(key, open_folder):
    key.chmod(0o666)
    open_folder.chmod(0o700)
    assert read(key) == b"secret"


def test_a_stranger_who_owns_the_file_is_named_unless_root_reads(key, as_root):
    os.chown(key, STRANGER, -1)
    key.chmod(0o604)
    with user(STRANGER + 1):
        text = refusal(key)
    assert f"(mode 0604, {STRANGER}:root) belongs to neither root nor the user" in text
    assert f"chown {STRANGER + 1} " in text
    key.chmod(0o600)
    assert read(key) == b"secret"


def test_root_reads_for_the_user_it_is_going_to_become(key, as_root):
    """UserID: what a third user can change is safe for root only."""
    os.chown(key, STRANGER, -1)
    assert read(key, uid=STRANGER) == b"secret"
    with pytest.raises(KeyDenied, match=f"belongs to neither root nor the user {STRANGER + 1}"):
        read(key, uid=STRANGER + 1)
    os.chown(key, 0, -1)
    assert read(key, uid=STRANGER + 1) == b"secret"


def test_a_stranger_who_owns_a_folder_is_named(key, open_folder, as_root):
    os.chown(open_folder, STRANGER, -1)
    os.chown(key, STRANGER + 1, -1)
    with user(STRANGER + 1):
        assert f"{open_folder} (mode 0755, {STRANGER}:root) belongs" in refusal(key)


def test_a_file_we_cannot_read_says_who_can_and_what_to_run(key, as_root):
    with user(STRANGER):
        text = refusal(key)
    assert f"{key} (mode 0600, root:root) cannot be read by the user {STRANGER}" in text
    cure(text)
    with user(STRANGER):
        assert read(key) == b"secret"


def test_a_folder_we_cannot_enter_is_named(key, open_folder, as_root):
    open_folder.chmod(0o700)
    with user(STRANGER):
        text = refusal(key)
    assert f"{open_folder} (mode 0700, root:root) does not let the user {STRANGER} in" in text
    assert "chmod g+x" in text


def test_what_does_not_exist_is_named_by_its_first_missing_component(key, open_folder):
    with pytest.raises(KeyNotFound, match=f"{open_folder}/a does not exist"):
        read(open_folder / "a" / "b" / "s1.pem")
    with pytest.raises(KeyNotFound, match=r"key\.pem/x does not exist"):
        read(key / "x")


def test_a_dangling_link_is_not_found_and_a_good_one_is_followed(key, open_folder):
    link = open_folder / "link"
    link.symlink_to(key)
    assert read(link) == b"secret"
    key.unlink()
    with pytest.raises(KeyNotFound):
        read(link)


def test_home_is_expanded(key, open_folder, monkeypatch):
    monkeypatch.setenv("HOME", str(open_folder))
    assert read("~/s1 key.pem") == b"secret"


def test_only_regular_files_are_read_and_a_fifo_does_not_hang(open_folder):
    os.mkfifo(open_folder / "fifo", 0o600)
    for path in (open_folder / "fifo", open_folder, "/dev/null"):
        with pytest.raises(KeyUnusable, match="not a regular file"):
            read(path)


def test_a_file_that_is_too_large_is_refused_by_its_size(key):
    key.write_bytes(bytes(MAX_FILE_OCTETS))
    assert len(read(key)) == MAX_FILE_OCTETS
    key.write_bytes(bytes(MAX_FILE_OCTETS + 1))
    with pytest.raises(KeyUnusable, match=str(MAX_FILE_OCTETS)):
        read(key)


def test_a_path_that_cannot_be_followed(open_folder):
    with pytest.raises(KeyUnusable, match="cannot be followed"):
        read(open_folder / ("a" * 300))


def test_a_fault_of_the_system_is_temporary(key):
    # /proc/self/mem is regular, and reading its first page fails with EIO.
    with pytest.raises(KeyUnavailable, match="/mem cannot be read") as caught:
        read("/proc/self/mem", check_permissions=False)
    assert caught.value.temporary
