"""The file that shows what became of signed fields (DiagnosticDirectory)."""

from __future__ import annotations

import os
import pwd
import resource
import stat

import pytest

import dkimcore
from dkimcore.protocol.canonical import Canonicalization
from dkimcore.settings.model import Action
from dkimcore_milter.action import ACCEPT, Verdict
from dkimcore_milter.diagnosticfile import MAX_FILE_OCTETS
from dkimcore_milter.logline import Level
from tests.milter.sessions import BODY, MACROS, NOW, SIMPLE, Mta, compose, parse, site, with_group
from tests.protocol import material
from tests.servers.dkimcoremilter import DkimcoreMilter
from tests.servers.milterclient import deliver

KEY = material.rsa()
RECORD = f"s1._domainkey.example.com {KEY.record().decode()}\n"
SAME = "No field differs from its copy, except perhaps in white space."


def mail(header=SIMPLE, *, selector="s1", copied_fields=True, **profile):
    """A message signed for example.com, with copies of the signed fields."""
    message = compose(header, BODY)
    made = dkimcore.SigningProfile(copied_fields=copied_fields, **profile)
    signer = dkimcore.Signer.make("example.com", selector, KEY, profile=made)
    return dkimcore.sign(message, [signer], now=NOW).octets + message


def won(message):
    return message.replace(b"\r\nSubject: dinner", b"\r\nSubject: winner")


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "diagnosis"
    folder.mkdir()
    return folder


@pytest.fixture
def receive(tmp_path, place):
    """Passes a message through a site with that directory."""

    def run(message, *, job_id="4Bq1", directory=place, **groups):
        settings = site(tmp_path, verifying={"diagnostic_directory": str(directory)}, **groups)
        macros = {"j": MACROS["j"]} if job_id is None else {**MACROS, "i": job_id}
        return Mta(settings, macros=macros).pass_on(message)

    return run


def differences(text):
    """The lines that say what differs."""
    found = text.partition('What differs, "-" as signed and "+" as received:\n')[2]
    return found.partition("\n\n")[0].splitlines()


def not_written(outcome):
    """Why there is no file; asserts that the message did not suffer."""
    assert outcome.reply == ACCEPT
    assert "dkim=fail" in outcome.results[0]
    (line,) = [line for line in outcome.log if line.event == "diagnostic-file-failed"]
    assert line.level is Level.WARNING
    return line.text


def test_a_changed_field_is_shown_as_it_was_and_as_it_is(receive, place):
    message = won(mail())
    outcome = receive(message)
    assert "dkim=fail" in outcome.results[0]
    (file,) = place.iterdir()
    assert file.name == "4Bq1"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text()
    title = "Signature 1 (s=s1 d=example.com a=rsa-sha256): signature did not verify"
    assert title in text.splitlines()
    assert differences(text) == ["-Subject: dinner", "+Subject: winner"]
    before, _, here = text.partition("\n\nAs it was received:\n\n")
    signed = before.partition("\n\nAs it was signed, by signature 1:\n\n")[2]
    assert sorted(signed.splitlines()) == sorted(f"{n.decode()}:{v.decode()}" for n, v in SIMPLE)
    head = message.partition(b"\r\n\r\n")[0].decode()
    assert here == head.replace("\r\n", "\n") + "\n"
    assert outcome.lines("diagnostic-file") == [f"wrote diagnostic file {file}"]


def test_fields_added_and_taken_out_are_shown(receive, place):
    fields, body = parse(mail([*SIMPLE, (b"Cc", b" carol@example.net")]))
    fields = [one for one in fields if one[0] != b"Cc"]
    receive(compose([*fields, (b"Subject", b" [list]\r\n dinner")], body))
    assert differences((place / "4Bq1").read_text()) == [
        *("+Subject: [list]", "+ dinner", "-Cc: carol@example.net")
    ]


