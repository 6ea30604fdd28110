"""``dkimcore sign``: put DKIM-Signature fields on messages (RFC 6376 section 5)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from dkimcore.blocking import sign
from dkimcore.cli.destination import Destination, write_message
from dkimcore.cli.exits import CommandError, Exit, exit_of, worst
from dkimcore.cli.messages import (
    LineEnds,
    Message,
    SourceKind,
    begins_with_from_line,
    find_sources,
    open_messages,
)
from dkimcore.cli.options import (
    HELP,
    backends_option,
    domain,
    json_option,
    key_context,
    moment,
    passphrase_option,
    selector,
)
from dkimcore.cli.output import print_json, progress, warn
from dkimcore.cli.profile import make_profile, profile_options
from dkimcore.errors import DkimError
from dkimcore.keys.store import KeyStore
from dkimcore.protocol.names import Auid, DomainName, Selector
from dkimcore.signer import Signer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dkimcore.cli.messages import Source
    from dkimcore.protocol.policy import SigningProfile
    from dkimcore.protocol.sign import SignatureFields

__all__ = ["command"]

SignerName = tuple[DomainName, Selector, str]


def _signer_name(value: str) -> SignerName:
    """Split ``DOMAIN:SELECTOR:KEYURI`` at its first two colons, as a KeyTable's value is."""
    name, _, rest = value.partition(":")
    part, _, uri = rest.partition(":")
    if not uri:
        raise click.BadParameter(
            "write DOMAIN:SELECTOR:KEYURI, such as example.com:s1:/etc/dkim/s1.private"
        )
    return domain(name), selector(part), uri


@click.command("sign", context_settings=HELP)
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option(
    "--signer",
    "signers",
    type=_signer_name,
    multiple=True,
    metavar="DOMAIN:SELECTOR:KEYURI",
    help="Who signs.  Repeat it to sign with several keys in one pass, RSA and Ed25519.",
)
@click.option(
    "-d", "--domain", "single_domain", type=domain, help="The signing domain, with -s and -k."
)
@click.option(
    "-s", "--selector", "single_selector", type=selector, help="The selector, with -d and -k."
)
@click.option(
    "-k", "--key", "single_key", metavar="KEYURI", help="The private key, with -d and -s."
)
@profile_options
@click.option(
    "--time",
    "now",
    type=moment,
    metavar="TIME",
    help="The time of signing, t=: seconds since 1970, or 2026-01-31T12:00:00Z.  Now if not given.",
)
@passphrase_option
@backends_option
@click.option("--fields-only", is_flag=True, help="Print the new fields and not the message.")
@click.option("--in-place", is_flag=True, help="Replace each file, atomically.")
@click.option(
    "--output",
    type=click.Path(),
    metavar="DIR",
    help="Write each signed message into this folder, under the name of its file.",
)
@click.option(
    "--line-ends",
    type=click.Choice([form.value for form in LineEnds]),
    default=LineEnds.AUTO.value,
    help="How lines end in the files.  auto: LF if there is no CRLF in it.",
)
@json_option
def command(
    *,
    files: tuple[str, ...],
    signers: tuple[SignerName, ...],
    single_domain: DomainName | None,
    single_selector: Selector | None,
    single_key: str | None,
    now: int | None,
    passphrase_file: str | None,
    backends: str | None,
    fields_only: bool,
    in_place: bool,
    output: str | None,
    line_ends: str,
    as_json: bool,
    auid: str | None,
    **options: str | int | bool | None,
) -> int:
    """Sign messages.

    Takes messages from files, Maildir folders or standard input, and writes each with its
    new DKIM-Signature fields on top.  Nothing is printed for a message that cannot be signed.

    A message whose lines end in LF is signed as it will be sent, with CRLF, and written as
    it came, with LF.

    KEYURI is the path of a file with a private key, or scheme:rest for a key that is kept
    elsewhere.
    """
    names = _signer_names(signers, single_domain, single_selector, single_key)
    destination = Destination.choose(
        fields_only=fields_only, in_place=in_place, folder=output, as_json=as_json
    )
    profile = make_profile(options)
    sources = find_sources(files)
    destination.check(sources)
    with KeyStore(context=key_context(passphrase_file, backends)) as keys:
        made = _make_signers(keys, names, auid=auid, profile=profile)
        work = progress(sources, label="signing", total=len(sources))
        form = LineEnds(line_ends)
        at = int(time.time()) if now is None else now
        return worst(
            [
                _sign_source(source, made, now=at, line_ends=form, destination=destination)
                for source in work
            ]
        )


def _signer_names(
    signers: Sequence[SignerName],
    name: DomainName | None,
    part: Selector | None,
    uri: str | None,
) -> list[SignerName]:
    names = list(signers)
    if name is not None and part is not None and uri is not None:
        names.append((name, part, uri))
    elif (name, part, uri) != (None, None, None):
        raise click.UsageError("-d, -s and -k go together; or use --signer")
    if not names:
        raise click.UsageError("who signs? Give --signer DOMAIN:SELECTOR:KEYURI, or -d, -s and -k")
    return names


def _make_signers(
    keys: KeyStore, names: Sequence[SignerName], *, auid: str | None, profile: SigningProfile
) -> list[Signer]:
    identifier = None if auid is None else Auid.parse(auid if "@" in auid else f"@{auid}")
    for name, _, _ in names:
        if identifier is not None and not identifier.domain.is_within(name):
            raise click.UsageError(f"the AUID {identifier} is not within the domain {name}")
    return [
        Signer(domain=name, selector=part, key=keys.get(uri), auid=identifier, profile=profile)
        for name, part, uri in names
    ]


def _sign_source(
    source: Source,
    signers: Sequence[Signer],
    *,
    now: int,
    line_ends: LineEnds,
    destination: Destination,
) -> Exit:
    try:
        messages = open_messages(
            source, kind=SourceKind.MESSAGE, line_ends=line_ends, unescape=False
        )
        for message in messages:
            _refuse_mbox(message)
            fields = sign(message.wire(), signers, now=now)
            _deliver(message, fields, destination)
    except BrokenPipeError:
        raise
    except (DkimError, OSError, CommandError) as error:
        problem = error.strerror if isinstance(error, OSError) and error.strerror else error
        warn(f"{source.name}: {problem}", name="dkimcore sign")
        return exit_of(error)
    return Exit.OK


def _refuse_mbox(message: Message) -> None:
    if begins_with_from_line(message):
        raise CommandError(
            "begins with a From_ line, as an mbox does; give single messages (formail -s divides "
            "an mbox)",
            status=Exit.DATA,
        )


def _deliver(message: Message, fields: SignatureFields, destination: Destination) -> None:
    written = write_message(message, fields, destination)
    if destination.as_json:
        print_json(
            {
                "message": message.name,
                "status": "signed",
                "fields": [field.raw.decode("utf-8", "replace") for field in fields],
                "written": None if written is None else str(written),
            }
        )
