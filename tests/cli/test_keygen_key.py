"""``dkimcore keygen --key``: keys made in another backend, or in a file of another name."""

from __future__ import annotations

import os
import stat

import pytest

from dkimcore.resolvers.zonefile import read_records
from dkimcore.tables import KeyTable

DOMAIN = ("-d", "example.com", "-s", "s1")


@pytest.fixture
def keygen(run, shelf, tmp_path):
    """Calls keygen with the shelf's file of backends; SEL.txt goes to the test's folder."""

    def call(uri, *options, at=DOMAIN):
        where = ["--backends", shelf.backends, "-D", tmp_path]
        return run("keygen", *at, "--key", uri, *where, *options)

    return call


def test_what_is_printed_is_ready_for_the_key_table(keygen, tmp_path):
    ran = keygen("shelf:s1")
    assert (ran.status, ran.err) == (0, "")
    key, record, row = ran.out.decode().splitlines()
    assert key == "shelf:s1?version=1: private rsa key"
    assert record == f"{tmp_path}/s1.txt: publish it as TXT record at s1._domainkey.example.com"
    head, _, row = row.partition(": ")
    assert head == "row for the KeyTable"
    (tmp_path / "KeyTable").write_text(f"{row}\n")
    (read,) = KeyTable.load(f"file:{tmp_path}/KeyTable").rows()
    assert read.name == "s1._domainkey.example.com"
    assert read.domain is not None
    assert (read.domain.ascii, read.selector.ascii) == ("example.com", "s1")
    assert read.key_uri == "shelf:s1?version=1"


def test_the_record_is_laid_out_as_for_files(run, keygen, tmp_path):
    options = ["-a", "-r", "-t", "-S", "-n", "a note"]
    assert keygen("shelf:s1", *options).status == 0
    ours = (tmp_path / "s1.txt").read_text()
    files = tmp_path / "files"
    files.mkdir()
    run("keygen", *DOMAIN, "-D", files, "--type", "rsa", *options)
    theirs = (files / "s1.txt").read_text()
    assert ours.partition("p=")[0] == theirs.partition("p=")[0]
    assert ours.rpartition(")")[2] == theirs.rpartition(")")[2]
    assert stat.S_IMODE((tmp_path / "s1.txt").stat().st_mode) == 0o600


@pytest.mark.parametrize(("options", "bits"), [(["-b", "3072"], 3072), (["--type", "rsa"], 2048)])
def test_rsa(keygen, options, bits):
    (made,) = keygen("shelf:s1", "--json", *options).json
    assert (made["key_type"], made["key_bits"]) == ("rsa", bits)


def test_json(keygen, tmp_path):
    (made,) = keygen("shelf:s1?backend=hall", "--type", "ed25519", "--json").json
    assert made == {
        "status": "made",
        "domain": "example.com",
        "selector": "s1",
        "key_type": "ed25519",
        "key_bits": 256,
        "private_key": "shelf:s1?version=1&backend=hall",
        "key": "shelf:s1?version=1&backend=hall",
        "key_table_row": "s1._domainkey.example.com example.com:s1:shelf:s1?version=1&backend=hall",
        "zone_file": str(tmp_path / "s1.txt"),
        "name": "s1._domainkey.example.com",
        "record": made["record"],
    }
    assert made["record"].startswith("v=DKIM1; h=sha256; k=ed25519; p=")


def test_raw(keygen, tmp_path):
    ran = keygen("shelf:s1", "--raw")
    (record,) = read_records(tmp_path / "s1.txt").values()
    assert record == (ran.out.strip(),)


def test_without_a_domain_there_is_no_row(keygen):
    ran = keygen("shelf:s1", at=("-s", "s1"))
    assert ran.status == 0
    assert b"KeyTable" not in ran.out
    assert len(ran.out.splitlines()) == 2


def test_verbose_says_that_both_were_tried(keygen):
    ran = keygen("shelf:s1", "-v")
    assert "the key signs, and the record verifies it" in ran.err


def test_one_name_is_one_key(keygen, shelf):
    ran = keygen("shelf:s1", "--type", "both")
    assert (ran.status, ran.out) == (64, b"")
    assert "--type both makes two keys, and --key names one" in ran.err
    assert os.listdir(shelf.folder) == []


def test_a_key_that_is_there_is_never_replaced(keygen, shelf):
    assert keygen("shelf:s1").status == 0
    before = (shelf.folder / "s1.1.pem").read_bytes()
    ran = keygen("shelf:s1", "--force")
    assert (ran.status, ran.out) == (78, b"")
    assert "there is such a key already; choose another name" in ran.err
    assert (shelf.folder / "s1.1.pem").read_bytes() == before


def test_no_key_is_made_where_its_record_cannot_be_written(run, keygen, shelf, tmp_path):
    (tmp_path / "s1.txt").write_text("mine")
    ran = keygen("shelf:s1")
    assert (ran.status, ran.out) == (73, b"")
    assert "--force" in ran.err
    assert os.listdir(shelf.folder) == []
    ran = run("keygen", *DOMAIN, "--key", "shelf:s1", "-D", "/proc/self", "--force")
    assert ran.status == 73
    assert os.listdir(shelf.folder) == []
    (tmp_path / "s1.txt").unlink()
    (tmp_path / "s1.txt").mkdir()
    ran = keygen("shelf:s1", "--force")
    assert (ran.status, ran.out) == (73, b"")
    assert f"{tmp_path}/s1.txt is a folder" in ran.err
    assert os.listdir(shelf.folder) == []
    (tmp_path / "s1.txt").rmdir()
    assert keygen("shelf:s1").status == 0
    assert keygen("shelf:s2", "--force").status == 0


