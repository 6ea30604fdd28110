"""The commands with keys that are kept by another backend than files: a third party's."""

from __future__ import annotations

import subprocess
import sys

import dkim
import pytest

from dkimcore.resolvers.zonefile import read_records
from tests.cli.conftest import MESSAGE

DOMAIN = ("-d", "example.com")


@pytest.fixture
def stored(run, shelf, tmp_path):
    """Makes a key on the shelf, and returns its pinned URI, its SEL.txt and its options."""

    def make(kind="ed25519", selector="s1"):
        where = ["--backends", shelf.backends, "-D", tmp_path, "--json"]
        call = ["keygen", *DOMAIN, "-s", selector, "--type", kind, "--key", f"shelf:{selector}"]
        (made,) = run(*call, *where).json
        return made["key"], tmp_path / f"{selector}.txt"

    return make


def dns_of(records):
    """A lookup function for dkimpy."""
    known = read_records(records, origin="example.com")
    return lambda name, timeout=5: known[name.decode()][0]


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_it_signs_what_others_verify(run, shelf, stored, message, kind):
    uri, records = stored(kind)
    ran = run("sign", *DOMAIN, "-s", "s1", "-k", uri, "--backends", shelf.backends, message)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.endswith(MESSAGE)
    verified = run("verify", "--records", records, stdin=ran.out)
    assert (verified.status, verified.err) == (0, "")
    assert dkim.verify(ran.out, dnsfunc=dns_of(records))


def test_several_keys_of_several_backends_sign_in_one_pass(run, keys, shelf, stored, message):
    uri, records = stored()
    signers = ["--signer", f"example.com:s1:{uri}", "--signer", f"example.com:s1:{keys}/s1.private"]
    ran = run("sign", *signers, "--backends", shelf.backends, message)
    assert ran.status == 0
    assert ran.out.count(b"DKIM-Signature:") == 2
    assert run("verify", "--records", records, stdin=ran.out).status == 0


def test_the_environment_names_the_backends(run, shelf, stored, monkeypatch):
    uri, records = stored()
    call = ["testkey", *DOMAIN, "-s", "s1", "-k", uri, "--records", records]
    assert run(*call).status == 78
    monkeypatch.setenv("DKIMCORE_KEY_BACKENDS", str(shelf.backends))
    assert run(*call).status == 0
    assert run(*call, "--backends", "/nowhere/keys.toml").status == 78


def test_its_record_is_printed(run, shelf, stored):
    uri, records = stored()
    (published,) = read_records(records, origin="example.com")["s1._domainkey.example.com."]
    ran = run("record", "--key", uri, "--backends", shelf.backends)
    assert (ran.status, ran.out) == (0, published + b"\n")


def test_it_is_tested_against_its_record(run, shelf, stored):
    uri, records = stored()
    where = ["--backends", shelf.backends, "--records", records]
    ran = run("testkey", *DOMAIN, "-s", "s1", "-k", uri, *where, "-vvv")
    assert ran.status == 0
    assert ran.out == b"dkimcore testkey: key OK\n"
    other, _ = stored(selector="s2")
    ran = run("testkey", *DOMAIN, "-s", "s1", "-k", other, *where)
    assert (ran.status, ran.err) == (65, "dkimcore testkey: keys do not match\n")


