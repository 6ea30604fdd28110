"""Name servers that are dead, silent, or lie: the message gets its action, others are not held up.

One worker serves all.  Where something is to be shown not to wait, the order of ends shows it:
the name server plays a message of its own to the filter before it answers.
"""

from __future__ import annotations

import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import dns.flags
import dns.message
import dns.name
import dns.rrset
import pytest

import dkimcore
from tests.faults.harness import (
    DOMAIN,
    FILES,
    INSIDE,
    KEY,
    MESSAGE,
    OUTSIDE,
    SIGNING,
    demand_signed,
    look,
    the_worker,
)
from tests.faults.raw import ENVELOPE, GREETING, NEGOTIATION, converse_raw, field, packets
from tests.resolvers.hostile import HostileServer, answered, records
from tests.servers.dkimcoremilter import DkimcoreMilter as Filter
from tests.servers.milterclient import Outlook, deliver
from tests.servers.miltermessage import split_message
from tests.servers.milterwire import InsertField, Quarantine, pack
from tests.servers.nsd import HOST, free_port
from tests.servers.postfix import wait_until

NOISE = random.Random(53).randbytes(70_000)
RECORD = KEY.key_record()
MEGABYTE = 1 << 20


def conf(address, *, timeout=1, more=""):
    """A filter that asks this name server, and is as patient."""
    return f"{SIGNING}Mode sv\nNameservers {address[0]}:{address[1]}\nDNSTimeout {timeout}\n{more}"


def signed(selector="s1"):
    """A message from outside, signed by a selector."""
    (field,) = dkimcore.sign(MESSAGE, [dkimcore.Signer.make(DOMAIN, selector, KEY)])
    return field.raw + b"\r\n" + MESSAGE


SIGNED = signed()


def results(outcome):
    """What the added Authentication-Results field says."""
    (change,) = outcome.changes
    assert isinstance(change, InsertField)
    return change.value.decode()


def deferred(outcome):
    return outcome.changes == () and (
        outcome.reply.outlook is Outlook.TEMPFAIL or outcome.reply.text.startswith("451")
    )


# --- Answers that are none --------------------------------------------------------------


def key(query, _over_tcp=None):
    return answered(query, records(query, RECORD))


def another_id(query, over_tcp):
    reply = key(query, over_tcp)
    return bytes([reply[0] ^ 1]) + reply[1:]


def another_question(query, _over_tcp):
    name = dns.message.from_wire(query).question[0].name
    other = dns.message.make_query(dns.name.from_text("other.example."), "TXT")
    other.id = dns.message.from_wire(query).id
    made = dns.message.make_response(other)
    made.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", f'"{RECORD[:200].decode()}"'))
    return made.to_wire()


def cut(query, over_tcp):
    """Truncated over UDP; over TCP the connection ends."""
    return b"" if over_tcp else answered(query, flags=dns.flags.TC)


def with_length(octets):
    return len(octets).to_bytes(2) + octets


def over_tcp_only(make):
    """A reply that is truncated over UDP, and made over TCP."""

    def reply(query, over_tcp):
        return make(query) if over_tcp else answered(query, flags=dns.flags.TC)

    return reply


def alias(query, *, target=None):
    name = dns.message.from_wire(query).question[0].name
    return dns.rrset.from_text(name, 60, "IN", "CNAME", (target or name).to_text())


def ring(query):
    """CNAMEs that lead in a circle."""
    first = dns.message.from_wire(query).question[0].name
    names = [first, *(dns.name.from_text(f"a{number}.example.") for number in range(200))]
    return [
        dns.rrset.from_text(name, 60, "IN", "CNAME", to.to_text())
        for name, to in zip(names, [*names[1:], first], strict=True)
    ]


NO_ANSWERS = {
    "silent": lambda query, over_tcp: None,
    "another id": another_id,
    "another question": another_question,
    "noise": lambda query, over_tcp: NOISE[:500],
    "empty": lambda query, over_tcp: [b"", b"\0", query[:11]],
    "the query": lambda query, over_tcp: query,
    "many wrong ones": lambda query, over_tcp: [NOISE[at : at + 400] for at in range(200)],
    "cut short": lambda query, over_tcp: key(query, over_tcp)[:-20],
    "server failure": lambda query, over_tcp: answered(query, rcode=2),
    "refused": lambda query, over_tcp: answered(query, rcode=5),
    "format error": lambda query, over_tcp: answered(query, rcode=1),
    "TCP that ends": cut,
    "TCP, half an answer": over_tcp_only(lambda query: with_length(key(query))[:-9]),
    "TCP, length 64 kB": over_tcp_only(lambda query: b"\xff\xff" + key(query)),
    "TCP, length 0": over_tcp_only(lambda query: b"\0\0" + key(query)),
    "TCP, 64 kB of noise": over_tcp_only(lambda query: with_length(NOISE[:65535])),
    "TCP, truncated": over_tcp_only(lambda query: with_length(answered(query, flags=dns.flags.TC))),
    "circle": lambda query, over_tcp: answered(query, alias(query)),
    "wide circle": over_tcp_only(lambda query: with_length(answered(query, *ring(query)))),
}


