"""The name server that other tests rely on serves what it was given, octet by octet."""

from __future__ import annotations

import dns.message
import dns.query
import dns.rdatatype
import pytest

from tests.servers.nsd import NsdServer, txt_rdata, zone_records

pytestmark = pytest.mark.server("nsd")


def ask(server: NsdServer, name: str) -> list[bytes]:
    host, port = server.address
    query = dns.message.make_query(name, "TXT")
    answer = dns.query.tcp(query, host, port=port, timeout=5)
    return sorted(
        b"".join(record.strings)
        for rrset in answer.answer
        if rrset.rdtype == dns.rdatatype.TXT
        for record in rrset
    )


def test_every_octet_of_a_long_record_comes_back(nsd_server):
    record = bytes(range(256)) * 3
    server = nsd_server(zone={"s1._domainkey.example.com": [record]})
    assert ask(server, "s1._domainkey.example.com") == [record]


def test_several_records_and_an_empty_one(nsd_server):
    server = nsd_server(zone={"a.example": [b"one", b"two"], "b.example": [b""]})
    assert ask(server, "a.example") == [b"one", b"two"]
    assert ask(server, "b.example") == [b""]
    assert ask(server, "c.example") == []


def test_a_cname_leads_to_its_target(nsd_server):
    server = nsd_server(
        zone={"k.other.example": [b"v=DKIM1"]}, cnames={"a.example": "k.other.example"}
    )
    assert ask(server, "a.example") == [b"v=DKIM1"]


def test_several_servers_run_at_once_and_are_gone_afterwards():
    with NsdServer(zone={"a.example": [b"1"]}) as one, NsdServer(zone={"a.example": [b"2"]}) as two:
        assert (ask(one, "a.example"), ask(two, "a.example")) == ([b"1"], [b"2"])
    with pytest.raises(ConnectionRefusedError):
        ask(one, "a.example")


def test_a_zone_that_is_wrong_is_an_error_that_shows_the_log():
    with pytest.raises(RuntimeError, match="nsd did not start"):
        NsdServer(zone={"a.example": [b"x"]}, cnames={"a.example": "b.example"}).__enter__()


def test_strings_are_split_at_255_octets_and_escaped():
    assert txt_rdata(b"a" * 256) == f'"{"a" * 255}" "a"'
    assert txt_rdata(b'"\\\x00;') == r'"\"\\\000;"'


def test_records_are_read_from_the_file_that_is_made_with_a_key():
    text = 's1._domainkey\tIN\tTXT\t( "v=DKIM1; k=rsa; "\n\t  "p=MIIB" )  ; ----- a comment\n'
    assert zone_records(text) == {"s1._domainkey.example.com.": [b"v=DKIM1; k=rsa; p=MIIB"]}
