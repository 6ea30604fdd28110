"""Exceptions leave without frames, whose variables may hold secrets."""

from __future__ import annotations

import traceback

import pytest

from dkimcore.errors import KeyUnavailable
from dkimcore.keys.selfcheck import ShortKey
from dkimcore.keys.tracebacks import chain, drop_frames, fresh_copy, place_of


def backend():
    token = "s3-" + "CANARY"
    try:
        int("inner")
    except ValueError as exc:
        if token:
            raise RuntimeError("outer") from exc


def caught():
    try:
        backend()
    except RuntimeError as exc:
        return exc


def shown(exc):
    return "".join(traceback.TracebackException.from_exception(exc, capture_locals=True).format())


def test_frames_go_and_the_chain_stays():
    exc = caught()
    assert "CANARY" in shown(exc)
    drop_frames(exc)
    assert "CANARY" not in shown(exc)
    assert exc.__traceback__ is exc.__cause__.__traceback__ is None
    assert "invalid literal" in str(exc.__cause__)


def test_groups_are_looked_through():
    group = ExceptionGroup("both", [caught(), caught()])
    drop_frames(group)
    assert "CANARY" not in shown(group)


def test_what_our_caller_was_handling_is_his():
    def library():
        try:
            backend()
        except RuntimeError as exc:
            drop_frames(exc)
            return exc

    kept = []
    try:
        {}["the caller's"]
    except KeyError as theirs:
        exc = library()
        kept += [theirs, theirs.__traceback__]
    assert exc.__cause__.__context__ is kept[0]
    assert kept[1] is not None
    assert exc.__traceback__ is exc.__cause__.__traceback__ is None


def test_where_it_was_raised_can_be_told_before():
    exc = caught()
    assert place_of(exc).endswith(f"line {backend.__code__.co_firstlineno + 6}, in backend")
    drop_frames(exc)
    assert place_of(exc) is None


def test_a_chain_that_bites_its_tail():
    one, two = ValueError(), ValueError()
    one.__context__, two.__context__ = two, one
    assert list(chain(one)) == [one, two]
    drop_frames(one)


@pytest.mark.parametrize(
    "error",
    [
        KeyUnavailable("x", uri="acme:k", retry_after=3.0, request_id="r-1"),
        ShortKey("x", uri="acme:k", bits=512),
        ValueError("x"),
    ],
)
def test_a_copy_knows_what_the_original_knows(error):
    error.__cause__ = OSError("cause")
    made = fresh_copy(error)
    assert made is not error
    assert type(made) is type(error)
    assert str(made) == str(error)
    assert vars(made) == vars(error)
    assert made.__cause__ is error.__cause__


def test_what_cannot_be_copied_is_raised_itself():
    class Odd(Exception):
        def __init__(self, *, only):
            super().__init__("odd")

    error = Odd(only=1)
    assert fresh_copy(error) is error
