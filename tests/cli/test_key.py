"""``dkimcore key``: moving keys, looking at them, measuring them."""

from __future__ import annotations

from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from dkimcore.cli import main
from tests.cli.conftest import MESSAGE
from tests.milter.processes import open_path

DOMAIN = ("-d", "example.com")


@pytest.fixture
def move(run, shelf):
    """Imports a key to the shelf."""

    def call(source, *options, to="shelf:moved"):
        return run("key", "import", source, "--to", to, "--backends", shelf.backends, *options)

    return call


@pytest.mark.parametrize("selector", ["s1", "s1-ed25519"])
def test_a_key_is_moved_and_its_record_stays(
    run, keys, records, shelf, move, selector, message, tmp_path
):
    source = f"{keys}/{selector}.private"
    ran = move(source, *DOMAIN, "-s", selector, "--records", records)
    assert (ran.status, ran.err) == (0, "")
    name = f"{selector}._domainkey.example.com"
    assert ran.out.decode().splitlines() == [
        f"shelf:moved?version=1: signs as the {'rsa' if selector == 's1' else 'ed25519'} key in "
        f"{source}",
        f"{name}: the record fits, leave it as it is",
        f"row for the KeyTable: {name} example.com:{selector}:shelf:moved?version=1",
        f"{source}: remove it once the configuration names the new key and mail is signed with "
        "that",
    ]
    assert (keys / f"{selector}.private").exists()
    new = ["-k", "shelf:moved?version=1", "--backends", shelf.backends]
    now = ["--time", "1700000000"]
    signed = run("sign", *DOMAIN, "-s", selector, *new, *now, message)
    assert run("verify", "--records", records, stdin=signed.out).status == 0
    assert signed.out == run("sign", *DOMAIN, "-s", selector, "-k", source, *now, message).out
    assert signed.out.endswith(MESSAGE)


def test_json(keys, records, move):
    source = f"{keys}/s1.private"
    (moved,) = move(source, *DOMAIN, "-s", "s1", "--records", records, "--json").json
    assert moved == {
        "status": "imported",
        "source": source,
        "key": "shelf:moved?version=1",
        "key_type": "rsa",
        "key_bits": 2048,
        "name": "s1._domainkey.example.com",
        "key_table_row": "s1._domainkey.example.com example.com:s1:shelf:moved?version=1",
    }


def test_a_name_that_a_key_table_would_cut(keys, records, shelf, move):
    source = f"{keys}/s1.private"
    ran = move(source, *DOMAIN, "-s", "s1", "--records", records, to="shelf:s#1")
    assert (ran.status, ran.out) == (78, b"")
    assert "'#' begins a comment there; choose another name" in ran.err
    assert list(shelf.folder.iterdir()) == []
    assert move(source, to="shelf:s#1").status == 0  # no row is asked for


def test_without_a_selector_it_is_only_moved(keys, move):
    ran = move(f"file:{keys}/s1.private")
    assert ran.status == 0
    assert b"KeyTable" not in ran.out
    (moved,) = move(f"{keys}/s1.private", "--json", to="shelf:again").json
    assert (moved["name"], moved["key_table_row"]) == (None, None)


RSA = rsa.generate_private_key(65537, 2048)
ED25519 = ed25519.Ed25519PrivateKey.generate()


@pytest.fixture
def keep(tmp_path):
    """Writes octets to a file of mode 0600."""

    def write(octets, mode=0o600):
        path = tmp_path / "source"
        path.write_bytes(octets)
        path.chmod(mode)
        return path

    return write


@pytest.mark.parametrize(
    "octets",
    [
        RSA.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
        RSA.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        ED25519.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        ED25519.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
    ],
    ids=["RSA PKCS1 PEM", "RSA PKCS8 DER", "Ed25519 PEM", "Ed25519 DER"],
)
def test_every_form_of_a_file_is_taken(keep, move, octets):
    assert move(keep(octets)).status == 0


def test_an_encrypted_file(keep, move, tmp_path, monkeypatch):
    cipher = BestAvailableEncryption(b"CANARY horse")
    source = keep(ED25519.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, cipher))
    ran = move(source)
    assert ran.status == 77
    assert "no passphrase was given" in ran.err
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("CANARY horse\n")
    passphrase.chmod(0o600)
    ran = move(source, "--passphrase-file", passphrase)
    assert ran.status == 0
    assert b"CANARY" not in ran.out
    monkeypatch.setenv("DKIMCORE_PASSPHRASE", "CANARY horse")
    ran = move(source, to="shelf:leaky")
    assert (ran.status, ran.out) == (78, b"")
    assert "its text is withheld" in ran.err
    assert "CANARY" not in ran.err


def test_a_key_that_does_not_fit_its_record_is_not_moved(keys, records, shelf, move):
    ran = move(f"{keys}/other.private", *DOMAIN, "-s", "s1", "--records", records)
    assert (ran.status, ran.out) == (65, b"")
    assert "nothing was imported: keys do not match" in ran.err
    ran = move(f"{keys}/other.private", *DOMAIN, "-s", "none", "--records", records)
    assert ran.status == 69
    ran = move(f"{keys}/s1.private", *DOMAIN, "-s", "s1", "--nameserver", "127.0.0.1:9")
    assert ran.status == 75
    assert list(shelf.folder.iterdir()) == []