def test_an_oversigned_field_that_was_added_is_shown_though_there_is_no_copy(receive, place):
    fields, body = parse(mail(oversigned_fields=("from", "reply-to")))
    receive(compose([*fields, (b"Reply-To", b" eve@example.org")], body))
    assert differences((place / "4Bq1").read_text()) == ["+Reply-To: eve@example.org"]


def test_neither_white_space_nor_the_order_of_copies_is_a_difference(receive, place):
    header = [(b"Comments", b" one"), (b"Comments", b" two"), *SIMPLE]
    message = mail(
        header,
        header_canonicalization=Canonicalization.SIMPLE,
        fields=("from", "comments", "subject"),
    )
    receive(message.replace(b"Subject: dinner", b"Subject:  dinner"))
    assert SAME in (place / "4Bq1").read_text().splitlines()


def test_a_changed_body_says_that_the_header_is_the_same(receive, place):
    receive(mail().replace(b"hungry", b"angry"))
    lines = (place / "4Bq1").read_text().splitlines()
    assert SAME in lines
    assert "Signature 1 (s=s1 d=example.com a=rsa-sha256): body hash did not verify" in lines


def test_each_signature_that_failed_is_compared(receive, place):
    fields, body = parse(mail())
    twice = mail(fields)
    receive(won(compose(parse(twice)[0], body)))
    text = (place / "4Bq1").read_text()
    assert text.count("As it was signed, by signature ") == 2
    assert text.count("-Subject: dinner\n+Subject: winner") == 2
    assert text.count("\nAs it was received:\n") == 1


@pytest.mark.parametrize(
    "message",
    [
        mail(),
        won(mail(copied_fields=False)),
        won(mail(selector="unknown")),
        compose(SIMPLE, BODY),
    ],
    ids=["passes", "no z=", "no key", "no signature"],
)
def test_there_is_no_file_if_there_is_nothing_to_compare(receive, place, message):
    assert not receive(message).lines("diagnostic-file-failed")
    assert list(place.iterdir()) == []


def test_without_the_option_nothing_is_written_or_said(tmp_path):
    outcome = Mta(site(tmp_path)).pass_on(won(mail()))
    assert "dkim=fail" in outcome.results[0]
    assert not any(line.event.startswith("diagnostic-file") for line in outcome.log)


def test_a_message_that_is_refused_leaves_its_file(receive, place):
    outcome = receive(won(mail()), actions={"bad_signature": Action.REJECT})
    assert outcome.reply.verdict is Verdict.REJECT
    assert (place / "4Bq1").exists()


def test_a_file_that_is_there_stays(receive, place):
    (place / "4Bq1").write_text("mine")
    assert not_written(receive(won(mail()))).endswith("/diagnosis/4Bq1: File exists")
    assert (place / "4Bq1").read_text() == "mine"


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_is_not_followed(receive, place, tmp_path, exists):
    victim = tmp_path / "victim"
    if exists:
        victim.write_text("mine")
    (place / "4Bq1").symlink_to(victim)
    assert "File exists" in not_written(receive(won(mail())))
    assert victim.exists() == exists
    assert not exists or victim.read_text() == "mine"


@pytest.mark.parametrize(
    "job_id", [None, "../4Bq1", ".", "4Bq1/x", "4B q1", "4Bq\x00", "\u0664", "x" * 65]
)
def test_a_queue_id_that_may_not_name_a_file_does_not(receive, place, job_id):
    assert "the queue id cannot be" in not_written(receive(won(mail()), job_id=job_id))
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("name", ["missing", "diagnosis/file", "diagnosis\0"])
def test_without_its_directory_the_message_goes_its_way(receive, place, tmp_path, name):
    (place / "file").touch()
    text = not_written(receive(won(mail()), directory=f"{tmp_path}/{name}"))
    assert text.startswith("can't write diagnostic file ")


