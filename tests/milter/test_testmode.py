"""Test mode says what the milter would do, in opendkim(8)'s words and exit statuses."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from dkimcore.testing import EphemeralKey
from dkimcore_milter import command
from dkimcore_milter.testmessage import MalformedMessage, read_message
from tests.servers import find_program

if TYPE_CHECKING:
    from pathlib import Path

KEY = EphemeralKey.rsa(2048)
NOW = 1_700_000_000
MESSAGE = """\
From: alice@example.com
To: bob@example.net
Subject: hello,
\tworld
Date: Tue, 14 Nov 2023 22:13:20 +0000
Message-ID: <1@example.com>

hello
"""


@dataclass
class Bench:
    """A folder with settings and messages, and the command that reads them."""

    folder: Path
    capture: pytest.CaptureFixture[str]

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text, newline="")
        path.chmod(0o600)
        return str(path)

    def run(self, conf, *arguments):
        """Runs the command; what it wrote comes back without the folder's name."""
        self.capture.readouterr()
        path = self.write("conf", f"{conf}\nRequireSafeKeys no\n")
        status = command.main(["-x", path, "-F", str(NOW), *map(str, arguments)])
        captured = self.capture.readouterr()
        here = f"{self.folder}/"
        return SimpleNamespace(
            status=status,
            out=captured.out.replace(here, "").splitlines(),
            err=captured.err.replace(here, "").splitlines(),
        )

    @property
    def signs(self):
        return f"Mode s\nDomain example.com\nSelector s1\nKeyFile {self.folder}/key\n"

    @property
    def verifies(self):
        return f"Mode v\nTestPublicKeys {self.folder}/records\n"

    def signed(self, message=MESSAGE, conf=""):
        """Returns the message with a signature, as test mode printed it."""
        ran = self.run(self.signs + conf, "-t", self.write("unsigned", message))
        assert ran.status == 0, ran.err
        assert ran.out[0] == "opendkim: unsigned:"
        return "\n".join(ran.out[1:]) + "\n" + message


@pytest.fixture
def bench(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["/usr/sbin/opendkim"])
    made = Bench(tmp_path, capsys)
    made.write("key", KEY.private_pem().decode())
    made.write("records", f"s1._domainkey.example.com {KEY.key_record().decode()}\n")
    return made


def test_a_signed_message_verifies(bench):
    ran = bench.run(bench.verifies, "-t", bench.write("m", bench.signed()))
    assert ran.out == [
        "opendkim: m: verification (s=s1, d=example.com, 2048-bit key) succeeded",
    ]
    assert (ran.status, ran.err) == (0, [])


def test_a_changed_message_fails_and_the_command_does_not(bench):
    message = bench.write("m", bench.signed().replace("hello\n", "hallo\n"))
    ran = bench.run(bench.verifies, "-t", message)
    assert ran.out == [
        "opendkim: m: verification (s=s1 d=example.com, 2048-bit key, unknown) failed: "
        "signature verification failed",
    ]
    assert ran.status == 0


def test_a_missing_key(bench):
    bench.write("records", "s2._domainkey.example.com v=DKIM1; p=\n")
    ran = bench.run(bench.verifies, "-t", bench.write("m", bench.signed()))
    assert ran.out == [
        "opendkim: m: verification (s=s1 d=example.com, 0-bit key, unknown) failed: "
        "key not found in DNS",
    ]
    assert ran.status == 0


def test_a_signature_that_cannot_be_read(bench):
    message = bench.write("m", bench.signed().replace("v=1;", "v=9;"))
    ran = bench.run(bench.verifies, "-t", message)
    assert len(ran.out) == 1
    assert ran.out[0].startswith("opendkim: m: verification (s=")
    assert ran.out[0].endswith("failed: v= is not 1")


def test_a_policy_of_ours_is_told_in_its_own_words(bench):
    message = bench.write("m", bench.signed())
    ran = bench.run(bench.verifies + "UnprotectedKey fail\n", "-t", message)
    assert ran.out[0].startswith(
        "opendkim: m: verification (s=s1 d=example.com, 2048-bit key, unknown) failed: "
    )