@pytest.mark.parametrize(
    ("break_it", "status", "says"),
    [
        (lambda shelf: (shelf.folder / "down").touch(), 75, "the shelf is down; put it up again"),
        (lambda shelf: (shelf.folder / "locked").touch(), 77, "the shelf is locked; ask"),
        (lambda shelf: (shelf.folder / "s1.1.pem").unlink(), 66, "make it with dkimcore keygen"),
        (lambda shelf: (shelf.folder / "s1.1.pem").write_text("junk"), 78, "no sound private key"),
        (lambda shelf: shelf.backends.write_text("[backend"), 78, "keys.toml: this is not TOML"),
        (lambda shelf: shelf.backends.unlink(), 78, "keys.toml: the file of key backends cannot"),
        (
            lambda shelf: shelf.backends.write_text('[backend.hall]\ntype="shelf"\ncolour="red"'),
            78,
            "keys.toml:3: backend hall: colour: shelf has no such key",
        ),
        (lambda shelf: shelf.backends.write_text(""), 78, "write folder= into a section"),
    ],
)
@pytest.mark.parametrize("verb", ["sign", "testkey", "record", "key show", "key check"])
def test_what_is_wrong_with_a_backend_is_told_in_one_line(
    run, shelf, stored, message, verb, break_it, status, says
):
    uri, records = stored()
    break_it(shelf)
    call = {
        "sign": ["sign", *DOMAIN, "-s", "s1", "-k", uri, message],
        "testkey": ["testkey", *DOMAIN, "-s", "s1", "-k", uri, "--records", records],
        "record": ["record", "--key", uri],
        "key show": ["key", "show", uri],
        "key check": ["key", "check", uri],
    }[verb]
    ran = run(*call, "--backends", shelf.backends)
    assert (ran.status, ran.out) == (status, b"")
    assert says in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("shelf:s1?backend=cellar", r"there is no section [backend.cellar]"),
        ("shelf:s1?colour=red", "has no option 'colour'"),
        ("missing:s1", "needs the module tests.cli.no_such, which is absent"),
        ("shelves:s1", "no key backend has the scheme 'shelves'"),
        ("shelf:s1?token=CANARY", "holds no secrets"),
    ],
)
def test_what_is_wrong_with_a_uri(run, shelf, uri, says):
    ran = run("record", "--key", uri, "--backends", shelf.backends)
    assert (ran.status, ran.out) == (78, b"")
    assert says in ran.err
    assert "CANARY" not in ran.err


def test_a_secret_in_the_file_of_backends_is_refused_and_not_shown(run, shelf):
    shelf.backends.write_text('[backend.hall]\ntype = "shelf"\npassword = "CANARY"\n')
    ran = run("record", "--key", "shelf:s1", "--backends", shelf.backends)
    assert ran.status == 78
    assert "password_file" in ran.err
    assert "CANARY" not in ran.err


@pytest.fixture
def configure(tmp_path, shelf):
    """Writes a configuration whose key table has these rows."""

    def write(rows):
        (tmp_path / "KeyTable").write_text(rows)
        (tmp_path / "SigningTable").write_text("*@example.com s1\n")
        conf = tmp_path / "opendkim.conf"
        conf.write_text(
            f"KeyTable {tmp_path}/KeyTable\nSigningTable refile:{tmp_path}/SigningTable\n"
            f"DkimcoreKeyBackends {shelf.backends}\n"
        )
        return conf

    return write


@pytest.mark.parametrize("verb", [("testkey",), ("key", "check")])
def test_all_keys_of_a_configuration_with_its_own_backends(
    run, keys, shelf, stored, configure, verb, monkeypatch
):
    uri, records = stored()
    monkeypatch.setenv("DKIMCORE_KEY_BACKENDS", "/nowhere/keys.toml")
    conf = configure(f"s1 example.com:s1:{uri}\nnone example.com:s9:shelf:none?version=1\n")
    where = ["--records", records] if verb == ("testkey",) else []
    ran = run(*verb, "-x", conf, *where, "--json")
    first, second = ran.json
    assert (first["status"], first["key"]) == ("ok", uri)
    assert first["place"].endswith("KeyTable:1")
    assert second["status"] == "failed"
    assert "make it with dkimcore keygen" in second["problem"]
    assert (ran.status, ran.err) == (66, "")
    assert run(*verb, "-x", conf, "--backends", shelf.backends).status == 64


