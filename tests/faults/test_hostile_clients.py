"""Clients that hang, and packets that are none: others are served, and the worker lives.

Whoever can connect to the socket may send anything; a filter on a TCP port is also found by
whoever scans ports.  One filter with one worker takes it all.
"""

from __future__ import annotations

import random
import select
import struct
import threading

import pytest

from tests.faults.harness import (
    FILES,
    INSIDE,
    MESSAGE,
    SIGNING,
    demand_signed,
    look,
    the_worker,
)
from tests.faults.raw import (
    ENVELOPE,
    GREETING,
    NEGOTIATION,
    converse_raw,
    field,
    letter,
    packets,
)
from tests.servers.dkimcoremilter import DkimcoreMilter
from tests.servers.milterclient import (
    MilterClient,
    MilterError,
    Outlook,
    converse,
    deliver,
    open_socket,
)
from tests.servers.milterwire import pack
from tests.servers.postfix import wait_until

MEGABYTE = 1 << 20
QUIT = pack(b"Q")
NOISE = random.Random(6).randbytes(1 << 16)


@pytest.fixture(scope="module")
def milter():
    with DkimcoreMilter(SIGNING, files=FILES) as running:
        demand_signed(deliver(running.address, MESSAGE, INSIDE))  # everything is imported now
        yield running


@pytest.fixture
def unharmed(milter):
    """Demands that the worker is as it was before."""
    worker = the_worker(milter)
    before = look(worker)
    yield
    demand_signed(deliver(milter.address, MESSAGE, INSIDE))
    assert the_worker(milter) == worker
    wait_until(
        lambda: look(worker).descriptors <= before.descriptors,
        lambda: f"{look(worker).descriptors} descriptors to become {before.descriptors}",
        patience=20,
    )
    assert look(worker).memory - before.memory < 40 * MEGABYTE
    assert not [line for line in milter.log() if line["event"] == "internal-error"]


# Behind a negotiation, unless they are about it.
HOSTILE = {
    "length 2 GB": b"\x7f\xff\xff\xffL",
    "length 4 GB": b"\xff\xff\xff\xffL",
    "length 2 GB, and a message of it": b"\x80\0\0\0L" + NOISE * 16,
    "length 0": b"\0\0\0\0" * 1000,
    "half a length": b"\0\0",
    "half a packet": pack(b"L", b"Subject\0hi\0")[:-4],
    "unknown commands": b"".join(pack(bytes([letter])) for letter in b"zxy\0\xff?1"),
    "unknown command with data": pack(b"z", NOISE[:60000]),
    "noise": NOISE,
    "HTTP": b"GET / HTTP/1.1\r\nHost: mx.example.net\r\n\r\n",
    "TLS": bytes.fromhex("16030100d8010000d40303") + NOISE[:210],
    "SMTP": b"EHLO client.example\r\nMAIL FROM:<>\r\n",
    "connect without content": pack(b"C"),
    "connect without an end": pack(b"C", b"localhost"),
    "connect with half an address": pack(b"C", b"localhost\0" + b"4\0"),
    "connect with no address": pack(b"C", b"localhost\0" + b"4\0\x19not an address\0"),
    "connect from an unknown family": pack(b"C", b"localhost\0" + b"9\0\x19x\0"),
    "HELO without content": GREETING + pack(b"H"),
    "empty envelope": GREETING + pack(b"M") + pack(b"R") + pack(b"T") + pack(b"N") + pack(b"E"),
    "envelope without an end": GREETING + pack(b"M", b"<a@example.com>") + pack(b"R", b"<b"),
    "field without content": GREETING + ENVELOPE + pack(b"L") + pack(b"N") + pack(b"E"),
    "field without a value": GREETING + ENVELOPE + pack(b"L", b"Subject\0"),
    "field without an end": GREETING + ENVELOPE + pack(b"L", b"Subject\0hi"),
    "field of three strings": GREETING + ENVELOPE + pack(b"L", b"Subject\0hi\0ho\0"),
    "macros of nothing": pack(b"D") + pack(b"D", b"C"),
    "macros of an unknown step": pack(b"D", b"\xffi\0Q1\0"),
    "macro without a value": pack(b"D", b"Mi\0Q1\0j\0"),
    "macro without an end": pack(b"D", b"Mi\0Q1"),
    "end first": pack(b"E"),
    "body first": pack(b"B", b"hello") * 100 + pack(b"E"),
    "header first": field(b"From", b"a@example.com") * 100 + pack(b"N") + pack(b"E"),
    "recipients without a sender": GREETING + pack(b"R", b"<b@example.net>\0") * 1000 + pack(b"E"),
    "header behind the body": GREETING + ENVELOPE + pack(b"B", b"x") + field(b"A", b"b") * 10,
    "ends and no beginning": GREETING + pack(b"E") * 1000,
    "aborts": pack(b"A") * 10000,
    "backwards": b"".join(
        (pack(b"E"), pack(b"B", b"hello"), pack(b"N"), field(b"A", b"b"), ENVELOPE, GREETING)
    ),
    "negotiation twice": NEGOTIATION + GREETING + letter(),
    "negotiation within a message": GREETING + ENVELOPE + NEGOTIATION + letter(),
    "a thousand negotiations": NEGOTIATION * 1000,
    "greeted a thousand times": GREETING * 1000,
    "quit and go on": QUIT + GREETING + letter(),
    "field of 1 MB": GREETING + ENVELOPE + field(b"X", b"y" * MEGABYTE) + pack(b"N") + pack(b"E"),
    "name of 60 kB": GREETING + ENVELOPE + field(b"y" * 60000, b"x") + pack(b"N") + pack(b"E"),
    "recipients, many": GREETING + ENVELOPE + pack(b"R", b"<b@example.net>\0") * 20000,
    "fields, many": GREETING + letter(field(b"X", b"y") * 20000),
    "fields, folds only": GREETING + letter(field(b"X", b"\n " * 10000)),
    "body of 1 MB": GREETING + letter(body=b"z" * MEGABYTE),
    "body of many small packets": GREETING + letter(pack(b"N") + pack(b"B", b".") * 20000),
}


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize("octets", HOSTILE.values(), ids=HOSTILE.keys())
def test_odd_packets(milter, octets):
    answers, rest = packets(converse_raw(milter.address, NEGOTIATION + octets))
    assert rest == b""  # whole packets only, whatever was asked
    assert answers[0][0] == b"O"