class Server(HostileServer):
    """A name server whose answers a test may change.

    Attributes:
        lie: Makes them, as for `HostileServer`.
    """

    def __init__(self):
        self.lie = NO_ANSWERS["silent"]
        super().__init__(lambda query, over_tcp: self.lie(query, over_tcp))


@pytest.fixture(scope="module")
def served():
    """A name server that lies, and a filter that asks it."""
    with Server() as server, Filter(conf(server.address), files=FILES) as milter:
        demand_signed(deliver(milter.address, MESSAGE, INSIDE))
        yield server, milter


def a_selector(kinds, lie):
    """A name for each lie, as answers are kept."""
    return f"s{[*kinds.values()].index(lie)}"


@pytest.mark.parametrize("lie", NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
def test_a_name_server_without_an_answer(served, lie):
    """The message is deferred (On-DNSError), and mail of ours is signed before that."""
    server, milter = served
    ours = []

    def reply(query, over_tcp):
        if not ours:
            ours.append(deliver(milter.address, MESSAGE, INSIDE))
        return lie(query, over_tcp)

    server.lie = reply
    worker = the_worker(milter)
    before = look(worker)
    outcome = deliver(milter.address, signed(f"no-{a_selector(NO_ANSWERS, lie)}"), OUTSIDE)
    assert ours  # a query came
    demand_signed(ours[0])
    assert deferred(outcome), outcome
    assert the_worker(milter) == worker
    assert look(worker).memory - before.memory < 10 * MEGABYTE
    wait_until(lambda: look(worker).descriptors <= before.descriptors, "sockets to be closed")


@pytest.mark.parametrize("action", ["accept", "discard", "quarantine", "reject", "tempfail"])
def test_a_dead_name_server(action):
    """Nobody listens there: the kernel says so at once (ICMP)."""
    more = f"On-DNSError {action}\n"
    with Filter(conf((HOST, free_port()), more=more), files=FILES) as milter:
        outcome = deliver(milter.address, SIGNED, OUTSIDE)
        kinds = [type(change) for change in outcome.changes]
        if action in ("accept", "quarantine"):
            assert outcome.reply.outlook in (Outlook.ACCEPT, Outlook.CONTINUE)
            assert kinds == [InsertField, Quarantine][: 1 + (action == "quarantine")]
            assert "dkim=temperror" in outcome.changes[0].value.decode()
        else:
            assert kinds == []
            told = outcome.reply.text[:1] or outcome.reply.outlook.value.decode()
            assert told in {"discard": "d", "reject": "5r", "tempfail": "4t"}[action]
        demand_signed(deliver(milter.address, MESSAGE, INSIDE))


# --- Answers, but what answers ----------------------------------------------------------


def texts(query, *strings):
    """TXT records of these strings, in a reply over TCP."""
    return with_length(answered(query, records(query, *strings)))


PASS, FAIL = "dkim=pass", "dkim="
ANSWERS = {
    "a key": (key, PASS),
    "wrong ones before it": (
        lambda query, over_tcp: [NOISE[:99], another_id(query, over_tcp), key(query, over_tcp)],
        PASS,
    ),
    "no such name": (lambda query, over_tcp: answered(query, rcode=3), FAIL),
    "a key over TCP": (over_tcp_only(lambda query: texts(query, RECORD + b"; n=note")), PASS),
    "64 kB: a key with a long note": (
        over_tcp_only(lambda query: texts(query, RECORD + b"; n=" + b"y" * 64_000)),
        FAIL,
    ),
    "64 kB: one record of rubbish": (
        over_tcp_only(lambda query: texts(query, b"y" * 65_000)),
        FAIL,
    ),
    "64 kB: a thousand records": (
        over_tcp_only(lambda query: texts(query, *(b"v=DKIM1; p=%d" % at for at in range(1000)))),
        FAIL,
    ),
    "64 kB: a thousand tags": (
        over_tcp_only(lambda query: texts(query, b";".join(b"t%d=x" % at for at in range(7000)))),
        FAIL,
    ),
    "64 kB: a key of 64 kB": (
        over_tcp_only(lambda query: texts(query, b"v=DKIM1; p=" + b"A" * 64_000)),
        FAIL,
    ),
    "64 kB: semicolons": (over_tcp_only(lambda query: texts(query, b";" * 65_000)), FAIL),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_name_server_with_odd_answers(served, kind):
    server, milter = served
    server.lie, verdict = ANSWERS[kind]
    worker = the_worker(milter)
    before = look(worker)
    message = signed(f"a{[*ANSWERS].index(kind)}")
    told = results(deliver(milter.address, message, OUTSIDE))
    assert verdict in told
    assert (verdict == PASS) == (PASS in told)
    demand_signed(deliver(milter.address, MESSAGE, INSIDE))
    assert the_worker(milter) == worker
    assert look(worker).memory - before.memory < 20 * MEGABYTE


# --- Many that wait ---------------------------------------------------------------------


class HeldServer:
    """A name server that keeps all its answers until it is told to give them."""

    def __init__(self):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((HOST, 0))
        self.address = self._socket.getsockname()
        self._held = []
        self._open = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", self.address)
        self._thread.join()
        self._socket.close()

    def _serve(self):
        while (received := self._socket.recvfrom(4096))[0]:
            with self._changed:
                self._held.append(received)
                self._changed.notify_all()
                if self._open:
                    self._answer()

    def _answer(self):
        for query, client in self._held:
            self._socket.sendto(key(query), client)
        self._held.clear()

    def wait_for(self, count):
        """Waits until so many names were asked for."""

        def names():
            return {bytes(query[12:]) for query, _ in self._held}

        with self._changed:
            assert self._changed.wait_for(lambda: len(names()) >= count, 30), len(names())

    def release(self):
        """Answers all, now and from now on."""
        with self._changed:
            self._open = True
            self._answer()


WAITING = 64


@pytest.mark.parametrize("extra", [0, 36], ids=["64", "100"])
def test_who_waits_for_the_dns_holds_nobody_up(extra):
    """64 messages wait, and more for these; one of ours is signed meanwhile, by the same worker."""
    with HeldServer() as server:
        settings = conf(server.address, timeout=30)
        with Filter(settings, files=FILES) as milter, ThreadPoolExecutor(100) as pool:
            waiting = [
                pool.submit(deliver, milter.address, signed(f"s{number}"), OUTSIDE, timeout=60)
                for number in range(WAITING + extra)
            ]
            server.wait_for(WAITING)
            for _ in range(5):
                demand_signed(deliver(milter.address, MESSAGE, INSIDE))
            assert not any(one.done() for one in waiting)
            server.release()
            for one in waiting:
                assert "dkim=pass" in results(one.result())
            # What is at hand waits for nobody.
            assert "dkim=pass" in results(deliver(milter.address, signed("s0"), OUTSIDE))


def test_what_is_sent_ahead_of_the_answer_waits_for_it_in_its_order():
    """An MTA that does not wait: three messages, one behind the other, whose keys are asked for."""

    def message(number):
        (field_,) = dkimcore.sign(MESSAGE, [dkimcore.Signer.make(DOMAIN, f"s{number}", KEY)])
        fields, _, body = split_message(field_.raw + b"\r\n" + MESSAGE)
        sent = ENVELOPE
        for text in fields:
            name, _, value = text.partition(b":")
            sent += field(name, value.removeprefix(b" ").replace(b"\r\n", b"\n"))
        return sent + pack(b"N") + pack(b"B", body) + pack(b"E")

    greeting = GREETING.replace(b"localhost", b"mail.test").replace(b"127.0.0.1", b"192.0.2.1")
    octets = NEGOTIATION + greeting + b"".join(map(message, range(3))) + pack(b"Q")
    with HeldServer() as server:
        settings = conf(server.address, timeout=30)
        with Filter(settings, files=FILES) as milter, ThreadPoolExecutor(1) as pool:
            sending = pool.submit(converse_raw, milter.address, octets)
            server.wait_for(1)
            demand_signed(deliver(milter.address, MESSAGE, INSIDE))
            server.release()
            answers, rest = packets(sending.result())
            assert rest == b""
            told = [content for command, content in answers if command in b"hi"]
            assert len(told) == 3
            assert all(b"dkim=pass" in content for content in told)
            assert [b"header.s=s%d" % number in told[number] for number in range(3)] == [True] * 3


def test_clients_that_lose_patience_while_the_dns_is_asked():
    """Their connections end; what was asked for them is answered to nobody, and freed."""
    with HeldServer() as server:
        settings = conf(server.address, timeout=30)
        with Filter(settings, files=FILES) as milter:
            worker = the_worker(milter)
            demand_signed(deliver(milter.address, MESSAGE, INSIDE))
            before = look(worker)
            with ThreadPoolExecutor(20) as pool:
                lost = [
                    pool.submit(deliver, milter.address, signed(f"s{at}"), OUTSIDE, timeout=0.5)
                    for at in range(20)
                ]
                server.wait_for(20)
                for one in lost:
                    assert isinstance(one.exception(), TimeoutError)
            demand_signed(deliver(milter.address, MESSAGE, INSIDE))
            server.release()
            wait_until(
                lambda: look(worker).descriptors <= before.descriptors, "sockets to be closed"
            )
            assert "dkim=pass" in results(deliver(milter.address, signed("s3"), OUTSIDE))
            assert the_worker(milter) == worker
            assert not [entry for entry in milter.log() if entry["event"] == "internal-error"]