def test_an_unsigned_message(bench):
    ran = bench.run(bench.verifies, "-t", bench.write("m", MESSAGE))
    assert (ran.status, ran.out, ran.err) == (0, ["opendkim: m: message not signed"], [])


def test_crlf_is_the_same_message(bench):
    message = bench.signed().replace("\n", "\r\n")
    ran = bench.run(bench.verifies, "-t", bench.write("m", message))
    assert ran.out[0].endswith(" succeeded")


def test_strict_test_mode_wants_crlf(bench):
    conf = bench.verifies + "StrictTestMode yes\n"
    good = bench.write("good", bench.signed().replace("\n", "\r\n"))
    bad = bench.write("bad", MESSAGE.replace("\n", "\r\n").replace("\r\nTo", "\nTo"))
    assert bench.run(conf, "-t", good).out[0].endswith(" succeeded")
    ran = bench.run(conf, "-t", bad)
    assert (ran.status, ran.out) == (65, [])
    assert ran.err == ["opendkim: bad: line 1: not CRLF-terminated"]


def test_the_time_of_signing_is_fixed(bench):
    assert f"t={NOW};" in bench.signed()
    assert bench.signed() == bench.signed()


def test_mail_is_verified_unless_the_mode_is_set(bench):
    conf = bench.signs.replace("Mode s\n", "")
    message = bench.write("m", MESSAGE)
    ran = bench.run(conf, "-t", message)  # it would be signed, and that is not the mode
    assert ran.err == ["opendkim: m: mlfi_eoh() returned SMFIS_ACCEPT"]
    assert bench.run(conf, "-b", "s", "-t", message).out[0] == "opendkim: m:"
    assert bench.run(conf, "-b", "sv", "-t", message).out[0] == "opendkim: m:"


def test_peers_and_exempt_domains_are_judged_all_the_same(bench):
    conf = bench.verifies + "PeerList 127.0.0.1\nExemptDomains example.com\n"
    ran = bench.run(conf, "-t", bench.write("m", bench.signed()))
    assert ran.out[0].endswith(" succeeded")


def test_macros_have_a_value_of_their_own(bench):
    """The client is a stranger to InternalHosts; {auth_type} makes it one of ours."""
    conf = bench.signs + "InternalHosts 192.0.2.1\nAuthservID HOSTNAME\n"
    assert bench.run(conf, "-t", bench.write("m", MESSAGE)).out[0] == "opendkim: m:"
    ran = bench.run(bench.verifies, "-vv", "-t", bench.write("m", bench.signed()))
    assert "### INSHEADER: idx=0 hname='Authentication-Results' hvalue='DEBUG-j;" in ran.out


@contextmanager
def standard_input(path):
    """A file as standard input of this process."""
    kept = os.dup(0)
    with open(path, "rb") as file:
        os.dup2(file.fileno(), 0)
    try:
        yield
    finally:
        os.dup2(kept, 0)
        os.close(kept)


def test_several_files_and_standard_input(bench):
    first = bench.write("a", bench.signed())
    with standard_input(bench.write("b", MESSAGE)):
        ran = bench.run(bench.verifies, "-t", f"{first},-")
    assert ran.out == [
        "opendkim: a: verification (s=s1, d=example.com, 2048-bit key) succeeded",
        "opendkim: (stdin): message not signed",
    ]
    assert ran.status == 0


def test_verbose_shows_what_does_not_continue(bench):
    message = bench.write("m", bench.signed())
    ran = bench.run(bench.verifies, "-v", "-t", message)
    assert "opendkim: m: mlfi_eom() returned SMFIS_ACCEPT" in ran.err
    assert not any("SMFIS_CONTINUE" in line for line in ran.err)
    assert not any(line.startswith("###") for line in ran.out)


