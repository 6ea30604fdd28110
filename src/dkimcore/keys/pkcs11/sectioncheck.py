"""What a section of type ``pkcs11`` may hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dkimcore.keys.endpoint import EndpointLimits
from dkimcore.keys.pkcs11.settings import KEYS

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
    section.allow(*KEYS)
    EndpointLimits.of(section)
    for key in KEYS:
        section.text(key)
