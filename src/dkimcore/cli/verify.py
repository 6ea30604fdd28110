"""``dkimcore verify``: verify messages, and say why one fails (RFC 6376 section 6)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dkimcore.blocking import verify
from dkimcore.cli.describe import finding_lines, result_json, result_line, status_text
from dkimcore.cli.exits import CommandError, Exit, exit_of, worst
from dkimcore.cli.messages import (
    LineEnds,
    Message,
    Source,
    SourceKind,
    find_sources,
    open_messages,
)
from dkimcore.cli.options import (
    HELP,
    json_option,
    make_resolver,
    message_options,
    moment,
    resolver_options,
)
from dkimcore.cli.output import print_json, printable, progress, say, warn
from dkimcore.errors import DkimError, SettingsError
from dkimcore.protocol.authres import render
from dkimcore.protocol.message import to_crlf
from dkimcore.protocol.policy import Limits, VerifyPolicy
from dkimcore.protocol.result import Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dkimcore.diagnosis import Finding
    from dkimcore.protocol.result import VerifyResults
    from dkimcore.resolvers import TxtResolver

__all__ = ["command"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """What is asked for, for every message alike."""

    resolver: TxtResolver
    policy: VerifyPolicy
    now: int | None
    timeout: float
    authserv_id: str | None
    explains: bool
    reference: bytes | None
    as_json: bool
    kind: SourceKind
    line_ends: LineEnds
    unescape: bool


@click.command("verify", context_settings=HELP)
@click.argument("files", nargs=-1, metavar="[FILE]...")
@resolver_options
@click.option(
    "--explain", "explains", is_flag=True, help="Say why a signature failed, and what to do."
)
@click.option(
    "--reference",
    type=click.Path(),
    metavar="FILE",
    help="A copy of the message from before it was changed: --explain shows where they differ.",
)
@click.option(
    "--authserv-id",
    metavar="ID",
    help="Print an Authentication-Results field (RFC 8601) with this authserv-id.",
)
@click.option(
    "--at", "now", type=moment, metavar="TIME", help="The time of reception instead of now."
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long the key queries of one message may take.",
)
@click.option("--allow-body-length", is_flag=True, help="Accept l=, which leaves text unsigned.")
@click.option("--allow-historic", is_flag=True, help="Accept rsa-sha1, for old archives.")
@click.option(
    "--min-rsa-bits",
    type=click.IntRange(min=1024),
    default=1024,
    show_default=True,
    help="The shortest RSA key to accept.",
)
@click.option(
    "--max-signatures",
    type=click.IntRange(min=1),
    default=Limits().signatures,
    show_default=True,
    help="How many signatures of a message to verify.",
)
@message_options
@click.option(
    "--unescape/--no-unescape",
    default=True,
    help="Whether lines of an mbox that begin with '>From ' lose the '>', which is right for "
    "most mbox files; on unless switched off.",
)
@json_option
def command(
    *,
    files: tuple[str, ...],
    records: tuple[str, ...],
    name_servers: tuple[tuple[str, int], ...],
    explains: bool,
    reference: str | None,
    authserv_id: str | None,
    now: int | None,
    timeout: float,
    allow_body_length: bool,
    allow_historic: bool,
    min_rsa_bits: int,
    max_signatures: int,
    kind: str,
    line_ends: str,
    unescape: bool,
    as_json: bool,
) -> int:
    """Verify messages.

    Takes messages from files, Maildir folders, mbox files, or standard input.  Exits with 0
    only if every message has a signature that passes; with 1 if one has none; with 75 if
    only the DNS failed.
    """
    try:
        policy = VerifyPolicy(
            allow_body_length=allow_body_length,
            allow_historic=allow_historic,
            min_rsa_bits=min_rsa_bits,
            limits=Limits(signatures=max_signatures),
        )
        if authserv_id is not None:
            render(authserv_id, [])
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    task = _Task(
        resolver=make_resolver(name_servers, records),
        policy=policy,
        now=now,
        timeout=timeout,
        authserv_id=authserv_id,
        explains=explains or reference is not None,
        reference=None if reference is None else _read_reference(reference),
        as_json=as_json,
        kind=SourceKind(kind),
        line_ends=LineEnds(line_ends),
        unescape=unescape,
    )
    return _verify_all(find_sources(files), task)


def _read_reference(path: str) -> bytes:
    octets = Path(path).read_bytes()
    return octets if b"\r\n" in octets else to_crlf(octets)


def _verify_all(sources: Sequence[Source], task: _Task) -> Exit:
    statuses: list[Exit] = []
    # Of an mbox nobody knows how many messages it holds.
    single = all(source.path is None or source.path.stat().st_size < 1 << 20 for source in sources)
    total = len(sources) if single else None
    for status in progress(_each(sources, task), label="verifying", total=total):
        statuses.append(status)
    if not statuses:
        warn("there are no messages", name="dkimcore verify")
        return Exit.NO_INPUT
    return worst(statuses)


def _each(sources: Sequence[Source], task: _Task) -> Iterator[Exit]:
    for source in sources:
        try:
            for message in open_messages(
                source, kind=task.kind, line_ends=task.line_ends, unescape=task.unescape
            ):
                yield _verify_message(message, task)
        except BrokenPipeError:
            raise
        except (DkimError, OSError, CommandError) as error:
            problem = error.strerror if isinstance(error, OSError) and error.strerror else error
            warn(f"{source.name}: {problem}", name="dkimcore verify")
            yield exit_of(error)


def _verify_message(message: Message, task: _Task) -> Exit:
    results = verify(
        message.wire(),
        resolver=task.resolver,
        policy=task.policy,
        now=task.now,
        timeout=task.timeout,
    )
    findings = _findings(message, results, task) if task.explains else None
    if task.as_json:
        print_json(_json(message, results, findings, task))
    else:
        _print(message, results, findings, task)
    if results.passed:
        return Exit.OK
    temporary = results.status is Status.TEMPERROR
    return Exit.TEMPORARY if temporary else Exit.NOT_PASSED


def _findings(message: Message, results: VerifyResults, task: _Task) -> list[tuple[Finding, ...]]:
    # It takes a third of the time that a run takes without it.
    from dkimcore.diagnosis import MAX_MESSAGE_OCTETS, explain

    if all(result.passed and not result.unsigned_fields for result in results):
        return [() for _ in results]
    octets = bytearray()
    for chunk in message.wire():
        octets += chunk
        if len(octets) > MAX_MESSAGE_OCTETS:
            warn(
                f"{message.name}: larger than the {MAX_MESSAGE_OCTETS >> 20} MiB that --explain "
                "looks at",
                name="dkimcore verify",
            )
            return [() for _ in results]
    whole = bytes(octets)
    return [
        explain(
            whole,
            result,
            resolver=task.resolver,
            policy=task.policy,
            reference=task.reference,
        )
        for result in results
    ]


def _json(
    message: Message,
    results: VerifyResults,
    findings: list[tuple[Finding, ...]] | None,
    task: _Task,
) -> dict[str, object]:
    value: dict[str, object] = {
        "message": message.name,
        "status": str(results.status),
        "line_ends": str(message.line_ends),
        "signatures": [
            result_json(result, None if findings is None else findings[number])
            for number, result in enumerate(results)
        ],
        "usage": asdict(results.usage),
    }
    if task.authserv_id is not None:
        field = render(task.authserv_id, results)
        value["authentication_results"] = field.raw.decode("utf-8", "replace")
    return value


def _print(
    message: Message,
    results: VerifyResults,
    findings: list[tuple[Finding, ...]] | None,
    task: _Task,
) -> None:
    if task.authserv_id is not None:
        say(render(task.authserv_id, results).raw.decode("utf-8", "replace").replace("\r\n", "\n"))
    else:
        say(f"{printable(message.name)}: {status_text(results.status)}")
        if not results:
            say("  the message has no DKIM-Signature field")
    for number, result in enumerate(results):
        if task.authserv_id is None:
            say(f"  {result_line(result)}")
        for line in finding_lines(findings[number]) if findings is not None else ():
            say(f"    {line}")
