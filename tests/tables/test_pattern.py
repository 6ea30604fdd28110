"""Patterns of refile: data sets: OpenDKIM's behaviour, part 3.3, in linear time."""

from __future__ import annotations

import ctypes
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dkimcore.tables.automaton import MAX_STATES, Automaton
from dkimcore.tables.ere import EreError, parse
from dkimcore.tables.pattern import PatternIndex, compile_pattern


def matches(pattern, text, *, ignore_case=True):
    return compile_pattern(pattern, ignore_case=ignore_case).matches(text)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("*@example.com", ["a@example.com", "@example.com"], ["a@exampleXcom", "a@b.example.com"]),
        ("*", ["", "a@b"], []),
        ("a@b", ["a@b"], ["aa@b", "a@bb", ""]),
        ("A@B.Com", ["a@b.com"], []),
        ("a+b@x", ["a+b@x"], ["aab@x", "ab@x"]),
        ("a*b*c@*", ["abc@x", "a1b2c@", "abbcbc@"], ["acb@x", "ab@x"]),
        ("ab*ba", ["abba", "abxba"], ["aba"]),
        ("a[b]*@x", ["abbb@x", "ab@x", "ab1@x"], ["a@x"]),
        ("foo|bar@x", ["foo", "foobar@y", "xbar@x"], ["xfoo", "bar@xy"]),
        ("(foo|bar)@x", ["foo@x", "BAR@x".lower()], ["foobar@x", "foo@xy"]),
        ("ab?c@x", ["abc@x", "ac@x"], ["abbc@x"]),
        ("a{2,3}@x", ["aa@x", "aaa@x"], ["a@x", "aaaa@x"]),
        ("a{2}b{1,}@x", ["aab@x", "aabbb@x"], ["aa@x", "ab@x"]),
        ("[^a-c]@x", ["d@x"], ["a@x", "b@x", "dd@x"]),
        ("[[:digit:]_-]@x", ["5@x", "_@x", "-@x"], ["a@x"]),
        ("[]a]@x", ["]@x", "a@x"], ["b@x"]),
        ("[A-F]@x", ["c@x"], ["g@x"]),
        (r"a\(b@x", ["a(b@x"], ["ab@x"]),
        ("a^b", [], ["ab", "a^b"]),
        ("a$b", [], ["ab", "a$b"]),
        ("()a@x", ["a@x"], ["b@x"]),
        ("(|a)@x", ["a@x", "@x"], ["b@x"]),
        ("zo\u00eb@*", ["zo\u00eb@x"], ["zoe@x"]),
    ],
)
def test_a_pattern_means_what_opendkim_makes_of_it(pattern, yes, no):
    """Part 3.3: "*" is ".*", "." and "+" are literal, all else is a POSIX ERE."""
    assert [text for text in yes + no if matches(pattern, text)] == yes


def test_case_counts_where_the_option_wants_it():
    assert matches("Ab[C]@x", "AbC@x", ignore_case=False)
    assert not matches("Ab[C]@x", "abc@x", ignore_case=False)
    assert not matches("A*", "abc", ignore_case=False)
    assert matches("[^A]@x", "b@x")
    assert not matches("[^A]@x", "a@x")


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"(a)\1@x", "no meaning in POSIX"),
        (r"\w@x", "no meaning in POSIX"),
        ("a(b@x", "has no '\\)'"),
        ("a)b@x", "has no '\\('"),
        ("a[b@x", "has no '\\]'"),
        ("[b-a]@x", "not a range"),
        ("[[=a=]]@x", "only the classes"),
        ("[[:word:]]@x", "only the classes"),
        ("?a@x", "nothing to repeat"),
        ("a|?b@x", "nothing to repeat"),
        ("a{@x", "not followed by a count"),
        ("a{3,2}@x", "not a count"),
        ("a{300}@x", "not a count"),
        ("(a{200}){200}@x", "too large"),
        ("(" * 60 + "a" + ")" * 60, "nested"),
    ],
)
def test_what_cannot_be_matched_equally_is_refused(pattern, why):
    with pytest.raises(EreError, match=why):
        compile_pattern(pattern, ignore_case=True)


PIECES = st.lists(
    st.sampled_from(
        [*"aAb@.*?|()$^-", "[ab]", "[^a]", "[a-b]", "{2}", "{0,1}", "a{1,}", r"\.", "+"]
    ),
    max_size=8,
).map("".join)


