"""Who answers key queries: TestPublicKeys, TestDNSData, Nameservers, ResolverTracing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dkimcore.errors import ConfigError, SettingsError
from dkimcore.protocol.keyrecord import TxtAnswer, TxtStatus
from dkimcore.resolvers import DeadlineTxtResolver
from dkimcore.resolvers.static import StaticResolver
from dkimcore.settings.model import Logging, Resolving, Settings
from dkimcore_milter.engine import Engine
from dkimcore_milter.measuredresolver import MeasuredResolver
from dkimcore_milter.resolving import TracingResolver, make_resolver, message_resolver
from dkimcore_milter.sources import Sources
from dkimcore_milter.transaction import Transaction
from tests.milter.site import Site

NAME = "s1._domainkey.example.com."


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def resolver(settings):
    return make_resolver(settings, Sources(settings))


def test_key_records_come_from_a_file_instead_of_the_dns(site):
    site.write("records", "s1._domainkey.example.com v=DKIM1; p=\n")
    found = site.engine("TestPublicKeys records").resolver
    assert found.lookup_txt(NAME).records == (b"v=DKIM1; p=",)
    assert found.lookup_txt("s2._domainkey.example.com.").status is TxtStatus.NO_RECORD


def test_a_file_of_key_records_that_is_not_there_is_refused(site):
    with pytest.raises(ConfigError, match=r"opendkim\.conf:1: TestPublicKeys: .*/gone cannot be"):
        site.engine("TestPublicKeys gone")
    path = site.write("records", "a.example x\n(\n")
    with pytest.raises(ConfigError) as caught:
        site.engine("TestPublicKeys records")
    assert (caught.value.file, caught.value.line) == (str(path), 2)


def test_records_come_from_a_data_set(site):
    site.write("data", f"{NAME[:-1].upper()} v=DKIM1; p=\nempty._domainkey.example.com\n")
    found = site.engine("TestDNSData file:data").resolver
    assert found.lookup_txt(NAME) == TxtAnswer(TxtStatus.FOUND, (b"v=DKIM1; p=",))
    for name in ("empty._domainkey.example.com.", "other.example."):
        # OpenDKIM takes a missing name for a failure of the DNS (bug 8.2-16).
        assert found.lookup_txt(name).status is TxtStatus.NO_RECORD


def test_several_rows_of_a_name_are_several_records(site):
    site.write("data", "a.example one\nb.example x\na.example two\n")
    found = site.engine("TestDNSData file:data").resolver
    assert found.lookup_txt("a.example.").records == (b"one", b"two")


def test_else_the_dns_is_asked_with_a_cache_and_a_deadline(site):
    for conf in ("", "DNSTimeout 0", "DNSConnect yes", "Nameservers 127.0.0.1,::1"):
        found = site.engine(conf).resolver
        assert isinstance(found, MeasuredResolver)
        assert isinstance(found, DeadlineTxtResolver)


@pytest.mark.parametrize(
    "server", ["192.0.2.1", "192.0.2.1:5353", "2001:db8::1", "[::1]", "[::1]:5"]
)
def test_a_name_server_may_have_a_port(server):
    assert isinstance(
        resolver(Settings(resolving=Resolving(nameservers=(server,)))), MeasuredResolver
    )


@pytest.mark.parametrize("server", ["ns.example.com", "192.0.2.1:0", "192.0.2.1:x", "[::1", ""])
def test_what_is_no_name_server_is_refused_with_its_line(server):
    settings = Settings(
        resolving=Resolving(nameservers=(server,)),
        origins=(("nameservers", ("/etc/opendkim.conf", 7)),),
    )
    with pytest.raises(SettingsError, match=r"^/etc/opendkim\.conf:7: Nameservers: "):
        resolver(settings)


def test_each_query_is_traced_on_request_with_the_queue_id(site):
    lines = []
    site.write("records", "s1._domainkey.example.com v=DKIM1; p=\n")
    settings = site.settings("TestPublicKeys records\nResolverTracing yes")
    message = Transaction(engine=Engine.load(settings), log=lines.append, job_id="4Bq1")
    found = message_resolver(message)
    found.lookup_txt(NAME)
    found.lookup_txt("no\nsuch.example.")
    assert [str(line) for line in lines] == [
        f"4Bq1: query for TXT {NAME}: found, 1 records",
        "4Bq1: query for TXT no such.example.: no_record, not among the given records",
    ]
    quiet = Engine.load(replace(settings, logging=Logging(resolver_tracing=False)))
    assert message_resolver(Transaction(engine=quiet, log=lines.append)) is quiet.resolver


class Patient:
    """A resolver that says what it was given."""

    takes_timeout = True

    def __init__(self):
        self.timeouts = []

    def lookup_txt(self, name, *, timeout=None):
        self.timeouts.append(timeout)
        return TxtAnswer(TxtStatus.FOUND, (b"x",), authentic=True)


def test_tracing_passes_the_time_that_is_left():
    lines, asked = [], Patient()
    tracing = TracingResolver(asked, lines.append)
    assert isinstance(tracing, DeadlineTxtResolver)
    tracing.lookup_txt(NAME, timeout=2.5)
    tracing.lookup_txt(NAME)
    assert asked.timeouts == [2.5, None]
    assert lines[0].endswith("found, 1 records, DNSSEC")
    assert TracingResolver(StaticResolver({}), lines.append).lookup_txt(NAME, timeout=1)
