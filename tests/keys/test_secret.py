"""A secret shows nowhere but where it is asked for."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback

import pytest

from dkimcore.keys.secret import Secret


@pytest.fixture
def secret():
    return Secret("s3-CANARY")


def test_it_shows_where_it_is_revealed_and_nowhere_else(secret, caplog):
    assert secret.reveal() == "s3-CANARY"
    logging.getLogger("any").warning("%s %r", secret, secret)
    shown = [
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret:>20}",
        f"{secret!a}",
        secret.__str__(),
    ]
    shown += [str([secret]), repr({"a": secret}), str(ValueError(secret)), caplog.text]
    assert "CANARY" not in "".join(shown)
    assert shown[0] == "<secret>"


def test_it_has_no_dictionary_and_no_copy(secret):
    assert not hasattr(secret, "__dict__")
    for copied in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError) as caught:
            copied(secret)
        assert "CANARY" not in "".join(traceback.format_exception(caught.value))


def test_it_can_be_compared_but_not_told_by_its_hash(secret):
    assert secret == Secret("s3-CANARY")
    assert secret != Secret("s3-CANARX")
    assert secret != "s3-CANARY"
    assert Secret("\udcff") == Secret("\udcff")  # an octet of the environment that is no UTF-8
    assert Secret("\udcff") != Secret("\udcfe")
    with pytest.raises(TypeError):
        hash(secret)


def test_an_empty_one_is_none():
    assert not Secret("")
    assert Secret("x")
