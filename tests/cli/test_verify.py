"""``dkimcore verify``: sources, verdicts, exit statuses, explanations, JSON."""

from __future__ import annotations

import subprocess

import pytest

from dkimcore.resolvers.zonefile import read_records

from .conftest import COMMAND, MESSAGE


def test_a_good_message(run, signed, records):
    ran = run("verify", "--records", records, signed)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.decode().splitlines()[0] == f"{signed}: pass"
    assert ran.out.count(b"2048-bit key") == 1


def test_standard_input(run, signed, records):
    ran = run("verify", "--records", records, stdin=signed.read_bytes())
    assert ran.status == 0
    assert ran.out.startswith(b"-: pass")
    assert run("verify", "--records", records, "-", stdin=signed.read_bytes()).status == 0


def test_through_a_name_server(run, signed, records, nsd_server):
    server = nsd_server(zone=read_records(records))
    host, port = server.address
    ran = run("verify", "--nameserver", f"{host}:{port}", signed)
    assert ran.status == 0, ran.err
    unknown = signed.read_bytes().replace(b"s=s1;", b"s=s2;").replace(b"s=s1-", b"s=s3-")
    ran = run("verify", "--nameserver", f"{host}:{port}", stdin=unknown)
    assert ran.status == 1
    assert b"no key for signature" in ran.out


def test_only_temporary_errors(run, signed):
    ran = run("verify", "--nameserver", "127.0.0.1:9", "--timeout", "0.2", signed)
    assert ran.status == 75
    assert b"temperror" in ran.out


def test_no_signature(run, message, records):
    ran = run("verify", "--records", records, message)
    assert ran.status == 1
    assert ran.out.startswith(f"{message}: none".encode())


def test_one_bad_message_among_good_ones(run, signed, message, records):
    ran = run("verify", "--records", records, signed, message, signed)
    assert ran.status == 1
    assert ran.out.count(b": pass\n") == 2


def test_a_missing_file(run, records):
    ran = run("verify", "--records", records, "/nowhere/message.eml")
    assert (ran.status, ran.out) == (66, b"")
    assert ran.err == "dkimcore: /nowhere/message.eml: no such file\n"


def test_a_file_in_local_form(run, signed, records, tmp_path):
    local = tmp_path / "local.eml"
    local.write_bytes(signed.read_bytes().replace(b"\r\n", b"\n"))
    assert run("verify", "--records", records, local).status == 0
    assert run("verify", "--records", records, "--line-ends", "crlf", local).status == 1


@pytest.mark.rfc("6376", "5.3")
def test_a_stray_lf_in_wire_form_is_judged_and_not_mended(run, signed, records):
    octets = signed.read_bytes().replace(b"Dear Bo,\r\n", b"Dear Bo,\n")
    ran = run("verify", "--records", records, stdin=octets)
    assert ran.status == 1


class TestStores:
    def test_a_maildir(self, run, signed, message, records, tmp_path):
        maildir = tmp_path / "Maildir"
        for part in ("cur", "new", "tmp"):
            (maildir / part).mkdir(parents=True)
        (maildir / "cur" / "1:2,S").write_bytes(signed.read_bytes().replace(b"\r\n", b"\n"))
        (maildir / "new" / "2").write_bytes(signed.read_bytes())
        (maildir / "tmp" / "3").write_bytes(message.read_bytes())
        ran = run("verify", "--records", records, maildir)
        assert ran.status == 0
        assert ran.out.count(b": pass\n") == 2

    def test_an_empty_maildir(self, run, records, tmp_path):
        for part in ("cur", "new"):
            (tmp_path / part).mkdir()
        ran = run("verify", "--records", records, tmp_path)
        assert ran.status == 66
        assert "no messages" in ran.err

    def test_a_folder_that_is_no_maildir(self, run, records, tmp_path):
        ran = run("verify", "--records", records, tmp_path)
        assert ran.status == 66
        assert "Maildir" in ran.err

    def test_an_mbox(self, run, signers, records, tmp_path):
        body = MESSAGE + b"\r\nFrom here on\r\n>From there\r\n"
        signed = run("sign", *signers, stdin=body).out.replace(b"\r\n", b"\n")
        stored = signed.replace(b"\n>From", b"\n>>From").replace(b"\nFrom here", b"\n>From here")
        line = b"From ada@example.com Mon Nov 16 09:12:44 2026\n"
        path = tmp_path / "mbox"
        path.write_bytes((line + stored + b"\n") * 3)
        ran = run("verify", "--records", records, path)
        assert ran.status == 0, ran.out
        assert ran.out.count(b": pass\n") == 3
        assert f"{path}:3: pass".encode() in ran.out
        ran = run("verify", "--records", records, "--no-unescape", "--explain", path)
        assert ran.status == 1
        assert b"as mbox files have it" in ran.out

    def test_a_message_with_a_from_line_on_standard_input(self, run, signed, records):
        octets = b"From ada@example.com Mon Nov 16 09:12:44 2026\n" + signed.read_bytes().replace(
            b"\r\n", b"\n"
        )
        assert run("verify", "--records", records, stdin=octets).status == 0

    def test_a_field_with_white_space_before_its_colon_is_no_mbox(self, run, signers, records):
        octets = MESSAGE.replace(b"From:", b"From :", 1)
        signed = run("sign", *signers, stdin=octets).out
        # relaxed canonicalization takes that white space away (RFC 6376 section 3.4.2)
        assert run("verify", "--records", records, "--json", stdin=signed).json[0]["status"] == (
            "pass"
        )
        (line,) = run("verify", "--records", records, "--json", stdin=octets).json
        assert line["message"] == "-"

    def test_what_is_no_mbox(self, run, message, records):
        ran = run("verify", "--records", records, "--format", "mbox", message)
        assert ran.status == 65


