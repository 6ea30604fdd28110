"""One key query as a conversation with name servers, without the sockets.

States what to send to whom and for how long to wait, is told what came back, and ends
with an answer (RFC 6376 section 6.1.2 steps 1 to 3).  Sending is left to
`dkimcore.resolvers.dnspython`, which drives this for threads and for asyncio.  Imports
dnspython, so it is imported when the first resolver is made.

dnspython's own stub resolver is not used: it waits between rounds without regard to the
deadline (2.9.2: up to 2 s over it), doesn't know ``trust-ad``, and takes a referral for
"no data".
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from dkimcore.protocol.keyrecord import TxtAnswer, TxtStatus
from dkimcore.resolvers import TimedAnswer
from dkimcore.resolvers.owner import wire_labels

if TYPE_CHECKING:
    from collections.abc import Generator

    from dkimcore.resolvers.nameservers import NameServers

__all__ = ["Attempt", "exchange", "failed"]

PAYLOAD = 1232  # octets: fits every path without fragments (DNS flag day 2020)
FAILURE_TTL = 5.0  # seconds; RFC 2308 section 7.1 allows up to 300
PATIENCE = 0.4  # part of the time given to one attempt, so that a lost datagram is asked again
MAX_DETAIL = 400  # characters

Outcome = dns.message.Message | Exception

_TIMEOUTS = (dns.exception.Timeout, TimeoutError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One question to one name server.

    Attributes:
        query: The message to send.
        server: IP address and port.
        over_tcp: Whether to use TCP, else UDP.
        seconds: How long to wait for the answer.
    """

    query: dns.message.Message
    server: tuple[str, int]
    over_tcp: bool
    seconds: float


def failed(detail: str, *, ttl: float = FAILURE_TTL) -> TimedAnswer:
    """Make an answer of a failure.

    Args:
        detail: Why, for people.
        ttl: Seconds to keep it; 0 when only this asker was in a hurry.
    """
    printable = "".join(character if character.isprintable() else "?" for character in detail)
    return TimedAnswer(TxtAnswer(TxtStatus.FAILED, detail=printable[:MAX_DETAIL]), ttl)


def exchange(
    name: str,
    servers: NameServers,
    *,
    seconds: float,
    ttl: float = FAILURE_TTL,
    over_tcp: bool = False,
) -> Generator[Attempt, Outcome, TimedAnswer]:
    """Ask until there is an answer, the time is over, or no name server is left.

    Send it what became of each `Attempt`: a reply to that very query, or an exception.
    Name servers that answer with an error are not asked again, silent ones are.

    Args:
        name: The name to ask for.
        servers: Whom to ask.
        seconds: How long at most.
        ttl: How long a failure may be kept, in seconds.
        over_tcp: Use TCP at once, not only after a truncated answer.

    Returns:
        The answer.
    """
    deadline = time.monotonic() + seconds
    labels = wire_labels(name)
    if labels is None:
        return _no_record(f"{name[:100]!r} can't be a DNS name", ttl=float("inf"))
    question = dns.name.Name(labels)
    waiting = list(servers.addresses)
    failures = {} if waiting else {"": servers.problem}
    while waiting:
        for server in tuple(waiting):
            outcome = yield from _ask(
                question,
                server,
                trusted=servers.trusted,
                deadline=deadline,
                patience=PATIENCE * seconds,
                over_tcp=over_tcp,
            )
            result = _result(outcome, trusted=servers.trusted)
            if isinstance(result, TimedAnswer):
                return result
            failures[f"{server[0]} port {server[1]}: "] = result
            if not isinstance(outcome, _TIMEOUTS):
                waiting.remove(server)
            elif time.monotonic() >= deadline:
                return failed(f"no answer within {seconds:g} s ({_listed(failures)})", ttl=ttl)
    return failed(_listed(failures), ttl=ttl)


def _listed(failures: dict[str, str]) -> str:
    return "; ".join(f"{server}{failure}" for server, failure in failures.items())


