"""What libmilter calls and is told, with a context that stands in for pymilter's.

`test_adapter` has the same over real sockets; here is what an MTA cannot be made to do.
"""

from __future__ import annotations

import socket

import milter
import pytest

from dkimcore_milter import adapter
from dkimcore_milter.action import Reply, Verdict
from dkimcore_milter.activity import Activity
from tests.milter.site import Site

SIGNING = "Domain example.com\nSelector s1\nKeyFile key\n"


class Context:
    """pymilter's milterContext: what it is asked for, and octets that are no text."""

    def __init__(self, *, refuses=(), **macros):
        self.macros = macros
        self.refuses = refuses
        self.asked = []
        self.private = None

    def getsymval(self, name):
        if name == "refused":
            raise milter.error("bad context")
        value = self.macros.get(name)
        return value.decode() if isinstance(value, bytes) else value

    def setpriv(self, value):
        self.private = value

    def getpriv(self):
        return self.private

    def __getattr__(self, name):
        def request(*arguments):
            if name in self.refuses:
                raise milter.error("cannot")
            self.asked.append((name, *arguments))

        return request


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Makes a service for a configuration the process's own."""
    site = Site(tmp_path)
    site.key("key")

    def start(conf, *, inet=False):
        lines, activity = [], Activity()
        service = adapter.Service(
            engine=site.engine(conf), log=lines.append, activity=activity, inet=inet
        )
        monkeypatch.setattr(adapter._Process, "service", service)
        return lines, activity

    return start


def play(context, *fields):
    """Plays a message from inside; returns libmilter's codes."""
    return [
        adapter._connect(context, "localhost", socket.AF_INET, ("127.0.0.1", 1)),
        adapter._envelope_sender(context, b"<a@example.com>", b"SIZE=1"),
        adapter._envelope_recipient(context, b"<b@example.net>"),
        *(adapter._field(context, name, value) for name, value in fields),
        adapter._end_of_header(context),
        adapter._body(context, b"hello\r\n"),
        adapter._end_of_message(context),
    ]


FROM = ("From", b" a@example.com")


def test_a_connection_from_its_negotiation_to_its_close(serve):
    _, activity = serve(SIGNING)
    context = Context(i="Q1", j="mx.example.net")
    options = [0x1FF, 0x1FFFFF, 7, 7]
    assert adapter._negotiate(context, options) == milter.CONTINUE
    assert options == [0x11, 0x100702, 0, 0]
    assert play(context, FROM) == [milter.CONTINUE] * 6 + [milter.ACCEPT]
    ((name, field, value, index),) = context.asked
    assert (name, field, index) == ("addheader", "DKIM-Signature", 0)
    assert value.startswith(" v=1")
    assert adapter._abort(context) == milter.CONTINUE
    assert activity.connections == 1
    assert adapter._close(context) == milter.CONTINUE
    assert activity.connections == 0
    assert context.private is None


def test_macros_are_chosen(serve):
    serve(f"{SIGNING}MacroList csl:color\n")
    context = Context()
    assert adapter._negotiate(context, [0x1FF, 0x1FFFFF, 0, 0]) == milter.CONTINUE
    ((name, stage, symbols),) = context.asked
    assert (name, stage) == ("setsymlist", milter.M_EOH)
    assert "{color}" in symbols.split()


def test_an_mta_without_a_needed_action_is_refused(serve):
    lines, _ = serve(SIGNING)
    assert adapter._negotiate(Context(), [0x1, 0x1FFFFF, 0, 0]) == milter.REJECT
    assert len(lines) == 1


def test_calls_without_a_negotiation_are_not_answered_with_a_guess(serve):
    _, activity = serve(SIGNING)
    context = Context()
    assert set(play(context, FROM)) == {milter.TEMPFAIL}
    assert adapter._abort(context) == adapter._close(context) == milter.CONTINUE
    assert activity.connections == 0


@pytest.mark.parametrize("request_name", ["addheader", "setreply"])
def test_what_libmilter_refuses_fails_the_message_and_no_more(serve, request_name):
    lines, _ = serve(SIGNING)
    context = Context(i="Q1", refuses=("addheader", request_name))
    adapter._negotiate(context, [0x1FF, 0x1FFFFF, 0, 0])
    assert play(context, FROM)[-1] == milter.TEMPFAIL
    assert "libmilter: cannot" in lines[-1].text
    context.refuses = ()
    assert play(context, FROM)[-1] == milter.ACCEPT


@pytest.fixture
def link():
    return adapter._Link(Context(i="Q1", **{"{x}": b"caf\xe9"}))


def test_macros_that_are_no_text_keep_their_octets(link):
    assert link.symbol("i") == "Q1"
    assert link.symbol("{x}") == "caf\udce9"
    assert link.symbol("none") is None
    assert link.symbol("refused") is None


def test_a_reply_has_one_line_and_its_percent_signs(link):
    text = "100% of\r\nwhat\nwas caf\xe9" + " x" * 1000
    code = link.answer(Reply(Verdict.REJECT, "550", "5.7.0", text))
    assert code == milter.REJECT
    ((_, number, enhanced, said),) = link._context.asked
    assert (number, enhanced) == ("550", "5.7.0")
    assert said.startswith("100%% of what was caf? x x")
    assert len(said) <= 901


def test_a_plain_reply_never_gets_the_text_of_an_earlier_one(link):
    # libmilter keeps the text for the connection.
    assert link.answer(Reply(Verdict.TEMPFAIL)) == milter.TEMPFAIL
    assert link._context.asked == []
    link.answer(Reply(Verdict.TEMPFAIL, "451", "", "not now"))
    link.answer(Reply(Verdict.TEMPFAIL))
    link.answer(Reply(Verdict.REJECT))
    assert [asked[1:] for asked in link._context.asked] == [
        ("451", None, "not now"),
        ("451", "4.7.1", "Service unavailable - try again later"),
        ("550", "5.7.1", "Command rejected"),
    ]


def test_requests_are_handed_on(link):
    link.insert(b"X", " caf\xe9".encode() + b"\xff")
    link.delete(b"X", 2)
    link.add_recipient(b"<a@b>")
    link.delete_recipient(b"<c@d>")
    link.quarantine("why")
    link.progress()
    assert link._context.asked == [
        ("addheader", "X", " caf\xe9\ufffd", 0),
        ("chgheader", "X", 2, ""),
        ("addrcpt", "<a@b>"),
        ("delrcpt", "<c@d>"),
        ("quarantine", "why"),
        ("progress",),
    ]
