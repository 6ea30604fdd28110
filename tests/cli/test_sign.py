"""``dkimcore sign``: what it writes, where, and what it refuses."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

import dkimcore
from dkimcore.resolvers.static import StaticResolver

from .conftest import MESSAGE

LOCAL = MESSAGE.replace(b"\r\n", b"\n")


def fields_of(octets):
    """Returns the text that was put on top of the message, and the message."""
    form = MESSAGE if octets.endswith(MESSAGE) else LOCAL
    assert octets.endswith(form)
    return octets.removesuffix(form)


def test_the_message_comes_out_as_it_was_with_a_field_per_signer_on_top(run, signers, message):
    ran = run("sign", *signers, message)
    assert (ran.status, ran.err) == (0, "")
    added = fields_of(ran.out)
    assert added.count(b"DKIM-Signature:") == 2
    assert added.index(b"a=rsa-sha256") < added.index(b"a=ed25519-sha256")


def test_every_signature_passes(run, signers, message, records):
    signed = run("sign", *signers, message).out
    results = dkimcore.verify(signed, resolver=StaticResolver.from_file(records))
    assert [str(result.status) for result in results] == ["pass", "pass"]


def test_standard_input_is_the_default(run, keys):
    ran = run("sign", "-d", "example.com", "-s", "s1", "-k", f"{keys}/s1.private", stdin=MESSAGE)
    assert ran.status == 0
    assert fields_of(ran.out).startswith(b"DKIM-Signature: v=1; a=rsa-sha256;")


@pytest.mark.rfc("6376", "5.3")
def test_lf_comes_out_as_lf_and_is_signed_as_crlf(run, signers, records):
    ran = run("sign", *signers, stdin=LOCAL)
    assert ran.status == 0
    assert b"\r" not in ran.out
    wire = dkimcore.to_crlf(ran.out)
    assert dkimcore.verify(wire, resolver=StaticResolver.from_file(records)).passed


def test_the_same_command_gives_the_same_octets(run, signers, message):
    first, second = (run("sign", *signers, "--time", "1790000000", message) for _ in range(2))
    assert b"t=1790000000;" in first.out
    assert first.out == second.out


def test_a_time_may_be_a_date(run, signers, message):
    ran = run("sign", *signers, "--time", "2026-01-31T12:00:00Z", message)
    assert b"t=1769860800;" in ran.out


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["-c", "simple/relaxed"], b"c=simple/relaxed;"),
        (["-c", "relaxed"], b"c=relaxed/simple;"),
        (["-i", "ada@sub.example.com"], b"i=ada@sub.example.com;"),
        (["--time", "100", "--lifetime", "60"], b"x=160;"),
        (["--fields", "from:to", "--oversign", "none"], b"h=from:to;"),
        (["--fields", "+x-mine", "--oversign", "from"], b"h=from:to:subject:date:from;"),
        (["--copied-fields"], b"z=from:"),
    ],
)
def test_options_of_the_signature(run, keys, message, options, expected):
    ran = run("sign", "--signer", f"example.com:s1:{keys}/s1.private", *options, message)
    assert ran.status == 0, ran.err
    assert expected.lower() in b"".join(fields_of(ran.out).split()).lower()


def test_fields_only(run, signers, message):
    ran = run("sign", *signers, "--fields-only", message)
    assert ran.out.count(b"DKIM-Signature:") == 2
    assert b"Subject: " not in ran.out


def test_in_place_replaces_the_file_and_keeps_its_mode(run, signers, message):
    message.chmod(0o640)
    ran = run("sign", *signers, "--in-place", message)
    assert (ran.status, ran.out) == (0, b"")
    assert fields_of(message.read_bytes()).count(b"DKIM-Signature:") == 2
    assert stat.S_IMODE(message.stat().st_mode) == 0o640
    assert os.listdir(message.parent) == [message.name]


def test_in_place_follows_a_link(run, signers, message):
    link = message.with_name("link")
    link.symlink_to(message)
    run("sign", *signers, "--in-place", link)
    assert link.is_symlink()
    assert message.read_bytes().startswith(b"DKIM-Signature:")


def test_output_writes_many_into_a_folder(run, signers, message, tmp_path):
    other = tmp_path / "other.eml"
    other.write_bytes(LOCAL)
    folder = tmp_path / "out"
    folder.mkdir()
    ran = run("sign", *signers, "--output", folder, message, other)
    assert (ran.status, ran.out) == (0, b"")
    assert sorted(os.listdir(folder)) == ["message.eml", "other.eml"]
    assert b"\r" not in (folder / "other.eml").read_bytes()


def test_json_has_the_fields(run, signers, message):
    (line,) = run("sign", *signers, "--json", message).json
    assert line["status"] == "signed"
    assert line["message"] == str(message)
    assert len(line["fields"]) == 2


def test_an_encrypted_key(run, tmp_path, message, monkeypatch):
    key = tmp_path / "s1.pem"
    command = ["openssl", "genrsa", "-aes256", "-passout", "pass:sesame", "-out", key, "2048"]
    subprocess.run(command, check=True, capture_output=True)
    key.chmod(0o600)
    secret = tmp_path / "passphrase"
    secret.write_text("sesame\n")
    secret.chmod(0o600)
    signer = ["--signer", f"example.com:s1:{key}"]
    assert run("sign", *signer, "--passphrase-file", secret, message).status == 0
    refused = run("sign", *signer, message)
    assert (refused.status, refused.out) == (77, b"")
    monkeypatch.setenv("DKIMCORE_PASSPHRASE", "sesame")
    assert run("sign", *signer, message).status == 0


@pytest.mark.parametrize(
    ("octets", "cure"),
    [
        (b"", "0 From fields"),
        (b"Subject: nobody\r\n\r\n", "0 From fields"),
        (b"From: a@example.com\r\nFrom: b@example.com\r\n\r\n", "2 From fields"),
        (b"From: a@example.com\r\nSubject: a\nb\r\n\r\n", "convert line ends"),
        (b"From a@example.com Thu Jan  1 00:00:00 2026\nFrom: a@example.com\n\n", "mbox"),
    ],
)
def test_what_cannot_be_signed_honestly_leaves_nothing_on_stdout(run, signers, octets, cure):
    ran = run("sign", *signers, stdin=octets)
    assert (ran.status, ran.out) == (65, b"")
    assert cure in ran.err


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ([], 64),
        (["--signer", "example.com:s1"], 64),
        (["--signer", "localhost:s1:KEY"], 64),
        (["-d", "example.com", "-s", "s1"], 64),
        (["--signer", "example.com:s1:KEY", "-i", "ada@example.org"], 64),
        (["--signer", "example.com:s1:KEY", "-c", "strict"], 64),
        (["--signer", "example.com:s1:KEY", "--fields", "from:a b"], 64),
        (["--signer", "example.com:s1:KEY", "--lifetime", "0"], 64),
        (["--signer", "example.com:s1:KEY", "--in-place", "--fields-only"], 64),
        (["--signer", "example.com:s1:KEY", "--body-length"], 64),
        (["--signer", "example.com:s1:/nowhere/s1.private"], 66),
        (["--signer", "example.com:s1:acme:key"], 78),
        (["--signer", "example.com:s1:KEY", "--output", "/nowhere"], 73),
    ],
)
def test_what_is_wrong_with_the_call_has_its_exit_status(run, keys, message, options, status):
    options = [option.replace("KEY", f"{keys}/s1.private") for option in options]
    ran = run("sign", *options, message)
    assert (ran.status, ran.out) == (status, b"")
    assert len(ran.err.splitlines()) <= 2
    assert "Traceback" not in ran.err


def test_a_key_that_others_can_read_is_refused_with_the_cure(run, keys, open_folder, message):
    key = open_folder / "open.private"
    key.write_bytes((keys / "s1.private").read_bytes())
    key.chmod(0o644)
    ran = run("sign", "--signer", f"example.com:s1:{key}", message)
    assert (ran.status, ran.out) == (77, b"")
    assert "chmod" in ran.err


def test_a_key_that_is_none(run, tmp_path, message):
    key = tmp_path / "none"
    key.write_text("hello")
    key.chmod(0o600)
    ran = run("sign", "--signer", f"example.com:s1:{key}", message)
    assert (ran.status, ran.out) == (78, b"")


def test_several_messages_are_not_printed_in_a_row(run, signers, message):
    ran = run("sign", *signers, message, message)
    assert (ran.status, ran.out) == (64, b"")


def test_a_bad_one_among_many_does_not_stop_the_others(run, signers, message, tmp_path):
    bad = tmp_path / "bad.eml"
    bad.write_bytes(b"Subject: nobody\r\n\r\n")
    ran = run("sign", *signers, "--in-place", bad, message)
    assert ran.status == 65
    assert bad.read_bytes() == b"Subject: nobody\r\n\r\n"
    assert message.read_bytes().startswith(b"DKIM-Signature:")
    assert str(bad) in ran.err


def test_the_installed_command_signs(program, signers, message):
    ran = program("sign", *signers, message)
    assert (ran.status, ran.err) == (0, "")
    assert fields_of(ran.out).count(b"DKIM-Signature:") == 2


def test_a_message_of_20_mb_is_not_held_in_memory(program, signers, tmp_path):
    path = tmp_path / "large.eml"
    line = b"x" * 76 + b"\r\n"
    path.write_bytes(MESSAGE + line * (20_000_000 // len(line)))
    code = (
        "import re, sys; from dkimcore.cli import main; status = main(sys.argv[1:]);"
        "text = open('/proc/self/status').read();"
        "print(re.search(r'VmHWM:\\s+(\\d+)', text)[1], file=sys.stderr); sys.exit(status)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, "sign", *signers, "--fields-only", path],
        capture_output=True,
        check=True,
    )
    assert int(ran.stderr) < 80_000  # KiB; Python with cryptography takes 45 000
