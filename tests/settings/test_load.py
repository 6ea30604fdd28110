"""Loading: what belongs together, what switches off what, and what is said at start."""

from __future__ import annotations

import pytest

from dkimcore.errors import SettingsError
from dkimcore.protocol.canonical import Canonicalization
from dkimcore.settings import Action, Settings, Source, load_settings
from dkimcore.settings.options import OPTIONS

TABLES = "KeyTable k\nSigningTable s\n"


@pytest.fixture
def load(tmp_path):
    def write(text, *, overrides=(), name="opendkim.conf"):
        (tmp_path / name).write_text(text)
        return load_settings(str(tmp_path / name), overrides=overrides)

    return write


def test_the_file_of_the_usual_guide(load, tmp_path):
    settings = load(
        """\
AutoRestart             Yes
AutoRestartRate         10/1h
UMask                   002
Syslog                  yes
SyslogSuccess           Yes
LogWhy                  Yes
Canonicalization        relaxed/simple
ExternalIgnoreList      refile:/etc/opendkim/TrustedHosts
InternalHosts           refile:/etc/opendkim/TrustedHosts
KeyTable                refile:/etc/opendkim/KeyTable
SigningTable            refile:/etc/opendkim/SigningTable
Mode                    sv
PidFile                 /var/run/opendkim/opendkim.pid
SignatureAlgorithm      rsa-sha256
UserID                  opendkim:opendkim
Socket                  inet:12301@localhost
"""
    )
    file = str(tmp_path / "opendkim.conf")
    assert settings.notices == ()
    assert settings.files == (file,)
    assert settings.signing.key_table == Source("refile:/etc/opendkim/KeyTable", file, 10)
    assert settings.hosts.internal == Source("refile:/etc/opendkim/TrustedHosts", file, 9)
    assert settings.signing.body_canonicalization is Canonicalization.SIMPLE
    assert settings.process.auto_restart_rate == (10, 3600)
    assert settings.process.umask == 0o002
    assert settings.process.user == "opendkim:opendkim"
    assert settings.origin("KeyTable") == (file, 10)


def test_without_a_file_the_defaults_hold_and_flags_count():
    assert load_settings(None) == load_settings("") == Settings()
    settings = load_settings(None, overrides=[("socket", "inet:1@::1"), ("Background", "no")])
    assert settings.process.socket == "inet:1@::1"
    assert not settings.process.background
    assert settings.files == settings.origins == ()


def test_flags_win_over_the_file_and_have_no_place(load):
    settings = load("Mode v\nDomain a\n", overrides=[("Mode", "s"), ("Domain", "b"), *KEY])
    assert (settings.hosts.signs, settings.hosts.verifies) == (True, False)
    assert settings.signing.domains == Source("b")
    assert settings.origins == ()


KEY = (("KeyFile", "/k"), ("Selector", "x"))


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        ([("Modus", "v")], "there is no option 'Modus'; did you mean Mode?"),
        ([("Mode", "x")], "Mode: 'x' is unknown; write s, v or sv"),
        ([("Mode", "")], "Mode: its value is missing; write one behind it"),
        ([("KeyFile", "/k")], "KeyFile and Selector must both be defined or both be undefined"),
    ],
)
def test_an_error_of_a_flag_names_no_file(overrides, problem):
    with pytest.raises(SettingsError) as error:
        load_settings(None, overrides=overrides)
    assert str(error.value) == problem


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("Selector x\n", 1, "KeyFile and Selector must both be defined or both be undefined"),
        ("\nKeyFile x\n", 2, "KeyFile and Selector must both be defined or both be undefined"),
        ("Domain x\n", 1, "Domain requires KeyFile and Selector"),
        ("SigningTable x\n", 1, "use of SigningTable requires KeyTable"),
        ("Mode v\nSigningTable x\n", 2, "use of SigningTable requires KeyTable"),
        ("KeyTable x\n", 1, "KeyTable requires either SigningTable or SetupPolicyScript"),
        ("Mode s\nKeyTable x\n", 2, "KeyTable requires either SigningTable"),
    ],
)
def test_options_that_need_each_other(load, text, line, problem):
    with pytest.raises(SettingsError) as error:
        load(text)
    assert error.value.problem.startswith(problem)
    assert error.value.line == line


