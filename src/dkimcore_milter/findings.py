"""Collects what a check finds, so that one mistake does not hide the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from dkimcore.errors import ConfigError, DkimError
from dkimcore.tables import Finding
from dkimcore_milter.failure import StartFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Findings"]

_Made = TypeVar("_Made")
_Place = tuple[str | None, int | None]
_NOWHERE: _Place = (None, None)


class Findings:
    """Findings in the order of their discovery, each once."""

    __slots__ = ("_found",)

    def __init__(self) -> None:
        self._found: dict[Finding, None] = {}

    def add(self, findings: Iterable[Finding]) -> None:
        """Take findings of a table."""
        self._found.update(dict.fromkeys(findings))

    def error(self, problem: str, place: _Place = _NOWHERE) -> None:
        """Note what keeps the filter from starting, or mail from being signed."""
        self.add((Finding(problem=problem, file=place[0], line=place[1], is_error=True),))

    def warning(self, problem: str, place: _Place = _NOWHERE) -> None:
        """Note what is probably not meant."""
        self.add((Finding(problem=problem, file=place[0], line=place[1]),))

    def attempt(self, make: Callable[[], _Made], place: _Place = _NOWHERE) -> _Made | None:
        """Make something; note the error and return None if that fails.

        Args:
            make: Makes it.
            place: File and line to name where the error names none.
        """
        try:
            return make()
        except ConfigError as exc:
            where = place if exc.file is None else (exc.file, exc.line)
            self.error(exc.problem, where)
        except StartFailure as exc:
            self.error(exc.problem, place)
        except (DkimError, OSError) as exc:
            self.error(str(exc), place)
        return None

    def all(self) -> tuple[Finding, ...]:
        """Return them."""
        return tuple(self._found)
