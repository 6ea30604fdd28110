"""``dkimcore key show`` and ``key check``: what a key is, and how long its signatures take.

Neither asks the DNS: whether a key fits its record is ``dkimcore testkey``'s.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING

import click

from dkimcore.cli.exits import Exit, exit_of, worst
from dkimcore.cli.fitness import fully_checked
from dkimcore.cli.keyevents import NotingObserver
from dkimcore.cli.options import (
    HELP,
    backends_option,
    json_option,
    key_context,
    passphrase_option,
)
from dkimcore.cli.output import print_json, printable, progress, say, styled, warn
from dkimcore.errors import DkimError
from dkimcore.keys.store import KeyStore
from dkimcore.keys.uri import KeyUri

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from dkimcore.keys import SigningKey

__all__ = ["check", "show"]

_SIGNATURES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """A key, or why it could not be opened.

    Attributes:
        uri: What it was called.
        place: Where it is configured; "" on the command line.
        key: It.
        error: Why there is none.
    """

    uri: str
    place: str = ""
    key: SigningKey | None = None
    error: DkimError | None = None


class _Report:
    """Tells what is known of keys.

    Args:
        latency: Make signatures, and tell how long they take.
        as_json: Print JSON, for programs.

    Attributes:
        observer: Hears what backends say about the keys.
    """

    def __init__(self, *, latency: bool, as_json: bool) -> None:
        self.observer = NotingObserver()
        self._latency = latency
        self._as_json = as_json

    def tell(self, one: _Opened) -> Exit:
        """Print what there is to say about a key, and return the exit status for it."""
        facts: dict[str, object] = {}
        seconds: Sequence[float] = ()
        error = one.error
        if one.key is not None:
            facts = _facts(one.key, one.uri)
            try:
                seconds = _measured(one.key) if self._latency else ()
            except DkimError as exc:
                error = exc
        notes = self.observer.notes(one.uri)
        if self._as_json:
            print_json({**_json(one, facts, seconds, error), "notes": notes})
        elif error is not None:
            _print_error(one, error)
        elif one.key is None:
            say(f"{printable(one.place)}: not checked: no domain is listed for it; name its KEYURI")
        else:
            _print(one, facts, seconds)
            for note in notes:
                say(f"  {'note':<10} {printable(note)}")
        return Exit.OK if error is None else exit_of(error)


def _print_error(one: _Opened, error: DkimError) -> None:
    problem = str(error)
    named = problem if one.uri in problem else f"{one.uri}: {problem}"
    warn(f"{one.place}: {named}" if one.place else named, name="dkimcore key")


@click.command("show", context_settings=HELP)
@click.argument("uris", nargs=-1, required=True, metavar="KEYURI...")
@passphrase_option
@backends_option
@json_option
def show(
    *, uris: tuple[str, ...], passphrase_file: str | None, backends: str | None, as_json: bool
) -> int:
    """Say what a private key is, wherever it is kept.

    Opens it, signs a probe with it, and prints its exact name, algorithm and length, where it
    signs, and the SHA-256 of its public half.  Nothing of the key itself is shown.

    Exits with 0 if it can be used; 66, 75, 77 or 78 if not.
    """
    report = _Report(latency=False, as_json=as_json)
    context = replace(key_context(passphrase_file, backends), observer=report.observer)
    with KeyStore(context=context) as keys:
        return worst([report.tell(one) for one in _opened(keys, uris)])


@click.command("check", context_settings=HELP)
@click.argument("uris", nargs=-1, metavar="[KEYURI...]")
@click.option(
    "-x",
    "--config",
    metavar="FILE",
    help="Check all keys of this opendkim.conf or .toml file, with the backends that it names.",
)
@passphrase_option
@backends_option
@json_option
def check(
    *,
    uris: tuple[str, ...],
    config: str | None,
    passphrase_file: str | None,
    backends: str | None,
    as_json: bool,
) -> int:
    """Check private keys in full, and measure them.

    As 'key show'; besides, the numbers of an RSA key in a file are validated, and ten signatures
    are made, one after the other, and timed.  The DNS is not asked: 'testkey' does that.

    Exits with 0 if all can be used; else with the status of the first that cannot: 66, 75, 77
    or 78.
    """
    if (config is None) == (not uris):
        raise click.UsageError("give KEYURIs, or -x for all keys of a configuration")
    report = _Report(latency=True, as_json=as_json)
    if config is not None:
        if (passphrase_file, backends) != (None, None):
            raise click.UsageError("with -x the configuration says it: take the others out")
        return _check_all(config, report)
    context = replace(key_context(passphrase_file, backends), observer=report.observer)
    with KeyStore(context=context) as keys:
        return worst([report.tell(one) for one in _opened(keys, uris, in_full=True)])


def _check_all(config: str, report: _Report) -> Exit:
    from dkimcore.cli.keytable import ConfiguredKeys
    from dkimcore.settings.load import load_settings

    configured = ConfiguredKeys(load_settings(config), observer=report.observer)
    with contextlib.closing(configured) as keys:
        work = progress(keys, label="checking keys", total=len(keys))
        statuses = []
        for one in work:
            key = None if one.signer is None else one.signer.key
            opened = _Opened(uri=one.uri, place=one.place, key=key, error=one.error)
            statuses.append(report.tell(opened))
        return worst(statuses)


def _opened(keys: KeyStore, uris: Iterable[str], *, in_full: bool = False) -> Iterator[_Opened]:
    for uri in uris:
        try:
            key = keys.get(fully_checked(uri) if in_full else uri)
        except DkimError as error:
            yield _Opened(uri=uri, error=error)
        else:
            yield _Opened(uri=str(KeyUri.parse(uri)), key=key)


def _facts(key: SigningKey, uri: str) -> dict[str, object]:
    """What is known of a key; the names are those of the JSON."""
    inner = getattr(key, "backend_key", key)
    endpoint = getattr(inner, "endpoint", None)
    return {
        "exact": getattr(inner, "uri", None) or uri,
        "backend": KeyUri.parse(uri).scheme,
        "algorithm": str(key.algorithm),
        "key_bits": key.public_key.bits,
        "public_key_sha256": sha256(key.public_key.encode()).hexdigest(),
        "endpoint": None if endpoint is None else endpoint.name,
        "signs_here": bool(getattr(key, "is_local", False)),
    }


def _measured(key: SigningKey) -> Sequence[float]:
    """How many seconds each of some signatures takes."""
    digests = [sha256(b"dkimcore key check %d" % number).digest() for number in range(_SIGNATURES)]
    seconds = []
    for digest in digests:
        began = time.perf_counter()
        key.sign_digest(digest)
        seconds.append(time.perf_counter() - began)
    return seconds


def _print(one: _Opened, facts: dict[str, object], seconds: Sequence[float]) -> None:
    where = "in this process" if facts["signs_here"] else f"by {facts['endpoint'] or 'its backend'}"
    place = f" ({one.place})" if one.place else ""
    say(f"{printable(one.uri + place)}: {styled('good', 'green')}")
    if facts["exact"] != one.uri:
        say(f"  {'exactly':<10} {printable(str(facts['exact']))}")
    say(f"  {'backend':<10} {facts['backend']}, signs {where}")
    say(f"  {'algorithm':<10} {facts['algorithm']}, {facts['key_bits']} bits")
    say(f"  {'public':<10} sha256 {facts['public_key_sha256']}")
    if seconds:
        fastest, median, slowest = _milliseconds(seconds)
        say(
            f"  {'signing':<10} {median:.1f} ms; {len(seconds)} signatures took {fastest:.1f} to "
            f"{slowest:.1f} ms"
        )


def _milliseconds(seconds: Sequence[float]) -> tuple[float, float, float]:
    """The fastest, the median and the slowest."""
    return min(seconds) * 1000, statistics.median(seconds) * 1000, max(seconds) * 1000


def _json(
    one: _Opened, facts: dict[str, object], seconds: Sequence[float], error: DkimError | None
) -> dict[str, object]:
    good = error is None and one.key is not None
    status = "ok" if good else "skipped" if error is None else "failed"
    value: dict[str, object] = {
        "status": status,
        "key": one.uri or None,
        "place": one.place or None,
        "problem": None if error is None else str(error),
        **facts,
    }
    if seconds:
        names = ("fastest_ms", "median_ms", "slowest_ms")
        value.update(zip(names, (round(each, 3) for each in _milliseconds(seconds)), strict=True))
    return value
