"""A mail server whose filter signs with keys that are kept elsewhere, and one that sends to it.

The first, the relay, is what customers' mail servers are: it keeps what is refused for now and
tries again.  The second has an entrance with a filter for each backend, and the box.
"""

from __future__ import annotations

import contextlib
import email
import itertools
import threading
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import dkimcore
from dkimcore.testing import StaticResolver
from tests.backends.subject import record_of, toml
from tests.interop.peers.dkimpy import Dkimpy
from tests.interop.peers.job import VerifyJob
from tests.postfix.site import DOMAIN, conf, fields, listening
from tests.servers.dkimcoremilter import DkimcoreMilter
from tests.servers.nsd import HOST, NsdServer
from tests.servers.postfix import Entrance, Postfix, wait_until
from tests.servers.submission import Receipt, transact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Protocol

    from tests.backends.subject import Subject

    class Server(Protocol):
        """What may be stopped and started again, with its keys."""

        def start(self) -> None:
            """Starts it."""

        def stop(self) -> None:
            """Stops it."""


__all__ = ["KeySite", "MailServers", "Relay"]

CLIENTS = 4
FLUSH_EVERY = 100  # looks into the box
# As senders do, only sooner; a message that was refused is tried again after a second or two.
SENDING = {
    "virtual_mailbox_domains": "",
    "relay_domains": "static:all",
    "relay_transport": "smtp",
    "smtp_host_lookup": "native",
    "queue_run_delay": "1s",
    "minimal_backoff_time": "1s",
    "maximal_backoff_time": "1s",
    "initial_destination_concurrency": "8",
    "default_destination_concurrency_limit": "8",
    "smtp_connection_cache_on_demand": "no",  # there is no scache(8) here
    # A refused message says nothing about the next one.
    "default_destination_concurrency_failed_cohort_limit": "0",
}


