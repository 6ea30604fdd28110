"""What another user may do with files, by their modes."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from dkimcore_milter.access import ENTER, READ, WRITE, Visitor

STRANGER = Visitor(name="stranger", uid=54321, gids=(54321,))
MAKE = WRITE | ENTER


@pytest.fixture
def folder():
    """One that everybody may enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


def file(folder, mode):
    path = folder / "key"
    path.write_text("x")
    path.chmod(mode)
    return path


def owner():
    return Visitor(name="owner", uid=os.geteuid() or 1, gids=(os.getegid(),))


@pytest.mark.parametrize(("mode", "allowed"), [(0o604, True), (0o660, False), (0o600, False)])
def test_a_stranger_has_the_rights_of_others(folder, mode, allowed):
    path = file(folder, mode)
    problem = STRANGER.problem(str(path), READ)
    assert (problem is None) is allowed
    if problem is not None:
        assert problem.startswith(f"the user stranger may not read {path} (mode {mode:04o}, ")
        assert problem.endswith(f"run: chgrp 54321 {path} && chmod g+r {path}")


def test_a_member_of_the_group_has_the_groups_rights_even_if_others_have_more(folder):
    member = Visitor(name="m", uid=54321, gids=(54321, os.getegid()))
    assert member.problem(str(file(folder, 0o640)), READ) is None
    assert member.problem(str(file(folder, 0o604)), READ) is not None


def test_an_owner_without_rights_is_told_to_take_them(folder):
    path = file(folder, 0o044)
    os.chown(path, owner().uid, -1)
    problem = owner().problem(str(path), READ)
    assert problem is not None
    assert problem.endswith(f"run: chmod u+r {path}")


def test_each_directory_on_the_way_must_be_entered(folder):
    inner = folder / "closed" / "keys"
    inner.mkdir(parents=True)
    path = file(inner, 0o644)
    inner.parent.chmod(0o700)
    problem = STRANGER.problem(str(path), READ)
    assert problem is not None
    assert f"may not enter {inner.parent} (mode 0700" in problem


def test_links_are_followed(folder):
    target = file(folder, 0o600)
    link = folder / "link"
    link.symlink_to(target)
    problem = STRANGER.problem(str(link), READ)
    assert problem is not None
    assert str(target) in problem


def test_making_files_needs_two_rights(folder):
    assert "may not make files in" in str(STRANGER.problem(str(folder), MAKE))
    folder.chmod(0o757)
    assert STRANGER.problem(str(folder), MAKE) is None


def test_what_is_not_there_is_named(folder):
    problem = STRANGER.problem(str(folder / "gone"), READ)
    assert problem == f"{folder}/gone: No such file or directory; make it, or mend the path"


def test_root_may_do_everything(folder):
    root = Visitor(name="root", uid=0, gids=(0,))
    assert root.problem(str(file(folder, 0o000)), READ) is None


def test_we_have_all_our_groups():
    current = Visitor.current()
    assert current.uid == os.geteuid()
    assert set(os.getgroups()) <= set(current.gids)
    found = Visitor.of("root", uid=0, gid=0)
    assert (found.name, found.uid, found.gids[0]) == ("root", 0, 0)


def test_users_and_groups_without_a_name_are_told_by_number(folder, monkeypatch):
    def nobody(_):
        raise KeyError

    monkeypatch.setattr("pwd.getpwuid", nobody)
    monkeypatch.setattr("grp.getgrgid", nobody)
    assert Visitor.current().name == str(os.geteuid())
    problem = STRANGER.problem(str(file(folder, 0o600)), READ)
    assert f"(mode 0600, {os.geteuid()}:{os.getegid()})" in str(problem)
