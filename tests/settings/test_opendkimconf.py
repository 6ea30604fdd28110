"""The syntax of opendkim.conf: OpenDKIM's behaviour, part 1.1."""

from __future__ import annotations

import io
import sys
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dkimcore.errors import SettingsError
from dkimcore.settings import load_settings, occurrences
from dkimcore.settings.opendkimconf import read_conf


@pytest.fixture
def conf(tmp_path):
    path = tmp_path / "opendkim.conf"

    def write(content):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


def set_in(path):
    return [(o.option.name, o.value, o.place.line) for o in read_conf(path)[0]]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("", []),
        ("\n \t\n#x\n  # x\n", []),
        ("Mode v", [("Mode", "v", 1)]),
        ("\n\t mOdE\t \tv \t\n", [("Mode", "v", 2)]),
        ("Mode v#s\n", [("Mode", "v", 1)]),
        ("Selector a#b\n", [("Selector", "a", 1)]),
        ("Mode v\r\nSelector x\r\n", [("Mode", "v", 1), ("Selector", "x", 2)]),
        ("Mode v\rSelector x\nSelector y", [("Mode", "v", 1), ("Selector", "y", 2)]),
        ("AuthservID a  b\tc\n", [("AuthservID", "a  b\tc", 1)]),
        ("AuthservID 'a'\n", [("AuthservID", "'a'", 1)]),
        ("AuthservID a \v\n", [("AuthservID", "a \v", 1)]),
        ("OversignHeaders From\n", [("OverSignHeaders", "From", 1)]),
        ("\ufeffMode v\n", [("Mode", "v", 1)]),
        (b"AuthservID \xff\n", [("AuthservID", "\udcff", 1)]),
        ("AuthservID " + "x" * 1_000_000, [("AuthservID", "x" * 1_000_000, 1)]),
    ],
)
def test_lines_are_divided_as_opendkim_divides_them(conf, content, found):
    assert set_in(conf(content)) == found


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        ("Mode\n", 1, "Mode: its value is missing; write one behind it"),
        ("\nMode #v\n", 2, "Mode: its value is missing"),
        ("Mode\vv", 1, r"there is no option 'Mode\x0bv'; did you mean Mode?"),
        ("Modus v", 1, "there is no option 'Modus'; did you mean Mode?"),
        ("Keytabel x", 1, "there is no option 'Keytabel'; did you mean KeyTable?"),
        ("qqqqqq x", 1, "there is no option 'qqqqqq'; take the line out"),
        (b"\xff\xfeM\0o\0", 1, "there is no option"),
        ("x" * 100_000, 1, f"there is no option '{'x' * 60}...'"),
        ("Mode v\0s", 1, "Mode: its value holds a NUL; is this a text file?"),
        ("Syslog maybe", 1, "Syslog: 'maybe' is neither yes nor no; write yes or no"),
        ("Syslog maybe\nSyslog yes", 1, "Syslog: 'maybe' is neither"),
        ("UMask 7 8", 1, "UMask: '7 8' is not an integer"),
        ("Mode sx", 1, "Mode: 'sx' is unknown; write s, v or sv"),
    ],
)
def test_a_wrong_line_is_named_with_cause_and_cure(conf, content, line, problem):
    with pytest.raises(SettingsError) as error:
        load_settings(path := conf(content))
    assert (error.value.file, error.value.line) == (path, line)
    assert problem in error.value.problem


def test_the_last_one_wins_and_earlier_ones_are_not_judged_by_meaning(conf):
    assert not load_settings(conf("Mode x\nMode v\n")).hosts.signs


def test_an_include_stands_in_the_place_of_its_line(conf, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inner.conf").write_text("Selector b\nMode v\nAuthservID b\n")
    path = conf("Selector a\nAuthservID a\nInclude  inner.conf # here\nAuthservID c\n")
    settings = load_settings(path)
    assert not settings.hosts.signs
    assert settings.signing.selector == "b"
    assert settings.verifying.authserv_id == "c"
    assert settings.files == (path, "inner.conf")
    assert settings.origin("Selector") == ("inner.conf", 1)
    assert settings.origin("authservid") == (path, 4)
    assert settings.origin("Socket") == (None, None)
    assert occurrences(path, "AUTHSERVID") == ["c", "b", "a"]


def test_an_error_in_an_included_file_names_that_file(conf, tmp_path):
    (tmp_path / "inner.conf").write_text("\nMode x\n")
    with pytest.raises(SettingsError) as error:
        load_settings(conf(f"Include {tmp_path}/inner.conf\n"))
    assert (error.value.file, error.value.line) == (f"{tmp_path}/inner.conf", 2)


def test_files_are_included_five_deep_and_no_deeper(tmp_path):
    for number in range(7):
        (tmp_path / f"{number}").write_text(f"Selector {number}\nInclude {tmp_path}/{number + 1}\n")
    (tmp_path / "5").write_text("Mode v\n")
    assert not load_settings(str(tmp_path / "0")).hosts.signs
    (tmp_path / "5").write_text(f"Include {tmp_path}/6\n")
    with pytest.raises(SettingsError, match="more than 5 deep; does one include itself") as error:
        load_settings(str(tmp_path / "0"))
    assert (error.value.file, error.value.line) == (str(tmp_path / "5"), 1)


def test_a_file_that_includes_itself_is_an_error_and_no_endless_loop(conf):
    path = conf("")
    conf(f"Include {path}\n" * 100)
    with pytest.raises(SettingsError, match="does one include itself"):
        load_settings(path)


def test_an_included_file_that_cannot_be_read_is_an_error_of_the_line(conf):
    with pytest.raises(SettingsError) as error:
        load_settings(path := conf("\nInclude /nowhere/x.conf\n"))
    assert (error.value.file, error.value.line) == (path, 2)
    assert "'/nowhere/x.conf'" in error.value.problem
    assert "No such file" in error.value.problem


@pytest.mark.parametrize("path", ["/nowhere/opendkim.conf", "/", "a\0b", "/nowhere/x.toml"])
def test_a_file_that_cannot_be_read_is_an_error_without_a_line(path):
    with pytest.raises(SettingsError, match="cannot be read") as error:
        load_settings(path)
    assert (error.value.file, error.value.line) == (path, None)


def test_a_device_is_not_read_for_ever():
    with pytest.raises(SettingsError, match="is this the right file"):
        load_settings("/dev/zero")


def test_a_dash_is_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\nMode x\n")))
    with pytest.raises(SettingsError) as error:
        load_settings("-")
    assert str(error.value) == "-:2: Mode: 'x' is unknown; write s, v or sv"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Mode v\n")))
    assert load_settings("-").files == ("-",)


def test_values_are_printed_as_opendkim_prints_them(conf):
    path = conf("UMask 007\nSyslog no\nUMask 0x1f\nSyslog Yes\nSelector  a b \n")
    assert occurrences(path, "umask") == ["31", "7"]
    assert occurrences(path, "syslog") == ["True", "False"]
    assert occurrences(path, "selector") == ["a b"]
    assert occurrences(path, "socket") == occurrences(path, "nix") == []


NAMES = st.sampled_from(["Mode", "UMask", "Include", "Syslog", "KeyTable", "Minimum", "AuthservID"])


@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(
            st.builds(
                lambda name, rest: name.encode() + b" " + rest, NAMES, st.binary(max_size=30)
            ),
            max_size=5,
        ).map(b"\n".join),
    )
)
def test_no_file_raises_anything_but_a_settings_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "fuzzed.conf"
    path.write_bytes(content)
    with suppress(SettingsError):
        load_settings(str(path))