def test_very_verbose_shows_all_steps(bench):
    ran = bench.run(bench.verifies, "-vv", "-t", bench.write("m", bench.signed()))
    steps = [line for line in ran.err if "SMFIS_" in line]
    fields = len([line for line in bench.signed().split("\n\n")[0].splitlines() if line[0] != "\t"])
    assert steps[0] == "opendkim: mlfi_connect() returned SMFIS_CONTINUE"
    assert steps[1:4] == [
        "opendkim: m: mlfi_envfrom() returned SMFIS_CONTINUE",
        "opendkim: m: mlfi_envrcpt() returned SMFIS_CONTINUE",
        "opendkim: m: line 1: mlfi_header() returned SMFIS_CONTINUE",
    ]
    assert sum("mlfi_header()" in line for line in steps) == fields
    assert steps[-4:] == [
        "opendkim: m: mlfi_eoh() returned SMFIS_CONTINUE",
        "opendkim: m: mlfi_body() returned SMFIS_CONTINUE",
        "opendkim: m: mlfi_eom() returned SMFIS_ACCEPT",
        "opendkim: mlfi_close() returned SMFIS_CONTINUE",
    ]


def test_very_verbose_shows_each_change(bench):
    forged = "Authentication-Results: DEBUG-j; dkim=pass\n"
    message = bench.write("m", forged + forged + bench.signed().replace("hello\n", "bye\n"))
    conf = bench.verifies + "On-BadSignature quarantine\nRedirectFailuresTo x@example.net\n"
    ran = bench.run(conf, "-vv", "-t", message)
    changes = [line for line in ran.out if line.startswith("###")]
    assert changes[:2] == [
        "### CHGHEADER: hname='Authentication-Results' idx=2 hvalue='(null)'",
        "### CHGHEADER: hname='Authentication-Results' idx=1 hvalue='(null)'",
    ]
    assert {line.split(":")[0].removeprefix("### ") for line in changes[2:]} == {
        *("INSHEADER", "ADDRCPT", "DELRCPT", "QUARANTINE"),
    }
    assert "### DELRCPT: '<recipient@example.com>'" in changes


def test_a_rejection_is_shown_with_its_text(bench):
    conf = bench.verifies + "On-NoSignature reject\n"
    ran = bench.run(conf, "-vv", "-t", bench.write("m", MESSAGE))
    assert "### SETREPLY: rcode='550' xcode='5.7.0' replytxt='no DKIM signature data'" in ran.out
    assert "opendkim: m: mlfi_eom() returned SMFIS_REJECT" in ran.err
    assert ran.status == 0


def test_a_step_that_does_not_continue_ends_it(bench):
    message = bench.write("m", MESSAGE)
    ran = bench.run(bench.verifies + "MaximumHeaders 10\n", "-t", message)
    assert (ran.status, ran.out) == (70, [])
    assert ran.err[-1] == "opendkim: m: line 1: mlfi_header() returned SMFIS_TEMPFAIL"
    ran = bench.run(bench.signs.replace("example.com", "example.org"), "-t", message)
    assert (ran.status, ran.out) == (70, [])
    assert ran.err == ["opendkim: m: mlfi_eoh() returned SMFIS_ACCEPT"]


def test_mail_that_cannot_be_signed_is_no_success(bench):
    bench.write("signing", "* k1\n")
    bench.write("keys", f"k1 example.com:s1:{bench.folder}/none\n")
    conf = f"Mode s\nSigningTable file:{bench.folder}/signing\nKeyTable {bench.folder}/keys\n"
    ran = bench.run(conf, "-t", bench.write("m", MESSAGE))
    assert (ran.status, ran.out) == (70, [])
    assert any("k1" in line for line in ran.err)


def test_a_message_without_an_author_says_so(bench):
    message = bench.write("m", MESSAGE.replace("From:", "X-From:"))
    ran = bench.run(bench.verifies, "-t", message)
    assert (ran.status, ran.out) == (0, [])
    assert ran.err == ["opendkim: m: info: can't determine message sender; accepting"]


def test_a_missing_file(bench):
    ran = bench.run(bench.verifies, "-t", bench.folder / "none")
    assert (ran.status, ran.out) == (69, [])
    assert ran.err == ["opendkim: none: fopen(): No such file or directory"]


def test_what_is_no_message(bench):
    ran = bench.run(bench.verifies, "-t", bench.write("m", "From: a@example.com\njunk\n\nx\n"))
    assert (ran.status, ran.out) == (65, [])
    assert ran.err == ["opendkim: m: line 2: header malformed"]


