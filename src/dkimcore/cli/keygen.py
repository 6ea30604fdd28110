"""``dkimcore keygen``: make keys and their DNS records, as opendkim-genkey does and safer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dkimcore.cli.exits import CommandError, Exit
from dkimcore.cli.keyfiles import KeyFiles
from dkimcore.cli.options import HELP, domain, json_option, selector
from dkimcore.cli.output import print_json, say, warn
from dkimcore.cli.zone import zone_entry
from dkimcore.errors import SettingsError
from dkimcore.keys.generation import MAX_RSA_BITS, MIN_RSA_BITS, generate_pem
from dkimcore.keys.memory import decode_private_key
from dkimcore.protocol.algorithm import KeyType
from dkimcore.protocol.crypto import PublicKey
from dkimcore.protocol.keyrecord import KeyRecord
from dkimcore.protocol.taglist import encode_quoted_printable
from dkimcore.version import __version__

if TYPE_CHECKING:
    from dkimcore.protocol.names import DomainName, Selector

__all__ = ["command"]

_GOOD_BITS = 2048  # RFC 8301 section 3.2: SHOULD
_LARGE_BITS = 4096  # beyond it, verifiers need not take it and answers outgrow UDP


def _print_version(ctx: click.Context, _: click.Parameter, value: object) -> None:
    if value:
        click.echo(f"dkimcore keygen {__version__}")
        ctx.exit()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """One key to make."""

    key_type: KeyType
    selector: Selector
    files: KeyFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What all keys of one call have in common."""

    domain: DomainName | None
    bits: int
    record: KeyRecord
    append_domain: bool


