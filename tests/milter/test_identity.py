"""Under which names the milter speaks."""

import socket

import pytest

from dkimcore.settings.model import Verifying
from dkimcore_milter.identity import authserv_id, host_name


@pytest.mark.parametrize(
    ("macro", "name"),
    [
        ("mx.example.net", "mx.example.net"),
        (" mx.example.net ", "mx.example.net"),
        (None, "unknown-host"),
        ("", "unknown-host"),
        ("  ", "unknown-host"),
        ("mx\r\nX: y", "unknown-host"),
    ],
)
def test_the_host_is_the_mtas_name(macro, name):
    assert host_name(macro) == name


@pytest.mark.parametrize(
    ("option", "expected"),
    [(None, "mx"), ("filter.example.net", "filter.example.net"), ("HOSTNAME", None)],
)
def test_the_option_names_who_judges(option, expected):
    found = authserv_id(Verifying(authserv_id=option), "mx")
    assert found == (expected or socket.gethostname())
