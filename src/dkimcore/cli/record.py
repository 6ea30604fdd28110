"""``dkimcore record``: read and judge a key record, or print the one to publish."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dkimcore.cli.describe import finding_json, finding_lines
from dkimcore.cli.exits import CommandError, Exit, worst
from dkimcore.cli.options import (
    HELP,
    backends_option,
    domain,
    json_option,
    key_context,
    make_resolver,
    passphrase_option,
    resolver_options,
    selector,
)
from dkimcore.cli.output import print_json, printable, say, styled, warn
from dkimcore.cli.zone import zone_entry
from dkimcore.diagnosis.record import judge_answer
from dkimcore.errors import ConfigError
from dkimcore.keys.store import KeyStore
from dkimcore.protocol.keyrecord import KeyRecord, TxtAnswer, TxtStatus
from dkimcore.resolvers.zonefile import read_records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dkimcore.diagnosis.finding import Finding
    from dkimcore.diagnosis.record import Judgement
    from dkimcore.keys import KeyContext
    from dkimcore.protocol.names import DomainName, Selector

__all__ = ["command"]

# A record by itself begins with a tag; anything else is a zone file, or a name and a record.
_RECORD = re.compile(rb"[\s\"]*[A-Za-z][A-Za-z0-9_]*[ \t]*=")
_MAX_INPUT = 1 << 20  # octets; a key record has at most some thousand


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """The answer for one name, wherever it comes from."""

    name: str
    answer: TxtAnswer


@click.command("record", context_settings=HELP)
@click.argument("text", required=False, metavar="[RECORD|FILE|-]")
@click.option("-d", "--domain", type=domain, help="Ask the DNS for the record of this domain...")
@click.option("-s", "--selector", type=selector, help="...and this selector.")
@click.option("--key", metavar="KEYURI", help="Print the record that belongs to this private key.")
@passphrase_option
@backends_option
@resolver_options
@click.option("--zone", is_flag=True, help="Print the record as a zone file has it.")
@json_option
def command(
    *,
    text: str | None,
    domain: DomainName | None,
    selector: Selector | None,
    key: str | None,
    passphrase_file: str | None,
    backends: str | None,
    name_servers: tuple[tuple[str, int], ...],
    records: tuple[str, ...],
    zone: bool,
    as_json: bool,
) -> int:
    """Read and judge a key record.

    The record is given as it stands, in a file (SEL.txt of keygen, a zone file, the text), on
    standard input, by -d and -s from the DNS, or by --key as the public half of a private key,
    wherever that is kept.

    Exits with 0 if mail can be verified with it, warnings or not; with 1 if it is revoked, too
    short or excludes mail; 65 if it is no key record; 66 if there is none; 75 if the DNS did
    not answer.
    """
    if (domain is None) != (selector is None):
        raise click.UsageError("-d and -s go together")
    if text is not None and (domain is not None or key is not None):
        raise click.UsageError("a record as it stands excludes -d, -s and --key")
    name = "" if domain is None or selector is None else _name(domain, selector)
    if key is not None:
        made = _record_of(key, key_context(passphrase_file, backends))
        if not as_json:
            say(zone_entry(_owner(name), made).rstrip("\n") if zone else made.decode())
            return Exit.OK
        found = [_Found(name=name, answer=TxtAnswer(TxtStatus.FOUND, (made,)))]
    elif name:
        answer = make_resolver(name_servers, records).lookup_txt(name + ".")
        found = [_Found(name=name, answer=answer)]
    else:
        found = _read(text)
    return worst([_judge(one, zone=zone, as_json=as_json) for one in found])


def _name(domain: DomainName, selector: Selector) -> str:
    return f"{selector.ascii}._domainkey.{domain.ascii}"


def _owner(name: str) -> str:
    return f"{name}." if name else "selector._domainkey"


def _record_of(uri: str, context: KeyContext) -> bytes:
    with KeyStore(context=context) as keys:
        key = keys.get(uri)
        record = KeyRecord(
            public_key=key.public_key,
            key_type=key.public_key.key_type,
            hash_algorithms=("sha256",),
        )
        return record.print()


def _read(text: str | None) -> list[_Found]:
    """Read a record from the command line, a file or standard input."""
    if text is not None and text != "-" and "=" in text and not os.path.exists(text):
        return [_single(text.encode("utf-8", "surrogateescape"))]
    if text is None or text == "-":
        octets = sys.stdin.buffer.read(_MAX_INPUT)
    else:
        with Path(text).open("rb") as file:
            octets = file.read(_MAX_INPUT)
    if _RECORD.match(octets) or not octets.strip():
        return [_single(octets.strip())]
    # The reader of zone files wants a file, to name its lines.
    with tempfile.NamedTemporaryFile(prefix="dkimcore-") as copy:
        copy.write(octets)
        copy.flush()
        try:
            owned = read_records(copy.name)
        except ConfigError as error:
            where = "" if error.line is None else f" line {error.line}:"
            raise CommandError(
                f"{text or '-'}:{where} {error.problem}", status=Exit.DATA
            ) from error
    return [
        _Found(name=name.rstrip("."), answer=TxtAnswer(TxtStatus.FOUND, found))
        for name, found in owned.items()
    ]


def _single(octets: bytes) -> _Found:
    if not octets:
        raise CommandError("there is no record: the input is empty", status=Exit.NO_INPUT)
    return _Found(name="", answer=TxtAnswer(TxtStatus.FOUND, (octets,)))


def _judge(found: _Found, *, zone: bool, as_json: bool) -> Exit:
    judgements, findings = judge_answer(found.answer)
    status = _status(found.answer, judgements)
    if as_json:
        print_json(_json(found, status, judgements, findings))
        return status
    if zone:
        for octets in found.answer.records:
            say(zone_entry(_owner(found.name), octets).rstrip("\n"))
        for line in finding_lines([*findings, *(f for j in judgements for f in j.findings)]):
            warn(line, name="dkimcore record")
        return status
    if found.name:
        say(f"{printable(found.name)}:")
    for octets, judgement in zip(found.answer.records, judgements, strict=False):
        say(f"  {printable(octets.decode('utf-8', 'backslashreplace'))}")
        say(f"  {_verdict(judgement)}")
        for line in finding_lines(judgement.findings):
            say(f"  {line}")
    for line in finding_lines(findings):
        say(f"  {line}")
    return status


def _status(answer: TxtAnswer, judgements: Sequence[Judgement]) -> Exit:
    if answer.status is TxtStatus.FAILED:
        return Exit.TEMPORARY
    if not judgements:
        return Exit.NO_INPUT
    if any(judgement.usable for judgement in judgements):
        return Exit.OK
    parsed = any(judgement.record is not None for judgement in judgements)
    return Exit.NOT_PASSED if parsed else Exit.DATA


def _verdict(judgement: Judgement) -> str:
    record = judgement.record
    if record is None:
        return styled("no key record", "red")
    key = record.public_key
    kind = "no key" if key is None else f"{key.key_type} key of {key.bits} bits"
    if not judgement.usable:
        return styled("cannot be used", "red") + f": {kind}"
    return styled("good", "green") + f": {kind}"


def _json(
    found: _Found, status: Exit, judgements: Sequence[Judgement], findings: Sequence[Finding]
) -> dict[str, object]:
    return {
        "name": found.name or None,
        "status": {Exit.OK: "good", Exit.TEMPORARY: "unavailable", Exit.NO_INPUT: "absent"}.get(
            status, "unusable"
        ),
        "dnssec": found.answer.authentic,
        "findings": [finding_json(finding) for finding in findings],
        "records": [
            {
                "text": octets.decode("utf-8", "backslashreplace"),
                "usable": judgement.usable,
                **_record_json(judgement.record),
                "findings": [finding_json(finding) for finding in judgement.findings],
            }
            for octets, judgement in zip(found.answer.records, judgements, strict=False)
        ],
    }


def _record_json(record: KeyRecord | None) -> dict[str, object]:
    if record is None:
        return {"key_type": None, "key_bits": None}
    return {
        "key_type": str(record.key_type),
        "key_bits": None if record.public_key is None else record.public_key.bits,
        "revoked": record.is_revoked,
        "hash_algorithms": None if record.hash_algorithms is None else list(record.hash_algorithms),
        "service_types": list(record.service_types),
        "flags": list(record.flags),
        "notes": record.notes or None,
    }
