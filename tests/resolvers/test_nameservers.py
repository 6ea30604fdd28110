"""Whom to ask: given name servers or resolv.conf's, and whose AD bit is believed."""

from __future__ import annotations

import os

import pytest

from dkimcore.errors import SettingsError
from dkimcore.resolvers.nameservers import GivenNameServers, SystemNameServers


@pytest.fixture
def resolv_conf(tmp_path):
    def write(text):
        path = tmp_path / "resolv.conf"
        path.write_text(text)
        return SystemNameServers(str(path), trust_ad=None).current()

    return write


def test_resolv_conf_names_the_servers(resolv_conf):
    servers = resolv_conf(
        "# comment\nsearch example.com\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\n"
        "nameserver not-an-address\nnameserver\noptions ndots:5 timeout:0\n\xff"
    )
    assert servers.addresses == (("192.0.2.1", 53), ("fe80::1%eth0", 53))
    assert servers.problem == ""


@pytest.mark.parametrize(
    ("text", "trusted"),
    [
        ("nameserver 192.0.2.1\n", False),
        ("nameserver 192.0.2.1\noptions edns0 trust-ad\n", True),
        ("nameserver 127.0.0.1\n", True),
        ("nameserver 127.0.0.53\nnameserver ::1\n", True),
        ("nameserver 127.0.0.1\nnameserver 192.0.2.1\n", False),
        ("nameserver 127.0.0.11\n", False),  # Docker's forwarder
    ],
)
@pytest.mark.rfc("4035", "4.9.3")
def test_only_a_trusted_server_is_believed(resolv_conf, text, trusted):
    assert resolv_conf(text).trusted is trusted


def test_trust_can_be_decided(tmp_path):
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 127.0.0.1\noptions trust-ad\n")
    assert not SystemNameServers(str(path), trust_ad=False).current().trusted
    assert GivenNameServers(["192.0.2.1"], trust_ad=True).current().trusted
    assert not GivenNameServers(["192.0.2.1"], trust_ad=None).current().trusted


def test_without_a_configuration_the_reason_is_told(resolv_conf, tmp_path):
    empty = resolv_conf("search example.com\n")
    assert (empty.addresses, "names no name server" in empty.problem) == ((), True)
    missing = SystemNameServers(str(tmp_path / "none"), trust_ad=None).current()
    assert "No such file or directory" in missing.problem
    folder = SystemNameServers(str(tmp_path), trust_ad=None).current()
    assert "Is a directory" in folder.problem


def test_a_changed_configuration_is_read_again(tmp_path):
    path = tmp_path / "resolv.conf"
    servers = SystemNameServers(str(path), trust_ad=None)
    assert servers.current().addresses == ()
    path.write_text("nameserver 192.0.2.1\n")
    first = servers.current()
    assert first.addresses == (("192.0.2.1", 53),)
    assert servers.current() is first
    path.with_name("new").write_text("nameserver 192.0.2.2\n")
    os.replace(path.with_name("new"), path)
    assert servers.current().addresses == (("192.0.2.2", 53),)
    path.unlink()
    assert servers.current().addresses == ()


@pytest.mark.parametrize(
    ("servers", "problem"),
    [
        ([], "no name server is given"),
        (["localhost"], "'localhost' is not an IP address"),
        ([("127.0.0.1", 0)], "has port 0"),
        ([("127.0.0.1", 65536)], "has port 65536"),
    ],
)
def test_servers_that_can_not_be_are_an_error(servers, problem):
    with pytest.raises(SettingsError, match=problem):
        GivenNameServers(servers, trust_ad=None)