def test_an_empty_file(bench):
    ran = bench.run(bench.verifies, "-t", bench.write("m", ""))
    assert (ran.status, ran.out) == (0, [])
    assert ran.err == ["opendkim: m: warning: no headers on input"]


def test_an_unsigned_message_with_a_long_body_is_not_read_to_its_end(bench):
    message = bench.write("m", MESSAGE + "x" * 70 + "\n" * 200_000)
    ran = bench.run(bench.verifies, "-v", "-t", message)
    assert sum("mlfi_body()" in line for line in ran.err) == 1
    assert "opendkim: m: mlfi_body() returned SMFIS_SKIP" in ran.err


def test_control_characters_of_a_message_do_not_reach_the_terminal(bench):
    message = bench.signed().replace("s=s1;", "s=s1\x1b[31m;")
    ran = bench.run(bench.verifies, "-vv", "-t", bench.write("m", message))
    assert "\x1b" not in "".join(ran.out + ran.err)


def test_the_end_of_a_connection_belongs_to_no_file(bench):
    conf = bench.verifies + "MaximumHeaders 10\n"
    ran = bench.run(conf, "-vv", "-t", bench.write("m", MESSAGE))
    assert ran.err[-1] == "opendkim: mlfi_close() returned SMFIS_CONTINUE"


def test_a_table_that_is_wrong_is_a_configuration_error(bench):
    conf = f"Mode s\nSigningTable file:/none\nKeyTable {bench.folder}/none\n"
    ran = bench.run(conf, "-t", bench.write("m", MESSAGE))
    assert (ran.status, ran.out) == (78, [])
    assert len(ran.err) == 1


@pytest.mark.server("opendkim")
def test_opendkim_says_the_same(bench):
    files = {
        "good": bench.signed(conf="Canonicalization relaxed/relaxed\n"),
        "unsigned": MESSAGE,
    }
    files["bad"] = files["good"].replace("hello\n", "bye\n")
    names = ",".join(bench.write(name, text) for name, text in files.items())
    ours = bench.run(bench.verifies, "-t", names)
    theirs = subprocess.run(
        [find_program("opendkim"), "-x", bench.folder / "conf", "-t", names],
        capture_output=True,
        text=True,
        check=False,
    )
    assert theirs.stdout.replace(f"{bench.folder}/", "").splitlines() == ours.out
    assert theirs.returncode == ours.status


@pytest.mark.server("opendkim")
def test_opendkim_takes_the_same_steps(bench):
    message = bench.write("m", bench.signed(conf="Canonicalization relaxed/relaxed\n"))
    ours = bench.run(bench.verifies, "-vv", "-t", message)
    theirs = subprocess.run(
        [find_program("opendkim"), "-x", bench.folder / "conf", "-vv", "-t", message],
        capture_output=True,
        text=True,
        check=False,
    )
    steps = theirs.stderr.replace(f"{bench.folder}/", "").splitlines()
    assert [line for line in ours.err if "SMFIS_" in line] == steps


class TestReading:
    def test_fields_are_given_as_a_milter_gets_them(self):
        message = read_message(b"A: b\r\n\tc\nX-Y :\n\nline\n.\r\nlast", strict=False)
        assert message.fields == ((1, b"A", b" b\r\n\tc"), (3, b"X-Y", b""))
        assert message.body == b"line\r\n.\r\nlast\r\n"

    def test_a_message_may_end_with_its_header(self):
        message = read_message(b"A: b\n", strict=False)
        assert (message.fields, message.body) == (((1, b"A", b" b"),), b"")

    @pytest.mark.parametrize(
        "octets", [b" A: b\n", b": b\n", b"A b: c\n", b"A\xff: b\n", b"\rA: b\n"]
    )
    def test_a_line_that_is_no_field(self, octets):
        with pytest.raises(MalformedMessage, match="line 1: header malformed"):
            read_message(octets, strict=False)

    @pytest.mark.parametrize("octets", [b"A: b\r\n\r\nx", b"A: b\r\n\r\nx\r"])
    def test_a_last_line_without_an_end_is_not_strict(self, octets):
        with pytest.raises(MalformedMessage, match="line 3: not CRLF-terminated"):
            read_message(octets, strict=True)