def test_a_backend_that_keeps_another_key_is_found_out(keys, move):
    ran = move(f"{keys}/s1-ed25519.private", to="shelf:second")
    assert (ran.status, ran.out) == (70, b"")
    assert "is another key than the one in" in ran.err
    assert "was brought to shelf:second?version=1 and stays there" in ran.err
    ran = move(f"{keys}/s1-ed25519.private", to="shelf:liar")
    assert (ran.status, ran.out) == (70, b"")


@pytest.mark.parametrize(
    ("source", "to", "options", "status", "says"),
    [
        ("/nowhere/s1.private", "shelf:a", [], 66, "/nowhere does not exist"),
        ("shelf:s1", "shelf:a", [], 64, "what is kept there does not come out"),
        ("{}/s1.private", "/tmp/s1.private", [], 64, "install -m 0600"),
        ("{}/s1.private?colour=red", "shelf:a", [], 78, "no option 'colour'"),
        ("{}/s1.txt", "shelf:a", [], 78, "no sound private key"),
        ("{}/s1.private", "shelf:a", ["-d", "example.com"], 64, "go together"),
        ("{}/s1.private", "shelves:a", [], 78, "no key can be made under the scheme 'shelves'"),
        ("{}/s1.private", "shelf:a?token=CANARY", [], 78, "holds no secrets"),
    ],
)
def test_what_is_wrong_with_the_call(keys, move, source, to, options, status, says):
    ran = move(source.format(keys), *options, to=to)
    assert (ran.status, ran.out) == (status, b"")
    assert says in ran.err
    assert "CANARY" not in ran.err


def test_a_file_that_others_can_read(keep, move):
    source = keep(ED25519.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o644)
    open_path(source.parent)
    ran = move(source)
    assert ran.status == 77
    assert "chmod o-rw" in ran.err
    assert move(f"{source}?permissions=ignore").status == 0


def test_a_key_with_numbers_that_do_not_fit_is_not_moved(keep, move, shelf):
    good = RSA.private_numbers()
    bad = rsa.RSAPrivateNumbers(
        p=good.p,
        q=good.q,
        d=good.d,
        dmp1=good.dmp1,
        dmq1=good.dmq1,
        iqmp=good.iqmp + 2,
        public_numbers=good.public_numbers,
    ).private_key(unsafe_skip_rsa_key_validation=True)
    source = keep(bad.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert move(source).status == 78
    assert list(shelf.folder.iterdir()) == []


def test_a_short_key_is_not_moved(move, tmp_path):
    call = ["keygen", "-s", "short", "-D", str(tmp_path), "-b", "1024", "--type", "rsa"]
    assert main(call) == 0
    assert move(tmp_path / "short.private").status == 0  # RFC 8301 section 3.2 lets it sign


def test_show(run, keys, move, shelf):
    move(f"{keys}/s1.private")
    ran = run("key", "show", "shelf:moved", f"{keys}/s1.private", "--backends", shelf.backends)
    assert (ran.status, ran.err) == (0, "")
    lines = ran.out.decode().splitlines()
    assert lines[:4] == [
        "shelf:moved: good",
        "  exactly    shelf:moved?version=1",
        "  backend    shelf, signs by shelf:hall",
        "  algorithm  rsa-sha256, 2048 bits",
    ]
    assert lines[5:8] == [
        f"file:{keys}/s1.private: good",
        "  backend    file, signs in this process",
        "  algorithm  rsa-sha256, 2048 bits",
    ]
    assert lines[4] == lines[8]  # the same public half


def test_show_prints_the_digest_of_what_the_record_has(run, keys):
    from base64 import b64decode

    record = run("record", "--key", f"{keys}/s1.private").out
    (shown,) = run("key", "show", f"{keys}/s1.private", "--json").json
    octets = b64decode(record.partition(b"p=")[2])
    assert shown["public_key_sha256"] == sha256(octets).hexdigest()


def test_check_measures(run, keys, move, shelf):
    move(f"{keys}/s1-ed25519.private")
    where = ["--backends", shelf.backends]
    ran = run("key", "check", "shelf:moved?version=1", *where)
    assert (ran.status, ran.err) == (0, "")
    assert b" ms; 10 signatures took " in ran.out
    assert b"exactly" not in ran.out
    (checked,) = run("key", "check", "shelf:moved", *where, "--json").json
    assert (checked["status"], checked["algorithm"]) == ("ok", "ed25519-sha256")
    assert (checked["exact"], checked["endpoint"]) == ("shelf:moved?version=1", "shelf:hall")
    assert 0 < checked["fastest_ms"] <= checked["median_ms"] <= checked["slowest_ms"] < 10_000


def test_check_goes_on_after_one_that_fails(run, keys):
    call = ["key", "check", "/nowhere/s1.private", f"{keys}/s1.private"]
    ran = run(*call)
    assert ran.status == 66
    assert ran.err.startswith("dkimcore key: file:/nowhere/s1.private")
    assert ": /nowhere does not exist; make a key or correct the path" in ran.err
    assert b"s1.private: good" in ran.out
    first, second = run(*call, "--json").json
    assert (first["status"], second["status"]) == ("failed", "ok")


@pytest.mark.parametrize("call", [["check"], ["show"], ["check", "a", "-x", "b"], [], ["import"]])
def test_what_is_wrong_with_other_calls(run, call):
    ran = run("key", *call)
    assert (ran.status, ran.out) == (64, b"")
