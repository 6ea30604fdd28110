"""The set-up guide that admins follow today, step by step, with our commands.

`guide` holds what one types and the files one writes, as the guide has them; names that
begin with ``$`` are this test's folders, ports and users.  What differs: the name server is
given by its address, as the machine's resolver is not ours, and the log goes to standard
output, as the machine may have no syslog daemon.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import re
import shutil
import socket
import stat
import string
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.postfix.site import USER, fields
from tests.servers.dkimcoremilter import DkimcoreMilter
from tests.servers.nsd import HOST, NsdServer, free_port, zone_records
from tests.servers.postfix import OUTSIDE, Entrance, Postfix, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.server("postfix"),
    pytest.mark.server("nsd"),
    pytest.mark.server("dig"),
]

FILES = Path(__file__).with_name("guide")
DOMAIN = "example.com"
COMMANDS = Path(sys.executable).parent
VARIANTS = {  # the socket of the filter, the settings of Postfix, and whether it is chrooted
    "A": ("socket-a.conf", "postfix-a.cf", True),
    "B": ("socket-b.conf", "postfix-b.cf", False),
    "B-chroot": ("socket-b.conf", "postfix-b-chroot.cf", True),
}


class Installed(DkimcoreMilter):
    """The filter, started as a service manager does: with its configuration and no more."""

    def __init__(self, path: Path, address: str) -> None:
        super().__init__("", socket_name=address)
        self._path = path

    def command(self, conf: Path, socket_name: str) -> list[str]:
        """Returns the command line."""
        return [str(COMMANDS / "dkimcore-milter"), "-f", "-x", str(self._path)]


class Guide:
    """A machine on which the guide is followed."""

    def __init__(self, variant: str, stack: contextlib.ExitStack) -> None:
        self.stack = stack
        # /tmp would do for nobody's keys: whoever may write there can replace them.
        self.root = Path(tempfile.mkdtemp(prefix="dkimcore-guide-", dir="/run"))
        stack.callback(shutil.rmtree, self.root, ignore_errors=True)
        self.root.chmod(0o755)
        self.etc, run = self.root / "opendkim", self.root / "run"
        self.etc.mkdir()
        run.mkdir()
        self.socket_file, self.postfix_file, chroot = VARIANTS[variant]
        self.postfix = Postfix({"smtp": Entrance(chroot=chroot)}, users=dict([USER]), chroot=chroot)
        stack.enter_context(self.postfix)
        # The guide's user, where Debian's opendkim made it; else one that Postfix made.
        user = "opendkim" if _exists("opendkim") else "postfix"
        self.names = {
            "DOMAIN": DOMAIN,
            "ETC": str(self.etc),
            "RUN": str(run),
            "QUEUE": str(self.postfix.queue),
            "PORT": str(free_port()),
            "FILTER_USER": user,
            "FILTER_GROUP": grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name,
        }
        self.publish({})

    @property
    def address(self) -> str:
        """Where the filter listens."""
        if self.socket_file == "socket-a.conf":
            return f"inet:{self.names['PORT']}@localhost"
        return f"local:{self.postfix.queue}/opendkim/opendkim.sock"

    def publish(self, zone: dict[str, list[bytes]]) -> None:
        """Has a name server answer with these records, from now on."""
        self.dns = self.stack.enter_context(NsdServer(zone=zone))
        host, port = self.dns.address
        self.names |= {"DNS_HOST": host, "DNS_PORT": str(port)}

    def file(self, name: str) -> str:
        """One of the guide's files with this machine's names."""
        return string.Template((FILES / name).read_text()).safe_substitute(self.names)

    def do(self, step: str) -> str:
        """Types one of the guide's steps; it must succeed.

        Returns:
            What was printed.
        """
        path = f"{COMMANDS}:{os.environ['PATH']}"
        ran = subprocess.run(
            ["/bin/sh", "-eu", str(FILES / step)],
            env={**os.environ, **self.names, "PATH": path, "NO_COLOR": "1", "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=60,
        )
        assert ran.returncode == 0, ran.stdout
        return ran.stdout

    def start(self) -> None:
        """Starts the filter and restarts Postfix with its settings."""
        self.filter = self.stack.enter_context(Installed(self.etc / "opendkim.conf", self.address))
        for line in self.file(self.postfix_file).splitlines():
            if not line.startswith("#"):
                name, _, value = line.partition("=")
                self.postfix.settings[name.strip()] = value.strip()
        self.postfix.restart()

    def log(self, queue_id: str) -> list[str]:
        """What the log says of a message."""
        return [str(entry["text"]) for entry in self.filter.log() if entry["job_id"] == queue_id]

    def verify(self, octets: bytes) -> str:
        """Has our command judge a message; says what it printed."""
        (self.root / "arrived.eml").write_bytes(octets)
        server = f"{self.names['DNS_HOST']}:{self.names['DNS_PORT']}"
        ran = subprocess.run(
            [COMMANDS / "dkimcore", "verify", "--nameserver", server, self.root / "arrived.eml"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def letter(number: int) -> bytes:
    """A message from an author of the domain."""
    return (
        f"From: somebody@{DOMAIN}\r\nTo: box@recipient.example\r\nSubject: Mail {number}\r\n"
        "Date: Sun, 22 Nov 2026 21:00:00 +0000\r\n"
        f"Message-ID: <guide-{number}@{DOMAIN}>\r\n\r\nHello\r\n"
    ).encode()


@pytest.fixture
def stack(postfix_works: None) -> Iterator[contextlib.ExitStack]:
    """Ends what a guide starts."""
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_guide(variant: str, stack: contextlib.ExitStack) -> None:
    guide = Guide(variant, stack)
    _keys_and_record(guide)
    _tables_and_configuration(guide)
    guide.start()
    _sockets(guide, variant)
    signed = _outgoing(guide)
    _incoming(guide, signed)
    assert guide.filter.stop() == 0
    # milter_default_action = accept: "as if the filter does not exist".
    assert guide.postfix.submit("smtp", letter(9)).code == 250


def test_the_log_of_the_guide(stack: contextlib.ExitStack) -> None:
    guide = Guide("A", stack)
    lines = stack.enter_context(_syslog())
    _keys_and_record(guide)
    _tables_and_configuration(guide, here="")
    guide.start()
    sent = guide.postfix.submit("smtp", letter(1)).queue_id
    received = guide.postfix.submit("smtp", letter(2), source=OUTSIDE).queue_id
    guide.filter.stop()
    wait_until(lambda: any("terminating" in line for line in lines), lambda: "\n".join(lines))
    told = "\n".join(lines)
    for severity, text in (  # mail.info and mail.debug
        ("<22>", rf"dkimcore.* starting \(args: -f -x {guide.etc}/opendkim.conf\)"),
        ("<22>", rf"{sent}: DKIM-Signature field added \(s=dkim, d={DOMAIN}\)"),
        ("<22>", rf"{received}: \[{OUTSIDE}\] \[{OUTSIDE}\] not internal"),
        ("<22>", rf"{received}: not authenticated"),
        ("<23>", rf"{received}: no signature data"),
        ("<22>", r"dkimcore.* terminating with status 0, .*"),
    ):
        line = rf"(?m)^{severity}\w\w\w [ \d]\d [\d:]+ dkimcore-milter\[\d+\]: {text}$"
        assert re.search(line, told), f"{text!r} is not in\n{told}"


@contextlib.contextmanager
def _syslog() -> Iterator[list[str]]:
    """Is the machine's syslog daemon, where there is none; gives what is logged."""
    path = Path("/dev/log")
    if path.exists() or path.is_symlink():
        pytest.skip("this machine has a syslog daemon")
    lines: list[str] = []
    stop = threading.Event()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon, ThreadPoolExecutor(1) as pool:
        daemon.bind(str(path))
        # Few datagrams fit into a socket, and others on this machine may log, too.
        pool.submit(_read, daemon, lines, stop)
        try:
            path.chmod(0o666)
            yield lines
        finally:
            path.unlink()
            stop.set()


