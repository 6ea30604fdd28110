"""Options that several verbs share, and the types of their values."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dkimcore.cli.messages import LineEnds, SourceKind
from dkimcore.errors import ConfigError, SettingsError
from dkimcore.protocol.names import DomainName, Selector

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dkimcore.keys import KeyContext
    from dkimcore.keys.sections import Sections
    from dkimcore.resolvers import TxtResolver

__all__ = [
    "HELP",
    "backends_option",
    "domain",
    "json_option",
    "key_context",
    "make_resolver",
    "message_options",
    "moment",
    "name_server",
    "passphrase_option",
    "patient",
    "resolver_options",
    "selector",
]

_Command = TypeVar("_Command", bound="Callable[..., Any]")

# "-h" stays free: opendkim-genkey takes it for hash algorithms.
HELP = {"help_option_names": ["--help"], "max_content_width": 100}

# Seconds: twice what a backend that is down takes to show it, with the usual timeouts.
_PATIENCE = 10.0


def domain(value: str) -> DomainName:
    """Parse a signing domain."""
    try:
        return DomainName.parse(value)
    except SettingsError as error:
        raise click.BadParameter(str(error)) from error


def selector(value: str) -> Selector:
    """Parse a selector."""
    try:
        return Selector.parse(value)
    except SettingsError as error:
        raise click.BadParameter(str(error)) from error


def moment(value: str) -> int:
    """Parse seconds since 1970, or a date as ISO 8601 writes it; UTC where it has no offset."""
    if re.fullmatch(r"[0-9]{1,12}", value):
        return int(value)
    try:
        when = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is no time: write seconds since 1970, or 2026-01-31T12:00:00Z"
        ) from None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return int(when.timestamp())


def name_server(value: str) -> tuple[str, int]:
    """Parse an IP address, with a port or without; ``[::1]:53`` for IPv6 with one."""
    match = re.fullmatch(r"\[([^]]+)\](?::([0-9]{1,5}))?|([^:]+)(?::([0-9]{1,5}))?", value)
    host, port = (match[1] or match[3], match[2] or match[4]) if match else (value, None)
    try:
        ip_address(host)
    except ValueError:
        raise click.BadParameter(
            f"{host!r} is not an IP address: write 192.0.2.1, 192.0.2.1:5353 or [2001:db8::1]:53"
        ) from None
    number = 53 if port is None else int(port)
    if not 0 < number < 65_536:
        raise click.BadParameter(f"{number} is not a port")
    return host, number


def json_option(command: _Command) -> _Command:
    """Add ``--json``."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON object per line, for programs."
    )(command)


def passphrase_option(command: _Command) -> _Command:
    """Add ``--passphrase-file``."""
    return click.option(
        "--passphrase-file",
        type=click.Path(),
        metavar="FILE",
        help="Where the passphrase of an encrypted key stands, on the first line. "
        "Otherwise DKIMCORE_PASSPHRASE_FILE names it, or DKIMCORE_PASSPHRASE is it.",
    )(command)


def backends_option(command: _Command) -> _Command:
    """Add ``--backends``."""
    return click.option(
        "--backends",
        type=click.Path(),
        metavar="FILE",
        help="Where key backends are and how to log in there: the file of DkimcoreKeyBackends.  "
        "Otherwise DKIMCORE_KEY_BACKENDS names it.",
    )(command)


def key_context(passphrase_file: str | None = None, backends: str | None = None) -> KeyContext:
    """Return what key backends need: where secrets come from, and where backends are.

    Args:
        passphrase_file: What ``--passphrase-file`` says.
        backends: What ``--backends`` says.

    Raises:
        ConfigError: The file of backends cannot be used.
    """
    from dkimcore.cli.keyevents import CommandObserver
    from dkimcore.keys import KeyContext
    from dkimcore.keys.secrets import secret_from
    from dkimcore.keys.sections import Sections

    files = {} if passphrase_file is None else {"passphrase": passphrase_file}
    path = backends or os.environ.get("DKIMCORE_KEY_BACKENDS")
    sections = patient(Sections.load(path) if path else Sections())
    return KeyContext(secret=secret_from(files), sections=sections, observer=CommandObserver())


def patient(sections: Sections) -> Sections:
    """Return the same backends, with more time to open keys and to sign.

    A mail server must not wait for long.  A person does, and then sees what is wrong with a
    backend, and not only that it is slow.

    Args:
        sections: What is said about key backends.
    """
    deadline = max(sections.store.deadline, _PATIENCE)
    return replace(sections, store=replace(sections.store, deadline=deadline))


def resolver_options(command: _Command) -> _Command:
    """Add what says where key records come from."""
    for option in (
        click.option(
            "--records",
            type=click.Path(),
            multiple=True,
            metavar="FILE",
            help="Take key records from this file and ask no DNS: a SEL.txt of keygen, a zone "
            "file, or lines of a name and a record.  Repeatable.",
        ),
        click.option(
            "--nameserver",
            "name_servers",
            type=name_server,
            multiple=True,
            metavar="HOST[:PORT]",
            help="Ask this name server instead of the system's; an IP address.  Repeatable.",
        ),
    ):
        command = option(command)
    return command


def make_resolver(name_servers: Sequence[tuple[str, int]], records: Sequence[str]) -> TxtResolver:
    """Return the resolver that the options ask for; it keeps answers for this run.

    Raises:
        ConfigError: The file of records cannot be used.
    """
    if records and name_servers:
        raise click.UsageError("--records and --nameserver exclude each other")
    if records:
        from dkimcore.resolvers.static import StaticResolver

        return StaticResolver.from_file(*records)
    from dkimcore.resolvers.cache import CachingResolver
    from dkimcore.resolvers.dnspython import DnspythonResolver

    try:
        return CachingResolver(DnspythonResolver(nameservers=list(name_servers) or None))
    except ConfigError as error:
        raise click.UsageError(str(error)) from error


def message_options(command: _Command) -> _Command:
    """Add how stored messages are read."""
    for option in (
        click.option(
            "--line-ends",
            type=click.Choice([form.value for form in LineEnds]),
            default=LineEnds.AUTO.value,
            help="How lines end in the files.  auto: a message without any CRLF is in local "
            "form and its LFs count as CRLF; any other is taken as it is.",
        ),
        click.option(
            "--format",
            "kind",
            type=click.Choice([kind.value for kind in SourceKind]),
            default=SourceKind.AUTO.value,
            help="What the files hold.  auto: one that begins with 'From ' is an mbox.",
        ),
    ):
        command = option(command)
    return command
