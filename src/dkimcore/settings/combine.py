"""Which options need each other, and which switch others off (OpenDKIM's rules at start)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dkimcore.errors import SettingsError
from dkimcore.settings.values import Place

if TYPE_CHECKING:
    from dkimcore.settings.model import Settings

__all__ = ["combine"]

_SINGLE_KEY = (("Domain", "domains"), ("Selector", "selector"), ("KeyFile", "key_file"))


def combine(settings: Settings) -> Settings:
    """Check which options stand together, and drop those that others switch off.

    Args:
        settings: As they were read.

    Returns:
        The same without Domain, Selector and KeyFile if there is a KeyTable, as OpenDKIM
        has it, with a notice about each.

    Raises:
        SettingsError: Options do not go together.
    """
    signing = settings.signing
    if signing.signing_table is not None and signing.key_table is None:
        raise _error(
            "use of SigningTable requires KeyTable: add one, which says what the key names of "
            "the SigningTable stand for",
            settings,
            "SigningTable",
        )
    if signing.key_table is not None:
        if signing.signing_table is None and settings.hosts.signs:
            # OpenDKIM's words name SetupPolicyScript, too, which is refused here.
            raise _error(
                "KeyTable requires either SigningTable or SetupPolicyScript: add a "
                "SigningTable, which says who uses the keys",
                settings,
                "KeyTable",
            )
        return _without_single_key(settings)
    if settings.hosts.signs:
        return _with_single_key(settings)
    return settings


def _with_single_key(settings: Settings) -> Settings:
    signing = settings.signing
    if (signing.key_file is None) != (signing.selector is None):
        raise _error(
            "KeyFile and Selector must both be defined or both be undefined",
            settings,
            "Selector" if signing.key_file is None else "KeyFile",
        )
    if signing.domains is not None and signing.key_file is None:
        raise _error("Domain requires KeyFile and Selector", settings, "Domain")
    if signing.domains is not None or signing.key_file is None:
        return settings
    notice = "KeyFile and Selector are without effect: add a Domain, which says who is signed for"
    return replace(
        settings,
        notices=(*settings.notices, Place(*settings.origin("KeyFile")).prefix(notice)),
    )


def _without_single_key(settings: Settings) -> Settings:
    notices = tuple(
        Place(*settings.origin(option)).prefix(
            f"{option} is without effect: the KeyTable switches it off; take one of them out"
        )
        for option, field in _SINGLE_KEY
        if getattr(settings.signing, field) is not None
    )
    return replace(
        settings,
        signing=replace(settings.signing, domains=None, selector=None, key_file=None),
        notices=settings.notices + notices,
    )


def _error(problem: str, settings: Settings, option: str) -> SettingsError:
    file, line = settings.origin(option)
    return SettingsError(problem, file=file, line=line)