def test_one_key_that_fails_does_not_end_the_test_of_the_others(run, shelf, keys, configure):
    (shelf.folder / "down").touch()
    conf = configure(f"a example.com:s1:shelf:s1\nb example.com:s1:{keys}/s1.private\n")
    ran = run("testkey", "-x", conf, "--records", keys / "s1.txt")
    first, second = ran.out.decode().splitlines()
    assert first.endswith("the shelf is down; put it up again")
    assert second.endswith("key OK")
    assert ran.status == 75


def test_the_installed_command_finds_an_installed_backend(program, shelf, stored):
    uri, records = stored()
    where = ["--backends", shelf.backends, "--records", records]
    call = ["testkey", *DOMAIN, "-s", "s1", "-k", uri, *where, "-vvv"]
    ran = program(*call, **shelf.environment)
    assert (ran.status, ran.out) == (0, b"dkimcore testkey: key OK\n"), ran.err
    (shelf.folder / "down").touch()
    ran = program(*call, **shelf.environment)
    assert (ran.status, ran.out) == (75, b"")
    assert ran.err == f"dkimcore: {uri}: the shelf is down; put it up again\n"


@pytest.mark.parametrize(
    ("module", "extra", "uri"),
    [
        ("hvac", "vault", "vault-transit:transit/s1?version=1"),
        ("hvac", "vault", "vault-kv:secret/s1"),
        ("botocore", "aws", "awskms:alias/s1?region=eu-west-1"),
    ],
)
@pytest.mark.parametrize("verb", [("record",), ("keygen", "-s", "absent")])
def test_a_missing_extra_is_named(program, tmp_path, module, extra, uri, verb):
    # Without it installed: a module of this name that is none.
    (tmp_path / f"{module}.py").write_text(
        f"raise ModuleNotFoundError('No module named {module}', name='{module}')\n"
    )
    if verb[0] == "keygen":
        uri = uri.partition("?version")[0]
        verb = (*verb, "-D", tmp_path)
    ran = program(*verb, "--key", uri, PYTHONPATH=str(tmp_path))
    assert (ran.status, ran.out) == (78, b"")
    assert f"pip install 'dkimcore[{extra}]'" in ran.err
    assert ran.err.count("\n") == 1
    assert not (tmp_path / "absent.txt").exists()


def test_rows_of_a_key_table_without_a_domain_and_with_the_key_itself(run, keys, configure):
    pem = (keys / "s1-ed25519.private").read_text()
    base64 = "".join(pem.splitlines()[1:-1])
    conf = configure(f"any %:s1:{keys}/s1.private\ninline example.com:s1-ed25519:{base64}\n")
    ran = run("key", "check", "-x", conf)
    assert (ran.status, ran.err) == (0, "")
    first, second, *_ = ran.out.decode().splitlines()
    assert first.endswith("KeyTable:1: not checked: no domain is listed for it; name its KEYURI")
    assert second.startswith("inline:inline/")
    assert second.endswith("KeyTable:2): good")
    assert base64 not in ran.out.decode()
    skipped, checked = run("key", "check", "-x", conf, "--json").json
    assert (skipped["status"], checked["status"]) == ("skipped", "ok")


def test_a_broken_row_is_told_with_its_place(run, configure):
    ran = run("key", "check", "-x", configure("bad example.com\n"))
    assert (ran.status, ran.out) == (78, b"")
    assert ran.err.startswith("dkimcore key: ")
    assert "KeyTable:1: " in ran.err


def test_no_command_that_makes_keys_imports_what_it_does_not_use():
    code = (
        "import sys, dkimcore.cli.keygen, dkimcore.cli.key;"
        "print({name.partition('.')[0] for name in sys.modules}"
        " & {'dkimcore_milter', 'hvac', 'botocore', 'boto3', 'requests', 'rich'})"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert ran.stdout == "set()\n"


def test_a_warning_of_a_backend_is_printed(run, shelf, stored):
    uri, _ = stored()
    (shelf.folder / "dusty").touch()
    ran = run("record", "--key", uri, "--backends", shelf.backends)
    assert ran.status == 0
    assert f"dkimcore: {uri}: there is dust on it; wipe it off\n" in ran.err