NEGOTIATIONS = {
    "none": GREETING + letter(),
    "empty": pack(b"O") + GREETING,
    "short": pack(b"O", b"\0\0\0\6\0\0") + GREETING,
    "of version 0": pack(b"O", struct.pack(">III", 0, 0x1FF, 0)) + GREETING,
    "of version 99": pack(b"O", struct.pack(">III", 99, 0xFFFFFFFF, 0xFFFFFFFF)) + GREETING,
    "without actions": pack(b"O", struct.pack(">III", 6, 0, 0)) + GREETING + letter(),
    "of noise": pack(b"O", NOISE[:5000]) + GREETING,
    "nothing at all": b"",
    "just a goodbye": QUIT,
    "noise": NOISE[1000:9000],
    "length 2 GB": b"\x7f\xff\xff\xffO",
}


@pytest.mark.parametrize("octets", NEGOTIATIONS.values(), ids=NEGOTIATIONS.keys())
@pytest.mark.usefixtures("unharmed")
def test_odd_negotiations(milter, octets):
    answers, rest = packets(converse_raw(milter.address, octets))
    assert rest == b""
    assert not [content for command, content in answers if command in b"hi"]


@pytest.mark.usefixtures("unharmed")
def test_packets_that_fuzz_a_real_conversation(milter):
    chance = random.Random(34)
    whole = NEGOTIATION + GREETING + letter()
    for _ in range(200):
        octets = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            at = chance.randrange(len(octets))
            match chance.randrange(3):
                case 0:
                    octets[at] = chance.randrange(256)
                case 1:
                    del octets[at : at + chance.randint(1, 9)]
                case _:
                    octets[at:at] = chance.randbytes(chance.randint(1, 9))
        _, rest = packets(converse_raw(milter.address, bytes(octets)))
        assert rest == b""


@pytest.mark.usefixtures("unharmed")
def test_octet_by_octet_is_the_same(milter):
    whole = NEGOTIATION + GREETING + letter() + letter() + QUIT
    at_once, _ = packets(converse_raw(milter.address, whole))
    slowly, rest = packets(converse_raw(milter.address, [bytes([octet]) for octet in whole]))
    assert rest == b""
    letters = [command for command, _ in at_once]
    assert [command for command, _ in slowly] == letters
    assert sum(command in b"hi" for command in letters) == 2


