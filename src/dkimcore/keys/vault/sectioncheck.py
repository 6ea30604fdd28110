"""What a section of type ``vault`` may hold."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dkimcore.errors import KeyBackendError
from dkimcore.keys import KeyContext
from dkimcore.keys.endpoint import EndpointLimits
from dkimcore.keys.vault.logins import LOGIN_KEYS, login_of
from dkimcore.keys.vault.place import PLACE_KEYS, VaultPlace
from dkimcore.keys.vault.transit import MAX_BATCH

if TYPE_CHECKING:
    from dkimcore.keys.sections import BackendSection

__all__ = ["check_section"]


def check_section(section: BackendSection) -> None:
    """Look at a section without asking anybody.

    Args:
        section: The section.

    Raises:
        ConfigError: Something in it cannot be.
    """
    section.allow(*PLACE_KEYS, *LOGIN_KEYS, "batch")
    EndpointLimits.of(section)
    section.integer("batch", 1, minimum=1, maximum=MAX_BATCH)
    section.flag("renew", default=True)
    place = VaultPlace.of(section, os.environ)
    try:
        login_of(section, KeyContext(), place)
    except KeyBackendError as exc:
        problem = exc.problem
    else:
        return
    raise section.error(problem)
