"""What the commands print: plain lines, coloured ones on a terminal, JSON for programs.

Colour is for terminals only and respects NO_COLOR; progress goes to standard error when
that is a terminal.  What came from a message is made printable first: a terminal obeys
control characters.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["Style", "print_json", "printable", "progress", "say", "styled", "warn"]

_T = TypeVar("_T")

# Below this many messages a progress bar is gone before it is seen.
_WORTH_A_BAR = 20

Style = str
"""A colour's name, as click has them."""


def printable(text: str) -> str:
    """Replace what is not printable, line ends included, by escapes such as ``\\x1b``."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text.encode("utf-8", "replace").decode("utf-8")
    )


def _wants_colour() -> bool:
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def styled(text: str, style: Style | None = None) -> str:
    """Colour a text; `say` takes the colour out where there is no terminal."""
    return click.style(text, fg=style) if style and _wants_colour() else text


def say(text: str) -> None:
    """Print one line to standard output; all of it printable but for colours of ours."""
    click.echo(text)


def warn(text: str, *, name: str = "dkimcore") -> None:
    """Print one line to standard error."""
    click.echo(f"{name}: {printable(text)}", err=True)


def print_json(value: Mapping[str, object]) -> None:
    """Print one JSON object on a line of its own."""
    sys.stdout.write(json.dumps(value, ensure_ascii=True) + "\n")
    sys.stdout.flush()


def progress(items: Iterable[_T], *, label: str, total: int | None) -> Iterator[_T]:
    """Go through items, showing how far it is when there are many and a person to see it.

    Args:
        items: What to go through.
        label: What is being done.
        total: How many there are, if that is known.
    """
    if (total is not None and total < _WORTH_A_BAR) or not sys.stderr.isatty():
        yield from items
        return
    # rich takes 50 ms to import: only where it shows something.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    # rich prints standard output above the bar, which is right only where both are one terminal.
    with Progress(
        *columns,
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
    ) as bar:
        yield from bar.track(items, total=total, description=label)
