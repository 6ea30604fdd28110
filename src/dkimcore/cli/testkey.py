"""``dkimcore testkey``: does the private key fit the key record that is published?

Takes the options of opendkim-testkey and says what it says; the exit status tells the
truth about every key.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from dkimcore.blocking import sign, verify
from dkimcore.cli.describe import finding_json
from dkimcore.cli.exits import Exit
from dkimcore.cli.options import (
    HELP,
    domain,
    json_option,
    key_context,
    make_resolver,
    passphrase_option,
    resolver_options,
    selector,
)
from dkimcore.cli.output import print_json, say, warn
from dkimcore.diagnosis.record import judge_answer
from dkimcore.keys.store import KeyStore
from dkimcore.keys.uri import KeyUri
from dkimcore.protocol.keyrecord import TxtStatus
from dkimcore.protocol.result import Cause
from dkimcore.resolvers.static import StaticResolver
from dkimcore.signer import Signer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dkimcore.diagnosis.finding import Finding
    from dkimcore.protocol.keyrecord import TxtAnswer
    from dkimcore.protocol.names import DomainName, Selector

__all__ = ["command"]

_NAME = "dkimcore testkey"
_PROBE = b"From: testkey@%s\r\nSubject: key test\r\n\r\nDo they fit each other?\r\n"


@click.command("testkey", context_settings=HELP)
@click.option("-d", "--domain", type=domain, required=True, help="The signing domain.")
@click.option("-s", "--selector", type=selector, required=True, help="The selector.")
@click.option(
    "-k",
    "--key",
    metavar="KEYURI",
    help="The private key.  Without it only the key record is checked.",
)
@click.option("-v", "--verbose", count=True, help="Say more; -vvv says 'key OK' too.")
@passphrase_option
@resolver_options
@json_option
def command(
    *,
    domain: DomainName,
    selector: Selector,
    key: str | None,
    verbose: int,
    passphrase_file: str | None,
    name_servers: tuple[tuple[str, int], ...],
    records: tuple[str, ...],
    as_json: bool,
) -> int:
    """Check that a private key fits the key record in the DNS.

    The private key is checked in full, with the permissions of its file; then a message is
    signed with it and verified with the published record.

    Exits with 0 if all is well, 65 if the two do not fit each other, 69 if the record is
    absent or cannot be used, 75 if the DNS did not answer, 66, 77 or 78 for the private key.
    Whole key tables are checked by dkimcore-milter.
    """
    signer = None
    with KeyStore(context=key_context(passphrase_file)) as keys:
        if key is not None:
            loaded = keys.get(_fully_checked(key))
            if verbose:
                warn(f"key loaded from {key}", name=_NAME)
            signer = Signer(domain=domain, selector=selector, key=loaded)
        name = f"{selector.ascii}._domainkey.{domain.ascii}"
        if verbose > 1:
            warn(f"checking key '{name}'", name=_NAME)
        answer = make_resolver(name_servers, records).lookup_txt(name + ".")
        status, problem, findings = _test(answer, name, signer)
    if as_json:
        print_json(
            {
                "status": "ok" if status is Exit.OK else "failed",
                "name": name,
                "key": key,
                "problem": problem or None,
                "dnssec": answer.authentic,
                "findings": [finding_json(finding) for finding in findings],
            }
        )
    else:
        _report(answer, status, problem, findings, verbose=verbose)
    return status


def _fully_checked(text: str) -> str:
    """Ask the backend for files to validate the numbers of an RSA key too."""
    uri = KeyUri.parse(text)
    if uri.scheme != "file" or "check" in uri.options:
        return text
    return f"{uri}{'&' if uri.options else '?'}check=full"


def _test(
    answer: TxtAnswer, name: str, signer: Signer | None
) -> tuple[Exit, str, Sequence[Finding]]:
    judgements, findings = judge_answer(answer)
    for judgement in judgements:
        findings += judgement.findings
    if answer.status is TxtStatus.FAILED:
        return Exit.TEMPORARY, f"'{name}' {answer.detail or 'query failed'}", ()
    if not answer.records:
        return Exit.UNAVAILABLE, f"'{name}' record not found", ()
    if signer is not None:
        return *_sign_and_verify(answer, name, signer), findings
    if any(judgement.usable for judgement in judgements):
        return Exit.OK, "", findings
    return Exit.UNAVAILABLE, f"'{name}' cannot be used", findings


def _sign_and_verify(answer: TxtAnswer, name: str, signer: Signer) -> tuple[Exit, str]:
    message = _PROBE % signer.domain.ascii.encode("ascii")
    (field,) = sign(message, [signer], now=0)
    resolver = StaticResolver({name: answer})
    (result,) = verify(field.raw + b"\r\n" + message, resolver=resolver, now=0)
    if result.passed:
        return Exit.OK, ""
    if result.cause in (Cause.SIGNATURE, Cause.INAPPROPRIATE_KEY_ALGORITHM):
        return Exit.DATA, "keys do not match"
    reason = "" if result.cause is None else result.cause.phrase
    return Exit.UNAVAILABLE, f"'{name}' {reason}: {result.detail}"


def _report(
    answer: TxtAnswer,
    status: Exit,
    problem: str,
    findings: Sequence[Finding],
    *,
    verbose: int,
) -> None:
    if problem:
        warn(problem, name=_NAME)
    if verbose and answer.records:
        warn("key secure" if answer.authentic else "key not secure", name=_NAME)
    for finding in findings:
        warn(f"{finding.text} {finding.cure}".strip(), name=_NAME)
    if status is Exit.OK and (verbose > 2 or sys.stdout.isatty()):
        say(f"{_NAME}: key OK")