@pytest.mark.usefixtures("unharmed")
def test_others_are_served_while_a_hundred_hang(milter):
    starts = [
        b"",
        b"\0",
        NEGOTIATION[:9],
        NEGOTIATION,
        NEGOTIATION + GREETING + ENVELOPE,
        NEGOTIATION + GREETING + letter()[:-7],
        NEGOTIATION + b"\0\0\xff\xffB" + b"x" * 1000,
    ]
    hanging = [open_socket(milter.address) for _ in range(100)]
    try:
        for number, connection in enumerate(hanging):
            connection.sendall(starts[number % len(starts)])
        for _ in range(20):
            demand_signed(deliver(milter.address, MESSAGE, INSIDE))
    finally:
        for connection in hanging:
            connection.close()


@pytest.mark.usefixtures("unharmed")
def test_who_never_reads_answers_is_read_no_more(milter):
    worker = the_worker(milter)
    before = look(worker).memory
    question = pack(b"H", b"localhost\0") * 1000
    sent = 0
    with open_socket(milter.address) as connection:
        connection.sendall(NEGOTIATION + GREETING)
        connection.settimeout(0)
        # Not to be had for long means: the filter has stopped to read.
        while sent < 64 * MEGABYTE and select.select((), (connection,), (), 1.0)[1]:
            try:
                sent += connection.send(question)
            except BlockingIOError:
                continue
        demand_signed(deliver(milter.address, MESSAGE, INSIDE))
        assert sent < 64 * MEGABYTE
        assert look(worker).memory - before < 10 * MEGABYTE


@pytest.mark.usefixtures("unharmed")
def test_a_header_of_thousands_of_fields_is_refused_and_the_next_message_signed(milter):
    many = b"".join(b"X-%d: y\r\n" % number for number in range(20000)) + MESSAGE
    with MilterClient(milter.address) as client:
        client.negotiate()
        refused = converse(client, many, INSIDE)
        assert refused.reply.outlook is Outlook.TEMPFAIL
        assert refused.changes == ()
        demand_signed(converse(client, MESSAGE, INSIDE, greeted=True))
    assert [line for line in milter.log() if line["event"] == "limit-reached"]


@pytest.mark.usefixtures("unharmed")
def test_fields_as_large_as_a_packet_may_be(milter):
    for size in (1000, 60_000, 65_000, 66_000, 100_000):
        large = b"X-Large: " + b"y" * size + b"\r\n" + MESSAGE
        try:
            outcome = deliver(milter.address, large, INSIDE)
        except (MilterError, OSError):
            continue  # the connection ends, and Postfix defers the message
        if outcome.reply.outlook is not Outlook.TEMPFAIL:
            demand_signed(outcome)


@pytest.mark.usefixtures("unharmed")
def test_millions_of_macros_are_not_kept(milter):
    worker = the_worker(milter)
    before = look(worker).memory
    macros = {f"{{name-{number}}}": "a value" for number in range(2000)}
    with MilterClient(milter.address, timeout=30) as client:
        client.negotiate()
        for round_ in range(500):
            client.macros(b"CHMRTLNBE"[round_ % 9 :][:1], macros | {f"{{{round_}}}": "x"})
        demand_signed(converse(client, MESSAGE, INSIDE))
        assert look(worker).memory - before < 20 * MEGABYTE
    demand_signed(deliver(milter.address, MESSAGE, INSIDE))


@pytest.mark.usefixtures("unharmed")
def test_a_body_of_100_mb_is_not_kept(milter):
    worker = the_worker(milter)
    before = look(worker).memory
    chunk = pack(b"B", b"z" * 62 + b"\r\n" + b"y" * 65_000)
    message = [letter()[: -len(pack(b"E"))], *([chunk * 16] * 100), pack(b"E"), QUIT]
    answers, rest = packets(converse_raw(milter.address, [NEGOTIATION + GREETING, *message]))
    assert rest == b""
    assert sum(command in b"hi" for command, _ in answers) == 1  # signed
    assert look(worker).memory - before < 20 * MEGABYTE


@pytest.mark.usefixtures("unharmed")
def test_connections_that_come_and_go(milter):
    def storm():
        for number in range(300):
            with open_socket(milter.address) as connection:
                connection.sendall((NEGOTIATION + GREETING)[: number % 60])

    storms = [threading.Thread(target=storm) for _ in range(4)]
    for thread in storms:
        thread.start()
    while any(thread.is_alive() for thread in storms):
        demand_signed(deliver(milter.address, MESSAGE, INSIDE))
    for thread in storms:
        thread.join()