@pytest.mark.parametrize(
    "text",
    [
        "Mode v\nSelector x\n",
        "Mode v\nKeyFile x\n",
        "Mode v\nDomain x\n",
        "Mode v\nKeyTable x\n",
        "KeyFile x\nSelector y\n",
        "KeyFile x\nSelector y\nDomain z\n",
        TABLES,
        TABLES + "Selector x\n",
    ],
)
def test_options_that_go_together(load, text):
    load(text)


def test_a_key_table_switches_the_single_key_off_and_says_so(load, tmp_path):
    settings = load(TABLES + "Domain d\nKeyFile f\n", overrides=[("Selector", "s")])
    assert settings.signing.domains is None
    assert settings.signing.key_file is None
    assert settings.signing.selector is None
    why = "is without effect: the KeyTable switches it off; take one of them out"
    assert settings.notices == (
        f"{tmp_path}/opendkim.conf:3: Domain {why}",
        f"Selector {why}",
        f"{tmp_path}/opendkim.conf:4: KeyFile {why}",
    )


def test_a_key_without_a_domain_signs_nothing_and_says_so(load, tmp_path):
    settings = load("Selector s\nKeyFile f\n")
    assert settings.notices == (
        f"{tmp_path}/opendkim.conf:2: KeyFile and Selector are without effect: add a Domain, "
        "which says who is signed for",
    )
    assert load("Selector s\nKeyFile f\nDomain d\n").notices == ()
    assert load("Selector s\nKeyFile f\nMode v\n").notices == ()


def test_on_default_comes_before_the_single_actions_wherever_it_stands(load):
    actions = load("On-BadSignature a\nOn-Default reject\nOn-Security T\n").actions
    assert actions.bad_signature is Action.ACCEPT
    assert actions.security is Action.TEMPFAIL
    assert {actions.dns_error, actions.internal_error, actions.key_not_found} == {Action.REJECT}
    assert {actions.no_signature, actions.signature_error} == {Action.REJECT}


def test_the_old_name_of_software_header_counts_and_is_mentioned(load):
    settings = load("X-Header yes\n")
    assert settings.logging.software_header
    assert "X-Header is the old name of SoftwareHeader" in settings.notices[0]
    assert not load("SoftwareHeader no\nX-Header yes\n").logging.software_header


def test_a_umask_that_is_decimal_is_mentioned(load):
    settings = load("UMask 22\n")
    assert settings.process.umask == 22
    assert "means 026; write 022 or 026" in settings.notices[0]
    for text in ("022", "7", "0x16", "0"):
        assert load(f"UMask {text}\n").notices == ()
    with pytest.raises(SettingsError, match="UMask: 1000 is not possible"):
        load("UMask 1000\n")


def test_options_without_effect_are_mentioned_once_unless_switched_off(load):
    settings = load("SendReports no\nSoftStart yes\nQueryCache no\nQueryCache 1\nLDAPTimeout 5\n")
    assert [notice.split(": ")[1] for notice in settings.notices] == [
        "SoftStart is without effect",
        "QueryCache is without effect",
        "LDAPTimeout is without effect",
    ]


def test_secrets_are_in_no_notice_and_no_repr(load):
    settings = load(
        "LDAPBindPassword hunter2\nKeyTable csl:k=example.com:s:hunter2\nSigningTable *=k\n"
    )
    assert "hunter2" not in repr(settings)
    assert "<Source 'csl:k=...' in " in repr(settings)


def test_lua_that_is_switched_off_is_not_refused(load):
    assert load("LuaOnlySigning no\n").notices == ()
    with pytest.raises(SettingsError, match="LuaOnlySigning: is refused: Lua is not run"):
        load("LuaOnlySigning yes\n")


def test_the_option_of_a_refusal_may_be_taken_out_by_its_words():
    refused = [option for option in OPTIONS if option.fate == "refused"]
    assert all(option.reason.endswith("take it out") for option in refused)
