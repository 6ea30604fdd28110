"""A stranger's d=, s= and i= in Authentication-Results: values, and never more than values.

CVE-2020-12272 and its like: text of a signature that ends a quoted string, opens a comment or
begins a result of its own.  What the milter adds is read here by a reader of its own.
"""

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, strategies

from dkimcore_milter.action import ACCEPT, InsertField
from tests.milter.sessions import BODY, HOST, SIMPLE, Mta, compose, site
from tests.protocol import material

KEY = material.ed25519()
PIECES = [
    *("example.com", "bank.example", "a", ".", "@", "=", ";", " ", "\t", "\r\n ", "\r\n", "\n"),
    *('"', "\\", "(", ")", "/", ",", ":", "<", ">", "%", "*", "\x00", "\x1b[2J", "\x7f"),
    *("\u00e4", "\u202e", "xn--", "; dkim=pass header.d=bank.example", '"; dkim=pass x="'),
    *("(; dkim=pass", "=3B=20dkim=3Dpass", "=22=3B", "=0D=0A=20", "=28=5C"),
]
AUID = re.compile(r"header\.i=(?:(?:Q|[^\s\"(),:;<>\[\]\\]*)@example\.com|Q)")
texts = strategies.lists(strategies.sampled_from(PIECES), max_size=5).map("".join)


class Everywhere:
    """A DNS that has the same key at every name."""

    def lookup_txt(self, name):
        return material.found(KEY.record())


@pytest.fixture(scope="module")
def mta():
    with tempfile.TemporaryDirectory() as folder:
        settings = site(Path(folder), hosts={"signs": False}, logging={"results": True})
        yield Mta(settings, resolver=Everywhere())


def quoted(text):
    """As dkim-quoted-printable, which carries any octet through the list of tags."""
    return "".join(f"={octet:02X}" for octet in text.encode()).encode()


def without_comments(text):
    """A structured field as RFC 5322 reads it: comments are nothing, strings a letter Q."""
    kept, depth, at = [], 0, 0
    while at < len(text):
        if depth == 0 and text[at] == '"':
            string = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL).match(text, at)
            assert string, "a quoted string does not end"
            at = string.end()
            kept.append("Q")
            continue
        if depth and text[at] == "\\":
            at += 1
        elif text[at] == "(":
            depth += 1
        elif text[at] == ")":
            depth -= 1
            assert depth >= 0, "a comment ends that did not begin"
        elif depth == 0:
            kept.append(text[at])
        at += 1
    assert depth == 0, "a comment does not end"
    return "".join(kept)


def results(value):
    """The results of a field with our name, as lists of words."""
    assert not re.search(rb"\r|\n", re.sub(rb"\r\n[\t ]+(?=\S)", b" ", value)), value
    text = re.sub(r"\r\n(?=[\t ])", "", value.decode())
    assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f]", text), value
    name, *parts = without_comments(text).split(";")
    assert name.strip() == HOST
    return [part.split() for part in parts]


def judge(mta, tags):
    """What is said about a message signed with these tags."""
    message = compose(SIMPLE, BODY)
    signed = material.sign_by_hand(message, KEY, changes=tags)
    value = signed[len(b"DKIM-Signature:") : -len(b"\r\n" + message)]
    outcome = mta.send([(b"DKIM-Signature", value), *SIMPLE])
    assert outcome.reply == ACCEPT
    for line in outcome.log:
        assert line.text.isprintable()
    inserted = [one.field for one in outcome.changes if isinstance(one, InsertField)]
    assert [field.name for field in inserted] == [b"Authentication-Results"]
    return results(inserted[0].value)


@given(
    tag=strategies.sampled_from([b"d", b"s", b"i"]),
    text=texts,
    encode=strategies.sampled_from([str.encode, quoted, lambda text: quoted(text) + b"@x.example"]),
)
def test_a_signature_brings_in_no_result(mta, tag, text, encode):
    (words,) = judge(mta, {tag: encode(text)})
    assert words[0].partition("=")[0] == "dkim"
    # A reason and properties, each of them once: nothing of the stranger's stands alone.
    names = [word.partition("=")[0] for word in words[1:]]
    known = {"reason", *(f"header.{name}" for name in ("d", "i", "s", "a", "b"))}
    assert set(names) <= known
    assert len(set(names)) == len(names)


@given(text=texts)
def test_an_auid_of_any_octets_that_passes_is_told_and_is_one_value(mta, text):
    (words,) = judge(mta, {b"i": quoted(text) + b"@example.com"})
    if words[0] == "dkim=pass":
        assert [word for word in words if word.startswith("header.d=")] == ["header.d=example.com"]
        # None where it is UTF-8 and the message is not internationalised (RFC 8616 section 5).
        for auid in (word for word in words if word.startswith("header.i=")):
            assert AUID.fullmatch(auid)


def test_the_reader_sees_what_is_brought_in():
    assert len(results(b" mx.example.net; dkim=pass header.i=a; dkim=pass header.d=b")) == 2
    assert len(results(b' mx.example.net; dkim=pass header.i="a; dkim=pass"@b')) == 1
    with pytest.raises(AssertionError, match="comment does not end"):
        results(b" mx.example.net; dkim=pass (header.d=a")
