"""The systemd unit: systemd understands it, nothing in it is without effect, it is hardened.

That systemd starts the milter with it is not shown here: a test run has no systemd that it
could ask.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
UNIT = ROOT / "contrib/systemd/dkimcore-milter.service"
PAGE = ROOT / "docs/howto/run-with-systemd.md"


@pytest.fixture(scope="module")
def settings():
    """The settings of the unit, each with all of its values."""
    found = {}
    for line in UNIT.read_text("ascii").splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


@pytest.mark.server("systemd-analyze")
def test_systemd_understands_every_line(tmp_path):
    # The milter is not installed where the unit looks for it, and need not be to be judged.
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text("ascii")))
    ran = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


@pytest.mark.server("systemd-analyze")
def test_a_mistake_in_the_unit_would_be_seen(tmp_path):
    unit = tmp_path / UNIT.name
    unit.write_text("[Service]\nExecStart=/bin/true\nProtectSystm=strict\n")
    ran = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert "ProtectSystm" in ran.stderr


@pytest.mark.server("systemd-analyze")
def test_it_is_hardened():
    ran = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", UNIT],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stdout
    exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+) OK", ran.stdout)
    assert exposure is not None
    assert float(exposure[1]) < 2


def test_it_is_started_watched_and_stopped_as_the_milter_expects(settings):
    assert settings["Type"] == ["notify"]
    assert settings["NotifyAccess"] == ["main"]
    (start,) = settings["ExecStart"]
    assert start == "/opt/dkimcore/bin/dkimcore-milter -f -x /etc/opendkim.conf"
    assert settings["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    # With "control-group" the workers would get SIGTERM beside the supervisor's own.
    assert settings["KillMode"] == ["mixed"]
    assert settings["WatchdogSec"] == ["30s"]
    assert settings["Conflicts"] == ["opendkim.service"]


def test_it_may_write_where_sockets_are_made(settings):
    assert settings["ProtectSystem"] == ["strict"]
    (paths,) = settings["ReadWritePaths"]
    assert "-/var/spool/postfix/opendkim" in paths.split()
    assert settings["RuntimeDirectory"] == ["opendkim"]
    assert settings["RestrictAddressFamilies"] == ["AF_UNIX AF_INET AF_INET6"]


def test_the_page_installs_this_unit():
    assert "contrib/systemd/dkimcore-milter.service" in PAGE.read_text("utf-8")
