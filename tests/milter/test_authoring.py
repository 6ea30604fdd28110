"""Who the author is: OpenDKIM's behaviour, part 4.5."""

from __future__ import annotations

import pytest

from dkimcore.errors import SettingsError
from dkimcore.protocol.message import Header
from dkimcore_milter.engine import BadAuthor, NoAuthor
from tests.milter.site import Site, macros, nobody


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def author(engine, text, values=nobody):
    return str(engine.author(Header(text.replace("\n", "\r\n").encode()), values))


LETTER = """\
Sender: Post <post@lists.example.org>
X-Author: Ann <ann@example.net>
From: Bob <Bob@Example.COM>
From: Eve <eve@example.com>
"""


def test_the_first_from_field_names_the_author(site):
    assert author(site.engine(""), LETTER) == "Bob@example.com"


def test_sender_headers_are_asked_in_their_order_then_from(site):
    assert author(site.engine("SenderHeaders X-Author,Sender"), LETTER) == "ann@example.net"
    assert author(site.engine("SenderHeaders Sender,From"), LETTER) == "post@lists.example.org"
    assert author(site.engine("SenderHeaders X-None"), LETTER) == "Bob@example.com"


def test_a_field_that_is_there_decides_even_if_it_is_empty(site):
    with pytest.raises(NoAuthor, match=r"^can't determine message sender; accepting$"):
        author(site.engine("SenderHeaders Sender"), "Sender: \nFrom: a@example.com\n")


@pytest.mark.parametrize("text", ["Subject: x\n", ""])
def test_a_message_without_from_has_no_author(site, text):
    with pytest.raises(NoAuthor):
        author(site.engine(""), text)


def test_what_is_no_address_is_quoted_short_and_printable(site):
    engine = site.engine("")
    with pytest.raises(BadAuthor) as caught:
        author(engine, "FROM:  nobody\n\tat all\x07\n")
    assert str(caught.value) == "can't parse FROM: header value 'nobody at all?'"
    with pytest.raises(BadAuthor) as caught:
        author(engine, f"From: {'x' * 5000}\n")
    assert len(str(caught.value)) < 150


def test_a_macro_goes_first_if_the_mta_defines_it(site):
    engine = site.engine("SenderMacro mail_addr")
    assert author(engine, LETTER, macros(mail_addr="carl@example.edu")) == "carl@example.edu"
    assert author(engine, LETTER) == "Bob@example.com"
    assert author(engine, LETTER, macros(mail_addr="")) == "Bob@example.com"
    with pytest.raises(BadAuthor, match=r"can't parse macro {mail_addr} header value 'x y'"):
        author(engine, LETTER, macros(mail_addr="x y"))


def test_the_default_stands_in_where_there_is_no_address(site):
    engine = site.engine("DefaultSender postmaster@example.com")
    for text in ("Subject: x\n", "From: \n", "From: nonsense\n"):
        assert author(engine, text) == "postmaster@example.com"
    assert author(engine, LETTER) == "Bob@example.com"


def test_a_default_that_is_no_address_is_refused_with_its_line(site):
    with pytest.raises(SettingsError, match=r"opendkim\.conf:2: DefaultSender is no address"):
        site.engine("Syslog yes\nDefaultSender postmaster")


def test_octets_that_are_no_text_stay_what_they_are(site):
    header = Header(b"From: \xff\xfe@example.com\r\n")
    assert site.engine("").author(header, nobody).local_part == b"\xff\xfe"
    with pytest.raises(BadAuthor, match="can't parse From: header value"):
        site.engine("").author(Header(b"From: \xff\xfe\r\n"), nobody)


def test_exempt_domains_compare_whole_and_without_case(site):
    """Part 5.1: exact."""
    engine = site.engine("ExemptDomains Example.COM,bücher.example")

    def exempt(address):
        return engine.is_exempt(engine.author(Header(f"From: {address}\r\n".encode()), nobody))

    assert exempt("a@EXAMPLE.com")
    assert exempt("a@xn--bcher-kva.example")
    assert not exempt("a@mail.example.com")
    assert not site.engine("").is_exempt(engine.author(Header(b"From: a@b.example"), nobody))
