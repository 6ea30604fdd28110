"""Whom the milter becomes, and what a start without the right to says."""

from __future__ import annotations

import grp
import os
import pwd
import resource
import subprocess
import sys

import pytest

from dkimcore_milter import privileges
from dkimcore_milter.failure import StartFailure

NOBODY = pwd.getpwnam("nobody")
GROUP = grp.getgrgid(NOBODY.pw_gid).gr_name
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.mark.parametrize("user", ["nobody", str(NOBODY.pw_uid)])
@pytest.mark.parametrize("group", ["", ":daemon", ":1"])
def test_names_and_numbers_are_understood(user, group):
    account = privileges.find_account(user + group)
    assert (account.name, account.uid) == ("nobody", NOBODY.pw_uid)
    assert account.gid == (1 if group else NOBODY.pw_gid)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("no-such-user", 'there is no user "no-such-user"'),
        ("4294967294", 'there is no user "4294967294"'),
        ("99999999999999999999", "there is no user"),
        ("", 'there is no user ""'),
        ("nobody:no-such-group", 'there is no group "no-such-group"'),
        ("nobody:4294967294", "there is no group"),
        ("nobody:", 'there is no group ""'),
    ],
)
def test_who_does_not_exist_ends_the_start_with_status_65(text, why):
    with pytest.raises(StartFailure, match=why) as failure:
        privileges.find_account(text)
    assert failure.value.status == 65


def run(code, *, user=None):
    """Runs Python code in another process; returns its status and output."""
    lines = ["import os, resource", "from dkimcore.keys.coredumps import protect_memory"]
    lines.append("from dkimcore_milter.privileges import *")
    if user is not None:  # not before: the interpreter may be where only root can read
        lines += [f"become(find_account({user!r}))"]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([*lines, code])],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout or done.stderr


@as_root
def test_user_group_and_supplementary_groups_are_given_up():
    code = "become(find_account('nobody'))\nprint(os.getresuid(), os.getresgid(), os.getgroups())"
    groups = os.getgrouplist("nobody", NOBODY.pw_gid)
    uid, gid = NOBODY.pw_uid, NOBODY.pw_gid
    assert run(code) == (0, f"{(uid,) * 3} {(gid,) * 3} {groups}\n")


@as_root
def test_there_is_no_way_back():
    status, output = run("become(find_account('nobody'))\nos.setuid(0)")
    assert status == 1
    assert "PermissionError" in output


@as_root
def test_another_user_cannot_become_somebody():
    code = "check_permitted(find_account('nobody'))\nbecome(find_account('nobody'))\n"
    assert run(code, user="nobody")[0] == 0  # who it is already
    status, output = run("check_permitted(find_account('daemon'))", user="nobody")
    assert status == 1
    assert "only root can" in output
    code = "try: become(find_account('daemon'))\nexcept Exception as e: exit(e.status)"
    assert run(code, user="nobody")[0] == 77


@as_root
def test_the_root_directory_is_changed(tmp_path):
    (tmp_path / "here").touch()
    assert run(f"change_root({str(tmp_path)!r})\nprint(os.listdir('/'))") == (0, "['here']\n")


@pytest.mark.parametrize("user", [None, pytest.param("nobody", marks=as_root)])
def test_a_root_directory_that_cannot_be_is_said_with_status_71(user):
    target = "/no/such/place" if user is None else "/tmp"
    code = f"try: change_root({target!r})\nexcept Exception as e: print(e); exit(e.status)"
    status, output = run(code, user=user)
    assert status == 71
    assert target in output


@as_root
def test_keys_stay_out_of_core_dumps_unless_asked_for():
    code = """
become(find_account('nobody'))
protect_memory(core_dumps=False)
print(resource.getrlimit(resource.RLIMIT_CORE)[0], os.stat('/proc/self/environ').st_uid)
protect_memory(core_dumps=True)
print(os.stat('/proc/self/environ').st_uid)
"""
    # What belongs to a process that cannot be dumped belongs to root in /proc: proc(5).
    assert run(code) == (0, f"0 0\n{NOBODY.pw_uid}\n")


def test_descriptors_are_raised_to_the_hard_limit_and_not_absurdly():
    code = """
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 1000))
raise_descriptor_limit()
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    assert run(code) == (0, "(1000, 1000)\n")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    status, output = run(
        "raise_descriptor_limit()\nprint(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    assert status == 0
    assert int(output) >= min(hard, privileges.MAX_DESCRIPTORS)
