"""``dkimcore why``: what an operator is told about a message, without a mail server."""

from __future__ import annotations

import pytest

MESSAGE = (
    b"From: Ada <ada@example.com>\n"
    b"To: bo@recipient.example\n"
    b"Subject: Minutes\n"
    b"Date: Mon, 16 Nov 2026 09:12:44 +0000\n"
    b"\n"
    b"Dear Bo,\n"
)


@pytest.fixture
def site(tmp_path, keys):
    """The configuration of a site that signs for example.com with RSA and Ed25519."""
    (tmp_path / "SigningTable").write_text(
        "# two rows\n"
        "*@example.com  rsa\n"
        "*@example.com  ed25519\n"
        "*@absent.example  absent\n"
        "*@nowhere.example  nowhere\n"
    )
    (tmp_path / "KeyTable").write_text(
        f"rsa example.com:s1:{keys}/s1.private\n"
        f"ed25519 example.com:s1-ed25519:{keys}/s1-ed25519.private\n"
        f"absent absent.example:s1:{keys}/absent.private\n"
    )
    (tmp_path / "TrustedHosts").write_text("127.0.0.1\n192.0.2.0/24\n.office.example\n")
    path = tmp_path / "opendkim.conf"
    path.write_text(
        f"SigningTable refile:{tmp_path}/SigningTable\n"
        f"KeyTable {tmp_path}/KeyTable\n"
        f"InternalHosts {tmp_path}/TrustedHosts\n"
        "MultipleSignatures yes\n"
    )
    return path


@pytest.fixture
def why(run, site, message):
    """Asks about a message at that site."""

    def call(*options, octets=MESSAGE):
        message.write_bytes(octets)
        return run("why", "--config", site, *options, message)

    return call


def answers(ran, question):
    """The lines that answer a question."""
    lines = ran.out.decode().splitlines()
    return [line.split(maxsplit=1)[1] for line in lines if line.split()[:1] == [question]]


def test_a_signature_is_explained_by_rule_row_and_key(why, site, keys):
    ran = why("--client", "192.0.2.7")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.splitlines()[0].endswith(b"message.eml: signed")
    folder = site.parent
    assert answers(ran, "author") == ["the author is ada@example.com"]
    assert answers(ran, "origin") == [f"192.0.2.7 is in InternalHosts ({folder}/TrustedHosts:2)"]
    assert answers(ran, "row") == [
        f"*@example.com asks for the key rsa ({folder}/SigningTable:2)",
        f"*@example.com asks for the key ed25519 ({folder}/SigningTable:3)",
    ]
    assert answers(ran, "key") == [
        f"d=example.com s=s1: file:{keys}/s1.private can sign, 2048 bits, rsa-sha256 "
        f"({folder}/KeyTable:1)",
        f"d=example.com s=s1-ed25519: file:{keys}/s1-ed25519.private can sign, 256 bits, "
        f"ed25519-sha256 ({folder}/KeyTable:2)",
    ]


def test_a_stranger_is_verified_and_what_is_missing_is_told(why):
    ran = why("--client", "203.0.113.9")
    assert ran.status == 0
    assert b": verified\n" in ran.out
    first, second = answers(ran, "origin")
    assert first.startswith("[203.0.113.9] [203.0.113.9] not internal (")
    assert first.endswith("opendkim.conf:3)")
    assert second == "not authenticated"
    (remark,) = answers(ran, "remark")
    assert "d=example.com s=s1, d=example.com s=s1-ed25519" in remark


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ([], "127.0.0.1 is in InternalHosts"),
        (["--client", "203.0.113.9", "--auth-type", "PLAIN"], "authenticated"),
        (["--client", "203.0.113.9", "--macro", "auth_type=LOGIN"], "LOGIN"),
        (["--client", "203.0.113.9", "--client-name", "pc.office.example"], "InternalHosts"),
    ],
)
def test_every_way_to_belong_to_the_site_can_be_tried(why, options, reason):
    ran = why(*options)
    assert b": signed\n" in ran.out
    assert reason in answers(ran, "origin")[0]