@given(pattern=PIECES, text=st.text("abA@.+-", max_size=8), ignore_case=st.booleans())
@example(pattern="a|b?", text="", ignore_case=False)
@pytest.mark.skipif(sys.platform != "linux", reason="asks the regexec() of the GNU C library")
def test_the_answer_is_that_of_the_c_library(pattern, text, ignore_case):
    """OpenDKIM calls regcomp() and regexec(); we either refuse or say the same."""
    try:
        ours = compile_pattern(pattern, ignore_case=ignore_case)
    except EreError:
        return
    libc = ctypes.CDLL(None)
    expression = "^" + pattern.replace(".", r"\.").replace("+", r"\+").replace("*", ".*") + "$"
    compiled = ctypes.create_string_buffer(256)  # regex_t
    assert libc.regcomp(compiled, expression.encode(), 1 | 8 | (2 if ignore_case else 0)) == 0
    theirs = libc.regexec(compiled, text.encode(), 0, None, 0) == 0
    libc.regfree(compiled)
    assert ours.matches(text.lower() if ignore_case else text) == theirs


def steps(pattern, text):
    """Lines run, which unlike seconds do not depend on the machine."""
    compiled = compile_pattern(pattern, ignore_case=True)
    count = 0

    def trace(*_):
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        compiled.matches(text)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    "pattern", ["*a*a*a*a*a*b", "(a|aa)*(a|aa)*(a|aa)*b@x", "((a?){20}){2}b@x", "[a]*a[a]*a[a]*@"]
)
def test_hostile_addresses_cost_time_in_proportion_to_their_length(pattern):
    assert steps(pattern, "a" * 800) <= 2.2 * steps(pattern, "a" * 400) + 5000


def test_an_automaton_has_a_largest_size():
    with pytest.raises(EreError, match="too large"):
        Automaton(parse("a" * MAX_STATES))


def test_kept_transitions_are_bounded():
    pattern = compile_pattern("(a|b)[^x]*c@x", ignore_case=True)
    text = "a" + "".join(chr(0x100 + number) for number in range(600)) + "c@x"
    assert pattern.matches(text)
    assert pattern.matches(text)
    assert not pattern.matches(text + "y")


@given(
    patterns=st.lists(st.text("ab@.*", max_size=6) | PIECES, max_size=12),
    text=st.text("ab@.", max_size=8),
)
def test_the_index_finds_what_asking_each_pattern_finds(patterns, text):
    compiled = []
    for pattern in patterns:
        try:
            compiled.append(compile_pattern(pattern, ignore_case=True))
        except EreError:
            continue
    found = list(PatternIndex(compiled).find(text))
    assert found == [n for n, pattern in enumerate(compiled) if pattern.matches(text)]


def test_of_many_patterns_few_are_asked():
    asked = []

    class Counting:
        def __init__(self, prefix, suffix):
            self.prefix, self.suffix = prefix, suffix

        def matches(self, text):
            asked.append(self)
            return True

    patterns = [Counting("", f"@d{n}.example") for n in range(500)]
    patterns += [Counting(f"u{n}", "@many.example") for n in range(500)]
    patterns += [Counting(f"u{n}@", "") for n in range(500)]
    index = PatternIndex(patterns)
    assert list(index.find("x@d77.example")) == [77]
    assert list(index.find("u12@many.example")) == [501, 512, 1012]
    assert len(asked) == 4


@pytest.mark.parametrize(
    ("expression", "text", "spans"),
    [
        ("a|ab", "xababa", [(1, 3), (3, 5), (5, 6)]),
        ("a*", "baab", [(1, 3)]),  # what matches nothing is passed over
        ("^a|b$", "aabb", [(0, 1), (3, 4)]),
        ("(ab)+", "ababxab", [(0, 4), (5, 7)]),
        ("a.*c|a", "abcaac a", [(0, 6), (7, 8)]),
        ("^$", "", []),
        ("", "abc", []),
        ("a", "", []),
    ],
)
def test_matches_are_the_leftmost_and_of_those_the_longest(expression, text, spans):
    assert list(Automaton(parse(expression)).spans(text)) == spans


def test_matches_in_a_text_of_many_characters_are_found():
    """More transitions than are kept."""
    text = "".join(f"{chr(0x100 + number)}b" for number in range(600))
    assert len(list(Automaton(parse("[^x]b")).spans(text))) == 600
