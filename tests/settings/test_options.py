"""The table of options: complete, and true to the settings that it fills."""

from __future__ import annotations

import ast
from dataclasses import fields
from pathlib import Path

import pytest

from dkimcore.settings import Settings, load_settings
from dkimcore.settings.assemble import assemble
from dkimcore.settings.fields import GROUPS, READERS
from dkimcore.settings.opendkimconf import override
from dkimcore.settings.option import Fate, Importance, Kind
from dkimcore.settings.options import OPTIONS, find_option, nearest_options
from scripts.options import page

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
THEIRS = [
    line.split("\t")
    for line in (HERE / "opendkim_options.txt").read_text().splitlines()
    if not line.startswith("#")
]
each_option = pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)


def test_all_161_options_of_opendkim_are_there_and_ours_beside():
    assert len(THEIRS) == 161
    names = [option.name for option in OPTIONS]
    assert len({name.lower() for name in names}) == len(names)
    ours = [name for name in names if name.startswith("Dkimcore")]
    assert {name for name, _, _ in THEIRS} == set(names) - set(ours)
    assert ours == [o.name for o in OPTIONS if o.importance is Importance.OURS]


@pytest.mark.parametrize(("name", "kind", "importance"), THEIRS)
def test_an_option_is_what_it_is_in_opendkim(name, kind, importance):
    option = find_option(name.upper())
    assert option is not None
    assert (option.name, option.kind, option.importance) == (name, kind, importance)


@each_option
def test_an_option_says_what_it_does_and_why_not(option):
    assert option.effect.endswith(".")
    assert bool(option.reason) == (option.fate is not Fate.HONOURED)
    assert not option.reason.endswith(".")
    assert bool(option.fields) == (option.fate is Fate.HONOURED and option.kind != Kind.INCLUDE)
    assert set(option.fields) <= set(READERS)


def test_core_options_are_all_honoured():
    assert {o.fate for o in OPTIONS if o.importance is Importance.CORE} == {Fate.HONOURED}


def test_what_is_not_honoured_though_in_use_is_what_the_project_has_put_off():
    put_off = {
        o.name
        for o in OPTIONS
        if o.fate is not Fate.HONOURED and o.importance in {Importance.COMMON, Importance.RARE}
    }
    assert {name for name in put_off if not name.startswith("LDAP")} == {
        *("FinalPolicyScript", "ScreenPolicyScript", "SetupPolicyScript"),  # Lua
        *("MTACommand", "ReportAddress", "ReportBccAddress", "SMTPURI"),  # reports
        *("RequestReports", "SendReports"),
        *("BogusKey", "ResolverConfiguration", "TrustAnchorFile"),  # DNSSEC is the server's
        *("KeepTemporaryFiles", "TemporaryDirectory"),  # there are no such files
        "MilterDebug",  # it is libmilter's
        *("QueryCache", "SoftStart", "WeakSyntaxChecks"),  # always so, or nothing to soften
    }


def test_each_field_is_filled_by_an_option():
    filled = {field for option in OPTIONS for field in option.fields}
    assert filled == set(READERS)
    assert set(READERS) == {
        f"{group}.{field.name}" for group in GROUPS for field in fields(getattr(Settings(), group))
    }


def test_what_is_honoured_is_read_by_the_milter():
    read = {
        node.attr
        for path in (ROOT / "src/dkimcore_milter").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
    }
    # SignatureAlgorithm is checked and then each key's type decides, as its row says.
    assert {field for field in READERS if field.partition(".")[2] not in read} <= {
        "signing.algorithm"
    }


@each_option
def test_the_default_in_the_table_is_the_default(option):
    if option.fate is not Fate.HONOURED or option.name == "On-Default":
        return
    for field in option.fields:
        group, _, name = field.partition(".")
        value = getattr(getattr(Settings(), group), name)
        if option.default == "-":
            assert value in (None, ())
        else:
            given = assemble([override(option.name, option.default)])
            assert getattr(getattr(given, group), name) == value


@each_option
def test_a_value_reaches_its_field_or_the_log_or_is_refused(option, tmp_path):
    value = {
        Kind.BOOLEAN: "no" if option.default == "yes" else "yes",
        Kind.INTEGER: "2047",
    }.get(option.kind, "x")
    value = {
        "AutoRestartRate": "10/1h",
        "Canonicalization": "simple/simple",
        "DkimcoreLogFormat": "json",
        "DkimcoreMaximumQueries": "3",
        "DkimcoreMaximumThreads": "3",
        "DkimcoreWorkers": "3",
        "Include": "/dev/null",
        "Minimum": "50%",
        "Mode": "v",
        "Nameservers": "192.0.2.53",
        "SignatureAlgorithm": "ed25519-sha256",
        "SyslogFacility": "local3",
        "UMask": "007",
        "UnprotectedKey": "neutral",
    }.get(option.name, "discard" if option.name.startswith("On-") else value)
    conf = tmp_path / "x.conf"
    extra = {
        "Domain": "KeyFile /k\nSelector s\n",
        "KeyFile": "Selector s\n",
        "KeyTable": "SigningTable t\n",
        "Selector": "KeyFile /k\n",
        "SigningTable": "KeyTable t\n",
    }.get(option.name, "")
    conf.write_text(f"{extra}{option.name} {value}\n")
    if option.fate is Fate.REFUSED:
        with pytest.raises(Exception, match=f"{option.name}: is refused: ") as error:
            load_settings(str(conf))
        assert error.value.line == 1
        return
    settings = load_settings(str(conf))
    if option.fate is Fate.NO_EFFECT:
        (line,) = settings.notices
        assert line == f"{conf}:1: {option.name} is without effect: {option.reason}"
    elif option.name != "Include":
        assert settings.origin(option.name)[0] == str(conf)
        for field in option.fields:
            group, _, name = field.partition(".")
            now, default = (getattr(getattr(s, group), name) for s in (settings, Settings()))
            assert now != default or (option.name, name) in {
                ("Mode", "verifies"),
            }


def test_names_compare_without_case_and_near_ones_are_found():
    assert find_option("oversignheaders") is find_option("OverSignHeaders")
    assert find_option("Nix") is None
    assert nearest_options("OnBadSignature")[0] == "On-BadSignature"
    assert nearest_options("SigninTable")[0] == "SigningTable"
    assert nearest_options("q" * 100_000) == ()


def test_the_page_names_every_option_once():
    lines = [line.split(" | ")[0].removeprefix("| ") for line in page().splitlines()]
    assert sorted(set(lines) & {o.name for o in OPTIONS}) == sorted(o.name for o in OPTIONS)
    for option in OPTIONS:
        assert lines.count(option.name) == 1
