"""A private key is in no log line, whatever fails: the library's answers, the milter's, a bug's.

Exim logged one (CVE-2016-9963), others print what a key service answered.  Here each way that
a key can come in meets each way that signing can fail; whatever is logged, in both forms of the
log, and whatever can be printed is searched for pieces of the key.
"""

import base64
import os

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from dkimcore.settings.model import LogFormat
from dkimcore_milter.failure import describe
from dkimcore_milter.logsink import make_log
from tests.milter.sessions import INSIDE, KEYS, Mta, site, with_group

PEM = KEYS.joinpath("rsa2048.pem").read_text()
PRIVATE = load_pem_private_key(PEM.encode(), None)
NUMBERS = PRIVATE.private_numbers()
DER = PRIVATE.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
LINES = [line for line in PEM.splitlines() if not line.startswith("-")]
ONE_LINE = base64.b64encode(DER).decode()
# The public half is at the start of each form, and stands in log lines rightly.
PIECES = [
    *(line[:24] for line in LINES[8:]),
    *(ONE_LINE[at : at + 24] for at in range(600, len(ONE_LINE) - 24, 40)),
    *(str(number)[:24] for number in (NUMBERS.d, NUMBERS.p, NUMBERS.q)),
    *(f"{number:x}"[:24] for number in (NUMBERS.d, NUMBERS.p, NUMBERS.q)),
    *(repr(DER[at : at + 12])[2:-1] for at in range(400, 1000, 40)),
]


def leaked(text):
    return [piece for piece in PIECES if piece in text]


WHERE = {
    "file": lambda folder: f"{folder}/s1.private",
    "row": lambda folder: ONE_LINE,
    "row with armour": lambda folder: PEM.replace("\n", "\\n"),
}
BREAK = {
    "nothing": lambda key: None,
    "a line is missing": lambda key: key.write_text("\n".join(PEM.splitlines()[:9])),
    "the middle alone": lambda key: key.write_text("\n".join(LINES[9:20])),
    "letters": lambda key: key.write_text(PEM.replace(LINES[12], LINES[12][:-4] + "!!??")),
    "numbers": lambda key: key.write_text(PEM.replace(LINES[12], LINES[13])),
    "twice": lambda key: key.write_text(PEM + PEM),
    "another form": lambda key: key.write_text(f"key: {ONE_LINE}"),
    "others may read it": lambda key: key.chmod(0o644),
    "gone": lambda key: key.unlink(),
}


@pytest.fixture
def written(tmp_path):
    """Writes lines in both forms of the log, and gives what was written."""

    def write(settings, lines):
        text = ""
        for form in (LogFormat.JSON, LogFormat.SYSLOG):
            name = tmp_path / f"log.{form.name}"
            descriptor = os.open(name, os.O_CREAT | os.O_WRONLY, 0o600)
            log = make_log(
                with_group(settings, "logging", format=form, enabled=True),
                name="test",
                address=str(tmp_path / "no-daemon"),
                descriptor=descriptor,
            )
            for line in lines:
                log(line)
                text += repr(line) + str(line)
            os.close(descriptor)
            text += name.read_text()
        return text

    return write


def printed(mta):
    """Whatever can be printed of what a message meets."""
    engine, session = mta.engine, mta.session
    things = [engine, session, engine.settings, *vars(session).values(), *vars(engine).values()]
    return "".join(f"{thing!r}{thing!s}" for thing in things)


@pytest.mark.parametrize("broken", BREAK)
@pytest.mark.parametrize("where", WHERE)
def test_no_piece_of_a_key_is_logged_or_printed(tmp_path, written, where, broken):
    settings = site(tmp_path, signing={"require_safe_keys": True})
    text = WHERE[where](tmp_path)
    (tmp_path / "KeyTable").write_text(f"main example.com:s1:{text}\n")
    BREAK[broken](tmp_path / "s1.private")
    mta = Mta(settings, peer=INSIDE)
    outcome = mta.send()
    assert outcome.log
    assert leaked(written(settings, outcome.log) + printed(mta)) == []
    for change in outcome.changes:
        assert leaked(repr(change)) == []
    assert leaked(outcome.reply.text) == []


@pytest.mark.parametrize(
    "row", ["main {key}", "main example.com:{key}", "main {key}:s1:x", "{key}"]
)
def test_no_piece_of_a_key_in_the_wrong_place_is_logged(tmp_path, written, row):
    settings = site(tmp_path)
    (tmp_path / "KeyTable").write_text(row.format(key=ONE_LINE) + "\n")
    mta = Mta(settings, peer=INSIDE)
    assert leaked(written(settings, mta.send().log) + printed(mta)) == []


def test_a_traceback_holds_no_variables():
    """What a bug had in its hands is not in the log."""

    def fail(key):
        parts = [key, *key.splitlines()]
        raise RuntimeError(len(parts))

    with pytest.raises(RuntimeError) as caught:
        fail(PEM)
    text = "".join(describe(caught.value))
    assert "RuntimeError" in text
    assert leaked(text) == []


def test_the_search_finds_a_key():
    assert leaked(PEM)
    assert leaked(ONE_LINE)
    assert leaked(repr(DER))
    assert leaked(repr(NUMBERS.d))
