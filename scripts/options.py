"""Writes the table of opendkim.conf's options from the one that the milter reads it by."""

from __future__ import annotations

from dkimcore.settings.option import Fate, Importance, Option
from dkimcore.settings.options import OPTIONS

__all__ = ["page"]


def cell(text: str) -> str:
    """Prints a text for a cell of a table."""
    return text.replace("|", "\\|")


def fields(option: Option) -> str:
    """Prints the fields that an option fills, or what is said of many."""
    if len(option.fields) > 2:
        group = option.fields[0].partition(".")[0]
        return f"all of `{group}`"
    return ", ".join(f"`{field}`" for field in option.fields) or "-"


def table_of_honoured(options: list[Option]) -> list[str]:
    """Prints options that do what they say."""
    lines = [
        "",
        "| Option | Class | Kind | Default | Effect | Field |",
        "|---|---|---|---|---|---|",
    ]
    for option in options:
        default = option.default if option.default == "-" else f"`{option.default}`"
        lines.append(
            f"| {option.name} | {option.importance} | {option.kind} | {default} "
            f"| {cell(option.effect)} | {fields(option)} |"
        )
    return lines


def table_of_others(options: list[Option]) -> list[str]:
    """Prints options that do nothing, or may not be there, with the reason."""
    lines = ["", "| Option | Class | In OpenDKIM | Here |", "|---|---|---|---|"]
    for option in options:
        here = option.reason[0].upper() + option.reason[1:]
        lines.append(
            f"| {option.name} | {option.importance} | {cell(option.effect)} | {cell(here)}. |"
        )
    return lines


def page() -> str:
    """Prints the options in four tables: honoured, without effect, refused, and ours."""
    ours = [option for option in OPTIONS if option.importance is Importance.OURS]
    theirs = [option for option in OPTIONS if option.importance is not Importance.OURS]
    by_fate = {fate: [option for option in theirs if option.fate is fate] for fate in Fate}
    counts = ", ".join(f"{len(options)} {fate}" for fate, options in by_fate.items())
    lines = [
        f"OpenDKIM has {len(theirs)} options: {counts}.",
        f"There are {len(ours)} more of our own.",
        "",
        "## Honoured",
        *table_of_honoured(by_fate[Fate.HONOURED]),
        "",
        "## Accepted without effect",
        "",
        "They may stay in the file; each is named once in the log at start.",
        "One that is switched off (`no`) is not.",
        *table_of_others(by_fate[Fate.NO_EFFECT]),
        "",
        "## Refused",
        "",
        "They decide which mail is signed, accepted or rejected.",
        "To go on without them would change that silently, so the start ends with file, line "
        "and what to do instead.",
        *table_of_others(by_fate[Fate.REFUSED]),
        "",
        "## Our own",
        *table_of_honoured(ours),
    ]
    return "\n".join(lines) + "\n"
