"""``-n`` and keys kept elsewhere: sections, the files they name, keys, and what if they fail."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess

import pytest

from tests.milter import farkeys
from tests.milter.test_check import ROOT, SOCKET, found, only, site
from tests.servers import requires_server

__all__ = ["site"]  # a fixture

TABLES = "KeyTable file:keys\nSigningTable file:signing\nDkimcoreKeyBackends keys.toml\n"


@pytest.fixture
def far(tmp_path, monkeypatch):
    with farkeys.installed(tmp_path / "packages", monkeypatch) as service:
        yield service


@pytest.fixture
def look(site, far):
    """What is found about a site with a key kept elsewhere."""

    def look(backends="", *, conf="", keys="k example.com:s1:far:one/key\n"):
        site.write("keys", keys)
        site.write("signing", "example.com k\n")
        site.write("keys.toml", backends)
        return found(site, TABLES + conf, socket=SOCKET)

    return look


def test_a_sound_one_has_no_findings(look, far):
    assert (
        look('[backend.x]\ntype = "far"\n', conf="DkimcoreOnKeyFailure example.com=unsigned\n")
        == []
    )
    assert far.calls == [1]  # it was tested
    assert far.closed == ["key"]


def test_mistakes_in_the_sections_have_their_lines(look, far):
    (finding,) = look("[store]\nstale = -1\n")
    assert "keys.toml:2: error: " in finding
    assert far.opened == []  # what is said of its keys would not be so


def test_a_file_of_sections_that_is_not_there(look, site):
    finding = only(look(conf="DkimcoreKeyBackends gone.toml\n"), "gone.toml", "cannot be read")
    assert finding.startswith(f"{site.folder}/opendkim.conf:4: error: DkimcoreKeyBackends: ")


def test_keys_that_cannot_be_had(look, far):
    far.missing.add("key")
    finding = only(look(), "far:one/key")
    assert (
        "keys:1: error: the key 'k': far:one/key: the service has no such key; make it" in finding
    )


def test_a_service_that_is_down(look, far):
    far.fail()
    finding = only(look(), "far:one/key")
    assert finding.endswith("the service is away; start it (request r-17)")


def test_a_key_of_the_wrong_section(look):
    only(look(keys="k example.com:s1:far:one/key?backend=eu\n"), "no section [backend.eu]")


@ROOT
@pytest.mark.parametrize("key", ["token_file", "pin_file", "ca", "key"])
def test_files_that_the_user_cannot_read(look, site, key):
    site.write("secret", "x", mode=0o600)
    conf = "UserID nobody\n"
    finding = only(look(f'[backend.x]\ntype = "far"\n{key} = "secret"\n', conf=conf), f": {key}:")
    assert "keys.toml:3: error: backend x: " in finding
    assert "may not read" in finding


def test_files_that_are_made_later(look):
    finding = only(
        look('[backend.x]\ntype = "far"\ntoken_file = "/run/nowhere/token"\n'), "token_file"
    )
    assert ": warning: " in finding
    assert "LoadCredential=" in finding


@pytest.mark.parametrize(("option", "word"), [("yes", "error"), ("no", "warning")])
def test_secrets_that_others_can_read(look, site, option, word):
    site.write("secret", "x", mode=0o644)
    sections = '[backend.x]\ntype = "far"\ntoken_file = "secret"\n'
    finding = only(look(sections, conf=f"RequireSafeKeys {option}\n"), "token_file")
    assert f"keys.toml:3: {word}: " in finding
    assert "by every user" in finding
    site.write("secret", "x", mode=0o600)
    assert look(sections) == []


@ROOT
def test_a_token_of_the_agents_user(look, site):
    """As the login has it: the section says to whom the file may belong (token_owner)."""
    path = site.write("token", "x", mode=0o640)
    os.chown(path, pwd.getpwnam("bin").pw_uid, grp.getgrnam("daemon").gr_gid)
    section = '[backend.x]\ntype = "far"\ntoken_file = "token"\n'
    only(look(section, conf="UserID daemon\n"), "token_file", "belongs to neither root nor")
    assert not [
        finding
        for finding in look(section + 'token_owner = "bin"\n', conf="UserID daemon\n")
        if "token_file" in finding
    ]


@ROOT
@pytest.mark.parametrize(
    "uri",
    [
        "awskms-envelope:{path}?key=arn:aws:kms:eu-west-1:123456789012:key/x",
        "pkcs11:token=t;object=o?pin-source=file:{path}&module-path=/nowhere/lib.so",
    ],
)
def test_files_that_uris_name(look, site, uri):
    """The workers, which are that user, open them."""
    path = site.write("secret", "1234")
    uri = uri.format(path=path)
    findings = look(keys=f"k example.com:s1:{uri}\n", conf="UserID nobody\n")
    only(findings, "keys:1: error: the key 'k': the user nobody may not read")
    path.chmod(0o644)
    findings = look(keys=f"k example.com:s1:{uri}\n", conf="UserID nobody\n")
    assert not [
        finding for finding in findings if "may not read" in finding and "keys:1" in finding
    ]


def test_what_is_missing_below_another_root(look, tmp_path):
    tmp_path.chmod(0o755)
    findings = look(conf=f"ChangeRootDirectory {tmp_path}\n")
    finding = only(findings, "keys of far need their files below it")
    assert "opendkim.conf:4: warning: " in finding


def test_rows_of_keys_that_fail(look, site):
    site.write(
        "failing",
        "example.com usigned\nexample.net fallback:nobody\n*.example.org unsigned\n"
        ".example.org fallback:k\n* tempfail\nexample.com tempfail\n",
    )
    findings = look(conf="DkimcoreOnKeyFailure file:failing\n")
    assert len(findings) == 4
    only(findings, "failing:1: error:", "says 'usigned'")
    only(findings, "failing:2: error:", "the key 'nobody'")
    only(findings, "failing:3: warning:", "'*.example.org' never matches")
    only(findings, "failing:6: warning:", "'example.com' stands in line 1 already")
    site.write("failing", "*.example.org unsigned\n")
    assert look(conf="DkimcoreOnKeyFailure refile:failing\n") == []
    only(look(conf="DkimcoreOnKeyFailure file:gone\n"), "gone cannot be read")


@ROOT
def test_a_reload_has_to_read_them(look, site):
    os.chmod(site.write("failing", "* unsigned\n"), 0o600)
    findings = look(conf="UserID nobody\nDkimcoreOnKeyFailure file:failing\n")
    only(findings, "a reload would fail", "failing")
    only(findings, "a reload would fail", "keys.toml")


EVIL = """
#include <fcntl.h>
__attribute__((constructor)) static void run(void) { open("%s", O_CREAT | O_WRONLY, 0600); }
"""


@pytest.fixture
def foreign_module(site):
    """A library of another user's, and the file that its code makes where it is loaded."""
    requires_server("gcc")
    sign = site.folder / "it-ran"
    source = site.write("evil.c", EVIL % sign)
    path = site.folder / "evil.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", path, source], check=True, timeout=60)
    path.chmod(0o755)
    os.chown(path, pwd.getpwnam("nobody").pw_uid, 0)
    return path, sign


