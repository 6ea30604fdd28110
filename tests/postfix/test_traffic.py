"""Many clients at once, filters that stop and reload: no mail is lost, none goes unsigned."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.postfix.site import DOMAIN, SENDER_DOMAIN, USER, Keys, Site, conf, fields, listening
from tests.servers.dkimcoremilter import DkimcoreMilter
from tests.servers.nsd import HOST, NsdServer
from tests.servers.postfix import OUTSIDE, Entrance, Postfix, wait_until
from tests.servers.submission import Receipt, transact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.server("postfix"), pytest.mark.server("nsd")]

CLIENTS = 8
MESSAGES = 200
ENTRANCES = ("inet-6", "unix-6", "inet-2", "unix-2")


def letter(author: str, body: str = "Hello") -> bytes:
    """A message; no two are the same."""
    return (
        f"From: {author}\r\nTo: box@recipient.example\r\nSubject: Traffic\r\n"
        "Date: Sun, 22 Nov 2026 21:00:00 +0000\r\n"
        f"Message-ID: <{uuid.uuid4().hex}@{author.partition('@')[2]}>\r\n\r\n"
        f"{body}\r\n{'A line of the body.' * 3}\r\n" * 20
    ).encode()


# --- Many at once -----------------------------------------------------------------------


def case(site: Site, number: int) -> tuple[str, bytes, dict[str, object]]:
    """What the client with this number sends, and how."""
    own, foreign = letter(f"alice@{DOMAIN}"), letter(f"bob@{SENDER_DOMAIN}")
    match number % 5:
        case 0:
            return "internal", own, {"source": HOST}
        case 1:
            return "authenticated", own, {"source": OUTSIDE, "login": USER}
        case 2:
            return "pass", site.keys.signed(foreign, "rsa", "ed"), {"source": OUTSIDE}
        case 3:
            changed = site.keys.signed(foreign, "rsa").replace(b"Hello", b"Hallo")
            return "fail", changed, {"source": OUTSIDE}
        case _:
            return "unsigned", foreign, {"source": OUTSIDE}


def judge(site: Site, kind: str, message: bytes, arrived: bytes) -> None:
    """Demands that a message arrived as its kind must."""
    assert arrived.endswith(b"\r\n" + message)
    found = fields(arrived, b"authentication-results")
    match kind:
        case "internal" | "authenticated":
            assert site.keys.verdicts(arrived) == [(DOMAIN, "pass")] * 2
            assert found == []
        case "pass":
            assert found[0].count(b"dkim=pass") == 2
        case "fail":
            assert found[0].count(b"dkim=fail") == 1
        case _:
            assert found == []


def test_a_mix_of_200_messages_at_once(site: Site) -> None:
    def play(client: int) -> list[tuple[str, bytes, Receipt]]:
        sent = []
        for number in range(client, MESSAGES, CLIENTS):
            kind, message, how = case(site, number)
            entrance = ENTRANCES[number % len(ENTRANCES)]
            sent.append((kind, message, site.postfix.submit(entrance, message, **how)))
        return sent

    with ThreadPoolExecutor(CLIENTS) as pool:
        sent = list(itertools.chain.from_iterable(pool.map(play, range(CLIENTS))))
    assert Counter(receipt.code for _, _, receipt in sent) == {250: MESSAGES}
    for kind, message, receipt in sent:
        judge(site, kind, message, site.postfix.arrival(receipt.queue_id))


# --- Filters that come and go -----------------------------------------------------------


class Changing:
    """A filter that tests stop, kill, start and reconfigure, and a Postfix of its own."""

    def __init__(self, keys: Keys, dns: NsdServer, where: str, stack: contextlib.ExitStack) -> None:
        self.keys = keys
        self.where = where
        self._conf = conf(dns.address, DkimcoreWorkers="2")
        self._stack = stack
        self.postfix = stack.enter_context(contextlib.closing(Postfix({}, users=dict([USER]))))
        self._socket_name, milters = listening(where, self.postfix.queue)
        self.postfix.entrances["in"] = Entrance(milters=milters)
        self.postfix.settings["non_smtpd_milters"] = milters
        self.start()
        self.postfix = stack.enter_context(self.postfix)

    def start(self) -> None:
        """Starts it, with the first configuration."""
        started = DkimcoreMilter(
            self._conf, files=self.keys.files, socket_name=self._socket_name, workers=None
        )
        self.filter = self._stack.enter_context(started)

    def send(self) -> tuple[bytes, Receipt]:
        """Sends one message as an internal host."""
        message = letter(f"alice@{DOMAIN}")
        return message, self.postfix.submit("in", message)

    def demand_signed(self, message: bytes, receipt: Receipt) -> list[str]:
        """Demands that it arrived with signatures that pass; returns their selectors."""
        arrived = self.postfix.arrival(receipt.queue_id)
        assert arrived.endswith(b"\r\n" + message)
        verdicts = self.keys.verdicts(arrived)
        assert verdicts
        assert set(verdicts) == {(DOMAIN, "pass")}
        values = fields(arrived, b"dkim-signature")
        return sorted(value.partition(b" s=")[2].partition(b";")[0].decode() for value in values)


@pytest.fixture(params=["inet", "unix"])
def changing(request: pytest.FixtureRequest, postfix_works: None) -> Iterator[Changing]:
    """A filter on this kind of socket."""
    keys = Keys()
    with contextlib.ExitStack() as stack:
        dns = stack.enter_context(NsdServer(zone=keys.zone))
        yield Changing(keys, dns, request.param, stack)


@contextlib.contextmanager
def traffic(changing: Changing) -> Iterator[Callable[[], list[tuple[bytes, Receipt]]]]:
    """Four clients that keep sending; what is yielded gives what they have sent so far."""
    sent: list[tuple[bytes, Receipt]] = []
    stop = False

    def play(client: int) -> None:
        while not stop:
            with changing.postfix.client("in") as connection:
                for _ in range(3):
                    message = letter(f"client{client}@{DOMAIN}")
                    sent.append((message, transact(connection, message)))

    with ThreadPoolExecutor(4) as pool:
        players = [pool.submit(play, client) for client in range(4)]
        try:
            yield lambda: list(sent)
        finally:
            stop = True
        for player in players:
            player.result()


def test_nothing_is_lost_while_the_filter_is_stopped(changing: Changing) -> None:
    changing.demand_signed(*changing.send())
    assert changing.filter.stop() == 0
    _, refused = changing.send()
    assert refused.code == 451
    waiting = letter(f"alice@{DOMAIN}")
    changing.postfix.sendmail(waiting)
    message_id = waiting.partition(b"ID: <")[2].partition(b">")[0].decode()
    changing.postfix.wait_for_log(r"cleanup\[\d+\]: \w+: milter-reject: .* from localhost")
    changing.start()
    changing.demand_signed(*changing.send())
    # pickup(8) looks again each minute, or when it is woken.
    changing.postfix.run("postkick", "public", "pickup", "W")
    arrived = rf"(\w+): message-id=<{message_id}>(?:.*\n)+.*\1: to=.*status=sent"
    queue_id = changing.postfix.wait_for_log(arrived)[1]
    changing.demand_signed(waiting, Receipt(code=250, text=f"queued as {queue_id}"))


def test_a_killed_filter_leaves_nothing_unsigned(changing: Changing) -> None:
    with traffic(changing) as sent:
        wait_until(lambda: len(sent()) >= 10, "traffic")
        os.kill(changing.filter.pid, signal.SIGKILL)
        wait_until(lambda: any(r.code == 451 for _, r in sent()), "a refusal")
        changing.start()
        count = len(sent())
        wait_until(lambda: sum(r.code == 250 for _, r in sent()[count:]) >= 10, "traffic again")
    assert {receipt.code for _, receipt in sent()} == {250, 451}
    for message, receipt in sent():
        if receipt.code == 250:
            changing.demand_signed(message, receipt)


def test_reload_under_traffic(changing: Changing) -> None:
    # OpenDKIM's signal and everybody else's; whichever socket, both do the same.
    number = signal.SIGHUP if changing.where == "inet" else signal.SIGUSR1
    folder = changing.filter.folder
    with traffic(changing) as sent:
        wait_until(lambda: len(sent()) >= 10, "traffic")
        (folder / "SigningTable").write_text(f"*@{DOMAIN} ed\n")
        os.kill(changing.filter.pid, number)
        changing.filter.wait_for("configuration reloaded from", timeout=60)
        count = len(sent())
        wait_until(lambda: len(sent()) >= count + 20, "traffic")
        kept = (folder / "filter.conf").read_text()
        (folder / "filter.conf").write_text(kept + "NoSuchOption yes\n")
        os.kill(changing.filter.pid, number)
        changing.filter.wait_for("NoSuchOption", timeout=60)
        count = len(sent())
        wait_until(lambda: len(sent()) >= count + 10, "traffic")
    assert {receipt.code for _, receipt in sent()} == {250}
    selectors = [changing.demand_signed(message, receipt) for message, receipt in sent()]
    assert selectors[0] == ["ed", "rsa"]
    assert selectors[-1] == ["ed"]
    assert changing.filter.status is None
