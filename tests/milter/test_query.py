"""Query mode answers as the data sets do, and shows no private key."""

from __future__ import annotations

import io
import subprocess

import pytest

from dkimcore_milter.query import answer
from tests.servers import find_program

KEY = "MII" + "Evg" * 200


class Terminal(io.StringIO):
    def isatty(self):
        return True


def ask(*lines, source=io.StringIO):
    output, errors = io.StringIO(), io.StringIO()
    status = answer("opendkim", source("".join(f"{line}\n" for line in lines)), output, errors)
    return status, output.getvalue(), errors.getvalue()


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table"
    path.write_text("k1 a:b:c\nk2\nk3 a::c\nk4 a b:c\n")
    return f"file:{path}"


@pytest.mark.parametrize(
    ("query", "answers"),
    [
        ("k1/3", ["'a'", "'b'", "'c'"]),
        ("k1/2", ["'a'", "'b:c'"]),
        ("k1/4", ["'a'", "'b'", "'c'", "<absent>"]),
        ("k2/1", ["<absent>"]),
        ("k3/3", ["'a'", "<empty>", "'c'"]),
        ("k4/1", ["'a b:c'"]),
        ("k1/0", [""]),
        ("K1/1", ["opendkim: record not found"]),
        ("zz/1", ["opendkim: record not found"]),
        ("/1", ["opendkim: record not found"]),
    ],
)
def test_a_query_gets_the_fields_of_the_first_row(table, query, answers):
    assert ask(table, query) == (0, "".join(f"{line}\n" for line in answers), "")


def test_a_list_and_patterns_are_asked_in_the_same_way(tmp_path):
    (tmp_path / "patterns").write_text("*@example.com first\n*@*.example.com second\n")
    assert ask("csl:a=b,c", "a/1", "", "c/1") == (0, "'b'\n<absent>\n", "")
    patterns = f"refile:{tmp_path}/patterns"
    assert ask(patterns, "x@example.com/1", "x@a.example.com/1")[1] == "'first'\n'second'\n"
    assert ask(patterns, "x@example.net/1")[1] == "opendkim: record not found\n"


@pytest.mark.parametrize("query", ["k1", "k1/", "k1/x", "k1/-1", "k1/65", "k1/" + "9" * 5000])
def test_what_is_no_query_ends_it(table, query):
    status, output, errors = ask(table, query, "k1/1")
    assert (status, output) == (64, "")
    assert errors.startswith("opendkim: invalid query 'k1")


@pytest.mark.parametrize("text", ["foo:bar", "file:/nonexistent", "refile:/nonexistent"])
def test_a_data_set_that_cannot_be_opened(text):
    status, output, errors = ask(text, "k/1")
    assert (status, output) == (70, "")
    assert errors.startswith("opendkim: ")


def test_no_input():
    assert ask()[0] == 71


def test_a_person_is_prompted():
    _, output, _ = ask("csl:a=b", "a/1", source=Terminal)
    assert output.startswith("opendkim: enter data set description\n\tcsl:")
    assert output.count("> ") == 3
    assert "> opendkim: enter 'query/n' where 'n' is number of fields to request\n> 'b'\n" in output


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "key", [KEY, f"-----BEGIN PRIVATE KEY----- {KEY} Evg -----END PRIVATE KEY-----"]
)
def test_a_private_key_is_not_shown(key, count):
    _, output, errors = ask(f"csl:k=example.com:s1:{key}", f"k/{count}")
    assert "Evg" not in output + errors
    assert "hidden" in output


@pytest.mark.server("opendkim")
def test_opendkim_answers_the_same(table):
    ran = subprocess.run(
        [find_program("opendkim"), "-Q"],
        input=f"{table}\nk1/3\nk1/2\nk4/1\n",
        text=True,
        capture_output=True,
        check=True,
    )
    assert ran.stdout.rstrip() == ask(table, "k1/3", "k1/2", "k4/1")[1].rstrip()
