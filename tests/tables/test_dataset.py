"""Data sets: OpenDKIM's behaviour, part 3."""

from __future__ import annotations

import pytest

from dkimcore.errors import TableError
from dkimcore.tables import DataSet, DataSetType, field_names
from dkimcore.tables.dataset import split_fields


def keys(data_set):
    return [row.key for row in data_set.rows()]


@pytest.fixture
def table(tmp_path):
    def write(text, *, type="file", **options):
        path = tmp_path / "table"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return DataSet.load(f"{type}:{path}", **options)

    return write


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a,b", ["a", "b"]),
        ("a", ["a"]),
        ("csl:a, b,, c ", ["a", "b", "c"]),
        ("CSL:a", ["a"]),
        ("a,b:c", ["a", "b:c"]),
        ("127.0.0.1,::1", ["127.0.0.1", "::1"]),
        ("::1", ["::1"]),
        ("!2001:db8::/32", ["!2001:db8::/32"]),
        ("[::1]", ["[::1]"]),
        ("-", ["-"]),
        ("", []),
    ],
)
def test_what_has_no_type_and_no_slash_is_a_list(text, found):
    """Part 3.1; beyond it a single IPv6 address is a list, too (part 9)."""
    data_set = DataSet.load(text)
    assert data_set.type is DataSetType.CSL
    assert keys(data_set) == found
    assert len(data_set) == len(found)


def test_a_path_is_a_file_and_counts_from_the_base(tmp_path):
    """Part 3.1."""
    (tmp_path / "t").write_text("a 1\n")
    for text in (str(tmp_path / "t"), f"file:{tmp_path}/t", f"FILE: {tmp_path}/t", "file:t"):
        data_set = DataSet.load(text, base=tmp_path)
        assert (data_set.type, data_set.file) == (DataSetType.FILE, str(tmp_path / "t"))
        assert data_set.find("a").value == "1"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("nosuch:/x", "'nosuch' is not a type of data set; write file:"),
        ("/etc/a:b", "is not a type of data set"),
        ("/etc/a.db", "type db: are not offered yet; write its rows"),
        ("db:/etc/a", "type db: are not offered yet"),
        ("mdb:/etc/a", "mdb_dump"),
        ("dsn:mysql://host/db", "scheduled query"),
        ("LDAP://host", "ldapsearch"),
        ("ldaps://host", "ldapsearch"),
        ("ldapi://host", "ldapsearch"),
        ("lua:/x", "use file: or refile:"),
        ("memcache:host/x", "use file:"),
        ("socket:/x", "use file:"),
        ("erlang:x", "use file:"),
        ("repute:x", "take the option out"),
        ("refile:", "needs a path"),
    ],
)
def test_types_that_are_not_offered_are_refused_by_name(text, why):
    """Part 3.1."""
    with pytest.raises(TableError, match=why) as info:
        DataSet.load(text, file="opendkim.conf", line=7)
    assert (info.value.file, info.value.line) == ("opendkim.conf", 7)


def test_an_unreadable_file_is_named_with_the_option(tmp_path):
    with pytest.raises(TableError, match="No such file") as info:
        DataSet.load(f"{tmp_path}/none", file="opendkim.conf", line=3)
    assert str(info.value).startswith(f"opendkim.conf:3: the data set {tmp_path}/none cannot")
    with pytest.raises(TableError, match="Is a directory") as info:
        DataSet.load(str(tmp_path))
    assert info.value.file == str(tmp_path)


def test_rows_of_a_file(table):
    """Part 3.2: comments anywhere, outer blanks, inner blanks, first row of a key."""
    data_set = table("\ufeffa  1 2 \t3  \r\n# comment\n\n \t\n  b\tx#y\nc#d e\nlast\nA 9\nB 9\n")
    found = [(row.key, row.value, row.line) for row in data_set.rows()]
    assert found == [
        *(("a", "1 2 \t3", 1), ("b", "x", 5), ("c", None, 6)),
        *(("last", None, 7), ("A", "9", 8), ("B", "9", 9)),
    ]
    assert (data_set.find("A").value, data_set.find("b").value) == ("1 2 \t3", "x")
    assert data_set.find("d") is None
    assert [finding.line for finding in data_set.check()] == [8, 9]
    assert str(data_set.check()[0]).endswith(
        "table:8: warning: 'A' stands in line 1 already, and the first row of a key wins; "
        "take one of them out"
    )


