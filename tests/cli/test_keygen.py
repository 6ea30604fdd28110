"""``dkimcore keygen``: its files, their format beside opendkim-genkey's, what it refuses."""

from __future__ import annotations

import os
import re
import stat
import subprocess

import pytest

from dkimcore.resolvers.zonefile import read_records
from tests.servers import find_program


def text_without_key(path):
    """Returns a SEL.txt with the key's own octets replaced."""
    return re.sub(r"[A-Za-z0-9+/=]{40,}", "KEY", path.read_text())


def test_two_keys_with_two_files_each(run, tmp_path):
    ran = run("keygen", "-d", "example.com", "-s", "s1", "-D", tmp_path)
    assert (ran.status, ran.err) == (0, "")
    names = ["s1-ed25519.private", "s1-ed25519.txt", "s1.private", "s1.txt"]
    assert sorted(os.listdir(tmp_path)) == names
    for name in names:
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert (tmp_path / "s1.private").read_text().startswith("-----BEGIN PRIVATE KEY-----")


def test_the_umask_does_not_open_them(run, tmp_path):
    before = os.umask(0)
    try:
        run("keygen", "-s", "s1", "-D", tmp_path, "--type", "ed25519")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "s1.private").stat().st_mode) == 0o600


@pytest.mark.rfc("8463", "4")
def test_ed25519_alone(run, tmp_path):
    run("keygen", "-d", "example.com", "-s", "s1", "-D", tmp_path, "--type", "ed25519")
    assert sorted(os.listdir(tmp_path)) == ["s1.private", "s1.txt"]
    assert "k=ed25519; " in (tmp_path / "s1.txt").read_text()


@pytest.mark.server("opendkim-genkey")
@pytest.mark.parametrize(
    "options",
    [
        [],
        ["-a"],
        ["-b", "3072"],
        ["-atS"],
        ["-r"],
        ["-t", "-r"],
        ["--nosubdomains"],
        ["--testmode", "--restrict", "--append-domain"],
        ["--no-testmode", "--no-restrict", "--no-append-domain", "--subdomains"],
        ["-h", "sha256"],
        ["--hash-algorithms=sha256", "--bits=2048", "--selector=s1", "--domain=example.com"],
    ],
)
def test_the_format_is_that_of_opendkim_genkey(run, tmp_path, options):
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    theirs.mkdir()
    ours.mkdir()
    options = ["-d", "example.com", "-s", "s1", *options]
    genkey = find_program("opendkim-genkey")
    subprocess.run([genkey, *options, "-D", theirs], check=True, capture_output=True)
    ran = run("keygen", *options, "-D", ours, "--type", "rsa")
    assert ran.status == 0, ran.err
    assert sorted(os.listdir(ours)) == sorted(os.listdir(theirs))
    assert text_without_key(ours / "s1.txt") == text_without_key(theirs / "s1.txt")
    mode = stat.S_IMODE((theirs / "s1.txt").stat().st_mode)
    assert stat.S_IMODE((ours / "s1.txt").stat().st_mode) == mode


def test_what_it_writes_is_read_by_a_name_server(run, tmp_path, nsd_server):
    run("keygen", "-d", "example.com", "-s", "s1", "-D", tmp_path, "-b", "4096")
    server = nsd_server(zone=read_records(tmp_path / "s1.txt"))
    host, port = server.address
    key = tmp_path / "s1.private"
    where = ["--nameserver", f"{host}:{port}"]
    ran = run("testkey", "-d", "example.com", "-s", "s1", "-k", key, "-vvv", *where)
    assert ran.status == 0, ran.err
    assert ran.out == b"dkimcore testkey: key OK\n"


def test_a_note_is_encoded_and_comes_back(run, tmp_path):
    note = 'for "all"; 50 %'
    run("keygen", "-s", "s1", "-D", tmp_path, "-n", note, "--type", "ed25519")
    assert 'n=for=20\\"all\\"=3B=2050=20%' in (tmp_path / "s1.txt").read_text()
    ran = run("record", tmp_path / "s1.txt")
    assert ran.status == 0


def test_raw_prints_what_web_forms_take(run, tmp_path):
    ran = run("keygen", "-d", "example.com", "-s", "s1", "-D", tmp_path, "--raw")
    rsa, ed25519 = ran.out.decode().splitlines()
    assert rsa.startswith("v=DKIM1; h=sha256; k=rsa; p=MII")
    assert ed25519.startswith("v=DKIM1; h=sha256; k=ed25519; p=")
    (record,) = read_records(tmp_path / "s1.txt").values()
    assert record == (rsa.encode(),)


def test_json(run, tmp_path):
    first, second = run("keygen", "-d", "example.com", "-s", "s1", "-D", tmp_path, "--json").json
    assert first["name"] == "s1._domainkey.example.com"
    assert (first["key_type"], first["key_bits"]) == ("rsa", 2048)
    assert second["selector"] == "s1-ed25519"
    assert second["private_key"] == str(tmp_path / "s1-ed25519.private")


def test_nothing_is_replaced_without_force(run, tmp_path):
    call = ["keygen", "-s", "s1", "-D", tmp_path, "--type", "ed25519"]
    assert run(*call).status == 0
    before = (tmp_path / "s1.private").read_bytes()
    ran = run(*call)
    assert (ran.status, ran.out) == (73, b"")
    assert "--force" in ran.err
    assert (tmp_path / "s1.private").read_bytes() == before
    assert run(*call, "--force").status == 0
    assert (tmp_path / "s1.private").read_bytes() != before


def test_when_one_of_four_files_is_there_none_is_written(run, tmp_path):
    (tmp_path / "s1-ed25519.txt").write_text("mine")
    assert run("keygen", "-s", "s1", "-D", tmp_path).status == 73
    assert os.listdir(tmp_path) == ["s1-ed25519.txt"]


def test_a_link_is_not_written_through(run, tmp_path):
    target = tmp_path / "target"
    (tmp_path / "s1.private").symlink_to(target)
    run("keygen", "-s", "s1", "-D", tmp_path, "--type", "ed25519", "--force")
    assert not target.exists()
    assert not (tmp_path / "s1.private").is_symlink()


def test_short_keys(run, tmp_path):
    ran = run("keygen", "-s", "s1", "-D", tmp_path, "-b", "512")
    assert ran.status == 64
    assert "1024" in ran.err
    assert os.listdir(tmp_path) == []
    ran = run("keygen", "-s", "s1", "-D", tmp_path, "-b", "1024", "--type", "rsa")
    assert ran.status == 0
    assert "warning" in ran.err


def test_a_folder_that_others_can_write_to(run, open_folder):
    open_folder.chmod(0o777)
    ran = run("keygen", "-s", "s1", "-D", open_folder, "--type", "ed25519")
    assert ran.status == 0
    assert "warning" in ran.err
    assert "chmod" in ran.err


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (["-D", "/nowhere"], 73),
        (["-a"], 64),
        (["-d", "localhost"], 64),
        (["-s", "a b"], 64),
        (["-h", "sha1"], 64),
        (["-b", "many"], 64),
        (["-s", "../s1"], 64),
        (["--type", "dsa"], 64),
    ],
)
def test_what_is_wrong_with_the_call(run, tmp_path, monkeypatch, options, status):
    monkeypatch.chdir(tmp_path)
    ran = run("keygen", *options)
    assert (ran.status, ran.out) == (status, b"")
    assert os.listdir(tmp_path) == []


def test_the_version(run):
    assert run("keygen", "-V").out.startswith(b"dkimcore keygen ")
