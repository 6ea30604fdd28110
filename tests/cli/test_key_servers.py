"""The commands with real places for keys: OpenBao, a KMS, a PKCS#11 token; from key to mail.

Each place has keys made in it and keys brought to it, of both types.
"""

from __future__ import annotations

from dataclasses import dataclass

import dkim
import pytest

from dkimcore.resolvers.zonefile import read_records
from tests.servers.ministack import REGION
from tests.servers.openbaosetup import fresh_name

DOMAIN = ("-d", "example.com")


@dataclass(frozen=True, slots=True)
class Place:
    """A place for keys.

    Attributes:
        backends: The file that says where it is.
        name: Gives the URI under which a key is to be made.
        pinned: What the pinned URI of that key begins with.
    """

    backends: object
    name: object
    pinned: str


@pytest.fixture
def vault(openbao, tmp_path):
    """A file of backends that names an OpenBao, and a mount of each engine."""
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text(openbao.root_token)
    backends = tmp_path / "keys.toml"
    backends.write_text(
        f'[backend.bao]\ntype = "vault"\naddress = "{openbao.address}"\ntoken_file = "token"\n'
    )
    return backends


@pytest.fixture
def transit(openbao, vault):
    """Keys that stay in OpenBao."""
    mount = openbao.enable_secrets("transit")
    return Place(vault, lambda: f"vault-transit:{mount}/{fresh_name('s')}", "vault-transit:")


@pytest.fixture
def kv(openbao, vault):
    """Keys that are read from OpenBao."""
    mount = openbao.enable_secrets("kv", version="2")
    return Place(vault, lambda: f"vault-kv:{mount}/dkim/{fresh_name('s')}", "vault-kv:")


@pytest.fixture
def kms(ministack, tmp_path, monkeypatch):
    """Keys that stay in a KMS."""
    for name, value in ministack.environment.items():
        monkeypatch.setenv(name, value)
    backends = tmp_path / "keys.toml"
    backends.write_text(
        f'[backend.kms]\ntype = "aws"\nregion = "{REGION}"\nendpoint_url = "{ministack.url}"\n'
    )
    return Place(backends, lambda: f"awskms:alias/dkim/{fresh_name('s')}", "awskms:arn:aws:kms:")


@pytest.fixture
def envelope(ministack, kms, tmp_path):
    """Keys in files that only a KMS decrypts."""
    arn = ministack.create_key("SYMMETRIC_DEFAULT", usage="ENCRYPT_DECRYPT")
    form = f"awskms-envelope:{tmp_path}/{{}}.blob?key={arn}&context.d=example.com"
    return Place(kms.backends, lambda: form.format(fresh_name("s")), "awskms-envelope:/")


@pytest.fixture
def token(softhsm, tmp_path):
    """Keys on a token."""
    backends = tmp_path / "keys.toml"
    backends.write_text(
        f'[backend.hsm]\ntype = "pkcs11"\nmodule = "{softhsm.module}"\n'
        f'token = "{softhsm.label}"\npin_file = "{softhsm.pin_file}"\n'
    )
    return Place(backends, lambda: f"pkcs11:object={fresh_name('s')}", "pkcs11:")


each_place = pytest.mark.parametrize("place", ["transit", "kv", "kms", "envelope", "token"])
each_type = pytest.mark.parametrize("kind", ["rsa", "ed25519"])


def signs_well(run, uri, place, records, message, *, selector="s1"):
    """Signs with a key, and verifies with its record: by dkimcore and by dkimpy."""
    where = ["--backends", place.backends]
    call = ["testkey", *DOMAIN, "-s", selector, "-k", uri, *where, "--records", records, "-vvv"]
    tested = run(*call)
    assert (tested.status, tested.out) == (0, b"dkimcore testkey: key OK\n"), tested.err
    signed = run("sign", *DOMAIN, "-s", selector, "-k", uri, *where, message)
    assert (signed.status, signed.err) == (0, "")
    assert run("verify", "--records", records, stdin=signed.out).status == 0
    known = read_records(records, origin="example.com")
    assert dkim.verify(signed.out, dnsfunc=lambda name, timeout=5: known[name.decode()][0])