def _read(daemon: socket.socket, lines: list[str], stop: threading.Event) -> None:
    daemon.settimeout(0.1)
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            lines.append(daemon.recv(65536).decode())


def _keys_and_record(guide: Guide) -> None:
    printed = guide.do("1-keys.sh")
    assert "dkim._domainkey" in printed
    assert "IN\tTXT" in printed
    key = guide.etc / "keys" / DOMAIN / "dkim.private"
    assert stat.S_IMODE(key.stat().st_mode) == 0o640

    printed = guide.do("2-testkey.sh")  # before the record is there
    assert "NXDOMAIN" in printed
    assert f"dkim._domainkey.{DOMAIN}" in printed.partition("NXDOMAIN")[2]
    assert f"'dkim._domainkey.{DOMAIN}' record not found\n" in printed
    assert printed.endswith("status=69\n")

    text = key.with_name("dkim.txt").read_text()
    guide.publish(zone_records(text, origin=f"{DOMAIN}."))
    printed = guide.do("2-testkey.sh")
    assert "v=DKIM1; h=sha256; k=rsa;" in printed
    assert printed.endswith("status=0\n")


def _tables_and_configuration(guide: Guide, here: str = "DkimcoreLogFormat json\n") -> None:
    here += f"Nameservers {guide.names['DNS_HOST']}:{guide.names['DNS_PORT']}\n"
    conf = guide.file("opendkim.conf") + guide.file(guide.socket_file) + here
    (guide.etc / "opendkim.conf").write_text(conf)
    if guide.socket_file == "socket-b.conf":
        guide.do("4-socket-b.sh")
    printed = guide.do("3-tables.sh")
    assert f"KeyTable               {guide.etc}/key.table" in printed