def _ask(
    question: dns.name.Name,
    server: tuple[str, int],
    *,
    trusted: bool,
    deadline: float,
    patience: float,
    over_tcp: bool,
) -> Generator[Attempt, Outcome, Outcome]:
    """Ask one name server: UDP, TCP after a truncated answer, without EDNS where it has none."""
    edns = True
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            return TimeoutError()
        outcome = yield Attempt(
            query=_query(question, trusted=trusted, edns=edns),
            server=server,
            over_tcp=over_tcp,
            seconds=min(left, patience),
        )
        if isinstance(outcome, dns.message.Truncated) and not over_tcp:
            over_tcp = True
        elif edns and isinstance(outcome, dns.message.Message) and _refuses_edns(outcome):
            edns = False
        else:
            return outcome


def _query(question: dns.name.Name, *, trusted: bool, edns: bool) -> dns.message.Message:
    # AD in a query asks for AD in the reply, without the signatures that DO would bring
    # (RFC 6840 section 5.7).
    flags = dns.flags.RD | (dns.flags.AD if trusted else 0)
    query = dns.message.make_query(question, dns.rdatatype.TXT, flags=flags)
    if edns:
        query.use_edns(0, payload=PAYLOAD)
    return query


def _refuses_edns(reply: dns.message.Message) -> bool:
    """RFC 6891 section 7: who doesn't know EDNS answers FORMERR, without an OPT record."""
    return reply.rcode() in (dns.rcode.FORMERR, dns.rcode.NOTIMP) and reply.edns < 0


def _result(outcome: Outcome, *, trusted: bool) -> TimedAnswer | str:
    """An answer, or why this name server has none."""
    if isinstance(outcome, _TIMEOUTS):
        return "timed out"
    if isinstance(outcome, OSError):
        return outcome.strerror or type(outcome).__name__
    if isinstance(outcome, Exception):
        return f"not understood ({type(outcome).__name__})"
    if outcome.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return f"{dns.rcode.to_text(outcome.rcode())}{_extended_errors(outcome)}"
    if not isinstance(outcome, dns.message.QueryMessage):
        return "not understood (no answer to a query)"
    if outcome.flags & dns.flags.TC:
        return "truncated over TCP"  # so that what is missing is no "no such record"
    return _read(outcome, authentic=trusted and bool(outcome.flags & dns.flags.AD))


def _extended_errors(reply: dns.message.Message) -> str:
    """RFC 8914: why, in the name server's words; the free text is left out."""
    codes = [option.code for option in reply.options if isinstance(option, dns.edns.EDEOption)]
    return f" ({', '.join(map(dns.edns.EDECode.to_text, codes))})" if codes else ""


def _read(reply: dns.message.QueryMessage, *, authentic: bool) -> TimedAnswer | str:
    try:
        # Follows CNAMEs within this reply only, 16 at most.
        chain = reply.resolve_chaining()
    except dns.exception.DNSException as error:
        return f"not understood ({type(error).__name__})"
    if chain.answer is not None:
        records = tuple(b"".join(record.strings) for record in chain.answer)
        found = TxtAnswer(TxtStatus.FOUND, records, authentic=authentic)
        return TimedAnswer(found, float(chain.minimum_ttl))
    kinds = {rrset.rdtype for rrset in reply.authority}
    has_soa = dns.rdatatype.SOA in kinds
    if not has_soa and dns.rdatatype.NS in kinds and not reply.flags & dns.flags.AA:
        # RFC 2308 section 2.2: NS without SOA tells a referral from "no data".
        return "a referral: it is not a recursive resolver"
    missing = reply.rcode() == dns.rcode.NXDOMAIN
    return _no_record(
        "the name does not exist" if missing else "the name has no TXT record",
        # RFC 2308 section 5: without an SOA there is no time to keep it for.
        ttl=float(chain.minimum_ttl) if has_soa else 0.0,
        authentic=authentic,
    )


def _no_record(detail: str, *, ttl: float, authentic: bool = False) -> TimedAnswer:
    return TimedAnswer(TxtAnswer(TxtStatus.NO_RECORD, (), authentic, detail), ttl)
