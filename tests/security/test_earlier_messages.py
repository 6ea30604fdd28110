"""What a mail server said of one message or client is never taken for the next one's.

A filter that remembers a login for too long signs a stranger's mail.
"""

import struct

import pytest

from dkimcore_milter.conversation import Conversation
from dkimcore_milter.engine import Engine
from dkimcore_milter.meter import Meter
from dkimcore_milter.service import Service
from tests.milter.sessions import NOW, site
from tests.servers.milterwire import pack

LOGIN = b"{auth_type}\0PLAIN\0i\0AAAA\0"
STRANGER = pack(b"C", b"mail.example.org\0004\0\x19192.0.2.1\0")
MAIL = pack(b"M", b"<a@example.com>\0")
RECIPIENT = pack(b"R", b"<b@example.net>\0")
END = pack(b"N") + pack(b"B", b"hello\r\n") + pack(b"E")
OURS, OTHERS = b"a@example.com", b"a@other.example"


def macros(step, octets=b""):
    return pack(b"D", step + octets)


def author(address):
    return pack(b"L", b"From\0 " + address + b"\0")


@pytest.fixture
def log():
    return []


@pytest.fixture
def talk(tmp_path, log):
    """A conversation with a site that signs only, behind its negotiation."""
    engine = Engine.load(site(tmp_path, hosts={"verifies": False}), clock=lambda: float(NOW))
    service = Service(engine=engine, log=log.append, meter=Meter.alone(), inet=True)
    conversation = Conversation(service)
    conversation.receive(pack(b"O", struct.pack(">III", 6, 0x1FF, 0x1FFFFF)))
    return conversation.receive


# How the message of somebody who logged in ends before the next one begins.
ENDS = {
    "signed": author(OURS) + END,
    "accepted at the end of its header": author(OTHERS) + macros(b"N", LOGIN) + pack(b"N"),
    "aborted": author(OURS) + pack(b"A"),
    "aborted behind its header": author(OURS) + macros(b"N", LOGIN) + pack(b"N") + pack(b"A"),
    "never": author(OURS),
}


@pytest.mark.parametrize("step", [b"M", b"R", b"T", b"N", b"B", b"E"])
@pytest.mark.parametrize("end", ENDS)
def test_a_login_ends_with_its_message(talk, log, end, step):
    talk(STRANGER)
    before = MAIL + RECIPIENT
    talk(macros(step, LOGIN) + before if step == b"M" else before + macros(step, LOGIN))
    talk(ENDS[end])
    log.clear()
    # Some mail servers send no macros where there are none.
    following = macros(b"M") if step == b"M" and end == "never" else b""
    answers = talk(following + MAIL + RECIPIENT + author(OURS) + END)
    assert b"DKIM-Signature" not in answers
    assert "AAAA" not in {line.job_id for line in log}


@pytest.mark.parametrize("step", [b"C", b"H", b"M", b"E"])
@pytest.mark.parametrize("how", [pack(b"K"), b""], ids=["QUIT_NC", "no more than CONNECT"])
def test_a_login_ends_with_its_client(talk, step, how):
    greeting = macros(b"C", LOGIN if step == b"C" else b"") + STRANGER
    talk(greeting + macros(b"H", LOGIN if step == b"H" else b"") + pack(b"H", b"mail\0"))
    talk(macros(b"M", LOGIN if step == b"M" else b"") + MAIL + RECIPIENT + author(OURS))
    talk(macros(step, LOGIN))
    talk(how + macros(b"C", b"j\0mx\0") + STRANGER)
    answers = talk(MAIL + RECIPIENT + author(OURS) + END)
    assert b"DKIM-Signature" not in answers


def test_who_logs_in_is_signed_for(talk):
    """The check of the checks above."""
    answers = talk(STRANGER + macros(b"M", LOGIN) + MAIL + RECIPIENT + author(OURS) + END)
    assert b"DKIM-Signature" in answers


def test_who_was_not_named_is_a_stranger(talk):
    """No CONNECT, or one without an address, does not stand for this host."""
    message = MAIL + RECIPIENT + author(OURS) + END
    assert b"DKIM-Signature" not in talk(message)
    assert b"DKIM-Signature" not in talk(pack(b"C", b"localhost\0U") + message)
    local = pack(b"C", b"localhost\0004\0\x19127.0.0.1\0")
    assert b"DKIM-Signature" in talk(local + message)
