"""What a check of a table found: where, what is wrong, how to mend it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Finding"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding.

    Attributes:
        problem: The cause and the cure; free of keys.
        file: The file, or None for text that was given without one.
        line: Its line, counted from 1.
        is_error: Whether mail will be refused because of it; else it is a warning.
    """

    problem: str
    file: str | None = None
    line: int | None = None
    is_error: bool = False

    def __str__(self) -> str:
        parts = [str(part) for part in (self.file, self.line) if part is not None]
        kind = "error" if self.is_error else "warning"
        return ": ".join((*([":".join(parts)] if parts else []), f"{kind}: {self.problem}"))