class Relay(Postfix):
    """A Postfix that sends to another one."""

    def _configure(self) -> None:
        super()._configure()
        with (self.folder / "etc" / "master.cf").open("a") as services:
            services.write("smtp unix - - n - - smtp\nrelay unix - - n - - smtp\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServers:
    """The two; the domain of a recipient says which entrance, and so which filter, is meant."""

    relay: Relay
    server: Postfix
    _box: dict[str, list[bytes]] = field(default_factory=dict)
    _read: set[str] = field(default_factory=set)

    @classmethod
    @contextlib.contextmanager
    def running(cls, names: Sequence[str]) -> Iterator[MailServers]:
        """Starts them, with an entrance for each of these filters, which may come later."""
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(contextlib.closing(Postfix({})))
            for name in names:
                server.entrances[name] = Entrance(milters=listening(name, server.queue)[1])
            stack.enter_context(server)
            routes = " ".join(
                f"{{ {name}.example = smtp:[{HOST}]:{server.ports[name]} }}," for name in names
            )
            settings = {**SENDING, "transport_maps": f"inline:{{ {routes} }}"}
            relay = stack.enter_context(Relay({"in": Entrance()}, settings=settings))
            yield cls(relay=relay, server=server)

    def box(self) -> dict[str, list[bytes]]:
        """All that has arrived, with CRLF, by Message-ID; each file is read once."""
        folder = self.server.folder / "mail" / "inbox" / "new"
        for path in folder.iterdir() if folder.exists() else ():
            if path.name not in self._read:
                octets = path.read_bytes().replace(b"\n", b"\r\n")
                name = email.message_from_bytes(octets)["Message-ID"].strip("<>")
                self._read.add(path.name)
                self._box.setdefault(name, []).append(octets)
        return self._box


class KeyMilter(DkimcoreMilter):
    """Our milter with more in its environment."""

    variables: Mapping[str, str] = {}

    def environment(self) -> Mapping[str, str]:
        """Adds what leads to the backend."""
        return {**super().environment(), **self.variables}


class KeySite:
    """The filter of one backend: an RSA and an Ed25519 key there sign each message.

    Args:
        name: What the entrance and the domain of its recipients are called.
        servers: Who sends and receives.
        subjects: The keys: RSA, Ed25519.
        behind: The server where they are; None where there is none.
    """

    def __init__(
        self,
        name: str,
        servers: MailServers,
        subjects: Sequence[Subject],
        *,
        behind: Server | None = None,
    ) -> None:
        self.name = name
        self._recipient = f"box@{name}.example"
        self.subjects = subjects
        self._servers = servers
        self._behind = behind
        self._stack = contextlib.ExitStack()
        self.selectors = [subject.algorithm for subject in subjects]
        self.zone = self._zone()
        dns = self._stack.enter_context(NsdServer(zone=self.zone))
        self._conf = conf(
            dns.address,
            Mode="s",
            DkimcoreKeyBackends="{folder}/keys.toml",
            DkimcoreWorkers="2",
        )
        self.sent: list[str] = []
        self._lock = threading.Lock()

    def _zone(self) -> dict[str, list[bytes]]:
        zone = {}
        for subject in self.subjects:
            with subject.store() as store:
                record = record_of(store.get(subject.uri).public_key)
            zone[f"{subject.algorithm}._domainkey.{DOMAIN}."] = [record]
        return zone

    # --- The filter and the backend ------------------------------------------------------

    def start_filter(self) -> KeyMilter:
        """Starts it, on the socket of the one before."""
        rows = []
        for subject in self.subjects:
            joint = "&" if "?" in subject.uri else "?"
            uri = f"{subject.uri}{joint}backend={subject.name}"
            rows.append(f"{subject.algorithm} {DOMAIN}:{subject.algorithm}:{uri}\n")
        socket_name, _ = listening(self.name, self._servers.server.queue)
        files = {
            "KeyTable": "".join(rows),
            "SigningTable": "".join(f"*@{DOMAIN} {name}\n" for name in self.selectors),
            "keys.toml": "\n".join(
                toml({}, subject, subject.section()).removeprefix("[store]\n")
                for subject in self.subjects
            ),
        }
        milter = KeyMilter(self._conf, files=files, socket_name=socket_name, workers=None)
        milter.variables = self.subjects[0].environment
        self.filter = self._stack.enter_context(milter)
        return milter

    def restart_filter(self) -> None:
        """Stops the filter as an init system does, and starts it again."""
        assert self.filter.stop() == 0
        self.start_filter()

    def stop_backend(self) -> None:
        """Stops the server by its process id, or takes the token away."""
        for subject in self.subjects:
            subject.stop()
        if self._behind is not None:
            self._behind.stop()

    def start_backend(self) -> None:
        """Starts the server again, with its keys."""
        if self._behind is not None:
            self._behind.start()
        for subject in self.subjects:
            subject.start()

    def events(self, *names: str) -> int:
        """How many lines of the filter's log have one of these names."""
        return sum(line.get("event") in names for line in self.filter.log())

    def close(self) -> None:
        """Ends the filter."""
        self._stack.close()

    # --- Mail ----------------------------------------------------------------------------

    def send(self, count: int) -> None:
        """Hands messages to the relay, which takes them all."""

        def play(share: int) -> None:
            with self._servers.relay.client("in") as client:
                for _ in range(share):
                    name = f"{uuid.uuid4().hex}@{DOMAIN}"
                    receipt = transact(
                        client, letter(name), recipients=[f"box@{self.name}.example"]
                    )
                    assert receipt.code == 250, receipt
                    with self._lock:
                        self.sent.append(name)

        with ThreadPoolExecutor(CLIENTS) as pool:
            for done in [pool.submit(play, count // CLIENTS) for _ in range(CLIENTS)]:
                done.result()

    def submit(self) -> Receipt:
        """Sends one message past the relay, and tells what the mail server says."""
        message = letter(f"{uuid.uuid4().hex}@{DOMAIN}")
        return self._servers.server.submit(self.name, message, recipients=[self._recipient])

    def arrived(self) -> dict[str, list[bytes]]:
        """What is in the box of what was sent, by Message-ID."""
        box = self._servers.box()
        return {name: box[name] for name in self.sent if name in box}

    @property
    def refusals(self) -> int:
        """How often the relay was told to try again with what it sent here."""
        marks = f"@{self.name}.example>,", "status=deferred", "451 4.7.5 resource unavailable"
        return sum(
            all(mark in line for mark in marks) for line in self._servers.relay.log().splitlines()
        )

    def wait_for_refusals(self, count: int) -> None:
        """Waits until the relay was told so often more to try again."""
        before = self.refusals
        wait_until(lambda: self.refusals >= before + count, lambda: f"refusals: {self._said()}")

    def wait_for_arrivals(self, count: int) -> None:
        """Waits until so many messages are in the box."""
        wait_until(lambda: len(self.arrived()) >= count, lambda: f"mail: {self._said()}")

    def flush(self) -> None:
        """Has the relay try now and then, and waits until it has sent all.

        Once is not enough: a message that was refused at that very moment is passed over by the
        queue's runs for minutes, though all back-off times are a second.
        """
        tries = itertools.count()

        def is_over() -> bool:
            if next(tries) % FLUSH_EVERY == 0:
                self._servers.relay.run("postqueue", "-f")
            return len(self.arrived()) >= len(self.sent)

        wait_until(is_over, lambda: f"mail: {self._said()}")

    def demand_all_once_and_signed(self) -> None:
        """Demands that each message is in the box once, with two signatures that pass."""
        arrived = self.arrived()
        assert Counter(self.sent) == {name: len(copies) for name, copies in arrived.items()}
        messages = [copies[0] for copies in arrived.values()]
        resolver = StaticResolver({name: records[0] for name, records in self.zone.items()})
        for octets in messages:
            values = fields(octets, b"dkim-signature")
            found = [value.partition(b" s=")[2].partition(b";")[0].decode() for value in values]
            assert sorted(found) == sorted(self.selectors)
            results = dkimcore.verify(octets, resolver=resolver)
            assert [str(result.status) for result in results] == ["pass"] * 2
        jobs = [VerifyJob(message=octets, zone=self.zone) for octets in messages]
        assert Dkimpy().verify(jobs) == [["pass"] * 2] * len(jobs)
        assert self.events("sent-unsigned", "signed-less", "signed-by-fallback") == 0

    def _said(self) -> str:
        log = self._servers.relay.log()[-3000:]
        queues = [
            each.run("postqueue", "-p") for each in (self._servers.relay, self._servers.server)
        ]
        return (
            f"{len(self.arrived())} of {len(self.sent)}\n{log}\n{self.filter.log()[-5:]}\n"
            f"{self._servers.server.log()[-3000:]}\n{queues}"
        )


def letter(name: str) -> bytes:
    """A message with this Message-ID."""
    return (
        f"From: a@{DOMAIN}\r\nTo: box@recipient.example\r\nSubject: A letter\r\n"
        f"Message-ID: <{name}>\r\nDate: Sun, 22 Nov 2026 21:00:00 +0000\r\n\r\n"
    ).encode() + b"A line of the body.\r\n" * 20
