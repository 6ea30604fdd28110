"""What leaves a backend is a KeyBackendError without secrets."""

from __future__ import annotations

import traceback

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dkimcore.errors import (
    KeyBackendError,
    KeyDenied,
    KeyNotFound,
    KeyUnavailable,
    KeyUnusable,
    KeyUriError,
)
from dkimcore.keys import KeyContext
from dkimcore.keys.contain import Containment
from dkimcore.keys.events import KeyEvent
from tests.keys.remotes import Heard

SECRET = "s3cr3t-CANARY\\\n'"


@pytest.fixture
def containment():
    made = Containment(KeyContext(secret={"token": SECRET}.get, timeout=3.0))
    assert made.context.secret("token") == SECRET
    assert made.context.secret("other") is None
    return made


def shown(exc):
    return "".join(traceback.format_exception(exc)) + repr(exc) + repr(exc.args)


@pytest.mark.parametrize(
    ("exc", "kind", "temporary"),
    [
        (FileNotFoundError("x"), KeyNotFound, False),
        (PermissionError("x"), KeyDenied, False),
        (TimeoutError("x"), KeyUnavailable, True),
        (ConnectionResetError("x"), KeyUnavailable, True),
        (OSError("x"), KeyUnavailable, True),
        (RuntimeError("x"), KeyBackendError, False),
        (KeyUriError("x"), KeyBackendError, False),
    ],
)
def test_a_foreign_exception_is_wrapped_once(containment, exc, kind, temporary):
    error = containment.contain(exc, uri="acme:k")
    assert type(error) is kind
    assert error.temporary is temporary
    assert error.__cause__ is exc
    assert str(error) == f"acme:k: the key backend failed with {type(exc).__name__}: x"
    assert containment.contain(error, uri="acme:k") is error


def test_an_exception_without_text_and_one_with_much(containment):
    assert str(containment.contain(KeyError(), uri="acme:k")).endswith("KeyError")
    long = str(containment.contain(ValueError("line\n" * 1000), uri="acme:k"))
    assert "\n" not in long
    assert len(long) < 400


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError(SECRET)

    __repr__ = __str__


def test_an_exception_that_cannot_be_printed(containment):
    error = containment.contain(Unprintable(), uri="acme:k")
    assert str(error) == "acme:k: the key backend failed with Unprintable"


def chained(inner, outer):
    outer.__cause__ = inner
    return outer


def with_note(exc):
    exc.add_note(SECRET)
    return exc


@pytest.mark.parametrize(
    ("exc", "kind"),
    [
        (RuntimeError(SECRET), KeyBackendError),
        (RuntimeError({"token": SECRET}), KeyBackendError),
        (TimeoutError(f"GET /?t={SECRET}"), KeyUnavailable),
        (chained(ValueError(SECRET), KeyDenied("no", uri="acme:k")), KeyDenied),
        (chained(ValueError(SECRET), RuntimeError("no")), KeyBackendError),
        (KeyUnusable(SECRET, uri="acme:k"), KeyUnusable),
        (with_note(RuntimeError("no")), KeyBackendError),
        (ExceptionGroup("no", [ValueError(SECRET)]), KeyBackendError),
        (ExceptionGroup("no", [chained(ValueError(SECRET), OSError("x"))]), KeyBackendError),
        (RuntimeError("-----BEGIN RSA PRIVATE KEY-----\nCANARY"), KeyBackendError),
    ],
)
def test_a_secret_in_an_exception_or_its_chain_is_withheld(containment, exc, kind):
    error = containment.contain(exc, uri="acme:k")
    assert type(error) is kind
    assert "withheld" in str(error)
    assert "CANARY" not in shown(error)
    assert error.__cause__ is None


def test_the_context_and_the_containment_print_no_secret(containment):
    assert "CANARY" not in repr(containment) + repr(containment.context)
    assert containment.context.timeout == 3.0


def test_a_chain_that_bites_its_tail(containment):
    inner = ValueError("x")
    inner.__context__ = chained(inner, RuntimeError("y"))
    assert not containment.holds_secret(inner)


@given(secret=st.text(min_size=6), before=st.text(), after=st.text())
@example(secret="00000'", before="", after='"')
def test_no_secret_survives_wherever_it_stands(secret, before, after):
    containment = Containment(KeyContext(secret=lambda _: secret))
    containment.context.secret("pin")
    for exc in (RuntimeError(before + secret + after), KeyError(before + secret + after)):
        error = containment.contain(exc, uri="acme:k")
        assert secret not in error.problem.replace(type(exc).__name__, "")
        assert error.__cause__ is None


def test_a_secret_that_a_backend_came_by_itself_is_found_too(containment):
    containment.context.conceal("tok-en-CANARY")
    containment.context.conceal("")
    error = containment.contain(RuntimeError("403 for tok-en-CANARY"), uri="acme:k")
    assert "withheld" in str(error)
    assert containment.context.withhold("for tok-en-CANARY") == (
        "its text is withheld, for a secret stands in it"
    )
    assert containment.context.withhold("for nobody") == "for nobody"


def test_tokens_of_logins_for_ever_cost_bounded_memory(containment):
    for number in range(1000):
        containment.context.conceal(f"token-{number}-CANARY")
    assert not containment.holds_secret(RuntimeError("token-1-CANARY"))
    assert containment.holds_secret(RuntimeError("token-999-CANARY"))


def test_a_secret_of_backslashes_does_not_withhold_everything():
    containment = Containment(KeyContext(secret=lambda _: "\\\\"))
    containment.context.secret("pin")
    containment.context.conceal("\\")
    assert not containment.holds_secret(RuntimeError("nothing"))


def test_events_are_contained_as_well():
    heard = Heard()
    containment = Containment(KeyContext(secret=lambda _: SECRET, observer=heard))
    containment.context.secret("pin")
    containment.context.observer.event(KeyEvent(level=20, event="login", text=f"with {SECRET}"))
    assert "CANARY" not in heard.events[0].text


def test_frames_do_not_leave_but_the_place_does(containment):
    def library():
        token = containment.context.secret("token")
        return int(token[:0])

    exc = None
    try:
        library()
    except ValueError as caught:
        exc = caught
    error = containment.contain(exc, uri="acme:k")
    assert error.__cause__ is exc
    assert exc.__traceback__ is None
    assert error.__notes__[0].endswith("in library")
    assert "test_contain.py, line " in error.__notes__[0]