@each_place
@each_type
def test_a_key_is_made_where_it_stays(request, run, tmp_path, message, place, kind):
    place = request.getfixturevalue(place)
    where = ["--backends", place.backends]
    named = ["--key", place.name(), "--type", kind]
    ran = run("keygen", *DOMAIN, "-s", "s1", *named, *where, "-D", tmp_path, "--json")
    assert (ran.status, ran.err) == (0, "")
    (made,) = ran.json
    uri = made["key"]
    assert uri.startswith(place.pinned)
    assert made["key_table_row"] == f"s1._domainkey.example.com example.com:s1:{uri}"
    printed = run("record", "--key", uri, *where).out.decode()
    assert printed.partition("p=")[2].strip() == made["record"].partition("p=")[2]
    signs_well(run, uri, place, tmp_path / "s1.txt", message)
    (shown,) = run("key", "show", uri, *where, "--json").json
    assert (shown["status"], shown["algorithm"]) == ("ok", f"{kind}-sha256")
    again = run("keygen", *named, *where, "-D", tmp_path, "-s", "s2")
    assert (again.status, again.out) == (78, b"")


@each_place
@pytest.mark.parametrize("selector", ["s1", "s1-ed25519"])
def test_a_key_is_moved_and_the_old_record_verifies(
    request, run, keys, records, message, place, selector
):
    place = request.getfixturevalue(place)
    where = ["--backends", place.backends]
    source = f"{keys}/{selector}.private"
    target = ["--to", place.name(), *where]
    fits = [*DOMAIN, "-s", selector, "--records", records]
    ran = run("key", "import", source, *target, *fits, "--json")
    assert (ran.status, ran.err) == (0, "")
    (moved,) = ran.json
    signs_well(run, moved["key"], place, keys / f"{selector}.txt", message, selector=selector)
    (new,) = run("key", "show", moved["key"], *where, "--json").json
    (old,) = run("key", "show", source, "--json").json
    assert new["public_key_sha256"] == old["public_key_sha256"]
    assert run("key", "import", source, *target).status == 78


@each_place
def test_a_key_that_is_not_there(request, run, place):
    place = request.getfixturevalue(place)
    uri = place.name()
    if uri.startswith("vault-transit:"):
        uri += "?version=1"
    ran = run("key", "check", uri, "--backends", place.backends)
    assert (ran.status, ran.out) == (66, b"")
    assert ran.err.count("\n") == 1


def test_the_version_that_is_read_is_told(run, kv, tmp_path):
    name = kv.name()
    call = ["keygen", "--type", "ed25519", "--backends", kv.backends, "-D", tmp_path]
    assert run(*call, "--key", name).status == 0
    ran = run("key", "show", name, "--backends", kv.backends)
    assert ran.status == 0
    assert b"version 1 is the current one and was read" in ran.out


def test_the_key_behind_an_alias_is_told(run, kms, tmp_path):
    name = kms.name()
    call = ["keygen", "--type", "ed25519", "--backends", kms.backends, "-D", tmp_path]
    assert run(*call, "--key", name).status == 0
    ran = run("key", "show", name, "--backends", kms.backends)
    assert ran.status == 0
    assert b" is arn:aws:kms:" in ran.out


@pytest.mark.parametrize("verb", [("record", "--key"), ("key", "check"), ("key", "show")])
def test_a_server_that_is_down_is_temporary(program, tmp_path, verb):
    backends = tmp_path / "keys.toml"
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text("s.CANARY")
    backends.write_text(
        '[backend.bao]\ntype = "vault"\naddress = "http://127.0.0.1:9"\ntoken_file = "token"\n'
    )
    ran = program(*verb, "vault-transit:transit/s1?version=1", "--backends", backends)
    assert (ran.status, ran.out) == (75, b"")
    assert ran.err.count("\n") == 1
    assert "CANARY" not in ran.err


def test_a_token_that_is_refused_is_a_permission(run, openbao, transit):
    (transit.backends.parent / "token").write_text("s.CANARY")
    ran = run("record", "--key", f"{transit.name()}?version=1", "--backends", transit.backends)
    assert (ran.status, ran.out) == (77, b"")
    assert "CANARY" not in ran.err


def test_a_wrong_pin_is_a_permission_and_is_not_shown(run, softhsm, token, tmp_path):
    pin = tmp_path / "pin"
    pin.touch(0o600)
    pin.write_text("000000")
    text = token.backends.read_text().replace(str(softhsm.pin_file), str(pin))
    token.backends.write_text(text)
    ran = run("keygen", "--key", token.name(), "--backends", token.backends, "-D", tmp_path)
    assert (ran.status, ran.out) == (77, b"")
    assert "000000" not in ran.err
