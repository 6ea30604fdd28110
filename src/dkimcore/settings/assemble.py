"""From options that are set to `Settings`: the last one wins, then what belongs together.

Reading files is left to `opendkimconf` and `toml`, which options may not go together to
`dkimcore.settings.combine`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from dkimcore.errors import SettingsError
from dkimcore.settings import words
from dkimcore.settings.fields import READERS
from dkimcore.settings.model import Settings
from dkimcore.settings.option import Fate, Kind
from dkimcore.settings.options import OPTIONS
from dkimcore.settings.values import boolean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from dkimcore.settings.opendkimconf import Occurrence
    from dkimcore.settings.values import Place

__all__ = ["assemble", "fill"]

# Options that fill two fields from one text.
_PAIRS: dict[str, Callable[[str], Sequence[object]]] = {
    "Canonicalization": words.canonicalizations,
    "Mode": words.mode,
}
_DECIMAL = re.compile("[1-9][0-9]+", re.ASCII)
# What must be read before others, which win: the general one, the old name.
_FIRST = ("On-Default", "X-Header")
_OPTION_OF = {
    field: option.name for option in OPTIONS for field in option.fields if option.name not in _FIRST
}


def assemble(
    occurrences: Iterable[Occurrence],
    *,
    files: Sequence[str] = (),
    given: Mapping[str, tuple[object, Place]] | None = None,
) -> Settings:
    """Return the settings that options make.

    Args:
        occurrences: What is set, in the order of the lines; of several the last counts.
        files: Where it was read.
        given: Fields that are known already, with their places: what a TOML file set.

    Raises:
        SettingsError: A value cannot be, or an option is refused.
    """
    last = {occurrence.option.name: occurrence for occurrence in occurrences}
    given = given or {}
    values = {field: value for field, (value, _) in given.items()}
    places = {_OPTION_OF[field].lower(): place for field, (_, place) in given.items()}
    places |= {name.lower(): occurrence.place for name, occurrence in last.items()}
    notices: list[str] = []
    for name in sorted(last, key=lambda name: name not in _FIRST):  # else in the order of lines
        occurrence = last[name]
        try:
            notices += _notices(occurrence)
            values.update(_values(occurrence))
        except ValueError as exc:
            place = occurrence.place
            raise SettingsError(f"{name}: {exc}", file=place.file, line=place.line) from None
    return replace(
        fill(values),
        files=tuple(files),
        notices=tuple(notices),
        origins=tuple(
            (name, (place.file, place.line))
            for name, place in places.items()
            if place.file is not None and place.line is not None
        ),
    )


def fill(values: Mapping[str, object]) -> Settings:
    """Return settings with these fields, such as ``signing.key_table``, and defaults."""
    settings = Settings()
    groups: dict[str, dict[str, object]] = {}
    for path, value in values.items():
        group, _, name = path.partition(".")
        groups.setdefault(group, {})[name] = value
    return replace(
        settings,
        **{
            group: replace(getattr(settings, group), **changes) for group, changes in groups.items()
        },
    )


def _values(occurrence: Occurrence) -> dict[str, object]:
    option, text, place = occurrence
    if option.fate is Fate.REFUSED and not _asks_for_nothing(occurrence):
        raise ValueError(f"is refused: {option.reason}")
    if option.fate is not Fate.HONOURED:
        return {}
    if option.name in _PAIRS:
        return dict(zip(option.fields, _PAIRS[option.name](text), strict=True))
    return {path: READERS[path].from_text(text, place) for path in option.fields}


def _notices(occurrence: Occurrence) -> Iterable[str]:
    option, text, place = occurrence
    if option.fate is Fate.NO_EFFECT and not _asks_for_nothing(occurrence):
        yield place.prefix(f"{option.name} is without effect: {option.reason}")
    elif option.name == "X-Header":
        yield place.prefix("X-Header is the old name of SoftwareHeader; write that instead")
    elif option.name == "UMask" and _DECIMAL.fullmatch(text):
        octal = f"0{words.umask(text):o}"
        yield place.prefix(
            f"UMask {text} has no 0 in front, so it is decimal, as in OpenDKIM, and means "
            f"{octal}; write 0{text} or {octal}"
        )


def _asks_for_nothing(occurrence: Occurrence) -> bool:
    return occurrence.option.kind is Kind.BOOLEAN and not boolean(occurrence.value)
