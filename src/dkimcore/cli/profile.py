"""The options of ``dkimcore sign`` that say how to sign: a `SigningProfile`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from dkimcore.errors import SettingsError
from dkimcore.protocol.canonical import Canonicalization
from dkimcore.protocol.policy import SigningProfile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["make_profile", "profile_options"]

_Command = TypeVar("_Command", bound="Callable[..., Any]")

_DEFAULT = SigningProfile()

_OPTIONS = (
    click.option(
        "-i",
        "--auid",
        metavar="AUID",
        help="The agent or user identifier, i=: [LOCAL-PART]@DOMAIN, within the signing domain.",
    ),
    click.option(
        "-c",
        "--canonicalization",
        metavar="HEADER/BODY",
        default="relaxed/relaxed",
        show_default=True,
        help="relaxed or simple, for the header and for the body.  One word alone leaves the "
        "body simple.",
    ),
    click.option(
        "--lifetime",
        metavar="SECONDS",
        type=click.IntRange(min=1),
        help="Set x= so many seconds behind t=.",
    ),
    click.option(
        "--fields",
        metavar="NAME:NAME...",
        help="The fields to sign, where present, instead of the usual ones; with + in front, "
        "besides them.  From is always signed.",
    ),
    click.option(
        "--oversign",
        metavar="NAME:NAME...",
        help="The fields to name once more than present, so that none can be added, instead of "
        "the usual ones; with + in front, besides them; 'none' for none.",
    ),
    click.option(
        "--copied-fields",
        is_flag=True,
        help="Write z=, a copy of the signed fields: 'verify --explain' then sees what changed.",
    ),
)


def profile_options(command: _Command) -> _Command:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def make_profile(options: Mapping[str, str | int | bool | None]) -> SigningProfile:
    """Make the profile that the options describe.

    Raises:
        click.UsageError: A value is none.
    """
    header, body = _canonicalization(str(options["canonicalization"]))
    lifetime = options["lifetime"]
    try:
        return SigningProfile(
            header_canonicalization=header,
            body_canonicalization=body,
            fields=_fields(options["fields"]),
            oversigned_fields=_names(options["oversign"], _DEFAULT.oversigned_fields),
            lifetime=lifetime if isinstance(lifetime, int) else None,
            copied_fields=bool(options["copied_fields"]),
        )
    except SettingsError as error:
        raise click.UsageError(str(error)) from error


def _canonicalization(text: str) -> tuple[Canonicalization, Canonicalization]:
    header, slash, body = text.partition("/")
    try:
        return Canonicalization(header), Canonicalization(body if slash else "simple")
    except ValueError:
        raise click.UsageError(
            f"{text!r} is no canonicalization: write relaxed/relaxed, relaxed/simple, "
            "simple/relaxed or simple/simple"
        ) from None


def _fields(value: object) -> tuple[str, ...]:
    names = _names(value, _DEFAULT.fields)
    return names if "from" in names else ("from", *names)


def _names(value: object, usual: tuple[str, ...]) -> tuple[str, ...]:
    if value is None:
        return usual
    text = str(value).strip().lower()
    if text == "none":
        return ()
    added = text.startswith("+")
    names = [name.strip() for name in text.removeprefix("+").replace(",", ":").split(":")]
    named = tuple(dict.fromkeys(name for name in names if name))
    return tuple(dict.fromkeys((*usual, *named))) if added else named
