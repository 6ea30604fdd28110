"""What client libraries say at DEBUG must be in no log; nobody can turn that on again."""

from __future__ import annotations

import logging

import pytest

from dkimcore.keys.quiet import quiet_loggers


@pytest.fixture(autouse=True)
def loggers():
    yield
    for name in [each for each in logging.root.manager.loggerDict if each.startswith("acmelib")]:
        logger = logging.getLogger(name)
        logger.filters.clear()
        logger.setLevel(logging.NOTSET)


def test_debug_output_is_dropped_whatever_levels_are_set_later(caplog):
    below, other = logging.getLogger("acmelib.http"), logging.getLogger("acmelibrary")
    quiet_loggers("acmelib")
    for logger in (logging.getLogger(), logging.getLogger("acmelib"), below, other):
        logger.setLevel(logging.DEBUG)
    for logger in (logging.getLogger("acmelib"), below):
        logger.debug("the key is CANARY")
        logger.log(5, "CANARY")
        logger.info("connected")
    other.debug("another library")
    assert [record.getMessage() for record in caplog.records] == [
        "connected",
        "connected",
        "another library",
    ]
    logging.getLogger().setLevel(logging.WARNING)


def test_what_was_being_handled_is_not_printed(caplog):
    quiet_loggers("acmelib")
    try:
        int("CANARY")
    except ValueError:
        logging.getLogger("acmelib").exception("it failed")
    assert "it failed" in caplog.text
    assert "CANARY" not in caplog.text


def test_loggers_that_came_later_are_found_by_calling_it_again(caplog):
    quiet_loggers("acmelib")
    later = logging.getLogger("acmelib.later.still")
    quiet_loggers("acmelib")
    later.setLevel(logging.DEBUG)
    later.debug("CANARY")
    assert caplog.records == []
    assert len(later.filters) == 1
    quiet_loggers("acmelib")
    assert len(later.filters) == 1
