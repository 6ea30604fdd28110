"""What each process of the filter can see: the supervisor no mail, a worker no privilege.

The memory of real processes is searched, as somebody would who took one over.
"""

import os
import re
import signal
from pathlib import Path

import pytest

from dkimcore.testing import EphemeralKey
from tests.milter.processes import children, open_path
from tests.servers.dkimcoremilter import DkimcoreMilter
from tests.servers.milterclient import Delivery, deliver

CONF = "KeyFile {folder}/key\nDomain example.com\nSelector s1\nAutoRestart yes\n"
FILES = {"key": EphemeralKey.ed25519().private_pem()}
INSIDE = Delivery(host="localhost", address="127.0.0.1", sender=b"<envelope-canary@example.com>")
MESSAGE = (
    b"From: a@example.com\r\nSubject: header-canary\r\n\r\n"
    + b"a body-canary in the body\r\n" * 400
)
MAIL = (b"header-canary", b"body-canary", b"envelope-canary")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root looks into other processes")


def memory(pid):
    """All that a process can write to, which is where data are."""
    found = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as octets:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            start, end, rights = re.match(r"(\w+)-(\w+) (\S+)", line).groups()
            if not rights.startswith("rw") or line.endswith(("[vvar]", "[vsyscall]")):
                continue
            try:
                octets.seek(int(start, 16))
                found.append(octets.read(int(end, 16) - int(start, 16)))
            except OSError:
                continue  # a guard page
    return b"".join(found)


@as_root
@pytest.mark.parametrize("reload", [False, True], ids=["start", "after a reload"])
def test_no_octet_of_a_message_is_in_the_supervisor(reload):
    with DkimcoreMilter(CONF, files=FILES, workers=2) as milter:
        if reload:
            os.kill(milter.pid, signal.SIGHUP)
            milter.wait_for("configuration reloaded")
        outcomes = [deliver(milter.address, MESSAGE, INSIDE) for _ in range(4)]
        print(outcomes[0].replies, milter.output(), milter.log())
        assert all(outcome.changes for outcome in outcomes)
        seen = memory(milter.pid)
        # The search finds what is there.
        assert b"AutoRestart" in seen
        assert [canary for canary in MAIL if canary in seen] == []


def status(pid):
    text = Path(f"/proc/{pid}/status").read_text()
    return dict(re.findall(r"^(\w+):\s*(.*)$", text, re.MULTILINE))


@as_root
def test_neither_process_has_a_privilege_left_or_writes_a_core(tmp_path):
    """UserID: the supervisor gives them up as well, before there is a socket."""
    open_path(tmp_path)
    place = tmp_path / "run"
    place.mkdir()
    os.chown(place, 65534, 65534)
    conf = f"{CONF}UserID nobody:nogroup\n"
    with DkimcoreMilter(conf, files=FILES, socket_name=f"local:{place}/s") as milter:
        for pid in (milter.pid, *children(milter.pid, 1)):
            found = status(pid)
            assert set(found["Uid"].split()) == set(found["Gid"].split()) == {"65534"}
            for kind in ("CapPrm", "CapEff", "CapInh", "CapAmb"):
                assert int(found[kind], 16) == 0
            limits = Path(f"/proc/{pid}/limits").read_text()
            assert re.search(r"^Max core file size +0 ", limits, re.MULTILINE)
            # Not dumpable: its files in /proc are root's, and no process of its user may trace it.
            assert os.stat(f"/proc/{pid}/mem").st_uid == 0
