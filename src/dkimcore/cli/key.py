"""``dkimcore key``: private keys wherever they are kept: moved, looked at, measured.

What they have to do with the DNS is ``dkimcore testkey``'s.
"""

from __future__ import annotations

import click

from dkimcore.cli.keycheck import check, show
from dkimcore.cli.keyimport import import_key
from dkimcore.cli.options import HELP

__all__ = ["command"]


@click.group("key", context_settings=HELP)
def command() -> None:
    """Move private keys to another key backend, and look at them there.

    A key is named by its KEYURI: the path of a file, or scheme:rest for a key that is kept
    elsewhere.
    """


command.add_command(import_key)
command.add_command(show)
command.add_command(check)