def test_all_rows_of_a_key_are_found_in_their_order(table):
    """Beyond OpenDKIM: for several signatures of one address."""
    data_set = table("a 1\nb 2\nA 3\na 1\n")
    assert [(row.value, row.line) for row in data_set.find_all("a")] == [
        *(("1", 1), ("3", 3), ("1", 4)),
    ]
    assert [row.value for row in data_set.find_all("b")] == ["2"]
    assert list(data_set.find_all("c")) == []
    assert data_set.row(1).value == "2"
    assert [finding.line for finding in data_set.check()] == [3, 4]
    (finding,) = data_set.check(all_rows=True)
    assert finding.line == 4
    assert "'a' stands in line 1 with the same value" in finding.problem


def test_case_counts_where_the_option_wants_it(table):
    """Part 3.2."""
    data_set = table("a 1\nA 2\n", ignore_case=False)
    assert (data_set.find("a").value, data_set.find("A").value) == ("1", "2")
    assert data_set.check() == ()


def test_lines_may_be_longer_than_1023_octets(table):
    """Part 3.2 and 9."""
    assert table("k " + "x" * 5000 + "\nl y").find("k").value == "x" * 5000


def test_octets_that_are_no_utf8_compare_as_they_are(table):
    data_set = table(b"\xffk v\xfe\n")
    row = data_set.find(b"\xffk".decode("utf-8", "surrogateescape"))
    assert row.value.encode("utf-8", "surrogateescape") == b"v\xfe"


def test_many_unused_rows_are_counted_not_listed(table):
    findings = table("a 1\n" * 300).check()
    assert len(findings) == 101
    assert "299 rows are not used" in str(findings[-1])


def test_items_of_a_list_may_have_values():
    """Part 3.4, and 3.2 on values divided at "|"."""
    data_set = DataSet.load("a = 1=2 ,b,c=x|y", file="conf", line=4)
    assert [(row.key, row.value) for row in data_set.rows()] == [
        *(("a", "1=2"), ("b", None), ("c", "x|y"))
    ]
    assert [row.choices for row in data_set.rows()] == [("1=2",), (), ("x", "y")]
    assert (data_set.find("C").file, data_set.find("C").line) == ("conf", 4)


def test_rows_of_a_refile(table):
    """Part 3.3: the order of the file counts; comments as in a file."""
    data_set = table(
        "*@a.com  1 # one\n\n  *@b.com 2\n \t# nothing\nx@* 3\nnone\n*@A.com 4\n", type="refile"
    )
    assert [row.value for row in data_set.find_all("X@A.COM")] == ["1", "3", "4"]
    assert data_set.find("x@a.com").line == 1
    assert data_set.find("y@b.com") is None
    assert data_set.find("none").value is None
    (finding,) = data_set.check()
    assert (finding.line, finding.is_error) == (3, False)
    assert "begins with white space is ignored" in finding.problem


def test_a_pattern_that_cannot_be_used_is_named(table):
    with pytest.raises(TableError, match=r"pattern .* cannot be used: .\(. has no") as info:
        table("*@a.com 1\n(b@x 2\n", type="refile")
    assert info.value.file.endswith("table")
    assert info.value.line == 2


def test_a_refile_is_no_list(table):
    """Part 3.1."""
    with pytest.raises(TableError, match="patterns where a list of names is wanted"):
        table("a\n", type="refile").names()


def test_fields_are_divided_from_the_left_and_the_last_takes_the_rest():
    """Part 3.5."""
    assert split_fields("a:b:c:d", 3) == ("a", "b", "c:d")
    assert split_fields("a", 3) == ("a",)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Subject, X-Foo,subject", ("subject", "x-foo")),
        ("*,+X-Foo,-Subject,ignored,-none", ("from", "date", "x-foo")),
        ("*", ("from", "subject", "date")),
    ],
)
def test_an_asterisk_makes_a_list_of_fields_a_change_of_the_default(text, names):
    """Part 3.7."""
    assert field_names(DataSet.load(text), ("from", "subject", "date")) == names


def test_values_do_not_show_in_a_row():
    """A value may be a private key."""
    (row,) = DataSet.load("csl:k=d:s:SECRET", file="conf", line=1).rows()
    assert repr(row) == "<Row 'k' in conf:1>"
