"""All options in one table: OpenDKIM's 161, and our own, which begin with Dkimcore.

How opendkim.conf is read, how it is checked, the log at start and the table in the
documentation all come from here.
"""

from __future__ import annotations

import difflib

from dkimcore.settings.option import Option
from dkimcore.settings.rows_receiving import ACTIONS, HOSTS, RESOLVING, VERIFYING
from dkimcore.settings.rows_running import LIMITS, LOGGING, PROCESS
from dkimcore.settings.rows_signing import SIGNING
from dkimcore.settings.rows_unused import REFUSED, WITHOUT_EFFECT

__all__ = ["OPTIONS", "find_option", "nearest_options"]

_NAME_OCTETS = 64  # what is longer is no misspelt name, and costs time to compare


OPTIONS: tuple[Option, ...] = tuple(
    sorted(
        (
            *SIGNING,
            *VERIFYING,
            *HOSTS,
            *ACTIONS,
            *RESOLVING,
            *LOGGING,
            *PROCESS,
            *LIMITS,
            *WITHOUT_EFFECT,
            *REFUSED,
        ),
        key=lambda option: option.name.lower(),
    )
)
_BY_NAME = {option.name.lower(): option for option in OPTIONS}


def find_option(name: str) -> Option | None:
    """Return the option of that name, in any case; None if there is none."""
    return _BY_NAME.get(name.lower())


def nearest_options(name: str) -> tuple[str, ...]:
    """Return the names of options that may be meant, the nearest first."""
    near = difflib.get_close_matches(name.lower()[:_NAME_OCTETS], _BY_NAME)
    return tuple(_BY_NAME[each].name for each in near)
