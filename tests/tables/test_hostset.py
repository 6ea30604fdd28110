"""Sets of hosts: OpenDKIM's behaviour, part 5.3."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dkimcore.tables import HostSet


@pytest.mark.parametrize(
    ("text", "host", "expected"),
    [
        ("example.com", "example.com", True),
        ("example.com", "EXAMPLE.com", True),
        ("Example.COM", "example.com", True),
        ("example.com", "mail.example.com", False),
        (".example.com", "mail.example.com", True),
        (".example.com", "a.mail.example.com", True),
        (".example.com", "example.com", False),
        (".example.com,!bad.example.com", "bad.example.com", False),
        (".example.com,!.mail.example.com", "a.mail.example.com", False),
        ("!.example.com,good.example.com", "good.example.com", True),
        ("!a.com,a.com", "a.com", False),
        ("localhost", "localhost", True),
        ("b\u00fccher.example", "xn--bcher-kva.example", True),
        (".b\u00fccher.example", "a.xn--bcher-kva.example", True),
        ("xn--bcher-kva.example", "B\u00fccher.example", True),
        ("\u2603_\u2603.example,a.com", "a.com", True),
        ("[192.0.2.1]", "[192.0.2.1]", False),
        ("a.com", "", False),
    ],
)
def test_nearer_names_win_and_a_dot_stands_for_subdomains_only(text, host, expected):
    """Part 5.3, host name."""
    assert HostSet.load(f"csl:{text}").matches(host, None) is expected


@pytest.mark.parametrize(
    ("text", "address", "expected"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("[192.0.2.1]", "192.0.2.1", True),
        ("192.0.2.0/24", "192.0.2.77", True),
        ("[192.0.2.0]/24", "192.0.2.77", True),
        ("192.0.2.0/24", "192.0.3.1", False),
        ("0.0.0.0/0", "203.0.113.9", True),
        ("192.0.2.0/24,!192.0.2.128/25", "192.0.2.200", False),
        ("192.0.2.0/24,!192.0.2.128/25", "192.0.2.100", True),
        ("!192.0.2.0/24,192.0.2.9", "192.0.2.9", True),
        ("!192.0.2.0/24,192.0.2.0/24", "192.0.2.9", False),
        ("!192.0.2.1/32,192.0.2.1", "192.0.2.1", True),
        ("::1", "::1", True),
        ("2001:DB8::/32", "2001:db8:1::2", True),
        ("2001:db8::1/128", "2001:db8::1", True),
        ("2001:db8::/32,!2001:db8:bad::/48", "2001:db8:bad::1", False),
        ("fe80::/10", "fe80::1%eth0", True),
        ("127.0.0.1", "::ffff:127.0.0.1", False),
        ("0.0.0.0/0", "::1", False),
        ("::/0", "192.0.2.1", False),
    ],
)
def test_the_longest_prefix_decides(text, address, expected):
    """Part 5.3, IP."""
    assert HostSet.load(f"csl:{text}").matches(None, address) is expected


@pytest.mark.parametrize(
    ("entry", "address", "written"),
    [
        ("10/8", "10.9.8.7", "10.0.0.0/8"),
        ("172.16/12", "172.20.0.1", "172.16.0.0/12"),
        ("192.0.2.5/24", "192.0.2.9", "192.0.2.0/24"),
        ("10.0.0.0/255.0.0.0", "10.1.1.1", "10.0.0.0/8"),
        ("2001:db8::5/32", "2001:db8:9::", "2001:db8::/32"),
    ],
)
def test_networks_that_opendkim_never_matches_are_taken_with_a_warning(entry, address, written):
    """Part 9."""
    hosts = HostSet.load(f"csl:{entry}", file="conf", line=3)
    assert hosts.matches(None, address)
    (finding,) = hosts.check()
    assert f"is taken for {written}" in finding.problem
    assert str(finding).startswith("conf:3: warning: ")


@pytest.mark.parametrize("type", ["file", "refile"])
def test_the_row_that_decides_is_told(tmp_path, type):
    path = tmp_path / "hosts"
    path.write_text("192.0.2.7\n.example.com\n!bad.example.com\n192.0.2.7/32\n192.0.2.7\n")
    hosts = HostSet.load(f"{type}:{path}")
    assert hosts.find("a.example.com", None).line == 2
    assert hosts.find("bad.example.com", None) is None
    assert hosts.find("bad.example.com", "192.0.2.7").line == 1
    assert hosts.find(None, None) is None


def test_a_negation_wins_over_the_same_entry_whatever_their_order():
    for text in ("!192.0.2.1,192.0.2.1", "192.0.2.1,!192.0.2.1", "a.example,!a.example"):
        assert HostSet.load(text).find("a.example", "192.0.2.1") is None


def test_a_name_or_an_address_is_enough():
    """Part 5.3: a negated name does not help when its address is listed."""
    hosts = HostSet.load("!bad.example.com,192.0.2.0/24")
    assert hosts.matches("bad.example.com", "192.0.2.1")
    assert not hosts.matches("bad.example.com", "198.51.100.1")


@pytest.mark.parametrize("address", [None, "", "unknown", "local socket"])
def test_an_unknown_address_is_in_no_set(address):
    """Part 8.1-4: OpenDKIM takes it for 127.0.0.1."""
    assert not HostSet.load("127.0.0.1,0.0.0.0/0,::/0").matches(None, address)


def test_a_file_of_trusted_hosts(tmp_path):
    """Part 3.2; what stands behind a host is left out."""
    (tmp_path / "TrustedHosts").write_text(
        "127.0.0.1 localhost\n::1\nlocalhost\n# no\n*.example.com\n192.168.0.1/x\n127.0.0.1\n"
    )
    hosts = HostSet.load("file:TrustedHosts", base=tmp_path)
    assert len(hosts) == 6
    assert hosts.matches("x", "::1")
    assert not hosts.matches("a.example.com", "10.0.0.1")
    assert sorted(finding.line for finding in hosts.check()) == [5, 6, 7]
    assert "write .example.com" in str(hosts.check()[1])


@pytest.mark.parametrize(
    ("host", "address", "expected"),
    [
        ("a.example.com", None, True),
        ("bad.example.com", None, False),
        (None, "203.0.113.7", True),
        (None, "203.0.113.66", False),
        (None, "198.51.100.1", False),
        (None, "2001:db8::1", True),
        (None, "::2", True),
        ("x.example.org", None, False),
    ],
)
def test_patterns_of_hosts(tmp_path, host, address, expected):
    """Part 3.3: a pattern that begins with "*" matches, where OpenDKIM's never does."""
    (tmp_path / "t").write_text(
        "!bad.*\n*.example.com\n!203.0.113.66\n203.0.113.*\n2001:db8::/32\n::2\n"
    )
    assert HostSet.load("refile:t", base=tmp_path).matches(host, address) is expected


