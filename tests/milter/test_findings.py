"""One mistake does not hide the next."""

from __future__ import annotations

import os

import pytest

from dkimcore.errors import KeyNotFound, SettingsError
from dkimcore_milter.failure import StartFailure
from dkimcore_milter.findings import Findings

PLACE = ("/etc/opendkim.conf", 3)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (SettingsError("wrong", file="/x", line=1), "/x:1: error: wrong"),
        (SettingsError("wrong"), "/etc/opendkim.conf:3: error: wrong"),
        (StartFailure("no", status=65), "/etc/opendkim.conf:3: error: no"),
        (KeyNotFound("gone", uri="file:/k"), "/etc/opendkim.conf:3: error: file:/k: gone"),
        (
            PermissionError(13, "Permission denied", "/k"),
            "/etc/opendkim.conf:3: error: [Errno 13] Permission denied: '/k'",
        ),
    ],
)
def test_what_fails_becomes_an_error_with_its_place(error, expected):
    def fail():
        raise error

    findings = Findings()
    assert findings.attempt(fail, PLACE) is None
    assert [str(finding) for finding in findings.all()] == [expected]


def test_what_works_is_returned_and_findings_stand_once_in_their_order():
    findings = Findings()
    assert findings.attempt(os.getpid) == os.getpid()
    findings.warning("b", PLACE)
    findings.error("a")
    findings.warning("b", PLACE)
    assert [str(finding) for finding in findings.all()] == [
        "/etc/opendkim.conf:3: warning: b",
        "error: a",
    ]
