"""The file of key backends: values, lines of what is wrong, and no secret, not even in an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dkimcore.errors import ConfigError, KeyUriError
from dkimcore.keys.limits import EndpointLimits
from dkimcore.keys.sections import BackendSection, RecordMode, Sections, StoreSettings
from tests.lineartime import is_linear


@pytest.fixture
def load(tmp_path):
    def load(text):
        path = tmp_path / "keys.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return Sections.load(path)

    return load


def refused(load, text, line, says):
    with pytest.raises(ConfigError, match=says) as caught:
        load(text)
    assert caught.value.line == line
    assert caught.value.file.endswith("keys.toml")
    assert "CANARY" not in str(caught.value)
    assert caught.value.__cause__ is None
    return str(caught.value)


FULL = """\
# Where keys are.
[store]
deadline = 2
refresh = 60.5
stale = 0
negative = 1
record_check = "refuse"

[backend.eu]
type = "vault"
address = "https://vault.example.com:8200"
threads = 4
token_file = "vault.token"
tls = true
names = ["a", "b"]

[backend."us-1"]
type = "vault"
[backend.hsm]
type = "pkcs11"
token = "dkim"
"""


def test_what_is_said_is_there(load, tmp_path):
    sections = load(FULL)
    assert sections.store == StoreSettings(
        deadline=2.0, refresh=60.5, stale=0.0, negative=1.0, record_check=RecordMode.REFUSE
    )
    assert set(sections.backends) == {"eu", "us-1", "hsm"}
    eu = sections.get("vault", "eu")
    assert (eu.name, eu.kind, eu.line) == ("eu", "vault", 9)
    assert eu.text("address") == "https://vault.example.com:8200"
    assert eu.text("region") is None
    assert eu.text("region", "eu-west-1") == "eu-west-1"
    assert eu.path("token_file") == f"{tmp_path}/vault.token"
    assert eu.path("other") is None
    assert eu.flag("tls", default=False) is True
    assert eu.flag("other", default=False) is False
    assert eu.texts("names") == ("a", "b")
    assert eu.texts("address") == ("https://vault.example.com:8200",)
    assert eu.texts("other") == ()
    assert eu.number("threads", 1.0, minimum=1, maximum=9) == 4.0
    assert eu.integer("threads", 1, minimum=1, maximum=9) == 4
    assert EndpointLimits.of(eu) == EndpointLimits(threads=4)
    eu.allow("address", "token_file", "tls", "names")


def test_paths_are_the_files_neighbours_or_whole_or_at_home(load, monkeypatch):
    monkeypatch.setenv("HOME", "/home/dkim")
    section = load('[backend.a]\ntype = "x"\none = "/etc/a"\ntwo = "~/b"\n').get("x")
    assert (section.path("one"), section.path("two")) == ("/etc/a", "/home/dkim/b")
    assert BackendSection(name="a", kind="x", values={"one": "b"}).path("one") == "b"


def test_a_section_is_found_by_name_or_because_it_is_the_only_one(load):
    sections = load(FULL)
    assert sections.get("pkcs11").name == "hsm"
    with pytest.raises(KeyUriError, match="2 backends of type vault; add backend=eu or backend=us"):
        sections.get("vault")
    with pytest.raises(KeyUriError, match=r"no section \[backend.as\] \(.*keys.toml; known: eu, "):
        sections.get("vault", "as")
    with pytest.raises(KeyUriError, match=r"keys.toml:19: backend hsm is of type pkcs11"):
        sections.get("vault", "hsm")
    empty = sections.get("aws")
    assert (empty.name, dict(empty.values), empty.line) == ("default", {}, None)
    with pytest.raises(KeyUriError, match="no file of key backends is set; known: none"):
        Sections().get("vault", "eu")


def test_without_a_file_or_with_an_empty_one_there_are_the_defaults(load):
    assert load("").store == Sections().store == StoreSettings()
    assert Sections().get("aws").name == "default"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("[stroe]\n", 1, r"no section \[stroe\]; there are \[store\] and \[backend.NAME\]"),
        ("\n\na = 1\n", 3, r"no section \[a\]"),
        ("x" * 100 + " = 1", 1, r"no section \[x{64}\]"),
        ("\nstore = 3\n", 2, r"write \[store\]"),
        ("\nbackend = 3\n", 2, r"write \[store\]"),
        ("[[store]]\n", 1, r"write \[store\]"),
        ("[backend]\n\neu = 3\n", 3, r"write \[backend.eu\] as a section"),
        ("\n[[backend.eu]]\n", 2, r"write \[backend.eu\] as a section"),
        ("\n[backend.eu]\n", 2, 'backend eu needs a type: "vault"'),
        ("[backend.eu]\ntype = 3\n", 1, "needs a type"),
        ('[backend.eu]\ntype = ""\n', 1, "needs a type"),
        ('[backend . "e u"]\ntype = "x"\n', 1, "a backend's name has letters"),
        ("[store]\ndeadlin = 3\n", 2, "has no key deadlin; it knows: deadline, refresh"),
        ('[store]\n\ndeadline = "3"\n', 3, r"\[store\]: deadline: write a number from 0.1 to 60"),
        ("[store]\ndeadline = nan\n", 2, "write a number"),
        ("[store]\ndeadline = inf\n", 2, "write a number"),
        ("[store]\ndeadline = true\n", 2, "write a number"),
        ("[store]\ndeadline = 0\n", 2, "write a number"),
        (f"[store]\ndeadline = 0x{'f' * 300}\n", 2, "write a number"),
        ("[store]\ndeadline = 1979-05-27\n", 2, "write a number"),
        (f"[store]\ndeadline = {'9' * 5000}\n", None, "a number has too many digits"),
        ("store.deadline = 0\n", 1, "write a number"),
        ('[store]\nrecord_check = "no"\n', 2, "record_check is warn, refuse or ignore"),
        ("[store]\nrecord_check = 3\n", 2, "write a text"),
        ("[store\n", 1, "this is not TOML"),
        ("[store]\ndeadline = \n", 2, "this is not TOML"),
        ("[store]\n[store]\n", 2, "this is not TOML"),
        (b"[store]\n# \xff\n", None, "not UTF-8"),
        (f"a = {'[' * 100_000}", None, "more than 128 deep"),  # where, Python does not tell
        ("#" * 1_048_577, None, "more than 1048576 octets"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(load, text, line, says):
    refused(load, text, line, says)


EU = '[backend.eu]\ntype = "x"\n'


def nested(depth, opening, closing, inside="1"):
    return opening * depth + inside + closing * depth


def dotted(parts):
    return ".".join("b" * parts)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"{EU}a = {nested(129, '[', ']')}\n", 3),
        (f"{EU}a = {nested(400, '[', ']')}\n", 3),
        (f"{EU}a = {nested(129, '{b = ', '}')}\n", 3),
        (f"{EU}a = {{ {dotted(1500)} = 1 }}\n", 3),
        (f"{EU}\n{dotted(1500)} = 1\n", 4),
        (f'{EU}\n"\\"b".{dotted(1500)} = 1\n', 4),
        (f"{EU}[backend.eu.{dotted(1500)}]\nc = 1\n", 3),
        (f"[[backend.eu.{dotted(127)}]]\n", 1),
        (f"{dotted(1500)} = 1\n", 1),
        pytest.param(f"{dotted(100_000)} = 1\n", 1, id="for which tomllib takes 40 GB"),
    ],
)
def test_what_stands_too_deep_is_refused_with_its_line(load, text, line):
    refused(load, text, line, "more than 128 deep; write it flatter")


@pytest.mark.parametrize(
    "text",
    [
        f"{EU}a = {nested(128, '[', ']')}\n",
        f"{EU}a = {nested(128, '{b = ', '}')}\n",
        f"{EU}{dotted(126)} = 1\n",
        f"{EU}[backend.eu.{dotted(126)}]\n",
        f"{EU}a = '''\n{dotted(1500)} = 1\n'''\n",
    ],
)
def test_what_stands_as_deep_as_it_may_is_left_to_the_backend(load, text):
    assert len(load(text).get("x").values) == 2


@pytest.mark.parametrize(
    ("inside", "says"),
    [
        ("{ pin = 'CANARY' }", "pin would be a secret"),
        ("[0, 0, 'https://u:CANARY@h', 0]", "a secret stands in a"),
    ],
)
def test_a_secret_is_found_as_deep_as_anything_may_stand(load, inside, says):
    refused(load, f"{EU}a = {nested(127, '[', ']', inside)}\n", 3, says)


@pytest.mark.alone
@pytest.mark.parametrize(
    "make",
    [
        lambda size: "".join(f'[backend.b{n}]\ntype = "x"\n' for n in range(size // 32)),
        lambda size: EU + "".join(f"k{n} = 1\n" for n in range(size // 16)),
        lambda size: f"{EU}{'k' * size} = [{'1,' * (size // 4)}]\n",
        lambda size: f'{EU}a = "//{":" * size}"\n',
    ],
    ids=["sections", "keys", "items", "colons"],
)
def test_odd_files_take_linear_time(load, make):
    assert is_linear(make, load)


def test_a_file_that_cannot_be_read(tmp_path):
    for path in (tmp_path / "absent.toml", tmp_path, "a\0b"):
        with pytest.raises(ConfigError, match="cannot be read"):
            Sections.load(path)


SECRETS = """
token
secret_id
password
pin
client-secret
api_key
private_key
PASSWORD
"""


@pytest.mark.parametrize("name", SECRETS.split())
def test_a_secret_is_refused_by_its_name(load, name):
    text = f'[backend.eu]\ntype = "vault"\n\n{name} = "CANARY"\n'
    says = f"{name} would be a secret, .*file of mode 0600 and write {name}_file"
    refused(load, text, 4, says)
    load(f'[backend.eu]\ntype = "vault"\n{name}_file = "/x"\n{name}_env = "X"\n')


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('backend.eu.type = "vault"\nbackend.eu.token = "CANARY"\n', 2),
        ('[backend]\n\neu = { type = "vault", token = "CANARY" }\n', 3),
        ('[backend]\neu.type = "vault"\n\neu.token = "CANARY"\n', 4),
        ('[backend.eu]\ntype = "vault"\n\n"token" = "CANARY"\n', 4),
        ("[backend.eu]\ntype = 'vault'\n'token' = 'CANARY'\n", 3),
        ('[backend.eu]\ntype = "vault"\n[backend.eu.auth]\nsecret_id = "CANARY"\n', 3),
        ('[backend.eu]\ntype = "vault"\nauth = [{ pin = "CANARY" }]\n', 3),
        ('[backend.eu]\ntype = "vault"\nx = """\n[backend.b]\npin\n"""\npin = "CANARY"\n', 7),
        ("[backend.eu]\ntype = 'vault'\nx = [\n['a'],\n]\npin = 'CANARY'\n", 6),
        ('[backend.eu]\r\ntype = "vault"\r\ntoken = "CANARY"\r\n', 3),
        ('[backend.eu] # comment\ntype = "vault"\ntoken = "CANARY"\n', 3),
        ('[backend.eu]\ntype = "v"\naddress = "https://u:CANARY@vault:8200"\n', 3),
        ('[backend.eu]\ntype = "v"\nproxies = ["http://u:CANARY@proxy"]\n', 3),
        ('[backend.eu]\ntype = "v"\nkey = """-----BEGIN PRIVATE KEY-----\nCANARY"""\n', 3),
    ],
)
def test_a_secret_is_found_wherever_it_stands(load, text, line):
    assert "secret" in refused(load, text, line, "backend eu: ")


@pytest.mark.parametrize(
    "text", ["CANARY", "token = CANARY", 'token = "CANARY', "[a]\nb = 'CANARY"]
)
def test_what_is_no_toml_is_not_quoted(load, text):
    with pytest.raises(ConfigError, match="not TOML") as caught:
        load(text)
    assert "CANARY" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None or (
        caught.value.__suppress_context__
    )


def test_a_token_of_pkcs11_is_a_device(load):
    assert load('[backend.a]\ntype = "pkcs11"\ntoken = "dkim"\n').get("pkcs11").text("token")
    refused(load, '[backend.a]\ntype = "pkcs11"\npin = "CANARY"\n', 3, "pin would be a secret")


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda section: section.text("n"), 'n: write a text, such as "..."'),
        (lambda section: section.text("empty"), "empty: write a text"),
        (lambda section: section.text("nul"), "nul: a NUL stands in it"),
        (lambda section: section.path("n"), "n: write a text"),
        (lambda section: section.path("nul"), "nul: a NUL stands in it"),
        (lambda section: section.texts("n"), "n: write a list of texts"),
        (lambda section: section.texts("mixed"), "mixed: write a list of texts"),
        (lambda section: section.flag("n", default=True), "n: write true or false"),
        (lambda section: section.number("s", 1.0, minimum=0, maximum=1), "s: write a number from"),
        (lambda section: section.number("n", 1.0, minimum=0, maximum=1), "n: write a number from"),
        (lambda section: section.number("huge", 1, minimum=0, maximum=9), "huge: write a number"),
        (lambda section: section.number("nan", 1, minimum=0, maximum=9), "nan: write a number"),
        (lambda section: section.number("inf", 1, minimum=0, maximum=9), "inf: write a number"),
        (lambda section: section.number("day", 1, minimum=0, maximum=9), "day: write a number"),
        (lambda section: section.integer("huge", 1, minimum=0, maximum=9), "huge: write a whole"),
        (lambda section: section.integer("f", 1, minimum=0, maximum=9), "f: write a whole number"),
        (lambda section: section.integer("yes", 1, minimum=0, maximum=9), "yes: write a whole"),
        (
            lambda section: section.integer("n", 1, minimum=0, maximum=1),
            "n: write a whole number from 0 to 1",
        ),
        (
            lambda section: section.allow(*set(section.values) - {"mixed"}),
            "mixed: x has no such key",
        ),
    ],
)
def test_a_value_of_another_kind_is_refused_with_its_line(load, ask, says):
    lines = ['type = "x"', "n = 3", 's = "3"', "f = 1.5", "yes = true", 'empty = ""', "mixed = [1]"]
    lines += [f"huge = 0x{'f' * 300}", "nan = nan", "inf = inf", "day = 1979-05-27"]
    lines += [r'nul = "~\u0000"']
    section = load("[backend.a]\n" + "\n".join(lines)).get("x")
    with pytest.raises(ConfigError, match=f"backend a: {says}") as caught:
        ask(section)
    key = says.partition(":")[0]
    assert caught.value.line == 2 + [line.partition(" ")[0] for line in lines].index(key)


@pytest.mark.parametrize("key", ["threads", "queue", "attempts"])
def test_limits_that_cannot_be(load, key):
    section = load(f'[backend.a]\ntype = "x"\n{key} = 0\n').get("x")
    with pytest.raises(ConfigError, match=rf"keys.toml:3: backend a: {key}: write a whole number"):
        EndpointLimits.of(section)
    assert EndpointLimits.of(BackendSection(name="a", kind="x"), threads=3).threads == 3


def test_no_value_shows_in_a_repr(load):
    sections = load('[backend.a]\ntype = "x"\nnote = "CANARY"\n')
    assert "CANARY" not in repr(sections)


@given(st.text(alphabet="[]{}.=\"'#\n\\ abtype,0", max_size=200))
def test_any_text_is_sections_or_a_configuration_error(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("sections") / "keys.toml"
    path.write_text(text)
    error = None
    try:
        assert Sections.load(path)
    except ConfigError as exc:
        error = exc
    if error is not None:
        assert error.file == str(path)
        assert error.line is None or 1 <= error.line <= text.count("\n") + 1
