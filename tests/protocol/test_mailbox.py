"""The author's address: RFC 5322 section 3.4 and OpenDKIM's behaviour, part 4.5."""

from __future__ import annotations

import sys
from email.headerregistry import HeaderRegistry
from email.utils import parseaddr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dkimcore.errors import MessageError
from dkimcore.protocol.mailbox import Mailbox, author
from dkimcore.protocol.message import Header


@pytest.mark.parametrize(
    ("value", "address"),
    [
        (b" a@b.com", "a@b.com"),
        (b" <a@b.com>", "a@b.com"),
        (b" A.B@Example.COM", "A.B@example.com"),
        (b" x <a@b.com>, c@d.com", "a@b.com"),
        (b" c@d.com, x <a@b.com>", "c@d.com"),
        (b" x@y.com <a@b.com>", "a@b.com"),
        (b" Smith, John <a@b.com>", "a@b.com"),
        (b" , a@b.com", "a@b.com"),
        (b" a;b@c.com", "b@c.com"),
        (b" a@b.com; c@d.com", "a@b.com"),
        (b" g: a@g.com;", "a@g.com"),
        (b" g: x <a@g.com>, b@h.com;", "a@g.com"),
        (b" x:<a@b.com>;", "a@b.com"),
        (b" (c (d)) a(e)@(f\\))b.com (x)(y)", "a@b.com"),
        (b' "q, <z@y> \\" (" <a@b.com>', "a@b.com"),
        (b' "a b"@b.com', '"a b"@b.com'),
        (b' "a@b"@c.com', '"a@b"@c.com'),
        (b" <@r.com,@s.com:a@b.com>", "a@b.com"),
        (b" < @r.com:a@b.com >", "a@b.com"),
        (b" a @ b.com", "a@b.com"),
        (b" a . b@c\r\n .com", "a.b@c.com"),
        (b" a@b.com.", "a@b.com."),
        (b" John <a@b.com> (Work) x", "a@b.com"),
        (b' <a@b.com> "at work" [x], c@d.com', "a@b.com"),
        (b" <a@b.com> x; c@d.com", "a@b.com"),
        (b" <a@b.com> <a@b.com>", "a@b.com"),
        (b" J <a@B.com> or J\r\n <@r:a@b.COM> x", "a@b.com"),
        (b" John <a@b.com", "a@b.com"),
        (b" John <a@b.com (x)\r\n ", "a@b.com"),
        (b" <a@b.com> <a@b.com", "a@b.com"),
        (b" a@[1.2.3.4]", "a@[1.2.3.4]"),
        (b" John Smith a@b.com", "a@b.com"),
        (b" =?utf-8?q?=40?= <a@b.com>", "a@b.com"),
        (b" \xff\xfe <a@b.com>", "a@b.com"),
        (b" a\\@x@b.com", "a\\@x@b.com"),
        ("Zo\u00eb <zo\u00eb@B\u00fccher.example>".encode(), "zo\u00eb@xn--bcher-kva.example"),
        (b"a@b_.\xff.Com", "a@b_.\udcff.com"),
        (b"root@LocalHost", "root@localhost"),
    ],
)
@pytest.mark.rfc("5322", "3.4")
def test_the_address_is_found_as_opendkim_finds_it(value, address):
    """Part 4.5; the domains are those that Debian's opendkim signed for."""
    assert Mailbox.parse(value).address == address


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"", "no address"),
        (b" undisclosed:;", "no address"),
        (b" <>", "no address"),
        (b" a", "no address"),
        (b" a@b.com: c", "no address"),
        (b" <a>@b.com", "behind '<...>'"),
        (b" <a@b.com> <c@d.com>", "another address stands behind"),
        (b" <a@b.com> <A@b.com>", "another address stands behind"),
        (b" <a@b.com> <a@b.com> <c@d.com>", "another address stands behind"),
        (b" <a@b.com> <a@b.com> <a@b.com>", "another address stands behind"),
        (b" <a@b.com> x <a@b.com>.net", "right behind '<...>'"),
        (b" <a@b.com><a@b.com>", "right behind '<...>'"),
        (b" <a@b.com>.net", "right behind '<...>'"),
        (b" <a@b.com>: c@d.com;", "right behind '<...>'"),
        (b" <a@b.com> : c@d.com;", "may be an address"),
        (b" <a@b.com> c@d.com", "may be an address"),
        (b' <a@b.com> "c@d.com"', "may be an address"),
        (b" <a@b.com> =?utf-8?q?c=40d.com?=", "may be an address"),
        (b" <a@b.com> >", "may be an address"),
        (b" <a@b.com> <x>", "no address"),
        (b" <<a@b.com>>", "right behind '<...>'"),
        (b" <<a@b.com>", "unquoted"),
        (b" <mailto:a@b.com>", "unquoted"),
        (b" <a@b.com, c@d.com", "unquoted"),
        (b" <a@b.com, John <c@d.com>", "unquoted"),
        (b" <a@b.com x", "malformed"),
        (b" <a b@b.com>", "malformed"),
        (b" John <", "no address"),
        (b" @b.com", "malformed"),
        (b" a@", "malformed"),
        (b" a@b.com John", "malformed"),
        (b" <John a@b.com>", "malformed"),
        (b" a@b@c.com", "unquoted '@'"),
        (b" <a:b@c.com>", "unquoted"),
        (b" a@b.com>", "unquoted"),
        (b" a@b..com", "malformed domain"),
        (b" a@.com", "malformed domain"),
        (b' a@"b.com"', "malformed domain"),
        (b" a@b.com (un", "no end"),
        (b" (\\) a@b.com", "no end"),
        (b' "un a@b.com', "without its partner"),
        (b" a)b@c.com", "without its partner"),
        (b" a@b\x00.com", "control character"),
        (b"a" * 990 + b"@example.com", "longer than 998"),
        (b"<a@b.com> (" + b"x" * 8181 + b")", "longer than 8192"),
    ],
)
def test_what_readers_take_for_different_addresses_is_refused(value, why):
    with pytest.raises(MessageError, match=why):
        Mailbox.parse(value)


