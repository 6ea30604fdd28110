"""Errors: what is temporary, what they say, and that they can be carried elsewhere."""

import copy
import pickle

import pytest

from dkimcore import errors
from dkimcore.keys.selfcheck import ShortKey

TREE = {
    "MessageError": "DkimError",
    "ConfigError": "DkimError",
    "TableError": "ConfigError",
    "SettingsError": "ConfigError",
    "KeyUriError": "ConfigError",
    "KeyBackendError": "DkimError",
    "KeyNotFound": "KeyBackendError",
    "KeyDenied": "KeyBackendError",
    "KeyUnusable": "KeyBackendError",
    "KeyUnavailable": "KeyBackendError",
    "StateError": "DkimError",
    "DkimError": "Exception",
}


def test_the_tree_is_the_one_that_is_drawn():
    found = {name: getattr(errors, name).__base__.__name__ for name in errors.__all__}
    assert found == TREE
    drawn = [name for name in TREE if name != "Exception" and name in errors.__doc__]
    assert set(drawn) == set(TREE)


def test_only_an_unavailable_key_may_work_later():
    """What a mail server turns into 4xx instead of 5xx."""
    temporary = {name for name in errors.__all__ if getattr(errors, name).temporary}
    assert temporary == {"KeyUnavailable"}


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ({}, "no such domain"),
        ({"file": "signing.table"}, "signing.table: no such domain"),
        ({"file": "signing.table", "line": 7}, "signing.table:7: no such domain"),
    ],
)
@pytest.mark.parametrize("name", ["ConfigError", "TableError", "SettingsError", "KeyUriError"])
def test_an_operators_error_names_file_and_line(name, place, text):
    error = getattr(errors, name)("no such domain", **place)
    assert str(error) == text
    assert error.problem == "no such domain"
    assert (error.file, error.line) == (place.get("file"), place.get("line"))


@pytest.mark.parametrize(
    "name", ["KeyBackendError", "KeyNotFound", "KeyDenied", "KeyUnusable", "KeyUnavailable"]
)
def test_a_key_error_names_the_key(name):
    error = getattr(errors, name)("permission denied", uri="file:/etc/dkim/s1.pem")
    assert str(error) == "file:/etc/dkim/s1.pem: permission denied"
    assert (error.problem, error.uri) == ("permission denied", "file:/etc/dkim/s1.pem")


@pytest.mark.parametrize(
    "error",
    [
        errors.MessageError("two From fields"),
        errors.TableError("no such key", file="key.table", line=3),
        errors.KeyNotFound("no such file", uri="file:/x"),
        errors.KeyDenied("403", uri="acme:k", request_id="r-1"),
        errors.KeyUnavailable("503", uri="acme:k", request_id="r-1", retry_after=2.5),
        errors.KeyUnavailable("503", uri="acme:k"),
        ShortKey("512 bits", uri="acme:k", bits=512),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_comes_back_whole_from_another_process(error):
    """Workers of a process pool hand their errors over pickled."""
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert again is not error
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert repr(again) == repr(error)
        assert vars(again) == vars(error)


def test_a_key_error_names_the_request_where_it_is_known():
    error = errors.KeyUnavailable("throttled", uri="awskms:x", request_id="7f-3", retry_after=1.0)
    assert str(error) == "awskms:x: throttled (request 7f-3)"
    assert (error.request_id, error.retry_after) == ("7f-3", 1.0)
    assert errors.KeyDenied("no", uri="awskms:x").request_id is None
