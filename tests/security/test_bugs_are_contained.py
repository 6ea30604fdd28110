"""What nobody expected ends one message, as the operator decided, and nothing else.

The error comes from what a site brings along: its clock and its resolver.
"""

import struct

import pytest

from dkimcore.settings.model import Action
from dkimcore_milter.conversation import Conversation
from dkimcore_milter.engine import Engine
from dkimcore_milter.meter import Meter
from dkimcore_milter.need import Need
from dkimcore_milter.service import Service
from tests.milter.sessions import BODY, NOW, SIMPLE, compose, site
from tests.protocol import material
from tests.servers.milterwire import pack

HERE = pack(b"C", b"localhost\0004\0\x19127.0.0.1\0")
ELSEWHERE = pack(b"C", b"mail.example.org\0004\0\x19192.0.2.1\0")
SIGNED = material.sign(compose(SIMPLE, BODY), material.rsa()).partition(b"\r\nFrom:")[0][15:]
ERRORS = [ZeroDivisionError, RecursionError, MemoryError, KeyboardInterrupt, SystemExit]


def letter(fields):
    octets = pack(b"D", b"Mi\0Q77\0") + pack(b"M", b"<a@example.com>\0")
    octets += pack(b"R", b"<b@example.net>\0")
    octets += b"".join(pack(b"L", name + b"\0" + value + b"\0") for name, value in fields)
    return octets + pack(b"N") + pack(b"B", BODY) + pack(b"E")


TO_SIGN = letter(SIMPLE)
TO_VERIFY = letter([(b"DKIM-Signature", SIGNED.replace(b"\r\n", b"\n")), *SIMPLE])


class Failing:
    """A clock and a resolver that raise as long as they are told to."""

    def __init__(self):
        self.error = None

    def clock(self):
        if self.error is not None:
            raise self.error("a bug, and not a word about why")
        return float(NOW)

    def lookup_txt(self, name):
        if self.error is not None:
            raise self.error
        return material.found(material.rsa().record())


def say(conversation, octets):
    """The MTA's part, and the threads'."""
    answers = conversation.receive(octets)
    while conversation.need is not Need.OCTETS:
        assert conversation.need is not Need.END
        if conversation.need is Need.WORK:
            answers += conversation.resume(conversation.work())
        else:
            answers += conversation.receive(b"")
    return answers


@pytest.fixture
def start(tmp_path):
    """Begins a conversation with a site that has this action for internal errors."""

    def begin(action, failing, log):
        engine = Engine.load(
            site(tmp_path, actions={"internal_error": action}), clock=failing.clock
        )
        engine.resolver = failing
        service = Service(engine=engine, log=log.append, meter=Meter.alone(), inet=True)
        conversation = Conversation(service)
        say(conversation, pack(b"O", struct.pack(">III", 6, 0x1FF, 0x1FFFFF)))
        return conversation

    return begin


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize(
    ("action", "verdict"),
    [
        (Action.TEMPFAIL, pack(b"y", b"451 4.7.0 internal DKIM error\0")),
        (Action.REJECT, pack(b"y", b"550 5.7.0 internal DKIM error\0")),
        (Action.DISCARD, pack(b"d")),
        (Action.ACCEPT, pack(b"a")),
    ],
)
def test_a_message_that_hits_a_bug_gets_the_operators_action(start, error, action, verdict):
    failing, log = Failing(), []
    conversation = start(action, failing, log)
    say(conversation, HERE)
    assert b"DKIM-Signature" in say(conversation, TO_SIGN)
    log.clear()
    failing.error = error
    answers = say(conversation, TO_SIGN)
    assert answers.endswith(verdict)
    assert b"DKIM-Signature" not in answers
    (line,) = [line for line in log if line.event == "internal-error"]
    assert line.job_id == "Q77"
    assert error.__name__ in line.text
    assert "in clock" in line.fields["traceback"]
    # The next one is none the worse, on this connection too.
    failing.error = None
    assert b"DKIM-Signature" in say(conversation, TO_SIGN)


@pytest.mark.parametrize("error", ERRORS)
def test_a_resolver_that_breaks_makes_no_signature_pass(start, error):
    failing, log = Failing(), []
    conversation = start(Action.TEMPFAIL, failing, log)
    say(conversation, ELSEWHERE)
    failing.error = error
    answers = say(conversation, TO_VERIFY)
    assert b"dkim=pass" not in answers
    assert answers.rpartition(b"y4")[2].startswith((b"51 4.7.0", b"51 4.7.5"))
    failing.error = None
    assert b"dkim=pass" in say(conversation, TO_VERIFY)
