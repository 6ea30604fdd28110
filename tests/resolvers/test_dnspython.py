"""Both DNS resolvers against a real name server and against one that misbehaves."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dkimcore.errors import SettingsError
from dkimcore.protocol.keyrecord import TxtStatus
from dkimcore.resolvers import DeadlineTxtResolver
from dkimcore.resolvers.dnspython import AsyncDnspythonResolver, DnspythonResolver
from tests.resolvers.hostile import HostileServer, answered, records

NAME = "s1._domainkey.example.com."
KEY = b"v=DKIM1; p=" + b"A" * 400
SHORT = 0.2  # seconds


def ask_blocking(name, **options):
    return DnspythonResolver(**options).lookup_txt_with_ttl(name)


def ask_asyncio(name, **options):
    return asyncio.run(AsyncDnspythonResolver(**options).lookup_txt_with_ttl(name))


@pytest.fixture(params=[ask_blocking, ask_asyncio], ids=["blocking", "asyncio"])
def ask(request):
    """Asks one name server in one flavour; gives the answer and its TTL."""

    def one(server, name=NAME, *, timeout=SHORT, **options):
        return request.param(name, nameservers=[server.address], timeout=timeout, **options)

    return one


@pytest.fixture(params=[ask_blocking, ask_asyncio], ids=["blocking", "asyncio"])
def ask_with(request):
    """Asks with these options of the resolver."""
    return request.param


# A real name server


@pytest.fixture(scope="module")
def zone():
    from tests.servers import requires_server
    from tests.servers.nsd import NsdServer

    requires_server("nsd")
    texts = {
        NAME: [KEY],
        "octets.example.com": [bytes(range(256)) * 3],
        "several.example.com": [b"one", b"two" * 100],
        "empty.example.com": [b""],
        "*.wild.example.com": [b"wild"],
        "huge.example.com": [b"h" * 30000],
        f"{'a' * 63}._domainkey.example.com": [b"long"],
    }
    chain = {f"c{i}.example.com": f"c{i + 1}.example.com" for i in range(5)}
    aliases = {"c5.example.com": NAME, "dangling.example.com": "nowhere.example.com", **chain}
    with NsdServer(zone=texts, cnames=aliases) as server:
        yield server


@pytest.mark.server("nsd")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (NAME, {KEY}),
        (NAME.upper().removesuffix("."), {KEY}),
        ("octets.example.com", {bytes(range(256)) * 3}),
        ("several.example.com", {b"one", b"two" * 100}),
        ("empty.example.com", {b""}),
        ("any.wild.example.com", {b"wild"}),
        ("c0.example.com", {KEY}),
        (f"{'a' * 63}._domainkey.example.com", {b"long"}),
        ("huge.example.com", {b"h" * 30000}),  # truncated over UDP
    ],
)
@pytest.mark.rfc("6376", "3.6.2.2")
def test_what_a_name_server_has_is_found(ask, zone, name, expected):
    answer, ttl = ask(zone, name, timeout=5.0)
    assert (answer.status, set(answer.records)) == (TxtStatus.FOUND, expected)
    assert len(answer.records) == len(expected)
    assert 0 < ttl <= 60
    assert not answer.authentic


@pytest.mark.server("nsd")
@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("none.example.com", "the name does not exist"),
        ("dangling.example.com", "the name does not exist"),
        ("_domainkey.example.com", "the name has no TXT record"),
        ("c1\x00\\.example.com", "the name does not exist"),
        ("a" * 64 + ".example.com", "can't be a DNS name"),
        ("a." * 128, "can't be a DNS name"),
        ("\xfc.example.com", "can't be a DNS name"),
        ("a..example.com", "can't be a DNS name"),
        ("", "can't be a DNS name"),
    ],
)
@pytest.mark.rfc("6376", "6.1.2")
def test_what_it_does_not_have_is_no_record(ask, zone, name, detail):
    answer, ttl = ask(zone, name, timeout=5.0)
    assert (answer.status, answer.records) == (TxtStatus.NO_RECORD, ())
    assert detail in answer.detail
    assert ttl >= 60


@pytest.mark.server("nsd")
def test_tasks_ask_side_by_side(zone):
    async def all_at_once():
        resolver = AsyncDnspythonResolver(nameservers=[zone.address])
        names = [f"n{i}.wild.example.com" for i in range(50)]
        return await asyncio.gather(*map(resolver.lookup_txt, names))

    assert {answer.records for answer in asyncio.run(all_at_once())} == {(b"wild",)}


# One that misbehaves: each of these is a failure, told within the time


def tcp(octets):
    return len(octets).to_bytes(2) + octets


def truncated(then):
    """A reply over UDP that sends the asker to TCP, and what comes there."""
    return lambda octets, over_tcp: (
        then(octets) if over_tcp else answered(octets, flags=dns.flags.TC)
    )


def other_question(query, _=None):
    wrong = dns.message.make_query("other.example.", "TXT", id=dns.message.from_wire(query).id)
    return answered(wrong.to_wire(), records(wrong.to_wire(), b"forged"))


def wrong_id(query, _=None):
    reply = bytearray(answered(query, records(query, b"forged")))
    reply[0] ^= 0xFF
    return bytes(reply)


def cname_loop(query, _):
    return answered(
        query,
        dns.rrset.from_text(NAME, 60, "IN", "CNAME", "a.example."),
        dns.rrset.from_text("a.example.", 60, "IN", "CNAME", NAME),
    )


def referral(query, _):
    reply = dns.message.make_response(dns.message.from_wire(query))
    reply.authority.append(dns.rrset.from_text("com.", 60, "IN", "NS", "a.gtld-servers.net."))
    return reply.to_wire()


def no_strings(query, _):
    """A TXT record of no octets at all, which RFC 1035 section 3.3.14 does not allow."""
    reply = bytearray(answered(query))
    reply[6:8] = b"\0\1"
    question_end = 12 + len(dns.message.from_wire(query).question[0].name.to_wire()) + 4
    reply[question_end:question_end] = b"\xc0\x0c\0\x10\0\1\0\0\0\x3c\0\0"
    return bytes(reply)


def refused_with_reason(query, _):
    reply = dns.message.make_response(dns.message.from_wire(query))
    reply.set_rcode(dns.rcode.SERVFAIL)
    reply.use_edns(0, options=[dns.edns.EDEOption(dns.edns.EDECode.DNSSEC_BOGUS, "\x1b[31mhello")])
    return reply.to_wire()


HOSTILE = {
    "silence": (lambda query, _: None, "no answer within 0.2 s"),
    "garbage": (lambda query, _: b"\xff" * 100, "timed out"),
    "nothing": (lambda query, _: b"", "timed out"),
    "its own query": (lambda query, _: query, "timed out"),
    "wrong id": (wrong_id, "timed out"),
    "wrong question": (other_question, "timed out"),
    "record without strings": (no_strings, "timed out"),
    "SERVFAIL": (lambda query, _: answered(query, rcode=dns.rcode.SERVFAIL), "SERVFAIL"),
    "SERVFAIL with its reason": (refused_with_reason, r"SERVFAIL \(DNSSEC_BOGUS\)$"),
    "REFUSED": (lambda query, _: answered(query, rcode=dns.rcode.REFUSED), "REFUSED"),
    "FORMERR": (lambda query, _: answered(query, rcode=dns.rcode.FORMERR), "FORMERR"),
    "CNAME loop": (cname_loop, "ChainTooLong"),
    "referral": (referral, "not a recursive resolver"),
    "NXDOMAIN with an answer": (
        lambda query, _: answered(query, records(query, b"x"), rcode=dns.rcode.NXDOMAIN),
        "AnswerForNXDOMAIN",
    ),
    "truncated, then closed": (truncated(lambda query: b""), "EOFError"),
    "truncated, then short": (truncated(lambda query: b"\1\0abc"), "EOFError"),
    "truncated, then garbage": (
        truncated(lambda query: tcp(b"\xff" * 50)),
        "not understood",
    ),
    "truncated, then wrong id": (
        truncated(lambda query: tcp(wrong_id(query))),
        "BadResponse",
    ),
}


@pytest.mark.parametrize(("reply", "detail"), HOSTILE.values(), ids=HOSTILE)
@pytest.mark.rfc("6376", "6.1.2")
def test_a_name_server_that_fails_is_a_failure(ask, reply, detail):
    with HostileServer(reply) as server:
        begin = time.monotonic()
        answer, ttl = ask(server)
        taken = time.monotonic() - begin
    assert (answer.status, answer.records) == (TxtStatus.FAILED, ())
    assert re.search(detail, answer.detail), answer.detail
    assert answer.detail.isprintable()
    assert ttl == 5.0
    assert taken < 1.0


def test_forged_datagrams_before_the_true_one_are_passed_over(ask):
    def reply(query, _):
        forged = [b"\xff" * 20, wrong_id(query), other_question(query)]
        return [*forged, answered(query, records(query, KEY))]

    with HostileServer(reply) as server:
        assert ask(server, timeout=2.0).answer.records == (KEY,)


def test_a_truncated_answer_is_asked_for_over_tcp(ask):
    texts = [b"%05d" % i + b"x" * 995 for i in range(60)]

    def reply(query, over_tcp):
        if not over_tcp:
            return answered(query, records(query, b"part"), flags=dns.flags.TC)
        return tcp(answered(query, records(query, *texts)))

    with HostileServer(reply) as server:
        answer = ask(server, timeout=5.0).answer
        assert [over_tcp for _, over_tcp in server.queries] == [False, True]
    assert (answer.status, sorted(answer.records)) == (TxtStatus.FOUND, texts)


def test_tcp_is_used_at_once_where_wanted(ask):
    with HostileServer(lambda query, _: tcp(answered(query, records(query, KEY)))) as server:
        assert ask(server, timeout=5.0, tcp=True).answer.records == (KEY,)
        assert [over_tcp for _, over_tcp in server.queries] == [True]


def test_a_lost_datagram_is_asked_for_again(ask):
    with HostileServer(
        lambda query, _: answered(query, records(query, KEY)) if len(server.queries) > 1 else None
    ) as server:
        assert ask(server, timeout=1.0).answer.records == (KEY,)
        ids = [dns.message.from_wire(query).id for query, _ in server.queries]
    assert len(ids) == 2


@pytest.mark.rfc("6891", "7")
def test_a_server_without_edns_is_asked_without(ask):
    def reply(query, _):
        parsed = dns.message.from_wire(query)
        if parsed.edns < 0:
            return answered(query, records(query, KEY))
        return parsed.id.to_bytes(2) + b"\x80\x01" + bytes(8)  # FORMERR, a bare header

    with HostileServer(reply) as server:
        assert ask(server).answer.records == (KEY,)


def test_the_query_asks_for_little_datagrams_and_recursion(ask):
    with HostileServer(lambda query, _: answered(query, records(query, KEY))) as server:
        ask(server)
        parsed = dns.message.from_wire(server.queries[0][0])
    assert (parsed.payload, bool(parsed.flags & dns.flags.RD)) == (1232, True)
    assert parsed.question[0].name.to_text() == NAME
    assert not parsed.ednsflags & dns.flags.DO


@pytest.mark.rfc("6840", "5.7")
@pytest.mark.parametrize("trust_ad", [True, False, None])
@pytest.mark.parametrize("rcode", [dns.rcode.NOERROR, dns.rcode.NXDOMAIN])
def test_the_ad_bit_is_asked_for_and_reported_if_trusted(ask, trust_ad, rcode):
    def reply(query, _):
        rrsets = [records(query, KEY)] if rcode == dns.rcode.NOERROR else []
        return answered(query, *rrsets, flags=dns.flags.AD, rcode=rcode)

    with HostileServer(reply) as server:
        answer = ask(server, trust_ad=trust_ad).answer
        asked = dns.message.from_wire(server.queries[0][0]).flags & dns.flags.AD
    trusted = trust_ad is not False  # loopback is trusted unless told otherwise
    assert (answer.authentic, bool(asked)) == (trusted, trusted)


def test_without_the_ad_bit_nothing_is_authentic(ask):
    with HostileServer(lambda query, _: answered(query, records(query, KEY))) as server:
        assert not ask(server, trust_ad=True).answer.authentic


@pytest.mark.rfc("2308", "5")
def test_no_record_may_be_kept_as_long_as_the_soa_says(ask):
    def reply(query, _):
        response = dns.message.from_wire(answered(query, rcode=dns.rcode.NXDOMAIN))
        if b"soa" in query:
            response.authority.append(
                dns.rrset.from_text("example.", 300, "IN", "SOA", "ns. h. 1 2 3 4 30")
            )
        return response.to_wire()

    with HostileServer(reply) as server:
        assert ask(server, "soa.example").ttl == 30.0
        assert ask(server, "none.example").ttl == 0.0


def test_another_name_server_helps(ask_with):
    with (
        HostileServer(lambda query, _: answered(query, rcode=dns.rcode.SERVFAIL)) as broken,
        HostileServer(lambda query, _: None) as silent,
        HostileServer(lambda query, _: answered(query, records(query, KEY))) as working,
    ):
        servers = [broken.address, silent.address, working.address]
        answer = ask_with(NAME, nameservers=servers, timeout=1.0).answer
        assert answer.records == (KEY,)
        assert len(broken.queries) == len(silent.queries) == 1
        failure = ask_with(NAME, nameservers=servers[:2], timeout=SHORT).answer.detail
    assert f"127.0.0.1 port {broken.address[1]}: SERVFAIL" in failure
    assert f"127.0.0.1 port {silent.address[1]}: timed out" in failure


def test_a_host_without_a_configuration_gets_a_failure(ask_with, tmp_path):
    answer = ask_with(NAME, resolv_conf=str(tmp_path / "none")).answer
    assert answer.status is TxtStatus.FAILED
    assert "none cannot be read (No such file or directory)" in answer.detail


def test_a_query_that_can_not_be_sent_is_a_failure(ask_with):
    # The kernel refuses to broadcast for who did not ask to: nothing is sent.
    answer = ask_with(NAME, nameservers=[("255.255.255.255", 9)], timeout=5.0).answer
    assert answer.status is TxtStatus.FAILED
    assert "Permission denied" in answer.detail


def test_a_mistake_of_the_caller_is_a_failure_too(ask_with):
    answer = ask_with(b"a.example", nameservers=["127.0.0.1"]).answer
    assert answer.detail == "the query failed (TypeError)"


def test_only_the_answer_where_the_time_is_not_asked_for():
    with HostileServer(lambda query, _: answered(query, records(query, KEY))) as server:
        resolver = AsyncDnspythonResolver(nameservers=[server.address])
        assert asyncio.run(resolver.lookup_txt(NAME)).records == (KEY,)


def test_names_are_asked_for_as_they_are(ask):
    """No search list, no escapes, no IDNA."""
    with HostileServer(lambda query, _: answered(query, records(query, KEY))) as server:
        for name in ("one", "xn--mnchen-3ya._domainkey.example", "a\\046b.example"):
            assert ask(server, name).answer.records == (KEY,)
        names = [dns.message.from_wire(query).question[0].name for query, _ in server.queries]
    assert [name.labels[0] for name in names] == [b"one", b"xn--mnchen-3ya", b"a\\046b"]


def test_a_shorter_timeout_ends_the_query_and_keeps_nothing():
    with HostileServer(lambda query, _: None) as server:
        resolver = DnspythonResolver(nameservers=[server.address], timeout=30.0)
        assert isinstance(resolver, DeadlineTxtResolver)
        for timeout in (0.1, 0.0, -1.0):
            answer, ttl = resolver.lookup_txt_with_ttl(NAME, timeout=timeout)
            assert (answer.status, ttl) == (TxtStatus.FAILED, 0.0)
        assert resolver.lookup_txt(NAME, timeout=0.05).status is TxtStatus.FAILED


def test_a_cancelled_query_ends_at_once():
    async def ask_and_cancel(server):
        resolver = AsyncDnspythonResolver(nameservers=[server.address], timeout=30.0)
        async with asyncio.timeout(0.05):
            await resolver.lookup_txt(NAME)

    with HostileServer(lambda query, _: None) as server, pytest.raises(TimeoutError):
        asyncio.run(ask_and_cancel(server))


@pytest.mark.parametrize("timeout", [0, -1.0, float("inf"), float("nan")])
def test_a_timeout_that_can_not_be_is_an_error(timeout):
    with pytest.raises(SettingsError, match="positive number of seconds"):
        DnspythonResolver(timeout=timeout)


@given(reply=st.binary(max_size=300), keep=st.integers(0, 60), over_tcp=st.booleans())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_reply_octets_give_an_answer(ask_with, reply, keep, over_tcp):
    """Octets of a stranger's after the true beginning of a reply, over UDP or TCP."""

    def send(query, on_tcp):
        if over_tcp and not on_tcp:
            return answered(query, flags=dns.flags.TC)
        octets = answered(query, records(query, KEY))[:keep] + reply
        return tcp(octets) if on_tcp else octets

    with HostileServer(send) as server:
        answer = ask_with(NAME, nameservers=[server.address], timeout=0.03).answer
    assert answer.status in TxtStatus


def test_importing_it_does_not_import_dnspython():
    code = (
        "import sys, dkimcore.resolvers.system, dkimcore.resolvers.static\n"
        "sys.exit(bool({'dns.query', 'dns.message', 'asyncio'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
