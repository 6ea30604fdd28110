"""The choices of `hostile` and `signing`, drawn by Hypothesis.

Each strategy builds with the same functions as the fuzz targets, so that both try the
same shapes and Hypothesis shrinks what either finds.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

from hypothesis import strategies as st

from tests.properties import hostile, signing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.properties.choices import Choices

__all__ = [
    "answers",
    "authentication_results",
    "bodies",
    "changes",
    "cuts",
    "domains",
    "headers",
    "honest_messages",
    "key_records",
    "messages",
    "octets",
    "orders",
    "quoted_printable",
    "signature_values",
]

T = TypeVar("T")


class _Drawn:
    """Choices that Hypothesis makes."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def integer(self, low: int, high: int) -> int:
        return self._draw(st.integers(low, high))

    def one_of(self, options: Sequence[T]) -> T:
        return self._draw(st.sampled_from(options))

    def octets(self, most: int) -> bytes:
        return self._draw(st.binary(max_size=most))


def _strategy(build: Callable[[Choices], T]) -> st.SearchStrategy[T]:
    @st.composite
    def drawn(draw: st.DrawFn) -> T:
        return build(_Drawn(draw))

    return drawn()


def _header(choices: Choices) -> bytes:
    fields = [hostile.header_field(choices) for _ in range(choices.integer(0, 5))]
    return b"\r\n".join(fields)


octets = st.binary(max_size=200)
cuts = st.lists(st.integers(0, 65_535), max_size=8)
bodies = _strategy(hostile.body) | octets
headers = _strategy(_header) | octets
messages = _strategy(hostile.message) | octets
signature_values = _strategy(hostile.signature_value) | octets
key_records = _strategy(hostile.key_record) | octets
answers = _strategy(hostile.answer)
domains = _strategy(hostile.domain) | octets
quoted_printable = _strategy(hostile.quoted_printable) | octets
authentication_results = (
    _strategy(partial(hostile.authentication_results, authserv_id=b"mx.example.net")) | octets
)
honest_messages = _strategy(signing.honest_message)
orders = _strategy(signing.order)
changes = _strategy(signing.change)
