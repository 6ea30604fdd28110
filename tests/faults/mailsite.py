"""A Postfix with one filter that may go at any time, and senders who try again.

What senders do after a temporary error is RFC 5321 section 4.5.4.1: they keep the message.
"""

from __future__ import annotations

import contextlib
import email
import os
import signal
import smtplib
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tests.faults.harness import DOMAIN, FILES, SIGNING, verdicts
from tests.milter.processes import children
from tests.postfix.site import listening
from tests.servers.dkimcoremilter import DkimcoreMilter
from tests.servers.postfix import Entrance, Postfix, wait_until
from tests.servers.submission import Receipt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

__all__ = ["MailSite"]

CLIENTS = 8
BETWEEN_TRIES = 0.05  # seconds


class MailSite:
    """Postfix and its filter on a unix socket; both run while the ``with`` block lasts.

    Args:
        conf: More lines of the filter's configuration.

    Attributes:
        codes: How often Postfix gave each reply code.
        accepted: The numbers of the messages that Postfix took.
    """

    def __init__(self, conf: str = "") -> None:
        self._stack = contextlib.ExitStack()
        self.postfix = self._stack.enter_context(contextlib.closing(Postfix({})))
        self._socket_name, milters = listening("unix", self.postfix.queue)
        self.postfix.entrances["in"] = Entrance(milters=milters)
        self._conf = f"{SIGNING}UMask 000\nPidFile {self.postfix.folder}/filter.pid\n{conf}"
        self.codes: Counter[int] = Counter()
        self.accepted: set[int] = set()
        self._progress = threading.Condition()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            undo.enter_context(self._stack)
            self.start()
            self._stack.enter_context(self.postfix)
            undo.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    # --- The filter ---------------------------------------------------------------------

    def start(self) -> None:
        """Starts the filter, on the socket of the one before."""
        started = DkimcoreMilter(self._conf, files=FILES, socket_name=self._socket_name, workers=2)
        self.filter = self._stack.enter_context(started)

    def kill_worker(self) -> None:
        """Kills a worker, if there is one just now."""
        for pid in children(self.filter.pid)[:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def kill(self) -> None:
        """Kills the supervisor, and starts the filter again."""
        os.kill(self.filter.pid, signal.SIGKILL)
        assert self.filter.ends(30)
        self.start()

    def restart(self) -> None:
        """Stops the filter as an init system does, and starts it again."""
        assert self.filter.stop() == 0
        self.start()

    def reload(self) -> None:
        """Has the filter read its configuration again."""
        before = self.reloads
        os.kill(self.filter.pid, signal.SIGHUP)
        wait_until(lambda: self.reloads > before, "a reload")

    @property
    def reloads(self) -> int:
        """How often the filter that runs now was reloaded."""
        return sum(line["event"] == "reloaded" for line in self.filter.log())

    # --- Mail ---------------------------------------------------------------------------

    @contextlib.contextmanager
    def sending(self, count: int) -> Iterator[None]:
        """Sends messages with these numbers from 0, while the block lasts and until done."""
        with ThreadPoolExecutor(CLIENTS) as pool:
            sending = [pool.submit(self._send, number) for number in range(count)]
            yield
            for done in sending:
                done.result()

    def _send(self, number: int) -> None:
        """Sends a message until Postfix takes it."""
        message = (
            f"From: a@{DOMAIN}\r\nTo: box@recipient.example\r\nSubject: {number}\r\n"
            f"Message-ID: <{number}@{DOMAIN}>\r\nDate: Sun, 22 Nov 2026 21:00:00 +0000\r\n\r\n"
        ).encode() + b"A line of the body.\r\n" * 50
        while True:
            code = self._try(message).code
            with self._progress:
                self.codes[code] += 1
                if code == 250:
                    self.accepted.add(number)
                self._progress.notify_all()
            if code == 250:
                return
            threading.Event().wait(BETWEEN_TRIES)  # as senders do, only sooner

    def _try(self, message: bytes) -> Receipt:
        try:
            return self.postfix.submit("in", message)
        except smtplib.SMTPServerDisconnected:  # 421: the filter cannot be reached
            return Receipt(code=421, text="")
        except smtplib.SMTPResponseException as exc:
            return Receipt(code=exc.smtp_code, text=str(exc.smtp_error))

    def wait_for_accepted(self, count: int) -> None:
        """Waits until Postfix has taken so many messages.

        Raises:
            TimeoutError: It has not.
        """
        with self._progress:
            if not self._progress.wait_for(lambda: len(self.accepted) >= count, 60):
                raise TimeoutError(f"{len(self.accepted)} of {count} messages: {self.codes}")

    def wait_for_refused(self) -> None:
        """Waits until Postfix has refused a message for now.

        Raises:
            TimeoutError: It has not.
        """
        with self._progress:
            if not self._progress.wait_for(lambda: self.codes[451] + self.codes[421], 60):
                raise TimeoutError(f"nothing was refused: {self.codes}")

    def demand_once_and_signed(self, count: int) -> None:
        """Demands that each message was taken and is in the box once, with one good signature.

        Args:
            count: How many were sent.
        """
        new = self.postfix.folder / "mail" / "inbox" / "new"
        wait_until(lambda: len(list(new.iterdir())) >= count, "mail to arrive")
        wait_until(lambda: not self.postfix.run("postqueue", "-j"), "the queue to be empty")
        arrived: Counter[str] = Counter()
        for path in new.iterdir():
            octets = path.read_bytes().replace(b"\n", b"\r\n")
            arrived[email.message_from_bytes(octets)["Message-ID"]] += 1
            assert verdicts(octets) == ["pass"]
        assert arrived == Counter(f"<{number}@{DOMAIN}>" for number in range(count))
        assert set(self.codes) <= {250, 451, 421}, self.codes
