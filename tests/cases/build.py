"""One-line constructors for cases; used by every catalogue module."""

from collections.abc import Callable, Mapping

from .model import NOW, Answer, Case, Verdict
from .signing import MESSAGE, How, signed, tags


def one(
    name: str,
    statement: int,
    verdict: Verdict,
    why: str,
    value: bytes | None = None,
    *,
    message: bytes | Callable[[], bytes] = MESSAGE,
    mutate: Callable[[bytes], bytes] | None = None,
    dns: Mapping[str, Answer] | None = None,
    now: int = NOW,
    allow_length: bool = False,
    heavy: bool = False,
    **how: object,
) -> Case:
    """A message with one signature made from the template `value`, then changed by `mutate`."""

    def make() -> bytes:
        plain = message() if callable(message) else message
        octets = signed(How(value=tags() if value is None else value), plain, **how)
        return octets if mutate is None else mutate(octets)

    return Case(
        name=name,
        statement=statement,
        why=why,
        make=make,
        verdicts=(verdict,),
        dns=dns or {},
        now=now,
        allow_length=allow_length,
        heavy=heavy,
    )


def raw(
    name: str,
    statement: int,
    verdicts: tuple[Verdict, ...],
    why: str,
    make: Callable[[], bytes],
    *,
    dns: Mapping[str, Answer] | None = None,
    heavy: bool = False,
    overall: str = "",
) -> Case:
    """A message made by `make`, with one verdict for each signature from the top."""
    return Case(
        name=name,
        statement=statement,
        why=why,
        make=make,
        verdicts=verdicts,
        dns=dns or {},
        heavy=heavy,
        overall=frozenset(overall.split()) or None,
    )


def swap(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """Replace the first `old` of the finished message, which must be there."""

    def change(message: bytes) -> bytes:
        assert old in message, old
        return message.replace(old, new, 1)

    return change
