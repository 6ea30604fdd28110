"""What one message may make us ask, and what one answer may make us follow."""

from itertools import pairwise

import dns.message
import dns.rrset
import pytest

from dkimcore.protocol.keyrecord import TxtStatus
from dkimcore.resolvers.cache import CachingResolver
from dkimcore.resolvers.dnspython import DnspythonResolver
from tests.milter.sessions import BODY, SIMPLE, Mta, compose, site
from tests.protocol import material
from tests.resolvers.hostile import HostileServer, answered

KEY = material.ed25519()
MAXIMUM = 5  # MaximumSignaturesToVerify, unless it is set


class Counting:
    """A DNS without records that knows what it was asked."""

    def __init__(self):
        self.names = []

    def lookup_txt(self, name):
        self.names.append(name)
        return material.NO_RECORD


def signatures(count):
    """Fields that are well formed, each with a name of a victim's zone."""
    message = compose(SIMPLE, BODY)
    for number in range(count):
        tags = {b"d": b"victim.example", b"s": b"s%d" % number}
        signed = material.sign_by_hand(message, KEY, changes=tags)
        value = signed[len(b"DKIM-Signature:") : -len(b"\r\n" + message)]
        yield b"DKIM-Signature", value


@pytest.mark.rfc("6376", "8.4")
@pytest.mark.parametrize("count", [1, 2, 100])
def test_a_message_asks_for_few_names(tmp_path, count):
    resolver = Counting()
    Mta(site(tmp_path), resolver=resolver).send([*signatures(count), *SIMPLE])
    assert len(resolver.names) == min(count, MAXIMUM)


@pytest.mark.rfc("6376", "8.4")
def test_mail_that_is_signed_or_has_no_signature_asks_nothing(tmp_path):
    resolver = Counting()
    Mta(site(tmp_path), resolver=resolver).send(SIMPLE)
    assert resolver.names == []


def alias(query, target):
    """An answer with an alias alone: where it leads is left to who asked."""
    name = dns.message.from_wire(query).question[0].name.to_text()
    return answered(query, dns.rrset.from_text(name, 60, "IN", "CNAME", target))


def test_an_alias_is_not_followed_by_a_query_of_ours():
    """Each would lead to another: that is the recursive resolver's to bound."""
    with HostileServer(lambda query, _: alias(query, "victim.example.")) as server:
        resolver = DnspythonResolver(nameservers=[server.address], timeout=5)
        answer = resolver.lookup_txt("s1._domainkey.example.com.")
    assert answer.status is TxtStatus.NO_RECORD
    assert len(server.queries) == 1


def test_a_chain_of_aliases_in_an_answer_has_an_end():
    def reply(query, _):
        names = ["s1._domainkey.example.com.", *(f"n{number}.example." for number in range(60))]
        chain = pairwise(names)
        return answered(
            query, *(dns.rrset.from_text(one, 60, "IN", "CNAME", two) for one, two in chain)
        )

    with HostileServer(reply) as server:
        resolver = DnspythonResolver(nameservers=[server.address], timeout=5)
        answer = resolver.lookup_txt("s1._domainkey.example.com.")
    assert answer.status is TxtStatus.FAILED
    # The answer is too large for a datagram: once more, over TCP.
    assert [over_tcp for _, over_tcp in server.queries] in ([False], [False, True])


@pytest.mark.rfc("6376", "8.4")
@pytest.mark.parametrize("failing", [False, True], ids=["no record", "failure"])
def test_what_is_not_there_is_not_asked_for_again_at_once(failing):
    def reply(query, _):
        response = dns.message.make_response(dns.message.from_wire(query))
        response.set_rcode(2 if failing else 3)
        if not failing:
            text = "ns.example. host.example. 1 2 3 4 600"
            response.authority.append(dns.rrset.from_text("example.com.", 600, "IN", "SOA", text))
        return response.to_wire()

    with HostileServer(reply) as server:
        asked = DnspythonResolver(nameservers=[server.address], timeout=5)
        resolver = CachingResolver(asked, clock=lambda: 0.0)
        answers = {resolver.lookup_txt("s1._domainkey.example.com.").status for _ in range(5)}
    assert answers == {TxtStatus.FAILED if failing else TxtStatus.NO_RECORD}
    assert len(server.queries) == 1
