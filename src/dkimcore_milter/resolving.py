"""Who answers key queries (Nameservers, DNSTimeout, TestPublicKeys, TestDNSData).

One resolver for all messages, with a cache.  The time for all queries of one message is kept
by the session.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from dkimcore.errors import ConfigError, SettingsError
from dkimcore.protocol.keyrecord import TxtAnswer, TxtStatus
from dkimcore.protocol.names import fold_domain
from dkimcore.resolvers import DeadlineTxtResolver, PeekTxtResolver, TxtResolver
from dkimcore.resolvers.dnspython import DnspythonResolver
from dkimcore.resolvers.static import StaticResolver
from dkimcore_milter.logline import Level
from dkimcore_milter.measuredresolver import MeasuredResolver
from dkimcore_milter.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from dkimcore.settings.model import Settings, Source
    from dkimcore.tables import DataSet
    from dkimcore_milter.sources import Sources
    from dkimcore_milter.transaction import Transaction

__all__ = ["DataSetResolver", "TracingResolver", "make_resolver", "message_resolver"]

_WITH_PORT = re.compile(r"\[(?P<ipv6>[^\]]+)\](?::(?P<port6>\d+))?|(?P<ipv4>[^:]+):(?P<port4>\d+)")


def make_resolver(settings: Settings, sources: Sources) -> TxtResolver:
    """Return the resolver that the settings ask for; no query is sent.

    Args:
        settings: The settings.
        sources: Loads the data sets they name.

    Raises:
        ConfigError: A file of key records cannot be read, or a name server is no address.
    """
    resolving = settings.resolving
    if resolving.test_public_keys is not None:
        return _from_file(resolving.test_public_keys, sources)
    records = sources.data_set(resolving.test_dns_data, fold=fold_domain)
    if records is not None:
        return DataSetResolver(records)
    nameservers = None
    if resolving.nameservers:
        nameservers = [_name_server(text, sources) for text in resolving.nameservers]
    return MeasuredResolver(
        DnspythonResolver(
            nameservers=nameservers,
            # With 0 OpenDKIM waits for ever; what a message may take ends it here.
            timeout=float(resolving.timeout or resolving.message_timeout),
            tcp=resolving.tcp,
        )
    )


def message_resolver(transaction: Transaction) -> TxtResolver:
    """Return who answers the key queries of a message, and says so in the log if that is wanted.

    Args:
        transaction: The message, whose queue id the lines carry (ResolverTracing).
    """
    engine = transaction.engine
    if not engine.settings.logging.resolver_tracing:
        return engine.resolver
    return TracingResolver(
        engine.resolver, lambda text: transaction.say(Level.DEBUG, text, event="key-query")
    )


class DataSetResolver:
    """Answers from a data set of names and TXT records (TestDNSData).

    A name that is not there has no record; OpenDKIM takes it for a failure of the DNS.  Several
    rows of one name are several records.  Safe to share between threads.

    Args:
        data_set: Names, without the final dot, and records.
    """

    __slots__ = ("_data_set",)

    def __init__(self, data_set: DataSet) -> None:
        self._data_set = data_set

    def lookup_txt(self, name: str) -> TxtAnswer:
        """Give the records at a name; never raises."""
        rows = self._data_set.find_all(name.removesuffix("."))
        records = tuple(
            row.value.encode("utf-8", "surrogateescape") for row in rows if row.value is not None
        )
        if not records:
            return TxtAnswer(TxtStatus.NO_RECORD, detail="not among the rows of TestDNSData")
        return TxtAnswer(TxtStatus.FOUND, records)

    def peek_txt(self, name: str) -> TxtAnswer:
        """Give the records at a name: all are at hand."""
        return self.lookup_txt(name)


class TracingResolver:
    """Says what is asked, and what the answer was (ResolverTracing).

    Args:
        resolver: Whom to ask.
        trace: Takes the lines.
    """

    takes_timeout = True

    def __init__(self, resolver: TxtResolver, trace: Callable[[str], None]) -> None:
        self._resolver = resolver
        self._trace = trace

    def lookup_txt(self, name: str, *, timeout: float | None = None) -> TxtAnswer:
        """Ask for the TXT records at a name; `timeout` is passed on where it is understood."""
        if timeout is not None and isinstance(self._resolver, DeadlineTxtResolver):
            answer = self._resolver.lookup_txt(name, timeout=timeout)
        else:
            answer = self._resolver.lookup_txt(name)
        self._say(name, answer)
        return answer

    def peek_txt(self, name: str) -> TxtAnswer | None:
        """Give the answer for a name if it is at hand."""
        if not isinstance(self._resolver, PeekTxtResolver):
            return None
        answer = self._resolver.peek_txt(name)
        if answer is not None:
            self._say(name, answer)
        return answer

    def _say(self, name: str, answer: TxtAnswer) -> None:
        what = f"{len(answer.records)} records" if answer.records else answer.detail or "nothing"
        line = f"query for TXT {printable(name)}: {answer.status.name.lower()}, {printable(what)}"
        self._trace(f"{line}{', DNSSEC' if answer.authentic else ''}")


def _from_file(source: Source, sources: Sources) -> StaticResolver:
    path = os.path.abspath(sources.path(source.text))
    try:
        return StaticResolver.from_file(path)
    except ConfigError as exc:
        if exc.line is not None:
            raise
        problem = f"TestPublicKeys: {path} {exc.problem}"
    raise ConfigError(problem, file=source.file, line=source.line)


def _name_server(text: str, sources: Sources) -> str | tuple[str, int]:
    """Read an address, or ``192.0.2.1:5353``, or ``[2001:db8::1]:5353``."""
    match = _WITH_PORT.fullmatch(text)
    host, port = text, 53
    if match is not None:
        host = match["ipv6"] or match["ipv4"]
        port = int(match["port6"] or match["port4"] or 53)
    try:
        DnspythonResolver(nameservers=[(host, port)])
    except SettingsError as exc:
        problem = f"Nameservers: {exc.problem}"
    else:
        return host, port
    file, line = sources.where("nameservers")
    raise SettingsError(problem, file=file, line=line)
