"""Changes values of header fields before they are used (ReplaceRules, ReplaceHeaders).

For gateways behind us that rewrite fields: what they will make of a field is what is to be
signed.  Each line of the file is a pattern, a TAB and a text that replaces what matches; the
last TAB counts, "#" begins a comment.  Patterns are POSIX *basic* regular expressions, case
counts, and rules apply from the last line to the first: all as OpenDKIM has it.

Unlike OpenDKIM, which starts anew after each replacement until the pattern matches no more and
so never ends if the text matches its own pattern, each rule goes once from left to right.  A
match of nothing is passed over.  The time is at most proportional to the states of the pattern
(`MAX_STATES` of `dkimcore.tables.automaton`) times the length of the value.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dkimcore.errors import SettingsError
from dkimcore.tables.automaton import Automaton
from dkimcore.tables.ere import EreError, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dkimcore.settings.model import Signing
    from dkimcore.tables import DataSet
    from dkimcore_milter.sources import Sources

__all__ = ["Rewriter", "from_basic"]

_ONLY_EXTENDED = frozenset("+?|(){}")


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: Automaton
    text: str

    def apply(self, value: str) -> str:
        pieces: list[str] = []
        position = 0
        for begin, end in self.pattern.spans(value):
            pieces += (value[position:begin], self.text)
            position = end
        return "".join((*pieces, value[position:])) if pieces else value


class Rewriter:
    """The rules of a site.  Safe to share between threads.

    Args:
        signing: The settings.
        sources: Loads the list of ReplaceHeaders.

    Raises:
        SettingsError: The file cannot be read, or a line is no rule; names file and line.
        TableError: ReplaceHeaders cannot be read.
    """

    __slots__ = ("_names", "_rules")

    def __init__(self, signing: Signing, sources: Sources) -> None:
        self._names: DataSet | None = sources.data_set(signing.replace_headers)
        source = signing.replace_rules
        self._rules: tuple[_Rule, ...] = ()
        if source is not None:
            path = os.path.abspath(sources.path(source.text))
            try:
                self._rules = tuple(_rules(path))[::-1]
            except OSError as exc:
                raise SettingsError(
                    f"ReplaceRules: {path} cannot be read: {exc.strerror or exc}; mend the path, "
                    "or make it readable",
                    file=source.file,
                    line=source.line,
                ) from None

    def rewritten(
        self, fields: Sequence[tuple[bytes, bytes]]
    ) -> Sequence[tuple[bytes, bytes]] | None:
        """Return a header's fields as the rules make them; None if that changes none.

        Args:
            fields: Names, and the octets behind the colons; in patterns a fold is a LF, as
                milters see it.
        """
        if not self._rules:
            return None
        made = [(name, self._rewrite(name, value)) for name, value in fields]
        return made if made != list(fields) else None

    def _rewrite(self, name: bytes, value: bytes) -> bytes:
        if self._names is not None:
            known = self._names.find(name.decode("utf-8", "surrogateescape"))
            if known is None:
                return value
        text = before = value.replace(b"\r\n", b"\n").decode("utf-8", "surrogateescape")
        for rule in self._rules:
            text = rule.apply(text)
        if text == before:
            return value
        octets = text.encode("utf-8", "surrogateescape")
        return octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def from_basic(text: str) -> str:
    r"""Write a POSIX basic regular expression as an extended one.

    Also GNU's ``\+``, ``\?`` and ``\|``, which the C library of Linux understands.

    Args:
        text: The basic expression.
    """
    pieces: list[str] = []
    position = 0
    while position < len(text):
        char = text[position]
        if char == "[":
            end = _bracket_end(text, position)
        elif char == "\\":
            end = position + 2
        else:
            end = position + 1
        pieces.append(_extended(text[position:end], before=text[:position], behind=text[end:]))
        position = end
    return "".join(pieces)


def _extended(piece: str, *, before: str, behind: str) -> str:
    if len(piece) == 2 and piece[0] == "\\" and piece[1] in _ONLY_EXTENDED:
        return piece[1]
    starts = not before or before.endswith((r"\(", r"\|"))
    if piece in _ONLY_EXTENDED:
        return "\\" + piece
    if piece == "*" and (starts or before in ("^", r"\(^")):
        return r"\*"
    if piece == "^" and not starts:
        return r"\^"
    if piece == "$" and behind and not behind.startswith((r"\)", r"\|")):
        return r"\$"
    return piece


def _bracket_end(text: str, start: int) -> int:
    """Return where ``[...]`` ends; one without an end goes to the end of the text."""
    position = start + 1
    position += text[position : position + 1] == "^"
    position += text[position : position + 1] == "]"
    while position < len(text) and text[position] != "]":
        if text[position : position + 2] == "[:":
            end = text.find(":]", position + 2)
            position = len(text) if end < 0 else end + 2
        else:
            position += 1
    return position + 1


def _rules(path: str) -> Iterator[_Rule]:
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            row = line.partition(b"#")[0].rstrip(b"\r\n").decode("utf-8", "surrogateescape")
            if not row.strip():
                continue
            pattern, tab, text = row.rpartition("\t")
            if not tab or not pattern:
                raise SettingsError(
                    "a rule is a pattern, a TAB and the text instead of what matches; write the "
                    "TAB between them",
                    file=path,
                    line=number,
                )
            try:
                yield _Rule(Automaton(parse(from_basic(pattern))), text)
            except EreError as exc:
                problem = f"the pattern {pattern!r} cannot be used: {exc}"
                raise SettingsError(problem, file=path, line=number) from None
