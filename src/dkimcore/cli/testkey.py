"""``dkimcore testkey``: does the private key fit the key record that is published?

Takes the options of opendkim-testkey and says what it says; the exit status tells the
truth about every key.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import click

from dkimcore.cli.describe import finding_json
from dkimcore.cli.exits import Exit, exit_of, worst
from dkimcore.cli.fitness import Fitness, fully_checked, judge_key
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
from dkimcore.cli.output import print_json, printable, progress, say, warn
from dkimcore.errors import KeyBackendError
from dkimcore.keys.store import KeyStore
from dkimcore.protocol.keyrecord import TxtAnswer
from dkimcore.signer import Signer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dkimcore.cli.keytable import ConfiguredKey
    from dkimcore.errors import DkimError
    from dkimcore.protocol.names import DomainName, Selector
    from dkimcore.resolvers import TxtResolver

__all__ = ["command"]

_NAME = "dkimcore testkey"
_NOBODY = "not tested: it signs for any domain, and none is listed with it; use -d, -s and -k"


@click.command("testkey", context_settings=HELP)
@click.option("-d", "--domain", type=domain, help="The signing domain.")
@click.option("-s", "--selector", type=selector, help="The selector.")
@click.option(
    "-k",
    "--key",
    metavar="KEYURI",
    help="The private key.  Without it only the key record is checked.",
)
@click.option(
    "-x",
    "--config",
    metavar="FILE",
    help="Test all keys of this opendkim.conf or .toml file instead: those of its KeyTable, or "
    "its KeyFile.",
)
@click.option("-v", "--verbose", count=True, help="Say more; -vvv says 'key OK' too.")
@passphrase_option
@backends_option
@resolver_options
@json_option
def command(
    *,
    domain: DomainName | None,
    selector: Selector | None,
    key: str | None,
    config: str | None,
    verbose: int,
    passphrase_file: str | None,
    backends: str | None,
    name_servers: tuple[tuple[str, int], ...],
    records: tuple[str, ...],
    as_json: bool,
) -> int:
    """Check that private keys fit their key records in the DNS.

    The private key is checked in full, with the permissions of its file; then a message is
    signed with it and verified with the published record.

    With -x every key of a configuration is tested so, and one line is printed for each.  The
    configuration also says where key backends are (DkimcoreKeyBackends), and which name servers
    to ask, unless --nameserver or --records do.

    Exits with 0 if all is well, 65 if the two do not fit each other, 69 if the record is
    absent or cannot be used, 75 if the DNS or a key backend did not answer, 66, 77 or 78 for the
    private key.
    With -x that is the status of the first key that fails.
    """
    if config is not None:
        if (domain, selector, key, passphrase_file, backends) != (None,) * 5:
            raise click.UsageError("-x tests all keys of a configuration: take the others out")
        asked = make_resolver(name_servers, records) if name_servers or records else None
        return _test_all(config, asked, verbose=verbose, as_json=as_json)
    if domain is None or selector is None:
        raise click.UsageError("give -d and -s, or -x for all keys of a configuration")
    signer = None
    with KeyStore(context=key_context(passphrase_file, backends)) as keys:
        if key is not None:
            loaded = keys.get(fully_checked(key))
            if verbose:
                warn(f"key loaded from {key}", name=_NAME)
            signer = Signer(domain=domain, selector=selector, key=loaded)
        name = _record_name(domain, selector)
        if verbose > 1:
            warn(f"checking key '{name}'", name=_NAME)
        answer = make_resolver(name_servers, records).lookup_txt(name + ".")
        fitness = judge_key(answer, name, signer)
    if as_json:
        print_json(_as_json(name, key, answer, fitness))
    else:
        _report(answer, fitness, verbose=verbose)
    return fitness.status


def _record_name(domain: DomainName, selector: Selector) -> str:
    return f"{selector.ascii}._domainkey.{domain.ascii}"


def _as_json(
    name: str | None, key: str | None, answer: TxtAnswer | None, fitness: Fitness
) -> dict[str, object]:
    return {
        "status": "ok" if fitness.status is Exit.OK else "failed",
        "name": name,
        "key": key,
        "problem": fitness.problem or None,
        "dnssec": False if answer is None else answer.authentic,
        "findings": [finding_json(finding) for finding in fitness.findings],
    }


def _report(answer: TxtAnswer, fitness: Fitness, *, verbose: int) -> None:
    if fitness.problem:
        warn(fitness.problem, name=_NAME)
    if verbose and answer.records:
        warn("key secure" if answer.authentic else "key not secure", name=_NAME)
    _say_findings(fitness)
    if fitness.status is Exit.OK and (verbose > 2 or sys.stdout.isatty()):
        say(f"{_NAME}: key OK")


def _say_findings(fitness: Fitness, prefix: str = "") -> None:
    for finding in fitness.findings:
        warn(f"{prefix}{finding.text} {finding.cure}".strip(), name=_NAME)


def _test_all(config: str, asked: TxtResolver | None, *, verbose: int, as_json: bool) -> Exit:
    """Test every key of a configuration, as opendkim-testkey does without -d, -s and -k."""
    from dkimcore.cli.keytable import ConfiguredKeys
    from dkimcore.settings.load import load_settings

    with contextlib.closing(ConfiguredKeys(load_settings(config))) as keys:
        resolver = keys.resolver() if asked is None else asked
        work = progress(keys, label="testing keys", total=len(keys))
        statuses = [_test_one(key, resolver, as_json=as_json) for key in work]
    if verbose:
        failed = sum(status is not Exit.OK for status in statuses)
        warn(f"{len(statuses)} keys tested, {failed} failed", name=_NAME)
    return worst(statuses)


def _judged(answer: TxtAnswer, name: str, signer: Signer) -> Fitness:
    """Judge a key of several: what keeps it from signing does not end the test of the others."""
    try:
        return judge_key(answer, name, signer)
    except KeyBackendError as error:
        return _refused(error)


def _refused(error: DkimError) -> Fitness:
    return Fitness(status=exit_of(error), problem=getattr(error, "problem", str(error)))


def _test_one(key: ConfiguredKey, resolver: TxtResolver, *, as_json: bool) -> Exit:
    answer, name = None, None
    if key.signer is not None:
        name = _record_name(key.signer.domain, key.signer.selector)
        answer = resolver.lookup_txt(name + ".")
        fitness = _judged(answer, name, key.signer)
    elif key.error is not None:
        fitness = _refused(key.error)
    else:
        fitness = Fitness(status=Exit.OK, problem=_NOBODY)
    if as_json:
        where: Mapping[str, object] = {"key_name": key.name or None, "place": key.place}
        if fitness.problem == _NOBODY:
            where = {**where, "status": "skipped"}
        print_json({**_as_json(name, key.uri or None, answer, fitness), **where})
        return fitness.status
    words = [key.place, key.name, name, fitness.problem or "key OK"]
    say(printable(": ".join(filter(None, words))))
    _say_findings(fitness, f"{key.name}: ")
    return fitness.status