def test_half_a_file_is_removed(receive, place):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    message = won(mail())
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    try:
        outcome = receive(message.replace(b"\r\nTo:", b"\r\nX-Long: " + b"x" * 9000 + b"\r\nTo:"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "File too large" in not_written(outcome)
    assert list(place.iterdir()) == []


def test_a_file_has_its_limit_and_what_differs_is_in_it(receive, place):
    fields, body = parse(won(mail()))
    fields += [(b"X-Long", b" " + b"x" * 900)] * 200
    receive(compose(fields, body))
    content = (place / "4Bq1").read_bytes()
    assert len(content) == MAX_FILE_OCTETS
    assert content.endswith(b"x\n(cut here)\n")
    assert differences(content.decode()) == ["-Subject: dinner", "+Subject: winner"]


def test_strangers_cannot_fill_the_disk(tmp_path, place, monkeypatch):
    monkeypatch.setattr("dkimcore_milter.diagnosticfile.MAX_FILES", 2)
    mta = Mta(site(tmp_path, verifying={"diagnostic_directory": str(place)}), macros=MACROS)
    said = []
    for job_id in ("4Bq1", "4Bq2", "4Bq3", "4Bq4"):
        mta.macros["i"] = job_id
        said += mta.pass_on(won(mail())).lines("diagnostic-file-failed")
    assert sorted(file.name for file in place.iterdir()) == ["4Bq1", "4Bq2"]
    assert said == ["no more diagnostic files: 2 were written; reload to go on"]


def test_what_a_terminal_would_obey_is_not_written(receive, place):
    header = [*SIMPLE, (b"Comments", b" \x1b[2J\xff \xc2\x9b \xe2\x80\xae\r\n\tfold\xc3\xbc\t.")]
    receive(won(mail(header, fields=("from", "subject", "comments"))))
    text = (place / "4Bq1").read_text()
    shown = "Comments: \\x1b[2J\\xff \\x9b \\u202e\n\tfold\u00fc\t.\n"
    assert text.count(shown) == 2
    assert all(char.isprintable() or char in "\n\t" for char in text)


@pytest.mark.parametrize("value", [b"", b"From=", b"Subject:=zz", b"|||", b"From|=0A:|:", b"=00"])
def test_copies_that_are_none_do_no_harm(receive, place, value):
    message = mail(copied_fields=False).replace(b"v=1;", b"v=1; z=" + value + b";")
    outcome = receive(message)
    assert "dkim=fail" in outcome.results[0]
    assert "Signature 1 (" in (place / "4Bq1").read_text()


def test_a_relative_path_counts_from_base_directory(tmp_path, place):
    settings = site(tmp_path, verifying={"diagnostic_directory": "diagnosis"})
    Mta(with_group(settings, "process", base_directory=str(tmp_path))).pass_on(won(mail()))
    assert os.listdir(place) == ["4Bq1"]


class Confined(DkimcoreMilter):
    """A filter that sees its socket from another root directory than we do."""

    def command(self, conf, _socket_name):
        return super().command(conf, "local:/run/socket")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its root directory")
@pytest.mark.parametrize("name", ["/run", "run"])
def test_the_filters_user_writes_in_the_other_root_directory(tmp_path, name):
    tmp_path.chmod(0o755)
    run = tmp_path / "run"
    run.mkdir()
    nobody = pwd.getpwnam("nobody")
    os.chown(run, nobody.pw_uid, nobody.pw_gid)
    conf = (
        "Mode v\nTestPublicKeys {folder}/records\nUserID nobody\n"
        f"ChangeRootDirectory {tmp_path}\nDiagnosticDirectory {name}\nResolverTracing yes\n"
    )
    with Confined(conf, files={"records": RECORD}, socket_name=f"local:{run}/socket") as milter:
        deliver(milter.address, won(mail()))
        line = milter.wait_for("wrote diagnostic file /run/4XyZ3k1Qzbz1")
        assert (line["event"], line["job_id"]) == ("diagnostic-file", "4XyZ3k1Qzbz1")
        status = (run / "4XyZ3k1Qzbz1").stat()
        assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (nobody.pw_uid, 0o600)
        traced = milter.wait_for("query for TXT s1._domainkey.example.com")
        assert (traced["level"], traced["event"]) == ("debug", "key-query")
        assert traced["job_id"] == "4XyZ3k1Qzbz1"
