"""What a real Postfix sent is what the metrics count; each line of the log names its message."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.milter.scraping import scrape
from tests.postfix.site import DOMAIN, Keys, conf, prepare
from tests.postfix.test_verifying import letter
from tests.servers.nsd import NsdServer, free_port
from tests.servers.postfix import OUTSIDE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.dkimcoremilter import DkimcoreMilter
    from tests.servers.postfix import Postfix
    from tests.servers.submission import Receipt

pytestmark = [pytest.mark.server("postfix"), pytest.mark.server("nsd")]

# Lines that are not about a message.
OF_THE_FILTER = {"starting", "option-notice", "terminating"}


class Watched:
    """A Postfix with one filter that serves metrics."""

    def __init__(self, postfix: Postfix, milter: DkimcoreMilter, keys: Keys, metrics: str) -> None:
        self.postfix = postfix
        self.milter = milter
        self.keys = keys
        self.metrics = metrics

    def send(self, message: bytes, *, source: str = OUTSIDE) -> Receipt:
        return self.postfix.submit("metrics-6", message, source=source)


@pytest.fixture
def watched(postfix_works: None) -> Iterator[Watched]:
    keys, metrics = Keys(), f"inet:{free_port()}@127.0.0.1"
    with contextlib.ExitStack() as stack:
        dns = stack.enter_context(NsdServer(zone=keys.zone))
        options = {"DkimcoreMetrics": metrics, "ResolverTracing": "yes", "LogResults": "yes"}
        text = conf(dns.address, **options, On_NoSignature="accept", MaximumHeaders="4000")
        postfix, filters = prepare({"metrics": text}, keys, stack)
        yield Watched(postfix, filters["metrics"], keys, metrics)


def test_counts_equal_what_was_sent_and_lines_name_their_message(watched: Watched) -> None:
    inside = letter().replace(b"bob@sender.example", b"bob@" + DOMAIN.encode())
    good = watched.keys.signed(letter(), "rsa", "ed")
    spoilt = watched.keys.signed(letter(), "rsa").replace(b"Hello", b"HELLO")
    revoked = watched.keys.signed(letter(), "revoked", key="rsa")
    huge = b"X-Long: " + b"x" * 900 + b"\r\n"
    receipts = [
        watched.send(inside, source="127.0.0.1"),
        watched.send(good),
        watched.send(good.replace(b"Subject", b"SUBJECT")),
        watched.send(spoilt),
        watched.send(revoked),
        watched.send(letter()),
    ]
    assert [receipt.code for receipt in receipts] == [250] * len(receipts)
    refused = watched.send(huge * 5 + letter())
    assert refused.code == 451
    found = scrape(watched.metrics)
    assert found["messages_total", "sign", "accept"] == 1
    assert found["messages_total", "verify", "accept"] == 5
    assert found["messages_total", "none", "tempfail"] == 1
    assert sum(value for key, value in found.items() if key[0] == "messages_total") == 7
    assert found["messages_in_flight"] == 0
    assert found["signatures_made_total", "rsa"] == 1
    assert found["signatures_made_total", "ed25519"] == 1
    verified = {
        key[1]: value for key, value in found.items() if key[0] == "signatures_verified_total"
    }
    assert {result: count for result, count in verified.items() if count} == {
        "pass": 4,
        "fail": 2,  # one of them a revoked key's, in OpenDKIM's words
        "none": 1,
    }
    assert found["limits_hit_total", "header_octets"] == 1
    assert found["dns_queries_total", "found"] == 3
    assert found["dns_cache_misses_total"] == 3
    assert found["dns_cache_hits_total"] == 3
    assert found["dns_cache_entries"] == 3
    assert found["dns_query_seconds_count"] == 3
    assert found["key_operation_seconds_count", "file"] == 2
    assert found["message_seconds_count", "verify"] == 5
    demand_queue_ids(watched, receipts)


def demand_queue_ids(watched: Watched, receipts: list[Receipt]) -> None:
    """Every line about a message has its queue id, which Postfix tells late."""
    known = {receipt.queue_id for receipt in receipts}
    seen = {}
    for line in watched.milter.log():
        if line["event"] not in OF_THE_FILTER:
            assert line["job_id"], line
            seen.setdefault(line["job_id"], set()).add(line["event"])
    assert known <= set(seen)
    assert len(seen) == len(known) + 1  # the refused one
    events = set().union(*seen.values())
    assert {"signed", "verified", "key-query", "results", "header-too-large", "why"} <= events
