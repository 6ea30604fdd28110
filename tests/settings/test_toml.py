"""The TOML form: its keys, its values, and the errors that name them."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dkimcore.errors import SettingsError
from dkimcore.protocol.algorithm import Algorithm
from dkimcore.settings import Action, LogFormat, Source, load_settings, occurrences
from dkimcore.tables import DataSet

PAGE = Path(__file__).parent.parent.parent / "docs/reference/settings-toml.md"


@pytest.fixture
def write(tmp_path):
    path = tmp_path / "milter.toml"

    def write(content):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


def test_the_sample_of_the_documentation_loads(write):
    (sample,) = re.findall(
        r"^```toml\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    settings = load_settings(path := write(sample))
    assert settings.notices == ()
    assert settings.files == (path,)
    assert settings.signing.multiple_signatures
    assert settings.process.umask == 0o007
    assert settings.process.socket == "inet:8891@127.0.0.1"
    assert settings.hosts.internal.text == "csl:127.0.0.1,::1,192.0.2.0/24"
    assert settings.origin("KeyTable") == (path, 6)


def test_keys_are_fields_and_values_are_what_toml_has(write):
    settings = load_settings(
        write(
            """\
[signing]
key-file = "/k"
selector = "s"
domains = ["a.example", "b.example"]
algorithm = "ed25519-sha256"
lifetime = 0
maximum-signed_bytes = -1
[actions]
security = "reject"
[resolving]
nameservers = ["192.0.2.53", "2001:db8::53"]
[logging]
format = "json"
[process]
umask = "22"
auto_restart_rate = "10/1h"
"""
        )
    )
    assert settings.signing.domains is not None
    assert settings.signing.domains.text == "csl:a.example,b.example"
    assert settings.signing.domains.line == 4
    assert settings.signing.algorithm is Algorithm.ED25519_SHA256
    assert settings.signing.lifetime is settings.signing.maximum_signed_bytes is None
    assert settings.actions.security is Action.REJECT
    assert settings.resolving.nameservers == ("192.0.2.53", "2001:db8::53")
    assert settings.logging.format is LogFormat.JSON
    assert settings.process.umask == 0o22
    assert settings.process.auto_restart_rate == (10, 3600)


@pytest.mark.parametrize("items", [[], ["::1"], ["/a"], ["a:b", "file:x"], ["*", "+X", "-Y"]])
def test_an_array_is_a_list_whatever_its_items_look_like(write, items):
    settings = load_settings(write(f"[hosts]\npeers = {items}\n"))
    assert settings.hosts.peers is not None
    assert [row.key for row in DataSet.load(settings.hosts.peers.text).rows()] == items


def test_flags_win_and_have_no_place(write):
    path = write('[hosts]\nsigns = false\ninternal = "x"\n[process]\nsocket = "inet:1"\n')
    settings = load_settings(path, overrides=[("Mode", "s"), ("InternalHosts", "y")])
    assert (settings.hosts.signs, settings.hosts.verifies) == (True, False)
    assert settings.hosts.internal == Source("y")
    assert dict(settings.origins) == {"socket": (path, 5)}


def test_the_rules_of_combination_hold_here_too(write):
    with pytest.raises(SettingsError, match="use of SigningTable requires KeyTable") as error:
        load_settings(write('\n[signing]\nsigning_table = "x"\n'))
    assert error.value.line == 3


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        ("[signing", 1, "this is not TOML: Expected ']'"),
        ("[signing]\nselector = a", 2, "this is not TOML: Invalid value"),
        ("[signing]\nselector = '", 2, "this is not TOML: "),
        ("[hosts]\na = " + "9" * 5000, None, "this is not TOML: "),
        ("[hosts]\nmta = " + "[" * 5000, None, "arrays stand too deep"),
        (b"# \xe4\n\n[hosts]\nmta = '\xe4'", 1, "octets that are not UTF-8"),
        ("[hosts]\nsigns = 1", 2, "hosts.signs: write true or false"),
        ("[hosts]\ninternal = 1", 2, "hosts.internal: write a string, in quotes"),
        ("[hosts]\ninternal = ['a,b']", 2, "an item of an array holds no comma"),
        ("[hosts]\ninternal = [1]", 2, "hosts.internal: write a string, in quotes"),
        ("[hosts]\ninternal = ' '", 2, "hosts.internal: a value is missing"),
        ("[hosts]\ninternal = 'a\\nb'", 2, None),
        ('[hosts]\ninternal = "a\\nb"', 2, "hosts.internal: a value is one line of text"),
        ("[hosts.internal]\nx = 1", None, "hosts.internal: write a string"),
        ("[signing]\nkey-file = ['/k']", 2, "signing.key-file: write a string"),
        ("[process]\nsocket = ['a']", 2, "process.socket: write a string"),
        ("[process]\nworkers = true", 2, "process.workers: write an integer, without quotes"),
        ("[process]\nworkers = '1'", 2, "process.workers: write an integer"),
        ("[process]\nworkers = 1.0", 2, "process.workers: write an integer"),
        ("[process]\nworkers = -1", 2, "-1 is not possible: it must be at least 0"),
        ("[process]\numask = 7", 2, 'process.umask: write a string such as "007"'),
        ("[process]\numask = '8'", 2, "process.umask: '8' is not a umask"),
        ("[process]\numask = '1000'", 2, "from 000 to 0777"),
        ("[actions]\nsecurity = 'x'", 2, "actions.security: 'x' is unknown; write one of:"),
        ("[signing]\nkey-file='a'\nkey_file='b'", 3, "signing.key_file: it is written with -"),
        ("[singing]\nx = 1", 1, "there is no section 'singing'; did you mean [signing]?"),
        ("\n[qqq]", 2, "there is no section 'qqq'; there are signing, verifying, hosts,"),
        ("signing = 1", 1, "signing is a section; write [signing], and its keys below"),
        ("[[signing]]", None, "signing is a section; write [signing]"),
        ("workers = 1", 1, "'workers' belongs below [process]"),
        ("Socket = 'x'", 1, "'Socket' belongs below [process]"),
        ("[process]\nworker = 1", 2, "no key 'worker' in [process]; did you mean workers?"),
        ("[process]\nqqq = 1", 2, "no key 'qqq' in [process]; take the line out"),
        ("[signing]\nKeyTable = 'x'", 2, "no key 'KeyTable' in [signing]; write signing.key_table"),
        ("[hosts]\nmode = 'v'", 2, "write hosts.signs and hosts.verifies"),
        ("[hosts]\nworkers = 1", 2, "no key 'workers' in [hosts]; write process.workers"),
        ("process.workers = -1", 1, "at least 0"),
        ('[process]\n"workers" = -1', 2, "at least 0"),
    ],
)
def test_a_wrong_file_is_named_with_line_cause_and_cure(write, content, line, problem):
    if problem is None:  # a literal string: the backslash is the value's
        load_settings(write(content))
        return
    with pytest.raises(SettingsError) as error:
        load_settings(path := write(content))
    assert problem in error.value.problem
    assert (error.value.file, error.value.line) == (path, line)


def test_values_are_printed_for_an_option(write):
    path = write('[process]\nworkers = 3\n[hosts]\nsigns=true\ninternal = ["a", "b"]\n')
    assert occurrences(path, "DKIMCOREWORKERS") == ["3"]
    assert occurrences(path, "Mode") == ["True"]
    assert occurrences(path, "InternalHosts") == ["a,b"]
    assert occurrences(path, "KeyTable") == occurrences(path, "nix") == []


LINES = st.sampled_from(
    [
        *("[signing]", "[hosts]", "[process]", "key-table", "signs", "umask", "= 'x'", "= 1"),
        *("= []", "[", "'", "= {a = 1}", "[[hosts]]", "hosts.signs = true", "= 1979-05-27", "\n"),
    ]
)


@given(st.one_of(st.binary(max_size=100), st.lists(LINES).map(lambda x: " ".join(x).encode())))
def test_no_file_raises_anything_but_a_settings_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "fuzzed.toml"
    path.write_bytes(content)
    with suppress(SettingsError):
        load_settings(str(path))
