"""Plans: the signing table joined with the key table (OpenDKIM's behaviour, part 4.1)."""

from __future__ import annotations

import pytest

from dkimcore.errors import MessageError, TableError
from dkimcore.protocol.mailbox import Mailbox
from dkimcore.tables import KeyTable, SigningTable, plan

KEYS = "csl:k=example.com:s1:/k,d=%:s2:/keys/%.pem,Example.org=example.org:s3:/o,bad=x"
KEYS += ",example.org=example.org:s3:/o"


def planned(row, address="User@Mail.Example.com", **options):
    author = Mailbox.parse(address.encode())
    signing_table = SigningTable.load(f"csl:{row}", file="conf", line=5)
    return plan(author, signing_table, KeyTable.load(KEYS, file="keys", line=1), **options)


def test_nothing_is_planned_for_others():
    """Part 4.2."""
    assert planned("example.net=k") == ()


def test_a_per_cent_sign_stands_for_the_author_s_domain():
    """Parts 4.1 and 4.3: as key name, in the signer, as d=, in the path."""
    (one,) = planned("*=d:news@%")
    assert str(one.domain) == "mail.example.com"
    assert (str(one.selector), one.key_uri) == ("s2", "file:/keys/mail.example.com.pem")
    assert str(one.auid) == "news@mail.example.com"
    (two,) = planned("*=%", "a@EXAMPLE.org")
    assert two.key_uri == "file:/o"
    assert (two.signing_row.line, two.key_row.name) == (5, "example.org")


@pytest.mark.rfc("8616", "4")
def test_an_internationalised_domain_is_signed_for():
    """Part 8.1-5: OpenDKIM aborts."""
    (one,) = planned("*=d:@%", "a@B\u00fccher.example")
    assert (one.domain.text, one.domain.ascii) == ("b\u00fccher.example", "xn--bcher-kva.example")
    assert one.key_uri == "file:/keys/xn--bcher-kva.example.pem"
    assert one.auid.domain == one.domain


@pytest.mark.rfc("6376", "3.5")
@pytest.mark.parametrize(
    ("signer", "auid"),
    [
        ("@example.com", "@example.com"),
        ("a@mail.example.com", "a@mail.example.com"),
        ("a@example.org", None),
        ("a@notexample.com", None),
        ("a@[127.0.0.1]", None),
    ],
)
def test_a_signer_outside_of_the_signing_domain_is_left_out(signer, auid):
    """Part 4.1."""
    (one,) = planned(f"*=k:{signer}")
    assert one.auid == auid if auid is None else str(one.auid) == auid


@pytest.mark.parametrize(
    ("row", "why", "where"),
    [
        ("*=nosuch", "signing table references unknown key 'nosuch'", "conf:5"),
        ("*=%", "references unknown key 'mail.example.com'", "conf:5"),
        ("*", "references unknown key ''", "conf:5"),
        ("*=k:nobody", "the signer 'nobody' has no '@'", "conf:5"),
        ("*=k:", "the signer '' has no '@'", "conf:5"),
        ("*=bad", "KeyTable entry for 'bad' corrupt", "keys:1"),
    ],
)
def test_a_row_that_cannot_be_followed_is_an_error_never_unsigned_mail(row, why, where):
    """Parts 4.1 and 8.2-3."""
    with pytest.raises(TableError, match=why) as info:
        planned(row)
    assert str(info.value).startswith(where)


@pytest.mark.parametrize("address", ["a@localhost", "a@[127.0.0.1]", "a@b/c/d.com", "a@b.com."])
def test_a_domain_that_cannot_sign_is_the_message_s_fault(address):
    with pytest.raises(MessageError, match="cannot be a signing domain"):
        planned("*=d", address)
    assert planned("*=k", address)


def test_all_matches_are_planned_in_order():
    """Part 8.2-1: three, not the first and the last."""
    text = "User@mail.example.com=k,.example.com=d,*=Example.org"
    found = planned(text, all_matches=True)
    assert [one.key_row.name for one in found] == ["k", "d", "Example.org"]
    assert len(planned(text)) == 1
