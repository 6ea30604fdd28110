"""``dkimcore keygen``: make keys and their DNS records, as opendkim-genkey does and safer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dkimcore.cli.exits import CommandError, Exit
from dkimcore.cli.keyfiles import KeyFiles
from dkimcore.cli.keymaking import check_row, key_table_row
from dkimcore.cli.newkeys import NewFileKey, NewStoredKey
from dkimcore.cli.options import (
    HELP,
    backends_option,
    domain,
    json_option,
    key_context,
    selector,
)
from dkimcore.cli.output import print_json, printable, say, warn
from dkimcore.cli.recordplan import RecordPlan
from dkimcore.keys.generation import MAX_RSA_BITS, MIN_RSA_BITS
from dkimcore.keys.uri import KeyUri
from dkimcore.protocol.algorithm import KeyType
from dkimcore.protocol.keyrecord import KeyRecord
from dkimcore.protocol.taglist import encode_quoted_printable
from dkimcore.version import __version__

if TYPE_CHECKING:
    from dkimcore.cli.newkeys import Made, NewKey
    from dkimcore.protocol.names import DomainName, Selector

__all__ = ["command"]

_NAME = "dkimcore keygen"
_GOOD_BITS = 2048  # RFC 8301 section 3.2: SHOULD
_LARGE_BITS = 4096  # beyond it, verifiers need not take it and answers outgrow UDP


def _print_version(ctx: click.Context, _: click.Parameter, value: object) -> None:
    if value:
        click.echo(f"dkimcore keygen {__version__}")
        ctx.exit()


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
    show_default="both; with --key, rsa",
    help="The type of key.  With 'both' the RSA key has the selector SEL and the Ed25519 key has "
    "SEL-ed25519: two records, and both sign.",
)
@click.option(
    "-b", "--bits", type=int, default=_GOOD_BITS, show_default=True, help="The size of an RSA key."
)
@click.option(
    "--key",
    "uri",
    metavar="KEYURI",
    help="Make the private key under this name: in another key backend, or in a file of this "
    "path.  One name is one key: call it once with --type rsa and once with --type ed25519.",
)
@backends_option
@click.option(
    "-D",
    "--directory",
    type=click.Path(),
    default=".",
    metavar="DIR",
    help="Where the files go, with --key SEL.txt alone; the current folder if not given.",
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
@click.option(
    "--force", is_flag=True, help="Replace files that are there; never a key in another backend."
)
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
    kind: str | None,
    bits: int,
    uri: str | None,
    backends: str | None,
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

    With --key the private key is made by a key backend and stays there.  What is printed is its
    pinned name and a row for the KeyTable; SEL.txt is written as for files.

    Takes the options of opendkim-genkey; the files are laid out as Debian's version does.
    """
    if append_domain and domain is None:
        raise click.UsageError("--append-domain needs -d DOMAIN")
    if uri is not None and kind == "both":
        raise click.UsageError(
            "--type both makes two keys, and --key names one: call it once with --type rsa and "
            "once with --type ed25519, under two selectors"
        )
    kind = kind or ("both" if uri is None else "rsa")
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
    plan = RecordPlan(domain=domain, template=record, append_domain=append_domain)
    if uri is None:
        wanted = _files(kind, selector, folder)
    else:
        wanted = [_named(uri, KeyType(kind), selector, folder=folder, backends=backends)]
    for one in wanted:
        one.check(force=force)
        if domain is not None:
            check_row(one.uri)
    for one in wanted:
        if verbose:
            warn(f"making a {one.key_type} key", name=_NAME)
        made = one.make(plan, bits=bits, force=force)
        if verbose:
            warn("the key signs, and the record verifies it", name=_NAME)
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
            name=_NAME,
        )
    if bits > _LARGE_BITS:
        warn(
            f"warning: verifiers need not take {bits} bits (RFC 8301 section 3.2); use 2048, or "
            "Ed25519 beside it",
            name=_NAME,
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


def _files(kind: str, name: Selector, folder: Path) -> list[NewKey]:
    chosen: list[tuple[KeyType, Selector]] = []
    if kind in ("rsa", "both"):
        chosen.append((KeyType.RSA, name))
    if kind == "ed25519":
        chosen.append((KeyType.ED25519, name))
    if kind == "both":
        chosen.append((KeyType.ED25519, selector(f"{name.text}-ed25519")))
    return [
        NewFileKey(key_type=key_type, selector=own, files=KeyFiles.named(own, folder))
        for key_type, own in chosen
    ]


def _named(
    text: str, key_type: KeyType, name: Selector, *, folder: Path, backends: str | None
) -> NewKey:
    uri = KeyUri.parse(text)
    if uri.scheme == "file":
        return NewFileKey.at(uri, key_type=key_type, selector=name, folder=folder)
    return NewStoredKey(
        key_type=key_type,
        selector=name,
        uri=uri,
        folder=folder,
        context=key_context(backends=backends),
    )


def _report(one: NewKey, plan: RecordPlan, made: Made, *, raw: bool, as_json: bool) -> None:
    name = plan.name(one.selector)
    text = plan.text(made.public_key)
    row = None if plan.domain is None else key_table_row(plan.domain, one.selector, made.uri)
    if as_json:
        print_json(
            {
                "status": "made",
                "domain": None if plan.domain is None else plan.domain.ascii,
                "selector": one.selector.ascii,
                "key_type": str(one.key_type),
                "key_bits": made.public_key.bits,
                "private_key": made.place,
                "key": made.uri,
                "key_table_row": row,
                "zone_file": str(one.record_file),
                "name": name,
                "record": text,
            }
        )
    elif raw:
        say(text)
    else:
        say(f"{printable(made.place)}: private {one.key_type} key")
        say(f"{one.record_file}: publish it as TXT record at {name}")
        if row is not None and isinstance(one, NewStoredKey):
            say(f"row for the KeyTable: {printable(row)}")