@ROOT
@pytest.mark.server("gcc")
@pytest.mark.parametrize(
    ("conf", "words"),
    [
        ("", ("keys:1: error: ", "its module", "belongs to another user")),
        ("RequireSafeKeys no\n", ("keys:1: error: ", "its module", "belongs to another user")),
        ("UserID daemon\n", ("keys:1: error: ", "its module", "belongs to another user")),
        ("UserID daemon\nRequireSafeKeys no\n", ("keys:1: warning: ", "runuser -u daemon")),
        ("UserID nobody\n", ("keys:1: warning: ", "was not opened", "runuser -u nobody")),
    ],
)
def test_root_runs_no_code_of_others(look, foreign_module, conf, words):
    """The path may stand in a table that others write."""
    path, sign = foreign_module
    row = f"k example.com:s1:pkcs11:token=t;object=o?module-path={path}\n"
    only(look(keys=row, conf=conf), *words)
    assert not sign.exists()


@pytest.mark.server("softhsm")
@pytest.mark.parametrize(("option", "is_found"), [("yes", True), ("no", False)])
def test_a_pin_that_others_can_read(look, site, softhsm, monkeypatch, option, is_found):
    """As the filter has it: what `-n` lets pass signs."""
    for name, value in softhsm.environment.items():
        monkeypatch.setenv(name, value)
    key = softhsm.add_rsa()
    path = site.write("pin", f"{softhsm.pin}\n")
    path.chmod(0o644)
    uri = f"pkcs11:token={softhsm.label};object={key.label}?module-path={softhsm.module}"
    findings = look(
        keys=f"k example.com:s1:{uri}&pin-source=file:{path}\n", conf=f"RequireSafeKeys {option}\n"
    )
    assert bool(findings) == is_found
    if is_found:
        only(findings, "keys:1: error: the key 'k': ", "can be read or written by every user")


@ROOT
def test_modules_that_the_user_cannot_read(look, site):
    path = site.write("module.so", "")
    path.chmod(0o700)
    row = f"k example.com:s1:pkcs11:token=t;object=o?module-path={path}\n"
    only(look(keys=row, conf="UserID nobody\n"), "the user nobody may not read", "module.so")
