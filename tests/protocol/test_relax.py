"""White space reduction (RFC 6376 sections 3.4.2 and 3.4.4)."""

import pytest

from dkimcore.protocol.relax import reduce_white_space
from tests.properties import models

rfc = pytest.mark.rfc


@rfc("6376", "3.4.4")
@pytest.mark.parametrize(
    ("octets", "reduced"),
    [
        (b"", b""),
        (b"plain", b"plain"),
        (b"a b", b"a b"),
        (b"a\tb", b"a b"),
        (b"a  b", b"a b"),
        (b"a \t b", b"a b"),
        (b"a" + b" " * 1000 + b"b", b"a b"),
        (b"  a", b" a"),
        (b"a \r\nb", b"a\r\nb"),
        (b"a\t \t\r\n\t\r\nb", b"a\r\n\r\nb"),
        (b" \r\n \r\n", b"\r\n\r\n"),
        (b"a  b \r\n   c\t\r\n", b"a b\r\n c\r\n"),
    ],
)
def test_runs_become_one_space_and_none_is_left_at_a_line_end(octets, reduced):
    """Statements 51, 62 and 65."""
    assert reduce_white_space(octets) == reduced
    assert models.reduce_white_space(octets) == reduced


@rfc("6376", "2.8")
@pytest.mark.parametrize(
    "octet", [0x0B, 0x0C, 0x00, 0x1C, 0x1D, 0x1E, 0x1F, 0x85, 0xA0, 0x0D, 0x0A]
)
def test_wsp_is_space_and_tab_only(octet):
    """Statement 52: what Python calls white space is data here."""
    octets = b"a" + bytes([octet, octet]) + b"b"
    assert reduce_white_space(octets) == octets


@rfc("6376", "3.4.4")
@pytest.mark.parametrize("octets", [b"a \rb", b"a \nb", b"a \r \n", b"a \n\r", b"a \r\r\n"])
def test_a_bare_cr_or_lf_ends_no_line(octets):
    """Statement 66: so the white space in front of it stays."""
    assert reduce_white_space(octets) == octets


def test_octets_without_white_space_are_not_copied():
    octets = b"base64base64\r\nbase64\r\n"
    assert reduce_white_space(octets) is octets