class TestExplain:
    def test_a_footer(self, run, signed, records):
        ran = run(
            "verify", "--records", records, "--explain", stdin=signed.read_bytes() + b"footer\r\n"
        )
        assert ran.status == 1
        assert ran.out.count(b"A footer was added") == 2

    def test_in_json(self, run, signed, records):
        ran = run(
            "verify",
            *("--records", records, "--explain", "--json"),
            stdin=signed.read_bytes() + b"footer\r\n",
        )
        (line,) = ran.json
        (finding,) = line["signatures"][0]["findings"]
        assert finding["code"] == "footer-added"
        assert finding["certainty"] == "proved"
        assert finding["data"]["count"] == 1

    def test_a_reference_in_local_form(self, run, signed, message, records):
        message.write_bytes(MESSAGE.replace(b"\r\n", b"\n"))
        changed = signed.read_bytes().replace(b"here they are", b"here I am")
        ran = run("verify", "--records", records, "--reference", message, stdin=changed)
        assert ran.status == 1
        assert b"line 3, column 6" in ran.out

    def test_no_control_character_reaches_the_terminal(self, run, signed, records):
        octets = signed.read_bytes() + b"\x1b]0;owned\x07\r\n"
        octets = b"Subject: \x1b[31mred\r\n" + octets
        ran = run("verify", "--records", records, "--explain", stdin=octets)
        assert b"\x1b" not in ran.out
        assert b"\\x1b" in ran.out


class TestPolicy:
    def test_min_rsa_bits(self, run, signed, records):
        ran = run("verify", "--records", records, "--min-rsa-bits", "4096", "--json", signed)
        causes = [one["cause"] for one in ran.json[0]["signatures"]]
        assert causes == ["key_too_short", None]
        assert ran.status == 0

    def test_at_and_lifetime(self, run, signers, message, records):
        octets = run("sign", *signers, "--time", "1000", "--lifetime", "10", message).out
        assert run("verify", "--records", records, stdin=octets).status == 1
        assert run("verify", "--records", records, "--at", "1005", stdin=octets).status == 0

    def test_max_signatures(self, run, signed, records):
        ran = run("verify", "--records", records, "--max-signatures", "1", "--json", signed)
        causes = [one["cause"] for one in ran.json[0]["signatures"]]
        assert causes == [None, "limit_exceeded"]


def test_authentication_results(run, signed, records):
    ran = run("verify", "--records", records, "--authserv-id", "mx.example.org", signed)
    assert ran.out.startswith(b"Authentication-Results: mx.example.org;\n\tdkim=pass")
    assert b"header.s=s1-ed25519" in ran.out


def test_json_names(run, signed, records):
    (line,) = run(
        "verify", "--records", records, "--authserv-id", "mx.example.org", "--json", signed
    ).json
    assert line["status"] == "pass"
    assert line["line_ends"] == "crlf"
    assert line["authentication_results"].startswith("Authentication-Results: mx")
    assert line["usage"]["signatures"] == 2
    first = line["signatures"][0]
    assert first["domain"] == "example.com"
    assert first["selector"] == "s1"
    assert first["algorithm"] == "rsa-sha256"
    assert first["canonicalization"] == "relaxed/relaxed"
    assert (first["key_type"], first["key_bits"]) == ("rsa", 2048)
    assert first["cause"] is None


@pytest.mark.parametrize(
    "options",
    [
        ["--nameserver", "dns.example.com"],
        ["--nameserver", "127.0.0.1:99999"],
        ["--nameserver", "127.0.0.1", "--records", "x"],
        ["--min-rsa-bits", "512"],
        ["--at", "yesterday"],
        ["--authserv-id", ""],
        ["--no-such-option"],
    ],
)
def test_what_is_wrong_with_the_call(run, signed, options):
    ran = run("verify", *options, signed)
    assert (ran.status, ran.out) == (64, b"")
    assert "--help" in ran.err


def test_records_that_cannot_be_read(run, signed):
    ran = run("verify", "--records", "/nowhere", signed)
    assert ran.status == 78


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\0" * 1000,
        b"\r" * 1000,
        b"DKIM-Signature: v=1\r\n" * 10_000,
        b"DKIM-Signature: " + b"a" * 300_000,
        b"DKIM-Signature: v=1; a=rsa-sha256; d=\x1b[2J; s=\xff; h=from; bh=AA==; b=AA==\r\n\r\n",
    ],
)
@pytest.mark.parametrize("options", [[], ["--explain"], ["--json", "--explain"]])
def test_hostile_messages_do_not_pass_and_end_in_one_status(run, records, octets, options):
    ran = run("verify", "--records", records, *options, stdin=octets)
    assert ran.status == 1
    assert ran.err == ""
    assert b"\x1b" not in ran.out


def test_the_installed_command_verifies(program, signed, records):
    ran = program("verify", "--records", records, signed)
    assert (ran.status, ran.err) == (0, "")
    ran = program("verify", "--records", records, stdin=signed.read_bytes())
    assert ran.status == 0


def test_a_closed_pipe_is_no_traceback(signed, records):
    shell = f"{COMMAND} verify --records {records} " + f"{signed} " * 500 + "| head -1"
    ran = subprocess.run(["bash", "-c", shell], capture_output=True, check=True, timeout=60)
    assert ran.stderr == b""
    assert ran.stdout == f"{signed}: pass\n".encode()
