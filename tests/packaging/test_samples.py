"""The sample configurations: they load, both forms say the same, and what they show is so."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from dkimcore.settings.load import load_settings
from dkimcore.settings.model import Action, Settings

ROOT = Path(__file__).resolve().parent.parent.parent
CONF = ROOT / "contrib/opendkim.conf.sample"
TOML = ROOT / "contrib/milter.toml.sample"
CONTAINER = ROOT / "contrib/docker/opendkim.conf"


def plain(settings):
    """What settings say, without where they say it."""

    def bare(group):
        changes = {}
        for name in group.__dataclass_fields__:
            value = getattr(group, name)
            if hasattr(value, "line"):
                changes[name] = replace(value, file=None, line=None)
        return replace(group, **changes)

    groups = ("signing", "verifying", "hosts", "actions", "resolving", "logging", "process")
    return {name: bare(getattr(settings, name)) for name in groups}


@pytest.fixture
def toml(tmp_path):
    """The TOML sample under a name that says what it is."""
    path = tmp_path / "milter.toml"
    path.write_bytes(TOML.read_bytes())
    return path


def test_both_forms_say_the_same(toml):
    assert plain(load_settings(str(toml))) == plain(load_settings(str(CONF)))


def test_nothing_in_the_sample_is_without_effect():
    settings = load_settings(str(CONF))
    assert settings.notices == ()
    assert settings.hosts.signs
    assert settings.hosts.verifies
    assert settings.signing.multiple_signatures
    assert settings.logging.why
    assert settings.process.auto_restart_rate == (10, 3600)


def uncommented(path):
    """A sample in which every line that shows a default counts."""
    return re.sub(r"(?m)^#(?=[A-Za-z])", "", path.read_text("ascii"))


def test_lines_that_are_commented_out_load_as_well(tmp_path):
    conf, toml = tmp_path / "opendkim.conf", tmp_path / "milter.toml"
    conf.write_text(uncommented(CONF))
    # TOML takes no key twice; there are two sockets to choose from.
    toml.write_text(uncommented(TOML).replace('socket = "inet:8891@localhost"\n', ""))
    first, second = plain(load_settings(str(conf))), plain(load_settings(str(toml)))
    assert first == second
    assert first["process"].socket == "local:/var/spool/postfix/opendkim/opendkim.sock"
    assert first["process"].umask == 0o007


@pytest.mark.parametrize(
    "field", ["bad_signature", "dns_error", "internal_error", "key_not_found", "no_signature"]
)
def test_the_actions_that_the_sample_shows_are_the_defaults(field):
    name = field.replace("_", "-")
    shown = re.search(rf'(?m)^#{name} = "(\w+)"$', TOML.read_text("ascii"))
    assert shown is not None
    assert Action(shown[1]) is getattr(Settings().actions, field)


def test_the_container_verifies_until_it_is_told_more():
    settings = load_settings(str(CONTAINER), overrides=[("Socket", "inet:8891@0.0.0.0")])
    assert (settings.hosts.signs, settings.hosts.verifies) == (False, True)
    assert settings.logging.format == "json"
    assert settings.notices == ()
