"""A real Postfix, from a configuration and a queue of its own, for tests and benchmarks.

One instance has one or more entrances: smtpd services on loopback, each with its own milter,
protocol version and chroot.  All mail ends in one Maildir, so its octets on arrival can be
read.  Nothing of the machine's own Postfix is read or touched; root is needed, as Postfix
changes users.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers import find_program
from tests.servers.closing import Closing
from tests.servers.dovecotauth import DovecotAuth
from tests.servers.nsd import HOST, free_port
from tests.servers.postfixconf import BOX_OWNER, MAIL_OWNER, Entrance, configure
from tests.servers.submission import RECIPIENTS, SENDER, Receipt, transact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Self

__all__ = [
    "OUTSIDE",
    "Entrance",
    "Postfix",
    "postfix_unusable",
    "wait_until",
]

PATIENCE = 60.0  # seconds for anything to happen; a loaded machine is no failure
# Postfix would outlive a test run that is killed: this one's pipe closes with the run.
GUARD = 'read -r _; kill "$(sed 1q "$1")"'
STARTS_TO_TRY = 5  # a port found free may be taken by someone else before Postfix binds it
OUTSIDE = "127.0.0.2"  # a client that OpenDKIM's default InternalHosts does not hold


def postfix_unusable() -> str | None:
    """Says why no Postfix can be started here; None if it can."""
    if find_program("postfix") is None:
        return "postfix is not installed: sudo apt-get install postfix"
    if os.geteuid() != 0:
        return "Postfix can only be started by root"
    return None


def wait_until(
    condition: Callable[[], object], what: Callable[[], str] | str, *, patience: float = PATIENCE
) -> None:
    """Waits for something that happens in another process.

    Args:
        condition: Asked again and again until it is true.
        what: What is waited for, for the failure's text.
        patience: Seconds after which it is a failure.

    Raises:
        TimeoutError: It did not happen.
    """
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            text = what if isinstance(what, str) else what()
            raise TimeoutError(f"after {patience:.0f} s still waiting for {text}")
        time.sleep(0.02)


class Postfix(Closing):
    """A Postfix that runs while its ``with`` block lasts.

    Example::

        with Postfix({"inet": Entrance(milters=f"inet:127.0.0.1:{port}")}) as postfix:
            receipt = postfix.submit("inet", message)
            octets = postfix.arrival(receipt.queue_id)

    Args:
        entrances: Name to smtpd; more may be put into `entrances` before it starts.
        settings: More lines of main.cf; they win, and may be changed before it starts.
        users: Who may authenticate, with their passwords.
        chroot: Whether cleanup and pickup are chrooted, for ``non_smtpd_milters``.
    """

    def __init__(
        self,
        entrances: Mapping[str, Entrance],
        *,
        settings: Mapping[str, str] | None = None,
        users: Mapping[str, str] | None = None,
        chroot: bool = True,
    ) -> None:
        self.entrances = dict(entrances)
        self.settings = dict(settings or {})
        self._users = dict(users or {})
        self._chroot = chroot
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._undo = contextlib.ExitStack()
        self.ports: dict[str, int] = {}
        # Made here, so that a milter can put its socket into the queue before Postfix starts.
        self.folder = Path(tempfile.mkdtemp(prefix="dkimcore-postfix-"))
        self._undo.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.queue = self.folder / "queue"
        self._lay_out()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            sasl = self.queue / "sasl" / "socket"
            self._undo.enter_context(DovecotAuth(sasl, self._users))
            self._start()
            undo.pop_all()
        return self

    def close(self) -> None:
        """Stops Postfix and removes its folder; again is harmless."""
        self.stop()
        self._undo.close()

    # --- Running ------------------------------------------------------------------------

    def _lay_out(self) -> None:
        self.folder.chmod(0o755)
        for name in ("etc", "mail", "queue", "queue/etc", "queue/sasl", "data"):
            (self.folder / name).mkdir(mode=0o755)
        owner, box = pwd.getpwnam(MAIL_OWNER), pwd.getpwnam(BOX_OWNER)
        os.chown(self.folder / "data", owner.pw_uid, -1)
        (self.folder / "data").chmod(0o700)
        os.chown(self.folder / "mail", box.pw_uid, box.pw_gid)
        for name in ("hosts", "services", "nsswitch.conf", "localtime", "resolv.conf"):
            if Path("/etc", name).exists():  # as Debian's start script does for the chroot
                shutil.copy(f"/etc/{name}", self.queue / "etc" / name)

    def _start(self) -> None:
        for _ in range(STARTS_TO_TRY):
            self.ports = {name: free_port() for name in self.entrances}
            self._configure()
            with (self.folder / "output").open("ab") as output:
                self._process = subprocess.Popen(
                    self._command("postfix", "start-fg"),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            self._guard = subprocess.Popen(
                ["/bin/sh", "-c", GUARD, "guard", str(self.queue / "pid" / "master.pid")],
                stdin=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            if self._becomes_ready():
                return
            self.stop()
            if "Address already in use" not in self.log():
                break
        raise RuntimeError(f"Postfix did not start:\n{self._output()}\n{self.log()}")

    def _configure(self) -> None:
        entrances = {
            name: (self.ports[name], entrance) for name, entrance in self.entrances.items()
        }
        configure(self.folder, entrances, settings=self.settings, chroot=self._chroot)

    def _command(self, program: str, *arguments: str) -> list[str]:
        path = find_program(program)
        if path is None:
            raise RuntimeError("postfix is not installed: sudo apt-get install postfix")
        option = "-C" if program == "sendmail" else "-c"
        return [path, option, str(self.folder / "etc"), *arguments]

    def run(self, program: str, *arguments: str, octets: bytes = b"") -> str:
        """Runs one of Postfix's commands on this instance, such as ``postqueue``.

        Args:
            program: The command.
            *arguments: What follows its ``-c``.
            octets: Its standard input.

        Returns:
            What it printed.
        """
        ran = subprocess.run(
            self._command(program, *arguments),
            input=octets,
            capture_output=True,
            check=False,
            timeout=PATIENCE,
        )
        if ran.returncode != 0:
            raise RuntimeError(f"{program} {arguments}: {ran.returncode} {ran.stderr.decode()}")
        return ran.stdout.decode()

    def _becomes_ready(self) -> bool:
        """Waits until every entrance greets; False when the process has ended."""
        assert self._process is not None
        end = time.monotonic() + PATIENCE
        waiting = list(self.ports.values())
        while waiting and self._process.poll() is None and time.monotonic() < end:
            try:
                # Master listens for smtpd, so only a greeting shows that smtpd can work.
                with socket.create_connection((HOST, waiting[0]), timeout=5) as connection:
                    if connection.recv(4).startswith(b"220"):
                        waiting.pop(0)
            except OSError:
                time.sleep(0.02)
        return not waiting

    def reload(self, **settings: str) -> None:
        """Changes settings of main.cf and has Postfix read them again."""
        self.settings |= settings
        self._configure()
        before = self.log().count(": reload -- ")
        self.run("postfix", "reload")
        # The command only sends a signal; master logs when it has acted on it.
        wait_until(lambda: self.log().count(": reload -- ") > before, "Postfix to reload")

    def restart(self) -> None:
        """Stops Postfix and starts it with its present settings; ports change."""
        self.stop()
        self._start()

    def stop(self) -> None:
        """Stops Postfix; its queue and its mail stay."""
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None
        if self._process is None:
            return
        pid_file = self.queue / "pid" / "master.pid"
        with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
            os.kill(int(pid_file.read_text()), signal.SIGTERM)
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None

    # --- Mail in ------------------------------------------------------------------------

    @contextlib.contextmanager
    def client(
        self, entrance: str, *, source: str = HOST, login: tuple[str, str] | None = None
    ) -> Iterator[smtplib.SMTP]:
        """Connects, greets and, if asked to, authenticates.

        Args:
            entrance: Which smtpd.
            source: The client's address; `OUTSIDE` is nobody's internal host.
            login: User and password.
        """
        with smtplib.SMTP(
            HOST,
            self.ports[entrance],
            local_hostname="client.example",
            timeout=PATIENCE,
            source_address=(source, 0),
        ) as client:
            client.ehlo()
            if login is not None:
                client.login(*login)
            yield client

    def submit(
        self,
        entrance: str,
        message: bytes,
        *,
        sender: str = SENDER,
        recipients: Sequence[str] = RECIPIENTS,
        source: str = HOST,
        login: tuple[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> Receipt:
        """Sends one message over a connection of its own.

        Args:
            entrance: Which smtpd.
            message: Its octets, with CRLF.
            sender: The envelope sender.
            recipients: The envelope recipients.
            source: As for `client`.
            login: As for `client`.
            options: ESMTP options of MAIL, such as ``BODY=8BITMIME``.
        """
        with self.client(entrance, source=source, login=login) as client:
            return transact(client, message, sender, recipients, options)

    def sendmail(self, message: bytes, *arguments: str) -> None:
        """Submits a message through sendmail(1), with LF as such programs do."""
        arguments = arguments or ("-f", SENDER, *RECIPIENTS)
        self.run("sendmail", "-oi", *arguments, octets=message.replace(b"\r\n", b"\n"))

    # --- Mail out -----------------------------------------------------------------------

    def log(self) -> str:
        """All that Postfix has logged."""
        try:
            return (self.folder / "maillog").read_text("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def _output(self) -> str:
        return (self.folder / "output").read_text("utf-8", "replace")

    def wait_for_log(self, pattern: str) -> re.Match[str]:
        """Waits until a line matches this regular expression, and returns the match."""
        wait_until(
            lambda: re.search(pattern, self.log()),
            lambda: f"{pattern!r} in\n{self.log()[-6000:]}",
        )
        found = re.search(pattern, self.log())
        assert found is not None
        return found

    def queue_id_of(self, message_id: str) -> str:
        """Waits until Postfix has given the message with this Message-ID a queue id."""
        return self.wait_for_log(rf"(\w+): message-id=<{re.escape(message_id)}>")[1]

    def arrival(self, queue_id: str) -> bytes:
        """Waits until a message is in the box.

        Returns:
            Its octets with CRLF, as SMTP would have them, from the topmost field that is not
            one of the delivery's own (Return-Path, X-Original-To, Delivered-To).
        """
        line = self.wait_for_log(rf"(?m)^.* {queue_id}: to=.* status=(?:sent|bounced|deferred).*$")
        if "status=sent" not in line[0]:
            raise RuntimeError(line[0])
        received = re.compile(rb"(?m)^\s.*\bid " + queue_id.encode() + rb"\b")
        for path in (self.folder / "mail" / "inbox" / "new").iterdir():
            octets = path.read_bytes()
            if received.search(octets.partition(b"\n\n")[0]):
                return _without_delivery(octets).replace(b"\n", b"\r\n")
        raise RuntimeError(f"{queue_id} was sent and is not in the box")


def _without_delivery(octets: bytes) -> bytes:
    names = (b"Return-Path:", b"X-Original-To:", b"Delivered-To:")
    while octets.startswith(names):
        octets = octets.partition(b"\n")[2]
    return octets
