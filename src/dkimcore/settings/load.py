"""Loading the settings of a site, from either form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dkimcore.settings.assemble import assemble
from dkimcore.settings.combine import combine
from dkimcore.settings.opendkimconf import override, read_conf
from dkimcore.settings.options import find_option
from dkimcore.settings.toml import raw_values, read_toml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dkimcore.settings.model import Settings

__all__ = ["load_settings", "occurrences"]

_TOML = ".toml"


def load_settings(path: str | None, *, overrides: Sequence[tuple[str, str]] = ()) -> Settings:
    """Load settings.

    Args:
        path: A file; ``-`` is standard input in the form of opendkim.conf, ``*.toml`` the
            TOML form, every other name an opendkim.conf; None or "" no file at all.
        overrides: Options that flags of a command set, each as ``(name, value)``.  They win.

    Raises:
        SettingsError: A file cannot be read, an option is unknown or refused, a value cannot
            be, or options do not go together.
    """
    flags = [override(name, value) for name, value in overrides]
    if path and path.endswith(_TOML):
        return combine(assemble(flags, files=[path], given=read_toml(path)))
    found, files = read_conf(path) if path else ([], [])
    return combine(assemble([*found, *flags], files=files))


def occurrences(path: str, name: str) -> list[str]:
    """Return all values of an option in a file, the last one first (``opendkim -e``).

    As there, switches are ``True`` or ``False`` and integers decimal.

    Args:
        path: A file as for `load_settings`; of TOML what the fields of the option are set to.
        name: The option of opendkim.conf, in any case.

    Raises:
        SettingsError: A file cannot be read, or a line is wrong.
    """
    if path.endswith(_TOML):
        option = find_option(name)
        return raw_values(path, option.fields) if option is not None else []
    found, _ = read_conf(path)
    return [each.printed for each in reversed(found) if each.option.name.lower() == name.lower()]