@click.command("keygen", context_settings=HELP)
@click.option("-d", "--domain", type=domain, help="The domain the key is for.")
@click.option(
    "-s",
    "--selector",
    type=selector,
    default="default",
    show_default=True,
    help="The selector; also the name of the files.",
)
@click.option(
    "--type",
    "kind",
    type=click.Choice(["rsa", "ed25519", "both"]),
    default="both",
    show_default=True,
    help="The type of key.  With 'both' the RSA key has the selector SEL and the Ed25519 key has "
    "SEL-ed25519: two records, and both sign.",
)
@click.option(
    "-b", "--bits", type=int, default=_GOOD_BITS, show_default=True, help="The size of an RSA key."
)
@click.option(
    "-D",
    "--directory",
    type=click.Path(),
    default=".",
    metavar="DIR",
    help="Where the files go; the current folder if not given.",
)
@click.option(
    "-a/ ",
    "--append-domain/--no-append-domain",
    "append_domain",
    help="Write the record's name with the domain, absolute.",
)
@click.option(
    "-h",
    "--hash-algorithms",
    default="sha256",
    show_default=True,
    metavar="LIST",
    help="The hashes that may be used, h=, joined by ':'.  '' for all.",
)
@click.option("-n", "--note", default="", help="A note for people, n=.")
@click.option("-r/ ", "--restrict/--no-restrict", help="For mail only, s=email.")
@click.option("-S", "no_subdomains", is_flag=True, help="As --no-subdomains.")
@click.option(
    "--subdomains/--no-subdomains",
    " /--nosubdomains",
    "subdomains",
    default=True,
    help="Whether i= may name a subdomain; if not, t=s.",
)
@click.option("-t/ ", "--testmode/--no-testmode", help="The domain is testing DKIM, t=y.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
@click.option("--raw", is_flag=True, help="Print each record in one piece, for DNS web forms.")
@click.option("-v", "--verbose", count=True, help="Say what is done.")
@click.option(
    "-V",
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version.",
)
@json_option
def command(
    *,
    domain: DomainName | None,
    selector: Selector,
    kind: str,
    bits: int,
    directory: str,
    append_domain: bool,
    hash_algorithms: str,
    note: str,
    restrict: bool,
    no_subdomains: bool,
    subdomains: bool,
    testmode: bool,
    force: bool,
    raw: bool,
    verbose: int,
    as_json: bool,
) -> int:
    """Make keys and their DNS records.

    Writes SEL.private, the private key in PEM, and SEL.txt, the record for the zone file of
    the domain; both with mode 0600.  Then reads them back, signs and verifies.

    Takes the options of opendkim-genkey; the files are laid out as Debian's version does.
    """
    if append_domain and domain is None:
        raise click.UsageError("--append-domain needs -d DOMAIN")
    _check_bits(kind, bits)
    folder = Path(directory)
    if "?" in directory:
        raise click.UsageError("a folder with '?' in its name cannot be part of a key URI")
    if not folder.is_dir():
        raise CommandError(f"{folder} is not a folder; make it first", status=Exit.CANNOT_CREATE)
    flags = ["y"] * testmode + ["s"] * (no_subdomains or not subdomains)
    record = KeyRecord(
        public_key=None,
        hash_algorithms=_hash_algorithms(hash_algorithms),
        service_types=("email",) if restrict else ("*",),
        flags=tuple(flags),
        notes=encode_quoted_printable(note.encode()).decode("ascii", "replace"),
    )
    plan = _Plan(domain=domain, bits=bits, record=record, append_domain=append_domain)
    wanted = _wanted(kind, selector, folder)
    if not force:
        for one in wanted:
            one.files.refuse_existing()
    for one in wanted:
        made = _make(one, plan, verbose=verbose)
        _report(one, plan, made, raw=raw, as_json=as_json)
    return Exit.OK


def _check_bits(kind: str, bits: int) -> None:
    if kind == "ed25519":
        return
    if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
        raise click.BadParameter(
            f"{bits} bits: RSA keys have {MIN_RSA_BITS} to {MAX_RSA_BITS}, and 2048 is good "
            "(RFC 8301 section 3.2)",
            param_hint="'--bits'",
        )
    if bits < _GOOD_BITS:
        warn(
            f"warning: {bits} bits are few; RFC 8301 section 3.2 asks signers for at least 2048",
            name="dkimcore keygen",
        )
    if bits > _LARGE_BITS:
        warn(
            f"warning: verifiers need not take {bits} bits (RFC 8301 section 3.2); use 2048, or "
            "Ed25519 beside it",
            name="dkimcore keygen",
        )


def _hash_algorithms(text: str) -> tuple[str, ...] | None:
    names = tuple(name.strip() for name in text.replace(",", ":").split(":") if name.strip())
    if not names:
        return None
    if "sha256" not in names:
        raise click.BadParameter(
            "sha256 must be among them: every signature uses it (RFC 8301 section 3.1)",
            param_hint="'--hash-algorithms'",
        )
    if any(not name.isascii() or not name.replace("-", "").isalnum() for name in names):
        raise click.BadParameter(
            "names of hashes are letters, digits and '-'", param_hint="'--hash-algorithms'"
        )
    return names


def _wanted(kind: str, name: Selector, folder: Path) -> list[_Wanted]:
    chosen: list[tuple[KeyType, Selector]] = []
    if kind in ("rsa", "both"):
        chosen.append((KeyType.RSA, name))
    if kind == "ed25519":
        chosen.append((KeyType.ED25519, name))
    if kind == "both":
        chosen.append((KeyType.ED25519, selector(f"{name.text}-ed25519")))
    return [
        _Wanted(key_type=key_type, selector=own, files=KeyFiles.named(own, folder))
        for key_type, own in chosen
    ]


def _make(one: _Wanted, plan: _Plan, *, verbose: int) -> KeyRecord:
    """Make one key and both its files, and check them."""
    if verbose:
        warn(f"making a {one.key_type} key", name="dkimcore keygen")
    try:
        pem = generate_pem(one.key_type, bits=plan.bits)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    key = decode_private_key(pem, uri=f"file:{one.files.private}", passphrase=lambda: None)
    public_key = PublicKey.of(key.public_key())
    record = replace(plan.record, public_key=public_key, key_type=one.key_type)
    owner = f"{one.selector.ascii}._domainkey"
    if plan.append_domain and plan.domain is not None:
        owner += f".{plan.domain.ascii}."
    comment = f"----- DKIM key {one.selector.ascii}"
    if plan.domain is not None:
        comment += f" for {plan.domain.ascii}"
    one.files.write(pem, zone_entry(owner, _in_genkey_order(record), comment=comment))
    warning = one.files.self_check(plan.domain, one.selector)
    if warning:
        warn(f"warning: it will not be used as it is: {warning}", name="dkimcore keygen")
    if verbose:
        warn("the key signs, and the record verifies it", name="dkimcore keygen")
    return record


_GENKEY_ORDER = ("v", "n", "h", "k", "t", "s", "p")


def _in_genkey_order(record: KeyRecord) -> bytes:
    """Print a record with its tags in the order of opendkim-genkey."""
    tags = {tag.partition("=")[0]: tag for tag in record.print().decode("utf-8").split("; ")}
    return "; ".join(tags[name] for name in _GENKEY_ORDER if name in tags).encode()


def _report(one: _Wanted, plan: _Plan, record: KeyRecord, *, raw: bool, as_json: bool) -> None:
    name = f"{one.selector.ascii}._domainkey"
    if plan.domain is not None:
        name += f".{plan.domain.ascii}"
    text = _in_genkey_order(record).decode("ascii", "replace")
    if as_json:
        bits = record.public_key.bits if record.public_key else None
        print_json(
            {
                "status": "made",
                "domain": None if plan.domain is None else plan.domain.ascii,
                "selector": one.selector.ascii,
                "key_type": str(one.key_type),
                "key_bits": bits,
                "private_key": str(one.files.private),
                "zone_file": str(one.files.record),
                "name": name,
                "record": text,
            }
        )
    elif raw:
        say(text)
    else:
        say(f"{one.files.private}: private {one.key_type} key")
        say(f"{one.files.record}: publish it as TXT record at {name}")
