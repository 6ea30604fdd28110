"""Plans: the signing table joined with the key table (OpenDKIM's behaviour, part 4.1)."""

from __future__ import annotations

import pytest

from dkimcore.errors import TableError
from dkimcore.protocol.mailbox import Mailbox
from dkimcore.tables import KeyTable, SigningTable, plan
from dkimcore.tables.plan import UnfitDomain

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


UNFIT = [
    *("a@localhost", "a@localhost.", "a@[127.0.0.1]", "a@b/c/d.com", "a@-b.com"),
    f"a@{'b' * 64}.com",
    f"a@{'b.' * 120}com",  # the name of its key record is too long
]


@pytest.mark.parametrize("address", UNFIT)
@pytest.mark.parametrize("all_matches", [True, False])
def test_a_row_for_everybody_does_not_apply_to_a_domain_that_cannot_sign(address, all_matches):
    with pytest.raises(UnfitDomain, match=r"^'.{,103}' cannot be a signing domain$"):
        planned("*=d", address, all_matches=all_matches)
    assert str(planned("*=k", address)[0].domain) == "example.com"


@pytest.mark.parametrize("all_matches", [True, False])
def test_the_row_behind_it_applies(all_matches):
    (one,) = planned("localhost=d,a@*=d,*=k", "a@localhost", all_matches=all_matches)
    assert one.key_row.name == "k"


def test_a_key_named_by_a_domain_that_cannot_sign_need_not_be_there():
    signing_table = SigningTable.load("*=%")
    key_table = KeyTable.load("csl:localhost=example.com:s:/k, b.com=%:s:/k")
    with pytest.raises(UnfitDomain):
        plan(Mailbox.parse(b"a@[127.0.0.1]"), signing_table, key_table)
    with pytest.raises(TableError, match=r"unknown key 'c\.com'"):
        plan(Mailbox.parse(b"a@c.com."), signing_table, key_table)
    for address, domain in ((b"a@localhost", "example.com"), (b"a@b.com.", "b.com")):
        (one,) = plan(Mailbox.parse(address), signing_table, key_table)
        assert str(one.domain) == domain


def test_a_final_dot_is_no_part_of_the_signing_domain():
    (one,) = planned("*=d:x@%", "a@Example.net.")
    assert (str(one.domain), str(one.auid)) == ("example.net", "x@example.net")


def test_all_matches_are_planned_in_order():
    """Part 8.2-1: three, not the first and the last."""
    text = "User@mail.example.com=k,.example.com=d,*=Example.org"
    found = planned(text, all_matches=True)
    assert [one.key_row.name for one in found] == ["k", "d", "Example.org"]
    assert len(planned(text)) == 1
