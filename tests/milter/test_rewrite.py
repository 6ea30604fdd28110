"""ReplaceRules: what OpenDKIM's do, and that they end (part 8.1 number 10)."""

from __future__ import annotations

import ctypes
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dkimcore.errors import SettingsError
from dkimcore.tables.automaton import Automaton
from dkimcore.tables.ere import EreError, parse
from dkimcore_milter.rewrite import from_basic
from tests.milter.site import Site


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def rewrite(site, rules, value, *, name=b"Subject", conf=""):
    site.write("rules", rules)
    made = site.engine(f"ReplaceRules rules\n{conf}").rewritten([(b"X", b"y"), (name, value)])
    return value if made is None else made[1][1]


def test_without_rules_values_are_the_same_objects(site):
    value = b" x" * 30
    assert site.engine("").rewritten([(b"Subject", value)]) is None
    assert rewrite(site, "nothing\tx\n", value) is value


@pytest.mark.parametrize(
    ("rules", "value", "expected"),
    [
        ("mx1\tmx\n", b" a mx1 b mx1", b" a mx b mx"),
        ("two words\tthe last TAB counts\tx\n", b" a", b" a"),
        ("a\tb\tX\n", b" a\tb", b" X"),  # the last TAB counts
        ("a\t\n", b"banana", b"bnn"),
        ("# comment\n\n  \na\tb # comment\n", b"a", b"b "),  # "#" anywhere
        ("a\tb\r\n", b"a", b"b"),
        ("a\tb\nb\tc\n", b"a", b"b"),  # the last line goes first
        ("b\tc\na\tb\n", b"a", b"c"),
        ("A\tb\n", b"a", b"a"),  # case counts
        ("a+\tb\n", b"aa+", b"ab"),  # basic expressions: "+" stands for itself
        (r"\(a\|b\)\{2\}" + "\tx\n", b"abba a", b"xx a"),
        ("a*\tx\n", b"baab", b"bxb"),  # nothing is not replaced
        ("^ a\tb\n", b" a a", b"b a"),
        ("a$\tb\n", b"a a", b"a b"),
        ("a\taa\n", b"aba", b"aabaa"),  # OpenDKIM never ends here
        ("a[[:space:]]*b\tx\n", b"a\r\n\tb", b"x"),
        ("a.b\tx\n", b"a\r\nb", b"x"),  # a fold is one character, as milters see it
        (b"\xff\t\xfe\n", b"a\xffb", b"a\xfeb"),
        ("ü\tue\n", "für".encode(), b"fuer"),
    ],
)
def test_what_matches_is_replaced(site, rules, value, expected):
    assert rewrite(site, rules, value) == expected


def test_folds_stay_folds(site):
    assert rewrite(site, "a\tx\n", b" a\r\n b\r\n a") == b" x\r\n b\r\n x"


def test_only_listed_fields_are_changed(site):
    conf = "ReplaceHeaders To,cc"
    assert rewrite(site, "a\tb\n", b"a", name=b"TO", conf=conf) == b"b"
    assert rewrite(site, "a\tb\n", b"a", name=b"Subject", conf=conf) == b"a"


@pytest.mark.parametrize(
    ("rules", "line", "why"),
    [
        ("a\tb\nno tab\n", 2, "a rule is a pattern, a TAB"),
        ("\tb\n", 1, "a rule is a pattern, a TAB"),
        ("ok\tb\n[a\tb\n", 2, r"the pattern '\[a' cannot be used: '\[' has no"),
        (r"\(a\)\1" + "\tb\n", 1, "a backslash before '1'"),
        ("a\\\tb\n", 1, "a backslash before ''"),
    ],
)
def test_a_line_that_is_no_rule_is_refused_with_its_number(site, rules, line, why):
    with pytest.raises(SettingsError, match=why) as caught:
        rewrite(site, rules, b"a")
    assert (caught.value.file, caught.value.line) == (str(site.folder / "rules"), line)


def test_a_file_that_is_not_there_is_refused_with_the_options_line(site):
    with pytest.raises(SettingsError, match=r"opendkim\.conf:1: ReplaceRules: .*gone cannot be"):
        site.engine("ReplaceRules gone")


PIECES = st.lists(
    st.sampled_from(
        [
            *"aab.*^$+?|(){}",
            *(r"\(", r"\)", r"\|", r"\+", r"\?", r"\{2\}", r"\{1,\}", r"\.", r"\*", r"\(a\)"),
            *("[ab]", "[^a]", "[]a]", "[a*]", "[[:alpha:]]", "[ab"),
        ],
    ),
    max_size=7,
).map("".join)


class Span(ctypes.Structure):
    _fields_ = (("begin", ctypes.c_int), ("end", ctypes.c_int))


def theirs(pattern, text):
    """The first match that the C library finds; None if the pattern is none for it."""
    libc = ctypes.CDLL(None)
    compiled = ctypes.create_string_buffer(256)  # regex_t
    if libc.regcomp(compiled, pattern.encode(), 0) != 0:
        return None
    span = Span()
    found = libc.regexec(compiled, text.encode(), 1, ctypes.byref(span), 0) == 0
    libc.regfree(compiled)
    return (span.begin, span.end) if found else ()


@pytest.mark.skipif(sys.platform != "linux", reason="asks the regexec() of the GNU C library")
@given(pattern=PIECES, text=st.text("ab+*|({.", max_size=7))
@example(pattern=r"a\|ab", text="ab")
@example(pattern="*a", text="*a")
@example(pattern="a^b$c", text="a^b$c")
@example(pattern=r"\(^a\)*b$", text="ab")
@example(pattern=r"\(*a\)", text="*a")
@example(pattern="^*a", text="*a")
def test_the_first_match_is_that_of_the_c_library(pattern, text):
    """OpenDKIM calls regcomp() without flags; we refuse a pattern or find the same."""
    try:
        ours = Automaton(parse(from_basic(pattern)))
    except EreError:
        return
    found = theirs(pattern, text)
    if found is None or (found and found[0] == found[1]):
        return  # a mistake, or a match of nothing, which is passed over
    assert next(ours.spans(text), ()) == found


@given(pattern=PIECES, text=st.text("ab+.", max_size=9))
def test_all_matches_are_found_as_by_asking_again_behind_each(pattern, text):
    """The two walks against a search of every part of the text."""
    try:
        ours = Automaton(parse(f"({from_basic(pattern)})"))
        whole = Automaton(parse(f"^({from_basic(pattern)})$"))
    except EreError:
        return
    if "^" in pattern or "$" in pattern:
        return
    expected, begin = [], 0
    while begin < len(text):
        ends = [end for end in range(begin + 1, len(text) + 1) if whole.search(text[begin:end])]
        expected += [(begin, ends[-1])] if ends else []
        begin = ends[-1] if ends else begin + 1
    assert list(ours.spans(text)) == expected


@pytest.mark.parametrize(
    ("rule", "unit"),
    [("a*b", "a"), (r"\(a*\)*b", "a"), ("a.*b", "ab"), (r"a\|a.*c", "a"), ("x*", "y"), ("a$", "a")],
)
def test_the_work_grows_with_the_length_of_the_value_not_its_square(rule, unit):
    automaton = Automaton(parse(from_basic(rule)))

    def steps(length):
        count = 0

        def trace(*_):
            nonlocal count
            count += 1
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            list(automaton.spans(unit * length))
        finally:
            sys.settrace(before)
        return count

    steps(4)
    assert steps(800) < 3 * steps(400)
