"""The same files go through Debian's opendkim and through ours."""

from __future__ import annotations

import subprocess

import pytest

from dkimcore.errors import SettingsError
from dkimcore.settings import load_settings, occurrences
from tests.servers import find_program

pytestmark = pytest.mark.server("opendkim")

ALIKE = [
    "",
    "# comment\n\n \t\n",
    "Socket inet:8891@localhost",
    "Syslog Yes\nsyslogSUCCESS true",
    "Syslog 1x",
    "Syslog maybe",
    "Syslog",
    "Syslog #yes",
    "Syslog yes # really",
    "Syslog yes\rNix",
    "Syslog\vyes",
    "Syslog\fyes",
    "\vSyslog yes",
    "UMask 007",
    "UMask 0x1f",
    "UMask +7",
    "UMask 08",
    "UMask 7 8",
    "UMask 0x",
    "UMask x",
    "Nix yes",
    "OversignHeaders From",
    "Mode v",
    "Mode vs",
    "Mode SV",
    "Mode s v",
    "Mode x",
    "Canonicalization Relaxed/SIMPLE",
    "Canonicalization relaxed",
    "Canonicalization relaxed/",
    "Canonicalization relaxed/simple/x",
    "Canonicalization nofws",
    "SignatureAlgorithm RSA-SHA256",
    "SignatureAlgorithm x",
    "SyslogFacility LOCAL3",
    "SyslogFacility security",
    "SyslogFacility ftp",
    "Minimum 10%",
    "Minimum 101%",
    "Minimum 10+",
    "UnprotectedKey NONE",
    "UnprotectedKey maybe",
    "X-Header yes",
    "SigningTable csl:a=b",
    "Mode v\nSigningTable csl:a=b",
    "KeyTable csl:a=b:c:d",
    "Mode v\nKeyTable csl:a=b:c:d",
    "KeyTable csl:a=b:c:d\nSigningTable csl:x=a",
    "KeyTable csl:a=b:c:d\nSigningTable csl:x=a\nSelector x",
    "KeyTable csl:a=b:c:d\nSigningTable csl:x=a\nKeyFile /nowhere",
    "Selector x",
    "Domain x",
    "Mode v\nDomain x",
    "Include /nowhere",
    "Include self",
    "Include self.included",
]
# Where ours is stricter or laxer; docs/reference/options.md says so.
ONLY_OURS_ACCEPTS = ["Syslog on", "Syslog OFF", "\ufeffSyslog yes", "DkimcoreWorkers 2"]
ONLY_OURS_REFUSES = [
    "On-Default reject it",  # ignored in silence there
    "SignatureAlgorithm rsa-sha1",
    "MinimumKeyBits 512",
    "Minimum 5%x",
    "SignatureTTL -1",
    "UMask 01000",
    "AutoRestartRate 10",
    "Nameservers ns.example.com",
    "SetupPolicyScript /etc/opendkim/setup.lua",
]


def opendkim(folder, *flags):
    return subprocess.run(
        [str(find_program("opendkim")), "-x", "conf", *flags],
        cwd=folder,
        capture_output=True,
        check=False,
    )


def ours(path):
    try:
        load_settings(path)
    except SettingsError:
        return 78
    return 0


@pytest.fixture
def verdicts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def verdicts(text):
        (tmp_path / "self.included").write_text("Syslog yes\n")
        (tmp_path / "conf").write_text(text.replace("self\n", "conf\n") + "\n", "utf-8")
        return opendkim(tmp_path, "-n").returncode, ours("conf")

    return verdicts


@pytest.mark.parametrize("text", ALIKE)
def test_both_accept_it_or_both_refuse_it(verdicts, text):
    theirs, our = verdicts(text)
    assert theirs == our


@pytest.mark.parametrize("text", ONLY_OURS_ACCEPTS)
def test_only_ours_accepts_it(verdicts, text):
    assert verdicts(text) == (78, 0)


@pytest.mark.parametrize("text", ONLY_OURS_REFUSES)
def test_only_ours_refuses_it(verdicts, text):
    theirs, our = verdicts(text)
    assert our == 78
    assert theirs == 0 or "Script" in text  # which it cannot open


def test_both_print_the_same_values(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inner").write_text("Mode vs\nUMask 0x1f\n")
    (tmp_path / "conf").write_text(
        "Mode s #x\nmode v\r#\nUMask 007\nInclude inner\nMode sv\nSyslog No\n"
        "AuthservID \t a b\t c \v\nAuthservID \xe9#\nReportAddress x\tz\n",
        "utf-8",
    )
    for name in ("mOde", "UMASK", "Syslog", "AuthservID", "ReportAddress"):
        printed = opendkim(tmp_path, "-e", name).stdout.decode().split("\n")[:-1]
        assert occurrences("conf", name) == printed, name