@pytest.mark.parametrize(
    ("row", "address", "written"),
    [
        ("192.168.0.1/24", "192.168.0.77", "192.168.0.0/24"),
        ("10/8", "10.9.8.7", "10.0.0.0/8"),
        ("10.0.0.0/255.0.0.0", "10.1.1.1", "10.0.0.0/8"),
        ("[192.0.2.1]", "192.0.2.1", "192.0.2.1"),
        ("[192.0.2.0]/24", "192.0.2.9", "192.0.2.0/24"),
        ("2001:DB8:0::5/32", "2001:db8:9::", "2001:db8::/32"),
        ("2001:db8:0::5", "2001:db8::5", "2001:db8::5"),
    ],
)
def test_networks_that_no_pattern_matches_are_taken_with_a_warning(tmp_path, row, address, written):
    """Part 9: guides name their TrustedHosts as a refile: and list such networks."""
    (tmp_path / "t").write_text(f"127.0.0.1\n{row}\n")
    hosts = HostSet.load("refile:t", base=tmp_path)
    assert hosts.find(None, address).line == 2
    assert not hosts.matches(None, "203.0.113.1")
    (finding,) = hosts.check()
    assert finding.line == 2
    assert f"is taken for {written}, which OpenDKIM does not; write that, or " in finding.problem
    (tmp_path / "t").write_text(f"{written}\n!{row}\n")
    assert not HostSet.load("refile:t", base=tmp_path).matches(None, address)


@pytest.mark.parametrize(
    ("row", "address"),
    [
        ("192.168.0.0/24", "192.168.0.77"),
        ("192.0.2.*", "192.0.2.1"),
        ("10.0.*/16", "10.0.3.4"),
        ("2001:DB8::/32", "2001:db8:9::"),
        ("::1", "::1"),
    ],
)
def test_networks_are_looked_up_as_text_in_patterns(tmp_path, row, address):
    """Part 5.3: the address, masked to each length."""
    (tmp_path / "t").write_text(f"{row}\n")
    hosts = HostSet.load("refile:t", base=tmp_path)
    assert hosts.matches(None, address)
    assert hosts.check() == ()


def test_a_network_that_is_none_is_found_among_patterns_too(tmp_path):
    (tmp_path / "t").write_text(
        "192.168.0.0/33\nexample.com/24\n*.example.com\n10.1.\n300.1.1.1\nh4\n"
    )
    findings = HostSet.load("refile:t", base=tmp_path).check()
    assert [finding.line for finding in findings] == [1, 2, 4, 5]
    assert [each.line for each in HostSet.load("file:t", base=tmp_path).check()] == [1, 2, 3, 4, 5]
    assert "'192.168.0.0/33' never matches; write " in findings[0].problem


NETWORKS = st.builds(
    lambda value, length: ipaddress.ip_network((value << 24, length), strict=False),
    st.integers(0, 255),
    st.integers(0, 10),
)


@given(st.dictionaries(NETWORKS, st.booleans()), st.integers(0, 255))
def test_lookups_agree_with_asking_every_network(networks, octet):
    text = ",".join(f"{'' if positive else '!'}{net}" for net, positive in networks.items())
    address = ipaddress.ip_address(octet << 24)
    holding = [net for net in networks if address in net]
    best = max(holding, key=lambda net: net.prefixlen, default=None)
    expected = best is not None and networks[best]
    assert HostSet.load(f"csl:{text}").matches(None, str(address)) is expected
