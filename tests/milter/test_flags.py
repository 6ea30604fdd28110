"""The command line is read as getopt(3) reads opendkim(8)'s, and means the same options."""

from __future__ import annotations

import pytest

from dkimcore_milter.flags import FLAGS, Flags, UsageError, parse, usage

OPENDKIM = "Ab:c:d:De:fF:k:lL:no:p:P:Qrs:S:t:T:u:vVWx:X?"


def test_each_flag_of_opendkim_is_there_with_or_without_an_argument():
    ours = {flag.letter + (":" if flag.argument else "") for flag in FLAGS}
    theirs = {
        letter + (":" if OPENDKIM[number + 1 : number + 2] == ":" else "")
        for number, letter in enumerate(OPENDKIM)
        if letter not in ":?"
    }
    assert ours == theirs


@pytest.mark.parametrize(
    ("arguments", "overrides"),
    [
        (["-A"], [("AutoRestart", "yes")]),
        (["-b", "v"], [("Mode", "v")]),
        (["-c", "relaxed/simple"], [("Canonicalization", "relaxed/simple")]),
        (["-d", "example.com,example.net"], [("Domain", "example.com,example.net")]),
        (["-D"], [("SubDomains", "yes")]),
        (["-f"], [("Background", "no")]),
        (["-k", "/etc/dkim/s1"], [("KeyFile", "/etc/dkim/s1")]),
        (["-l"], [("Syslog", "yes")]),
        (["-L", "10%"], [("Minimum", "10%")]),
        (["-o", "to,cc"], [("OmitHeaders", "to,cc")]),
        (["-p", "inet:8891@localhost"], [("Socket", "inet:8891@localhost")]),
        (["-P", "/run/x.pid"], [("PidFile", "/run/x.pid")]),
        (["-r"], [("RequiredHeaders", "yes")]),
        (["-s", "s1"], [("Selector", "s1")]),
        (["-S", "rsa-sha256"], [("SignatureAlgorithm", "rsa-sha256")]),
        (["-T", "7"], [("DNSTimeout", "7")]),
        (["-u", "opendkim:mail"], [("UserID", "opendkim:mail")]),
        (["-W"], [("LogWhy", "yes")]),
        (["-X"], []),
    ],
)
def test_a_flag_is_another_way_to_write_an_option(arguments, overrides):
    assert parse(arguments) == Flags(overrides=tuple(overrides))


def test_flags_are_bundled_and_arguments_may_follow_at_once():
    flags = parse(["-lfvv", "-x/etc/opendkim.conf", "-pinet:1@localhost", "--"])
    assert flags == Flags(
        configuration="/etc/opendkim.conf",
        overrides=(("Syslog", "yes"), ("Background", "no"), ("Socket", "inet:1@localhost")),
        verbosity=2,
    )


def test_what_is_no_option():
    flags = parse(["-n", "-V", "-Q", "-e", "Mode", "-t", "a.eml,,-", "-F", "0", "-x", "-"])
    assert flags == Flags(
        configuration="-",
        check=True,
        versions=True,
        query=True,
        show="Mode",
        tests=("a.eml", "-"),
        fixed_time=0,
    )


def test_of_a_repeated_flag_the_last_counts():
    assert parse(["-x", "a", "-x", "b"]).configuration == "b"
    assert parse(["-s", "a", "-s", "b"]).overrides == (("Selector", "a"), ("Selector", "b"))


def test_help_and_version():
    assert parse(["--help"]).help
    assert parse(["--version"]).program_version


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["-q"], "option -q not recognized"),
        (["-x"], "option -x requires argument"),
        (["--quiet"], "option --quiet not recognized"),
        (["-?"], ""),
        (["-l", "operand"], "'operand'"),
        (["-n", "--", "-x"], "'-x'"),
        (["-t", ","], "-t names no file"),
    ],
)
def test_a_wrong_command_line_is_said_with_the_usage(arguments, problem):
    with pytest.raises(UsageError) as caught:
        parse(arguments)
    assert problem in caught.value.problem
    assert caught.value.show_usage


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        *(("-T", value) for value in ("x", "-1", "", "1s", "\u0664")),
        *(("-F", value) for value in ("x", "-1", "", "1x", "9" * 13, "9" * 5000)),
    ],
)
def test_a_number_that_is_none_is_refused(flag, value):
    with pytest.raises(UsageError, match="invalid") as caught:
        parse([flag, value])
    assert not caught.value.show_usage


def test_the_usage_text_names_each_flag():
    lines = usage("opendkim").splitlines()
    assert lines[0].startswith("opendkim: usage: opendkim ")
    named = {line.split()[0] for line in lines[1:]}
    assert named == {f"-{flag.letter}" for flag in FLAGS} | {"--help", "--version"}
