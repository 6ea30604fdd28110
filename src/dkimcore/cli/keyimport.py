"""``dkimcore key import``: a private key goes to where it will stay, and its DNS record stays good.

The file that it comes from is left alone: it signs until the configuration names the new key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from dkimcore.cli.exits import CommandError, Exit
from dkimcore.cli.fitness import judge_key
from dkimcore.cli.keymaking import (
    check_row,
    key_table_row,
    make_key,
    open_made_key,
)
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
from dkimcore.cli.output import print_json, printable, say, warn
from dkimcore.errors import DkimError, KeyBackendError
from dkimcore.keys.file import key_path
from dkimcore.keys.memory import MemoryKey, decode_private_key, without_frames
from dkimcore.keys.permissions import read_private_file
from dkimcore.keys.selfcheck import check_key
from dkimcore.keys.store import KeyStore
from dkimcore.keys.uri import KeyUri
from dkimcore.signer import Signer

if TYPE_CHECKING:
    from dkimcore.keys import KeyContext, KeyMaker, MadeKey, SigningKey
    from dkimcore.protocol.names import DomainName, Selector
    from dkimcore.resolvers import TxtResolver

__all__ = ["import_key"]

_NAME = "dkimcore key import"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Use:
    """For which record a key signs."""

    domain: DomainName
    selector: Selector

    @property
    def name(self) -> str:
        return f"{self.selector.ascii}._domainkey.{self.domain.ascii}"


@click.command("import", context_settings=HELP)
@click.argument("source", metavar="SOURCE")
@click.option(
    "--to",
    "target",
    metavar="KEYURI",
    required=True,
    help="Under which name the key will be used, such as vault-kv:secret/dkim/s1.",
)
@click.option(
    "-d", "--domain", type=domain, help="Import it only if it fits the record of this domain..."
)
@click.option("-s", "--selector", type=selector, help="...and this selector.")
@passphrase_option
@backends_option
@resolver_options
@json_option
def import_key(
    *,
    source: str,
    target: str,
    domain: DomainName | None,
    selector: Selector | None,
    passphrase_file: str | None,
    backends: str | None,
    name_servers: tuple[tuple[str, int], ...],
    records: tuple[str, ...],
    as_json: bool,
) -> int:
    """Move a private key to another key backend.

    SOURCE is a file with the key: PEM or DER, encrypted or not.  The key is checked in full,
    brought to where --to says and opened there by its new name; what it signs must then verify
    with the public half that it has in the file.  So the key record in the DNS stays as it is.

    With -d and -s it is first compared with that record, and a row for the KeyTable is printed.

    The file is not removed.  Do that once mail is signed with the new key.
    """
    if (domain is None) != (selector is None):
        raise click.UsageError("-d and -s go together")
    use = None if domain is None or selector is None else _Use(domain=domain, selector=selector)
    uri = KeyUri.parse(target)
    if uri.scheme == "file":
        raise click.UsageError(
            "a key that is in a file already is copied to another one with: install -m 0600"
        )
    if use is not None:
        check_row(uri)
    context = key_context(passphrase_file, backends)
    moving = _Moving(source, context)
    if use is not None:
        _compare(moving.key, use, make_resolver(name_servers, records))
    made = moving.bring_to(uri)
    _report(moving, made, use, as_json=as_json)
    return Exit.OK


class _Moving:
    """A private key in a file, on its way to another place.

    Args:
        source: The file.
        context: Where secrets and backends are.

    Raises:
        ConfigError: The source is no file.
        KeyBackendError: The file cannot be read, or the key not be used.
    """

    def __init__(self, source: str, context: KeyContext) -> None:
        uri = KeyUri.parse(source)
        if uri.scheme != "file":
            raise click.UsageError(
                f"SOURCE is a file, and not a key of {uri.scheme}: what is kept there does not "
                "come out; make a new key under a new selector instead"
            )
        uri.allow_options("permissions", "check")
        self.path = key_path(uri)
        self._context = context
        name = str(uri)
        refusal = None
        try:
            octets = read_private_file(
                self.path,
                uri=name,
                check_permissions=uri.options.get("permissions") != "ignore",
            )
            self._private_key = decode_private_key(
                octets, uri=name, passphrase=lambda: context.secret("passphrase"), validate=True
            )
        except KeyBackendError as error:
            refusal = without_frames(error)
        if refusal is not None:
            raise refusal
        self.key = MemoryKey(self._private_key, name=name)
        check_key(self.key, uri=name)

    def bring_to(self, uri: KeyUri) -> MadeKey:
        """Bring it to where it will stay, and check that it is the same there.

        Args:
            uri: Where.

        Raises:
            DkimError: It cannot be brought there, or not be used there.
            CommandError: It is another key there.
        """

        def bring(maker: KeyMaker, context: KeyContext) -> MadeKey:
            return maker.import_key(uri, context, self._private_key)

        made = make_key(uri, self._context, call=bring)
        try:
            self._check(made)
        except (DkimError, CommandError):
            warn(f"the key was brought to {made.uri} and stays there; but:", name=_NAME)
            raise
        return made

    def _check(self, made: MadeKey) -> None:
        with KeyStore(context=self._context) as keys:
            key = open_made_key(made, keys)
            if key.public_key != self.key.public_key:
                raise CommandError(
                    f"{made.uri} is another key than the one in {self.path}; do not use it, and "
                    "report it to the authors of the key backend",
                    status=Exit.SOFTWARE,
                )


def _compare(key: SigningKey, use: _Use, resolver: TxtResolver) -> None:
    """Refuse a key that does not fit the record in the DNS, before anything is done with it."""
    answer = resolver.lookup_txt(f"{use.name}.")
    signer = Signer(domain=use.domain, selector=use.selector, key=key)
    fitness = judge_key(answer, use.name, signer)
    if fitness.status is not Exit.OK:
        raise CommandError(
            f"nothing was imported: {fitness.problem}; correct -d, -s or the file, or take -d and "
            "-s away if the record is still to be published",
            status=fitness.status,
        )
    for finding in fitness.findings:
        warn(f"{finding.text} {finding.cure}".strip(), name=_NAME)


def _report(moving: _Moving, made: MadeKey, use: _Use | None, *, as_json: bool) -> None:
    row = None if use is None else key_table_row(use.domain, use.selector, made.uri)
    public_key = made.public_key
    if as_json:
        print_json(
            {
                "status": "imported",
                "source": moving.path,
                "key": made.uri,
                "key_type": str(public_key.key_type),
                "key_bits": public_key.bits,
                "name": None if use is None else use.name,
                "key_table_row": row,
            }
        )
        return
    say(f"{printable(made.uri)}: signs as the {public_key.key_type} key in {moving.path}")
    if use is not None and row is not None:
        say(f"{use.name}: the record fits, leave it as it is")
        say(f"row for the KeyTable: {printable(row)}")
    say(
        f"{printable(moving.path)}: remove it once the configuration names the new key and mail "
        "is signed with that"
    )