def _sockets(guide: Guide, variant: str) -> None:
    if variant == "A":
        socket.create_connection((HOST, int(guide.names["PORT"])), 10).close()
        return
    path = guide.postfix.queue / "opendkim" / "opendkim.sock"
    assert stat.filemode(path.stat().st_mode) == "srwxrwxrwx"
    assert path.owner() == guide.names["FILTER_USER"]


def _outgoing(guide: Guide) -> bytes:
    line = f"DKIM-Signature field added (s=dkim, d={DOMAIN})"
    receipt = guide.postfix.submit("smtp", letter(1))
    signed = guide.postfix.arrival(receipt.queue_id)
    assert line in guide.log(receipt.queue_id)
    assert signed.endswith(b"\r\n" + letter(1))
    assert len(fields(signed, b"dkim-signature")) == 1
    assert len(fields(signed, b"dkim-filter")) == 1  # SoftwareHeader
    assert "pass" in guide.verify(signed)

    remote = guide.postfix.submit("smtp", letter(2), source=OUTSIDE, login=USER)
    assert "pass" in guide.verify(guide.postfix.arrival(remote.queue_id))
    assert line in guide.log(remote.queue_id)

    guide.postfix.sendmail(letter(3))
    queue_id = guide.postfix.queue_id_of(f"guide-3@{DOMAIN}")
    assert "pass" in guide.verify(guide.postfix.arrival(queue_id))
    assert line in guide.log(queue_id)
    return signed


def _incoming(guide: Guide, signed: bytes) -> None:
    receipt = guide.postfix.submit("smtp", letter(4), source=OUTSIDE)
    arrived = guide.postfix.arrival(receipt.queue_id)
    assert fields(arrived, b"dkim-signature") == []
    told = guide.log(receipt.queue_id)
    assert told[:2] == [f"[{OUTSIDE}] [{OUTSIDE}] not internal", "not authenticated"]
    assert "no signature data" in told

    receipt = guide.postfix.submit("smtp", signed, source=OUTSIDE)
    (results,) = fields(guide.postfix.arrival(receipt.queue_id), b"authentication-results")
    assert b"dkim=pass" in results
    told = guide.log(receipt.queue_id)
    assert told[:2] == [f"[{OUTSIDE}] [{OUTSIDE}] not internal", "not authenticated"]
    assert "DKIM verification successful" in told