def test_the_mail_servers_name_for_a_socket_can_be_tried(why, site):
    site.write_text(site.read_text() + "MTA submission\n")
    outside = ("--client", "203.0.113.9", "--daemon-name")
    assert b": signed\n" in why(*outside, "submission").out
    assert b": verified\n" in why(*outside, "smtpd").out


def test_a_recipient_can_be_tried(why, site):
    site.write_text(site.read_text() + "DontSignMailTo bo@recipient.example\n")
    assert b": signed\n" in why().out
    ran = why("--recipient", "bo@recipient.example")
    assert b": left alone\n" in ran.out
    assert "opendkim.conf:5" in answers(ran, "recipient")[0]


def test_a_key_that_is_not_there_is_a_status(why, site, keys):
    ran = why(octets=MESSAGE.replace(b"@example.com", b"@absent.example"))
    assert ran.status == 66
    assert b": not signed, though it should be\n" in ran.out
    (key,) = answers(ran, "key")
    assert f"file:{keys}/absent.private cannot sign" in key
    assert f"({site.parent}/KeyTable:3)" in key
    assert "refused for now" in answers(ran, "ending")[0]


def test_a_row_that_is_wrong_is_a_status(why, site):
    ran = why(octets=MESSAGE.replace(b"@example.com", b"@nowhere.example"))
    assert ran.status == 78
    assert "unknown key 'nowhere'" in answers(ran, "tables")[0]
    assert f"({site.parent}/SigningTable:5)" in answers(ran, "tables")[0]


@pytest.mark.parametrize("octets", [b"", b"\n\nbody\n", b"no header at all\n\nbody\n"])
def test_what_is_no_message_is_a_status(why, octets):
    ran = why(octets=octets)
    assert (ran.status, ran.out) == (65, b"")
    assert ran.err.count("\n") == 1


def test_a_message_without_an_author_is_a_status(why):
    ran = why(octets=MESSAGE.replace(b"From:", b"X-From:"))
    assert ran.status == 65
    assert b": called malformed\n" in ran.out


def test_a_configuration_that_is_wrong_is_a_status(why, site):
    site.write_text("NoSuchOption yes\n")
    ran = why()
    assert (ran.status, ran.out) == (78, b"")
    assert "opendkim.conf:1" in ran.err


@pytest.mark.parametrize(
    "options",
    [
        ["--client", "somewhere"],
        ["--macro", "novalue"],
        ["--records", "file"],
        ["--nameserver", "127.0.0.1"],
    ],
)
def test_what_is_wrong_with_the_call(why, options):
    ran = why(*options)
    assert (ran.status, ran.out) == (64, b"")


def test_signing_is_tried_with_the_published_records(why, keys, records):
    ran = why("--verify", "--records", records)
    assert ran.status == 0
    assert ran.out.count(b": pass d=example.com") == 2
    other = keys / "other.txt"
    ran = why("--verify", "--records", other)
    assert ran.status == 1
    assert b"no key for signature" in ran.out


def test_a_received_message_is_verified_on_request(run, why, signed, site, records):
    outside = ("why", "--config", site, "--client", "203.0.113.9", "--verify", "--records", records)
    ran = run(*outside, signed)
    assert ran.status == 0
    assert ran.out.count(b": pass d=example.com") == 2
    signed.write_bytes(signed.read_bytes().replace(b"Dear", b"Near"))
    ran = run(*outside, signed)
    assert ran.status == 1
    assert "bad signature data" in answers(ran, "log")
    assert answers(ran, "ending") == ["it is accepted"]


def test_json(why, keys, records):
    (value,) = why("--json").json
    assert value["outcome"] == "signed"
    assert [key["key"] for key in value["keys"]] == [
        f"file:{keys}/s1.private",
        f"file:{keys}/s1-ed25519.private",
    ]
    assert [step["question"] for step in value["steps"]][-1] == "signature"
    assert value["problem"] is None
    (value,) = why("--json", "--verify", "--records", records).json
    assert [one["status"] for one in value["signatures"]] == ["pass", "pass"]
    assert len(value["fields"]) == 2
    assert value["verdict"] == "accept"


def test_nothing_that_a_message_holds_reaches_the_terminal_raw(why):
    octets = b'From: "\x1b[2J" <ada@ex\x1bample.com>\nSubject: x\n\n'
    assert b"\x1b" not in why(octets=octets).out
