"""For any message: what one session signs the next verifies, and no forged result stays."""

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, strategies

from dkimcore_milter.action import ACCEPT
from tests.milter.sessions import HOST, INSIDE, OUTSIDE, SIMPLE, Mta, parse, site

# Field bodies as an MTA passes them on: any octets, folds, no line end that is no fold.
pieces = strategies.one_of(
    strategies.binary(max_size=20).map(lambda octets: re.sub(rb"[\r\n]", b"", octets)),
    strategies.sampled_from(
        [b" ", b"\t", b"\r\n ", b"\r\n\t", b"\r\n  \t", b"a", "\u00fc".encode()]
    ),
)
values = strategies.lists(pieces, max_size=6).map(b"".join)
names = strategies.sampled_from(
    [b"Received", b"X-A", b"subject", b"REPLY-TO", b"Cc", b"Comments", b"MIME-Version", b"X;Y"]
)
fields = strategies.lists(strategies.tuples(names, values), max_size=6)
bodies = strategies.one_of(
    strategies.binary(max_size=200),
    strategies.lists(
        strategies.sampled_from([b"a", b" ", b"\t", b"\r\n", b"\r", b"\n", b".", b"\x00\xff"])
    ).map(b"".join),
)


@pytest.fixture(scope="module")
def sites():
    """A signer and a verifier that share a key and its record."""
    with tempfile.TemporaryDirectory() as name:
        settings = site(Path(name))
        yield Mta(settings, peer=INSIDE), Mta(settings, peer=OUTSIDE)


@given(more=fields, body=bodies, chunk=strategies.sampled_from([1, 5, 65_535]))
def test_what_is_signed_passes_on_arrival(sites, more, body, chunk):
    signer, verifier = sites
    message = [*more, *SIMPLE]
    signed = signer.send(message, body, chunk=chunk)
    assert signed.reply == ACCEPT
    (made,) = signed.changes
    judged = verifier.send(parse(made.field.raw)[0] + message, body, chunk=chunk)
    (field,) = judged.results
    assert "dkim=pass (2048-bit key) header.d=example.com" in " ".join(field.split())


claims = strategies.sampled_from(
    [HOST, HOST.upper(), f"{HOST}.", f'"{HOST}"', f"(x) {HOST}", f"{HOST}/Q", f"{HOST} 1", "", "("]
)
methods = strategies.sampled_from(
    ["dkim=pass", "DKIM = pass", "dkim/1=pass", "spf=pass; dkim=pass", "(x)dkim=pass", "dkim=pass;"]
)
forgeries = strategies.tuples(claims, methods).map(
    lambda parts: (b"Authentication-Results", f" {parts[0]}; {parts[1]} x-forged".encode())
)
others = strategies.sampled_from(
    [
        (b"Authentication-Results", b" other.example; dkim=pass x-other"),
        (b"Authentication-Results", b" mx.example.net; spf=pass (x-other)"),
        (b"DKIM-Signature", b" junk"),
    ]
)


ordinary = strategies.tuples(names, values)


@given(header=strategies.lists(strategies.one_of(forgeries, others, ordinary), max_size=8))
def test_no_forged_result_stays(sites, header):
    _, verifier = sites
    judged = verifier.send([*header, *SIMPLE])
    assert b"x-forged" not in judged.message
    kept = sum(b"x-other" in value for _, value in header)
    assert judged.message.count(b"x-other") == kept