def test_a_record_that_was_made_meanwhile_is_not_replaced(keygen, shelf, tmp_path):
    ran = keygen("shelf:raced")
    assert (ran.status, ran.out) == (73, b"")
    assert "the key shelf:raced?version=1 was made and stays in its backend" in ran.err
    assert f"{tmp_path}/s1.txt is there already" in ran.err
    assert (tmp_path / "s1.txt").read_text() == "mine"
    assert (shelf.folder / "raced.1.pem").exists()


def test_a_maker_that_names_another_key_is_found_out(keygen):
    ran = keygen("shelf:liar", "--type", "ed25519")
    assert (ran.status, ran.out) == (70, b"")
    assert "names another key than the one that was made; do not use it" in ran.err


def test_a_maker_cannot_print_the_key(keygen):
    ran = keygen("shelf:leaky", "--type", "ed25519")
    assert (ran.status, ran.out) == (78, b"")
    assert "its text is withheld" in ran.err
    assert "PRIVATE KEY" not in ran.err


def test_a_backend_that_is_down(keygen, shelf, tmp_path):
    (shelf.folder / "down").touch()
    ran = keygen("shelf:s1")
    assert (ran.status, ran.out) == (75, b"")
    assert ran.err == "dkimcore: shelf:s1: the shelf is down; put it up again\n"
    assert not (tmp_path / "s1.txt").exists()


@pytest.mark.parametrize(
    ("uri", "status", "says"),
    [
        ("shelves:s1", 78, "no key can be made under the scheme 'shelves'; there are: "),
        ("missing:s1", 78, "no key can be made under the scheme 'missing'"),
        ("shelf:", 78, "needs something behind its scheme"),
        ("shelf:s1?pin=CANARY", 78, "holds no secrets"),
    ],
)
def test_names_under_which_no_key_can_be_made(keygen, uri, status, says):
    ran = keygen(uri)
    assert (ran.status, ran.out) == (status, b"")
    assert says in ran.err
    assert "CANARY" not in ran.err


@pytest.mark.parametrize("form", ["{}", "file:{}", "file://{}"])
def test_a_file_of_another_name(run, tmp_path, form):
    path = tmp_path / "private" / "example.pem"
    call = ["keygen", *DOMAIN, "--key", form.format(path), "-D", tmp_path, "--json"]
    ran = run(*call)
    assert (ran.status, ran.out) == (73, b"")
    path.parent.mkdir()
    (made,) = run(*call).json
    assert (made["private_key"], made["key"]) == (str(path), f"file:{path}")
    assert made["key_table_row"] == f"s1._domainkey.example.com example.com:s1:file:{path}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(os.listdir(tmp_path)) == ["private", "s1.txt"]
    ran = run("testkey", *DOMAIN, "-k", path, "--records", tmp_path / "s1.txt")
    assert ran.status == 0, ran.err
    assert run(*call).status == 73
    assert run(*call, "--force").status == 0


@pytest.mark.parametrize("uri", ["file:/tmp/s1?check=full", "file://host/s1"])
def test_a_file_that_cannot_be_named_so(run, tmp_path, uri):
    ran = run("keygen", *DOMAIN, "--key", uri, "-D", tmp_path)
    assert (ran.status, ran.out) == (78, b"")
    assert os.listdir(tmp_path) == []


def contents(folder):
    """Returns what each file below a folder holds."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("place", ["a folder in its place", "a folder that nobody can write to"])
def test_a_record_that_cannot_be_written_costs_no_key(run, tmp_path, place):
    """The key in use goes on signing, and its record is what it was."""
    keys, out = tmp_path / "keys", tmp_path / "out"
    keys.mkdir()
    (out / "s1.txt").mkdir(parents=True)
    if place != "a folder in its place":
        out = "/proc/self"
    assert run("keygen", *DOMAIN, "--type", "ed25519", "-D", keys).status == 0
    before = contents(tmp_path)
    call = ["--type", "ed25519", "--key", f"file:{keys}/s1.private", "-D", out, "--force"]
    ran = run("keygen", *DOMAIN, *call)
    assert (ran.status, ran.out) == (73, b"")
    assert contents(tmp_path) == before
    key = ["-k", keys / "s1.private", "--records", keys / "s1.txt"]
    assert run("testkey", *DOMAIN, *key).status == 0


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_a_key_that_would_be_its_own_record(run, tmp_path, force):
    call = ["--type", "ed25519", "--key", f"file:{tmp_path}/s1.txt", "-D", tmp_path]
    ran = run("keygen", *DOMAIN, *call, *force)
    assert (ran.status, ran.out) == (73, b"")
    assert "s1.txt will be the record" in ran.err
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("uri", ["shelf:s#1", "file:s#1", "./s#1"])
def test_a_name_that_a_key_table_would_cut(keygen, run, shelf, tmp_path, monkeypatch, uri):
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    ran = keygen(uri)
    assert (ran.status, ran.out) == (78, b"")
    assert "'#' begins a comment there; choose another name" in ran.err
    assert contents(tmp_path) == before
    assert keygen(uri, at=("-s", "s1")).status == 0  # no row is asked for


def test_a_folder_that_a_key_table_would_cut(run, tmp_path, monkeypatch):
    folder = tmp_path / "c#"
    folder.mkdir()
    monkeypatch.chdir(folder)
    ran = run("keygen", *DOMAIN, "--json")
    assert (ran.status, ran.out) == (78, b"")
    assert os.listdir(folder) == []
