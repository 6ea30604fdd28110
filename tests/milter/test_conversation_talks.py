"""Whole connections as MTAs have them, and broken ones: each message gets one verdict."""

import pytest

from tests.milter.mad import SIMPLE, WAITING, load
from tests.milter.talks import EVERYTHING, TALKS, Talker, client, message
from tests.servers.milterwire import pack


def talker(folder, number=0):
    return Talker(load(folder, number))


@pytest.mark.parametrize("number", range(WAITING + 1))
def test_whole_connections(tmp_path, number):
    said = talker(tmp_path, number)
    engine = said._service.engine
    for packets in TALKS:
        said = Talker(engine)
        said.say_all(packets)
        assert said.is_over
        assert said.messages == sum(packet[4:5] == b"E" for packet in packets)
        said.close()


def test_the_cuts_between_reads_do_not_matter(tmp_path):
    said = talker(tmp_path)
    whole = said.hear(b"".join(TALKS[1]))
    for size in (1, 7, 4096):
        said = Talker(said._service.engine)
        stream = b"".join(TALKS[1])
        parts = []
        for at in range(0, len(stream), size):
            if not said.is_over:
                parts.append(said.hear(stream[at : at + size]))
        assert b"".join(parts) == whole


def failing(engine, method):
    def fail(*arguments):
        raise RuntimeError("a bug")

    setattr(engine, method, fail)
    return Talker(engine)


@pytest.mark.parametrize("method", ["author", "is_peer", "now"])
def test_the_check_of_the_check(tmp_path, method):
    """A contained exception is a finding, too."""
    said = failing(load(tmp_path, 3), method)
    with pytest.raises(AssertionError, match="RuntimeError: a bug"):
        said.say_all(TALKS[1])


def test_a_second_verdict_is_found(tmp_path):
    said = Talker(load(tmp_path, 0))
    said.say(pack(b"O", EVERYTHING))
    said.say(client(b"192.0.2.1"))
    hear = said.hear
    said.hear = lambda octets: hear(octets) * 2
    with pytest.raises(ValueError, match="too many values"):
        said.say(pack(b"N"))
    with pytest.raises(AssertionError):
        said.say(pack(b"E"))


def test_a_message_whose_mta_gives_up_has_no_verdict(tmp_path):
    said = Talker(load(tmp_path, 0))
    said.say_all([pack(b"O", EVERYTHING), client(b"127.0.0.1"), *message(SIMPLE)[:-1]])
    said.say(pack(b"A"))
    assert said.messages == 0
    said.say_all(message(SIMPLE))
    assert said.messages == 1