def test_a_long_field_is_read_up_to_a_limit():
    assert Mailbox.parse(b"<a@b.com> (" + b"x" * 8180 + b")").address == "a@b.com"


def test_domains_are_compared_by_their_a_labels_and_local_parts_exactly():
    written = Mailbox.parse("a@B\u00dcCHER.example".encode())
    assert written == Mailbox.parse(b"a@xn--BCHER-kva.example")
    assert written.domain_text == "B\u00dcCHER.example"
    assert written != Mailbox.parse(b"A@xn--bcher-kva.example")


def test_what_is_no_utf8_can_be_printed():
    mailbox = Mailbox.parse(b"\xff@\xfe.example")
    assert str(mailbox) == "\ufffd@\ufffd.example"
    assert mailbox.address.encode("utf-8", "surrogateescape") == b"\xff@\xfe.example"


@pytest.mark.rfc("5322", "3.6")
@pytest.mark.parametrize(
    ("header", "count"), [(b"To: a@b.com", "no"), (b"From: a@b.com\r\nfrom: c@d.com", "2")]
)
def test_there_is_exactly_one_author(header, count):
    with pytest.raises(MessageError, match=f"has {count} From fields"):
        author(Header(header))


def test_the_author_of_a_message():
    header = Header(b"Sender: c@d.com\r\nFrom: x\r\n <a@b.com>\r\nTo: e@f.com")
    assert author(header) == Mailbox(b"a", "b.com", "b.com")


@pytest.mark.parametrize(
    "value",
    [
        "John <a@b.com> (Work) x",
        '<a@b.com> "at work" x',
        "<a@b.com> or <a@b.com>",
        "John <a@b.com",
        "John <a@b.com (x)",
    ],
)
def test_python_finds_the_same_address_in_what_is_taken_beyond_the_rfc(value):
    """Its old reader and its new one, which give up in different places."""
    assert Mailbox.parse(value.encode()).address == "a@b.com"
    assert parseaddr(value)[1] in ("a@b.com", "")  # "": newer ones call some of it an error
    new = HeaderRegistry()("From", value)
    assert {address.addr_spec for address in new.addresses} == {"a@b.com"}


@given(st.binary(max_size=60) | st.text('a@<>(),.:;"\\[] \t\r\n', max_size=40).map(str.encode))
def test_hostile_octets_are_an_address_or_a_message_error(value):
    try:
        mailbox = Mailbox.parse(value)
    except MessageError:
        return
    assert mailbox.local_part
    assert mailbox.domain
    assert Mailbox.parse(b"<" + mailbox.address.encode("utf-8", "surrogateescape") + b">")


@pytest.mark.parametrize(
    "part",
    [
        b"(",
        b"()",
        b'"',
        b'"a" ',
        b"a. ",
        b"@",
        b"<",
        b"<a@b.c> ",
        b",",
        b"a,",
        b"a:",
        b"\\(",
        b"a.",
        b"[",
        b" ",
    ],
)
def test_work_grows_with_the_length_and_not_faster(part):
    """Counted in lines run, which unlike seconds does not depend on the machine."""

    def work(repeats):
        count = 0

        def trace(*_):
            nonlocal count
            count += 1
            return trace

        value = part * repeats
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            Mailbox.parse(value)
        except MessageError:
            pass
        finally:
            sys.settrace(before)
        return count

    assert work(800) <= 2 * work(400) + 50
    assert work(200_000) < 50  # is not read at all


PIECES = (
    *(b" ", b"\t", b"\r\n ", b"<", b">", b"@", b".", b'"', b"\\", b",", b":", b";", b"(", b")"),
    *(b"a", b"x.y", b"A B", b"example.com", b'"a b"', b"u@d.example", b"=?u?q?x?=", b"\xc3\xa9"),
)


@given(st.lists(st.sampled_from(PIECES), max_size=9))
def test_what_is_plain_is_read_as_everything_else_is(pieces):
    value = b"".join(pieces)
    mailboxes = []
    for parse in (Mailbox.parse, Mailbox._parse):
        try:
            mailbox = parse(value)
        except MessageError as exc:
            mailboxes.append(str(exc))
        else:
            mailboxes.append((mailbox.local_part, mailbox.domain, mailbox.domain_text))
    assert mailboxes[0] == mailboxes[1]
