"""What can be wrong with a backend section, found before any key is opened.

Each backend says what its sections may hold; nobody is asked, and no file of a section is read.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dkimcore.keys.sections import Sections

__all__ = ["check_sections"]

# Types to modules with a function `check_section`.
_CHECKS = {
    "aws": "dkimcore.keys.aws.sectioncheck",
    "pkcs11": "dkimcore.keys.pkcs11.sectioncheck",
    "vault": "dkimcore.keys.vault.sectioncheck",
}


def check_sections(sections: Sections) -> None:
    """Look at all sections of built-in types.

    Args:
        sections: The sections.

    Raises:
        ConfigError: A section holds an unknown key, or a value that cannot be; with its file and
            line.
    """
    for section in sections.backends.values():
        name = _CHECKS.get(section.kind)
        if name is None:
            continue
        try:
            check = importlib.import_module(name).check_section
        except ModuleNotFoundError:
            continue  # its extra is absent, which opening a key says
        check(section)
