"""What recipients change: OpenDKIM's behaviour, part 4.9."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.milter.site import Site


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


@pytest.mark.parametrize(
    ("recipient", "found"),
    [
        (b"<Ann@Example.com>", "Ann@Example.com"),
        (b"ann@example.com", "ann@example.com"),
        (b"<bob@example.com>", None),
        (b"<ann@sub.example.com>", None),
        (b"<x@xn--bcher-kva.example>", "x@xn--bcher-kva.example"),
        (b"<postmaster>", "postmaster"),
        (b"<>", None),
    ],
)
def test_mail_to_a_whole_address_is_left_unsigned(site, recipient, found):
    engine = site.engine("DontSignMailTo ann@example.com,x@bücher.example,postmaster,example.com")
    assert engine.exempt_recipient([b"<x@example.net>", recipient]) == found


def test_without_the_options_no_recipient_is_listed(site):
    engine = site.engine("")
    assert engine.exempt_recipient([b"<a@example.com>"]) is None
    assert engine.body_length_recipient([b"<a@example.com>"]) is None
    assert engine.resign([b"<a@example.com>"]) is None


@pytest.mark.parametrize(
    ("listed", "matches", "others"),
    [
        ("ann@example.com", ["ann@example.com"], ["bob@example.com", "ann@x.example.com"]),
        ("*@example.com", ["bob@example.com"], ["bob@x.example.com"]),
        ("ann@.example.com", ["ann@x.example.com", "ann@y.x.example.com"], ["ann@example.com"]),
        ("*@.com", ["x@example.com"], ["x@com"]),
        ("ann@*", ["ann@anywhere.example"], ["bob@anywhere.example"]),
        ("*", ["a@b.example", "postmaster"], []),
        ("example.com", [], ["ann@example.com"]),
    ],
)
def test_bodies_are_signed_with_their_length_for_listed_recipients(site, listed, matches, others):
    engine = site.engine(f"BodyLengthDB {listed}")
    for recipient in matches:
        assert engine.body_length_recipient([b"<%b>" % recipient.encode()]) == recipient
    for recipient in others:
        assert engine.body_length_recipient([recipient.encode()]) is None


@given(
    host=st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(".".join),
    listed=st.sampled_from(["u@", "*@", "v@"]),
    tail=st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(".".join),
    dot=st.sampled_from(["", "."]),
)
def test_parents_are_asked_with_their_dot(tmp_path_factory, host, listed, tail, dot):
    """Against a model: the host itself without a dot, what is below it with one."""
    below = host.endswith("." + tail) if dot else host == tail
    site = Site(tmp_path_factory.mktemp("site"))
    engine = site.engine(f"BodyLengthDB {listed}{dot}{tail}")
    found = engine.body_length_recipient([f"<u@{host}>".encode()])
    assert (found is not None) == (below and listed != "v@")
