"""The command ``dkimcore``: sign, verify, make and judge keys from a shell.

One module per verb; `main` is the entry point.  Click and rich come with the extra
``cli``, and without it this says so.  What the verbs do is the library's.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_CONFIGURATION = 78  # EX_CONFIG; `exits` is not imported before click is known to be there


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: The command line behind the program's name; that of this process if None.

    Returns:
        The exit status (`dkimcore.cli.exits.Exit`); nothing is raised but what Python uses
        to end a program.
    """
    missing = [name for name in ("click", "rich") if find_spec(name) is None]
    if missing:
        print(
            f"dkimcore: the command needs {missing[0]}; run: pip install 'dkimcore[cli]'",
            file=sys.stderr,
        )
        return _CONFIGURATION
    from dkimcore.cli.app import run

    return run(sys.argv[1:] if arguments is None else list(arguments))
