"""Nobody is signed for but whom a row of the signing table names, and as that row says.

A filter that takes any wildcard for a match, or falls back to a default key, signs for domains
that are not its own.
"""

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies

from dkimcore.settings.model import Source
from dkimcore_milter.action import ACCEPT
from tests.milter.sessions import INSIDE, OUTSIDE, Mta, site

LABELS = ["a", "b", "example", "com", "fexample"]
domains = strategies.lists(strategies.sampled_from(LABELS), min_size=2, max_size=4).map(".".join)
locals_ = strategies.sampled_from(["joe", "jane"])
addresses = strategies.tuples(locals_, domains).map("@".join)
patterns = strategies.one_of(
    addresses,
    domains,
    domains.map(lambda name: "." + name),
    strategies.tuples(locals_, domains).map("@.".join),
)
rows = strategies.lists(
    strategies.tuples(patterns, strategies.sampled_from(["fixed", "own"])), max_size=4
)


def matches(pattern, address):
    """What the manual page says of a row, without its order."""
    user, _, domain = address.partition("@")
    at_user, at, at_domain = pattern.rpartition("@")
    if at and at_user != user:
        return False
    if at_domain.startswith("."):
        return domain.endswith(at_domain)
    return domain == at_domain


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def send(folder, table, author, *, peer=INSIDE, **signing):
    settings_ = site(folder, hosts={"verifies": False}, signing=signing)
    key = folder / "s1.private"
    (folder / "KeyTable").write_text(f"fixed example.com:s1:{key}\nown %:s2:{key}\n")
    (folder / "SigningTable").write_text("".join(f"{one} {two}\n" for one, two in table))
    fields = [(b"From", f" {author}".encode()), (b"Date", b" Mon, 1 Jan 2024 00:00:00 +0000")]
    outcome = Mta(settings_, peer=peer).send(fields)
    assert outcome.reply == ACCEPT
    value = "".join(re.sub(r"\s", "", text) for text in outcome.values("DKIM-Signature"))
    return dict(re.findall(r"\b([ds])=([^;]+)", value))


@settings(max_examples=60)
@given(table=rows, author=addresses)
def test_without_a_row_there_is_no_signature_and_with_one_it_is_that_rows(folder, table, author):
    tags = send(folder, table, author)
    domain = author.partition("@")[2]
    wanted = [name for pattern, name in table if matches(pattern, author)]
    allowed = {"fixed": ("example.com", "s1"), "own": (domain, "s2")}
    if wanted:
        assert (tags["d"], tags["s"]) in [allowed[name] for name in wanted]
    else:
        assert tags == {}


@settings(max_examples=30)
@given(table=rows.filter(bool), author=addresses)
def test_who_is_neither_inside_nor_logged_in_is_never_signed_for(folder, table, author):
    assert send(folder, table, author, peer=OUTSIDE) == {}


@settings(max_examples=30)
@given(author=addresses)
def test_a_default_key_signs_for_its_domains_alone(folder, author):
    """Domain, KeyFile and Selector without tables."""
    tags = send(
        folder,
        [],
        author,
        signing_table=None,
        key_table=None,
        key_file=Source(str(folder / "s1.private")),
        domains=Source("example.com"),
        selector="s1",
    )
    assert tags == ({"d": "example.com", "s": "s1"} if author.endswith("@example.com") else {})


def test_of_tables_and_a_default_key_the_tables_decide_alone(folder):
    """dkimpy-milter took a stranger's domain for signing where both were set."""
    both = {
        "key_file": Source(str(folder / "s1.private")),
        "domains": Source("example.com"),
        "selector": "s1",
    }
    assert send(folder, [("joe@a.com", "own")], "joe@b.com", **both) == {}
    assert send(folder, [("*", "fixed")], "joe@b.com", **both) == {"d": "example.com", "s": "s1"}
