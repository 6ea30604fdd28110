"""``dkimcore why``: would the milter sign a message, or verify it, and by which rule?

Everything is decided by the milter's own code, `dkimcore_milter.why`, without a milter and
without a mail server.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING

import click

from dkimcore.blocking import verify
from dkimcore.cli.exits import CommandError, Exit, exit_of, worst
from dkimcore.cli.messages import LineEnds, SourceKind, find_sources, open_messages
from dkimcore.cli.options import HELP, json_option, make_resolver, message_options, resolver_options
from dkimcore.cli.output import print_json
from dkimcore.cli.whyreport import Tried, print_report, report_json
from dkimcore.protocol.canonical import Canonicalization
from dkimcore.protocol.message import MessageReader
from dkimcore.protocol.result import Status
from dkimcore.settings.load import load_settings
from dkimcore_milter.engine import Engine
from dkimcore_milter.explanation import Envelope, Outcome
from dkimcore_milter.peer import Peer
from dkimcore_milter.rehearsal import rehearse
from dkimcore_milter.why import explain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dkimcore.cli.messages import Message
    from dkimcore.protocol.message import Header
    from dkimcore_milter.explanation import Explanation

__all__ = ["command"]

_LARGEST_HEADER = 1 << 26  # the limit of the settings is judged by the milter's own code
_LEAVES_TO_STATUS = (Outcome.SIGNED, Outcome.VERIFIED)


def _address(value: str) -> str:
    try:
        return str(ip_address(value))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not an IP address") from None


def _macro(value: str) -> tuple[str, str]:
    name, equals, text = value.partition("=")
    name = name.strip().removeprefix("{").removesuffix("}")
    if not equals or not name:
        raise click.BadParameter("write NAME=VALUE, such as daemon_name=submission")
    return (name if len(name) == 1 else f"{{{name}}}"), text


@click.command("why", context_settings=HELP)
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option(
    "--config",
    "-x",
    metavar="FILE",
    default="/etc/opendkim.conf",
    show_default=True,
    help="The milter's configuration: an opendkim.conf, or a .toml file.",
)
@click.option(
    "--client", type=_address, metavar="IP", help="The client's address.  Default: this host's own."
)
@click.option(
    "--client-name", metavar="HOST", help="The client's name, as the mail server looked it up."
)
@click.option(
    "--auth-type", metavar="TYPE", help="The client logged in, by this mechanism: {auth_type}."
)
@click.option("--daemon-name", metavar="NAME", help="The mail server's name for the socket.")
@click.option(
    "--macro",
    "macros",
    type=_macro,
    multiple=True,
    metavar="NAME=VALUE",
    help="Another macro of the mail server, such as j=mail.example.com.  Repeatable.",
)
@click.option(
    "--recipient",
    "recipients",
    multiple=True,
    metavar="ADDRESS",
    help="A recipient of the envelope.  Repeatable.",
)
@click.option(
    "--verify",
    "asks_dns",
    is_flag=True,
    help="Do what would be done, and ask the DNS: verify the message; or sign it, and verify that.",
)
@resolver_options
@message_options
@json_option
def command(
    *,
    files: tuple[str, ...],
    config: str,
    client: str | None,
    client_name: str | None,
    auth_type: str | None,
    daemon_name: str | None,
    macros: tuple[tuple[str, str], ...],
    recipients: tuple[str, ...],
    asks_dns: bool,
    name_servers: tuple[tuple[str, int], ...],
    records: tuple[str, ...],
    line_ends: str,
    kind: str,
    as_json: bool,
) -> int:
    """Explain what the milter would do with a message.

    Tells each step: whether the client is one of ours, who the author is, which row of which
    table applies, which key that names, and whether the key can sign.  Nothing is sent, and
    the DNS is not asked unless --verify is given.

    Exits with 0 if the message would be signed, verified, or left alone by a rule; with 78 if
    a table or a key keeps it from being signed, or 66, 75 or 77 as for other commands; with
    65 if the message itself does.  With --verify, with 1 if no signature passes.
    """
    if (records or name_servers) and not asks_dns:
        raise click.UsageError("--records and --nameserver go with --verify")
    given = {"{auth_type}": auth_type, "{daemon_name}": daemon_name}
    known = {
        "i": "why",
        "j": socket.gethostname(),
        **{k: v for k, v in given.items() if v is not None},
    }
    envelope = _envelope(client, client_name, macros=known | dict(macros), recipients=recipients)
    with contextlib.closing(Engine.load(load_settings(config))) as engine:
        if records or name_servers:
            engine.resolver = make_resolver(name_servers, records)
        inquiry = _Inquiry(engine, envelope, asks_dns=asks_dns, as_json=as_json)
        form, what = LineEnds(line_ends), SourceKind(kind)
        statuses = [
            inquiry.explain(message)
            for source in find_sources(files)
            for message in open_messages(source, kind=what, line_ends=form, unescape=True)
        ]
    return worst(statuses)


def _envelope(
    client: str | None,
    client_name: str | None,
    *,
    macros: Mapping[str, str],
    recipients: Sequence[str],
) -> Envelope:
    if client is None:
        # What Postfix says of mail that comes through sendmail(1).
        peer = Peer(host=client_name or "localhost", address="127.0.0.1")
    else:
        # Without a name an MTA gives the address in brackets.
        peer = Peer(host=client_name or f"[{client}]", address=client)
    addresses = tuple(recipient.encode("utf-8", "surrogateescape") for recipient in recipients)
    return Envelope(peer=peer, macros=macros, recipients=addresses)


class _Inquiry:
    """Explains messages that come in the same way.

    Args:
        engine: The site's settings and tables.
        envelope: How the messages come.
        asks_dns: Whether they are signed and verified, too.
        as_json: Print JSON, for programs.
    """

    def __init__(
        self, engine: Engine, envelope: Envelope, *, asks_dns: bool, as_json: bool
    ) -> None:
        self._engine = engine
        self._envelope = envelope
        self._asks_dns = asks_dns
        self._as_json = as_json

    def explain(self, message: Message) -> Exit:
        """Explain one message, and return the exit status for it."""
        header = _header(message)
        explanation = explain(self._engine, header.octets, self._envelope)
        tried = self._try(message, header, explanation.outcome) if self._asks_dns else None
        if self._as_json:
            print_json(report_json(message.name, explanation, tried))
        else:
            print_report(message.name, explanation, tried)
        return _status(explanation, tried)

    def _try(self, message: Message, header: Header, outcome: Outcome) -> Tried:
        """Do what would be done, and verify what is signed."""
        rehearsal = rehearse(self._engine, _fields(header), _body(message), self._envelope)
        if outcome not in _LEAVES_TO_STATUS:
            return Tried(rehearsal=rehearsal)
        added = rehearsal.inserted if outcome is Outcome.SIGNED else ()
        front = b"".join(field.raw + b"\r\n" for field in added)
        octets = itertools.chain([front], message.wire())
        results = verify(octets, resolver=self._engine.resolver, policy=self._engine.policy)
        return Tried(rehearsal=rehearsal, results=results)


def _status(explanation: Explanation, tried: Tried | None) -> Exit:
    if explanation.error is not None:
        return exit_of(explanation.error)
    if explanation.outcome in (Outcome.MALFORMED, Outcome.REFUSED):
        return Exit.DATA
    results = None if tried is None else tried.results
    if results is None or results.passed:
        return Exit.OK
    return Exit.TEMPORARY if results.status is Status.TEMPERROR else Exit.NOT_PASSED


def _header(message: Message) -> Header:
    reader = MessageReader(max_header_octets=_LARGEST_HEADER)
    for chunk in message.wire():
        reader.feed(chunk)
        if reader.header is not None:
            break
    header = reader.finish()
    if not len(header):
        raise CommandError(f"{message.name}: there is no header", status=Exit.DATA)
    for number, (name, _) in enumerate(_fields(header), 1):
        if not name.strip() or b":" not in header[number - 1].raw:
            problem = f"{message.name}: field {number} of the header is no 'Name: value'"
            raise CommandError(problem, status=Exit.DATA)
    return header


def _fields(header: Header) -> list[tuple[bytes, bytes]]:
    parts = (raw.partition(b":") for raw in header.canonical(Canonicalization.SIMPLE))
    return [(name, value) for name, _, value in parts]


def _body(message: Message) -> Iterator[bytes]:
    reader = MessageReader(max_header_octets=_LARGEST_HEADER)
    for chunk in message.wire():
        body = reader.feed(chunk)
        if body:
            yield body
