"""The signing table: OpenDKIM's behaviour, parts 4.1 and 3.6."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dkimcore.protocol.mailbox import Mailbox
from dkimcore.tables import KeyTable, SigningTable


@pytest.fixture
def table(tmp_path):
    def write(text, *, type="file"):
        path = tmp_path / "SigningTable"
        path.write_text(text)
        return SigningTable.load(f"{type}:{path}")

    return write


def names(table, address, *, all_matches=True):
    rows = table.match(Mailbox.parse(address.encode()), all_matches=all_matches)
    return [row.key_name for row in rows]


ALL = """\
*                     8
user@*                7
.com                  6
user@.com             5
.example.com          4
user@.example.com     3
mail.example.com      2
user@mail.example.com 1
"""


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("user@mail.example.com", "12345678"),
        ("USER@Mail.Example.COM", "12345678"),
        ("other@mail.example.com", "2468"),
        ("user@example.com", "5678"),
        ("user@other.example.com", "345678"),
        ("user@example.org", "78"),
        ("other@example.org", "8"),
        ("user@localhost", "78"),
        ('"user"@mail.example.com', "2468"),
        ("user@mail.example.com.", "78"),
        ("user@[127.0.0.1]", "78"),
    ],
)
@pytest.mark.parametrize("type", ["file", "csl"])
def test_the_order_is_that_of_opendkim_whatever_the_order_of_the_file(table, type, address, found):
    """Part 4.1: all steps with MultipleSignatures, the first without."""
    text = ALL if type == "file" else ",".join("=".join(row.split()) for row in ALL.splitlines())
    signing_table = table(text) if type == "file" else SigningTable.load(text)
    assert names(signing_table, address) == list(found)
    assert names(signing_table, address, all_matches=False) == [found[0]]


@pytest.mark.parametrize("type", ["file", "refile"])
def test_a_key_in_several_rows_gives_all_of_them(table, type):
    """For RSA and Ed25519 of one author; OpenDKIM takes the first row of a ``file:`` only."""
    star = "*@" if type == "refile" else ""
    signing = table(f"{star}example.com r\n* x\n{star}Example.com e\n", type=type)
    expected = ["r", "x", "e"] if type == "refile" else ["r", "e", "x"]
    assert names(signing, "a@example.com") == expected
    assert names(signing, "a@example.com", all_matches=False) == ["r"]
    assert len(signing.check()) == (type == "file")
    assert signing.check(all_matches=True) == ()


def test_a_leading_dot_stands_for_subdomains_only(table):
    """Part 4.1."""
    signing_table = table(".example.com k\n")
    assert names(signing_table, "a@example.com") == []
    assert names(signing_table, "a@b.c.example.com") == ["k"]


def test_a_refile_asks_the_whole_address_in_the_order_of_the_file(table):
    """Part 4.1; all three matches, where OpenDKIM loses the middle one (8.2-1)."""
    signing_table = table(
        "boss@* 1\n*@example.com 2\n*@*.example.com 3\n* 4\nexample.com 5\n", type="refile"
    )
    assert names(signing_table, "Boss@Example.com") == ["1", "2", "4"]
    assert names(signing_table, "Boss@Example.com", all_matches=False) == ["1"]
    assert names(signing_table, "a@b.example.com") == ["3", "4"]


def test_a_row_says_where_it_stands_and_who_signs(table):
    """Part 4.1: keyname[:signer]."""
    (row,) = table("\n*@a.com k:news@%:x\n", type="refile").match(Mailbox.parse(b"u@a.com"))
    assert (row.pattern, row.key_name, row.signer) == ("*@a.com", "k", "news@%:x")
    assert row.file.endswith("SigningTable")
    assert row.line == 2


@pytest.mark.rfc("8616", "4")
@pytest.mark.parametrize(
    ("text", "type"),
    [
        ("b\u00fccher.example k", "file"),
        ("xn--bcher-kva.example k", "file"),
        ("zo\u00eb@B\u00dcCHER.example k", "file"),
        ("zo\u00eb@.example k", "file"),
        ("*@b\u00fccher.example k", "refile"),
        ("*@xn--bcher-kva.* k", "refile"),
        ("ZO\u00cb@*.example k", "refile"),
    ],
)
@pytest.mark.parametrize(
    "address", ["zo\u00eb@b\u00fccher.example", "Zo\u00eb@xn--BCHER-kva.example"]
)
def test_names_beyond_ascii_compare_by_their_a_labels(table, text, type, address):
    """Part 3.6 and 9: OpenDKIM finds no such row in a file:."""
    assert names(table(text, type=type), address) == ["k"]


CHECKED = """\
*@example.com k
exa*.com k
novalue
example.org k:nobody
.example.org %:@%
user@* unknown
* k:@example.com
example.org k
b\u00fc_\u2603.example k
"""


def test_a_check_finds_what_is_wrong_with_each_row(table, tmp_path):
    """Part 8.2-2 to 8.2-4: all rows, with and without a signer."""
    signing_table = table(CHECKED)
    findings = signing_table.check(KeyTable.load("csl:k=example.com:s1:/k"))
    assert [(f.line, f.is_error, f.problem.partition(";")[0][:34]) for f in findings] == [
        (1, False, "'*@example.com' has no wildcards h"),
        (2, False, "'exa*.com' has no wildcards here"),
        (3, True, "'novalue' names no key"),
        (4, True, "the signer 'nobody' has no '@'"),
        (6, True, "the signing table references unkno"),
        (8, False, "'example.org' stands in line 4 alr"),
        (9, False, "'b\u00fc_\u2603.example' never matches: a la"),
    ]
    assert "write example.com" in findings[0].problem
    assert str(findings[2]) == (
        f"{tmp_path}/SigningTable:3: error: 'novalue' names no key; "
        "write the name of a key behind it"
    )
    assert 6 not in [finding.line for finding in signing_table.check()]


def test_a_check_of_patterns(table):
    """Parts 3.3 and 8.2-2: a pattern without a value is an error with its line."""
    text = "*@a.com\nexample.com k\n*@a\\.com k\n *@b.com k\n*@c.com k\n"
    findings = table(text, type="refile").check()
    assert [(f.line, f.is_error) for f in findings] == [
        *((1, True), (2, False), (3, False), (4, False))
    ]
    assert "write *@example.com" in findings[1].problem
    assert "need no backslash" in findings[2].problem


@pytest.mark.parametrize(
    ("type", "key", "cure"),
    [
        ("refile", "*@b.example:", "no domain has a ':'; take it out"),
        ("refile", "*@b.example,", "no domain has a ','; take it out"),
        ("refile", "*@%", "no domain has a '%'; write the domain, or * for all"),
        ("refile", '"*@b.example"', "no domain has a '\"'; take it out"),
        ("refile", "<*@b.example>", "no domain has a '>'; take it out"),
        ("refile", "@b.example", "no address begins so; write *@b.example"),
        ("refile", "*@.b.example", "begins with a dot; write *@*.b.example for its subdomains"),
        ("file", "b.example:", "no domain has a ':'; take it out"),
        ("file", "%", "no domain has a '%'; write the domain, or * for all"),
        ("file", "@b.example", "no address begins so; write b.example"),
    ],
)
def test_a_check_finds_rows_that_match_nobody(table, type, key, cure):
    signing_table = table(f"{key} k\n", type=type)
    (finding,) = signing_table.check()
    assert (finding.line, finding.is_error) == (1, False)
    assert "never matches" in finding.problem
    assert cure in finding.problem
    for address in ("a@b.example", "a@mail.b.example"):
        assert names(signing_table, address) == []


@pytest.mark.parametrize(
    ("type", "key"),
    [
        *(("refile", "*"), ("refile", "*@*.b.example"), ("refile", "a%c@b.example")),
        *(("refile", "*@[[:alpha:]]*.example"), ("refile", "*@b.example|*@c.example")),
        *(("file", "b.example"), ("file", ".b.example"), ("file", "a@.b.example"), ("file", "*")),
        *(("file", "a%c@b.example"), ("file", "a@*")),
    ],
)
def test_a_check_leaves_good_rows_alone(table, type, key):
    assert table(f"{key} k\n", type=type).check() == ()


@pytest.mark.parametrize("type", ["file", "refile"])
def test_a_check_finds_a_table_without_rows(table, tmp_path, type):
    (finding,) = table("# nobody yet\n\n", type=type).check()
    assert finding.file == f"{tmp_path}/SigningTable"
    assert "has no row, so nothing is signed; write '" in finding.problem
    lost = table(" *@example.com k\n", type="refile").check()
    assert ["no row" in finding.problem for finding in lost] == [True, False]


def test_a_table_knows_its_size(table):
    assert len(table(ALL)) == 8


def model(rows, user, host):
    """Part 4.1 as it is written, over a list of keys."""
    keys = [f"{user}@{host}", host]
    labels = host.split(".")
    for start in range(1, len(labels)):
        parent = "." + ".".join(labels[start:])
        keys += [f"{user}@{parent}", parent]
    keys += [f"{user}@*", "*"]
    return [key for key in keys if key in rows]


HOSTS = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(".".join)
KEYS = st.builds(
    "{}{}{}".format, st.sampled_from(["", "u@", "v@"]), st.sampled_from(["", "."]), HOSTS
)


@given(st.sets(KEYS | st.sampled_from(["*", "u@*", "v@*"])), st.sampled_from("uv"), HOSTS)
def test_lookups_agree_with_the_words_of_the_description(rows, user, host):
    signing_table = SigningTable.load("csl:" + ",".join(f"{key}={key}" for key in sorted(rows)))
    expected = model(rows, user, host)
    assert names(signing_table, f"{user}@{host}") == expected
    assert names(signing_table, f"{user}@{host}", all_matches=False) == expected[:1]


def test_a_hostile_domain_of_many_labels_is_looked_up(table):
    assert names(table(".z k\n"), "a@" + "b." * 480 + "z") == ["k"]
