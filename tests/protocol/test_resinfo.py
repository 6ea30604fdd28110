"""Whether an Authentication-Results field holds a dkim result, for the most generous reader."""

import pytest

from dkimcore.protocol.resinfo import comment_end, holds_dkim_result

rfc = pytest.mark.rfc

HOLDS = [
    b"dkim=pass header.d=bank.example",
    b"DKIM=PASS",
    b"dkim/1=pass",
    b"dkim / 1 = pass",
    b"dkim-adsp=pass",
    b"dkim-atps=pass",
    b"dk(x)im=pass",
    b"(x)dkim=pass",
    b"d\r\n kim=pass",
    b"dkim=pass x-ptype.y=z",
    b"spf=pass; dkim=pass",
    b"spf=pass ; (x) dkim (y) = (z) pass",
    b"spf=pass dkim=pass",
    b"spf=pass smtp.mailfrom=a@b dkim =pass",
    b'"dkim"=pass',
    b"d\\kim=pass",
    b"spf=pass (x; dkim=pass header.d=bank.example)",
    b"spf=pass (x (dkim=pass) y)",
    b"spf=pass (x; dk\\im=pass)",
    b'spf=pass reason="; dkim=pass"',
    b'spf=pass reason="; d\\kim=pass"',
    b"spf=pass (never ends",
    b"spf=pass )",
    b'spf=pass reason="never ends',
    b"spf",
    b"none; x",
    b"=pass",
    b"spf=",
    b"spf\xff=pass",
    b"spf=pass; ;; [dkim]=pass",
]


@rfc("8601", "5")
@rfc("8601", "7.1")
@pytest.mark.parametrize("rest", HOLDS)
def test_what_may_be_read_as_a_dkim_result_is_one(rest):
    """A reader more generous than us may find one there."""
    assert holds_dkim_result(b" mx.example.net; " + rest)
    assert holds_dkim_result(b' "mx.example.net" 1;' + rest)


@pytest.mark.parametrize(
    "value",
    [
        b" mx.example.net dkim=pass",
        b" mx.example.net 1 dkim=pass; spf=pass",
        b" mx.example.net x; spf=pass",
        b"",
        b"; spf=pass",
    ],
)
def test_a_field_that_does_not_begin_as_it_must_may_hold_one(value):
    assert holds_dkim_result(value)


HOLDS_NONE = [
    b"none",
    b"",
    b"NONE ;",
    b"spf=pass",
    b"spf=pass smtp.mailfrom=a@dkim.example",
    b"spf=pass smtp.mailfrom=dkim-bounce=bob@list.example",
    b"spf=pass (mailfrom) smtp.mailfrom=a@b.c (client-ip=192.0.2.1; helo=x; receiver=<UNKNOWN>)",
    b"dmarc=pass (p=none dis=none) header.from=example.com",
    b'dmarc=fail reason="no dkim" header.from=example.com',
    b"arc=none (no dkim; signature=none)",
    b"spf=pass;\r\n\tdmarc=pass (p=quarantine (x) y) header.from=x.example;",
    b'auth=pass smtp.auth="bob; x"',
    b"iprev=pass policy.iprev=192.0.2.1 (mail.example)",
    b"xdkim=pass",
]


@rfc("8601", "5")
@pytest.mark.parametrize("rest", HOLDS_NONE)
def test_results_of_other_methods_are_none_of_ours(rest):
    """Filters of the same host have put them there."""
    assert not holds_dkim_result(b" mx.example.net; " + rest)
    assert not holds_dkim_result(b'(x) "mx.example.net" 1;' + rest)


@rfc("5322", "3.2.2")
@pytest.mark.parametrize(
    ("text", "end"),
    [
        (b"a) b", 2),
        (b"a (b) c) d", 8),
        (b"a \\) b) c", 7),
        (b"never", -1),
        (b"(a) never", -1),
        (b"ends in a backslash\\", -1),
    ],
)
def test_where_a_comment_ends(text, end):
    """Comments nest, and a quoted-pair ends none."""
    assert comment_end(b"(" + text, 1) == (end if end < 0 else end + 1)
