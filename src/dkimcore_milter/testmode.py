"""Test mode (-t): plays the messages of files to a session, and tells what came of each.

Prints what opendkim(8) prints.  The client is localhost, and each macro X has the value
DEBUG-X, so that mail counts as authenticated.  Nothing is written to the log: errors go to
standard error, with -v all lines of the log.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from dkimcore.protocol.result import Cause
from dkimcore_milter.action import (
    AddRecipient,
    Conclusion,
    DeleteField,
    DeleteRecipient,
    InsertField,
    Quarantine,
    Verdict,
)
from dkimcore_milter.engine import Engine
from dkimcore_milter.flags import STANDARD_INPUT
from dkimcore_milter.logline import Level
from dkimcore_milter.logsink import escaped
from dkimcore_milter.peer import Peer
from dkimcore_milter.session import Session
from dkimcore_milter.testmessage import MalformedMessage, read_message
from dkimcore_milter.wording import WORDING

if TYPE_CHECKING:
    from dkimcore.protocol.message import HeaderField
    from dkimcore.settings.model import Settings
    from dkimcore_milter.action import Modification, Reply
    from dkimcore_milter.flags import Flags
    from dkimcore_milter.logline import LogLine
    from dkimcore_milter.testmessage import InputMessage

__all__ = ["judge"]

_CLIENT = Peer(host="localhost", address="127.0.0.1")
_SENDER = b"<sender@example.org>"
_RECIPIENT = b"<recipient@example.com>"
_CHUNK_OCTETS = 65_535  # MILTER_CHUNK_SIZE of libmilter
_ALL = 2  # -vv
_MALFORMED = frozenset(("bad-author", "field-counts", "no-author"))


class _Stopped(Exception):
    """A step did not continue, so that there is nothing to judge."""


def judge(program: str, settings: Settings, flags: Flags) -> int:
    """Judge the messages of files.

    Args:
        program: What to call ourselves.
        settings: The settings.  PeerList and ExemptDomains are not used, and messages are
            verified unless Mode is set.
        flags: The files, the time that it is (-F), and how much to say.

    Returns:
        0, also if a signature failed; 65 for a message that is none, 69 for a file that is not
        there, 70 if a step did not continue.

    Raises:
        ConfigError: A table or a data set is wrong.
        KeyBackendError: The key of KeyFile cannot be used.
    """
    fixed = flags.fixed_time
    engine = Engine.load(
        _for_tests(settings, flags), clock=time.time if fixed is None else lambda: float(fixed)
    )
    engine.preload()
    test = _Test(program, engine, verbosity=flags.verbosity)
    try:
        test.connect()
        for file in flags.tests:
            status = test.judge_file(file)
            if status != os.EX_OK:
                return status
    except _Stopped:
        return os.EX_SOFTWARE
    finally:
        test.close()
    return os.EX_OK


def _for_tests(settings: Settings, flags: Flags) -> Settings:
    hosts = replace(settings.hosts, peers=None)
    names = {name for name, _ in settings.origins} | {name.lower() for name, _ in flags.overrides}
    if "mode" not in names:
        hosts = replace(hosts, signs=False, verifies=True)
    return replace(
        settings,
        hosts=hosts,
        verifying=replace(settings.verifying, exempt_domains=None),
        logging=replace(settings.logging, success=True),  # what came of it is read off the log
    )


class _Test:
    """One connection of test mode."""

    def __init__(self, program: str, engine: Engine, *, verbosity: int) -> None:
        self._program = program
        self._name = ""
        self._verbosity = verbosity
        self._strict = engine.settings.process.strict_test_mode
        self._lines: list[LogLine] = []
        self._session = Session(engine, log=self._log, macros=lambda macro: f"DEBUG-{macro}")

    def connect(self) -> None:
        """Play the beginning of a connection."""
        self._expect("mlfi_connect()", self._session.connect(_CLIENT))

    def close(self) -> None:
        """End the connection."""
        self._session.close()
        self._name = ""
        if self._verbosity >= _ALL:
            self._complain("mlfi_close() returned SMFIS_CONTINUE")

    def judge_file(self, file: str) -> int:
        """Play one message, print what came of it, and return the exit status."""
        self._name = "(stdin)" if file == STANDARD_INPUT else file
        try:
            is_input = file == STANDARD_INPUT
            with open(0 if is_input else file, "rb", closefd=not is_input) as opened:
                octets = opened.read()
            message = read_message(octets, strict=self._strict)
        except OSError as exc:
            self._complain(f"fopen(): {exc.strerror}")
            return os.EX_UNAVAILABLE
        except MalformedMessage as exc:
            self._complain(str(exc))
            return os.EX_DATAERR
        if not message.fields:
            self._complain("warning: no headers on input")
            return os.EX_OK
        self._lines.clear()
        status = self._tell(self._play(message))
        self._name = ""
        return status

    def _play(self, message: InputMessage) -> Conclusion:
        session = self._session
        self._expect("mlfi_envfrom()", session.envelope_sender(_SENDER))
        self._expect("mlfi_envrcpt()", session.envelope_recipient(_RECIPIENT))
        for line, name, value in message.fields:
            self._expect(f"line {line}: mlfi_header()", session.field(name, value))
        self._expect("mlfi_eoh()", session.end_of_header())
        for start in range(0, len(message.body), _CHUNK_OCTETS):
            reply = session.body(message.body[start : start + _CHUNK_OCTETS])
            if reply.verdict is Verdict.SKIP:
                self._trace("mlfi_body()", reply)
                break
            self._expect("mlfi_body()", reply)
        return session.end_of_message()

    def _expect(self, step: str, reply: Reply) -> None:
        if reply.verdict is not Verdict.CONTINUE:
            self._complain(f"{step} returned SMFIS_{reply.verdict.name}")
            raise _Stopped
        self._trace(step, reply)

    def _trace(self, step: str, reply: Reply) -> None:
        wanted = 1 if reply.verdict is not Verdict.CONTINUE else _ALL
        if self._verbosity >= wanted:
            self._complain(f"{step} returned SMFIS_{reply.verdict.name}")

    def _tell(self, conclusion: Conclusion) -> int:
        """Print what came of a message, and return the exit status."""
        signed = False
        for modification in conclusion.modifications:
            if self._verbosity >= _ALL:
                print(f"### {_shown(modification)}")
            if isinstance(modification, InsertField) and _is_signature(modification.field):
                signed = True
                if self._verbosity < _ALL:
                    print(f"{self._program}: {self._name}:\n{_text(modification.field.raw)}")
        reply = conclusion.reply
        if reply.text and self._verbosity >= _ALL:
            codes = f"rcode='{reply.code}' xcode='{reply.enhanced}'"
            print(f"### SETREPLY: {codes} replytxt='{escaped(reply.text)}'")
        self._trace("mlfi_eom()", reply)
        verdict = next((line for line in map(_verdict, self._lines) if line), None)
        if verdict is not None:
            print(f"{self._program}: {self._name}: {verdict}")
        elif not signed and any(line.level <= Level.ERR for line in self._lines):
            return os.EX_SOFTWARE  # it was to be signed, and nobody may take it for done
        elif not signed and not any(map(_is_failure, self._lines)):
            print(f"{self._program}: {self._name}: message not signed")
        return os.EX_OK

    def _log(self, line: LogLine) -> None:
        self._lines.append(line)
        if self._verbosity or _is_failure(line):
            self._complain(f"{line.level.name.lower()}: {line.text}")

    def _complain(self, text: str) -> None:
        name = f"{self._name}: " if self._name else ""
        print(escaped(f"{self._program}: {name}{text}"), file=sys.stderr)


def _is_failure(line: LogLine) -> bool:
    """Whether a line says why a message was neither signed nor verified."""
    return line.level <= Level.ERR or line.event in _MALFORMED


def _verdict(line: LogLine) -> str | None:
    """Return OpenDKIM's words for the line that tells how verifying ended; None for others."""
    fields = line.fields
    if "status" not in fields or line.event in ("signature-failed", "crypto-error"):
        return None
    bits = fields["bits"] or 0
    selector, domain = (fields[name] or "(unknown)" for name in ("selector", "domain"))
    if line.event == "verified":
        dnssec = ", secure" if fields["secure"] else ""
        return escaped(f"verification (s={selector}, d={domain}, {bits}-bit key{dnssec}) succeeded")
    dnssec = "secure" if fields["secure"] else "unknown"
    return escaped(
        f"verification (s={selector} d={domain}, {bits}-bit key, {dnssec}) failed: {_why(line)}"
    )


def _why(line: LogLine) -> str:
    cause = line.fields["cause"]
    if not isinstance(cause, str):
        return line.text
    found = Cause[cause.upper()]
    return WORDING[found].reason or str(line.fields["detail"] or found.phrase)


def _shown(modification: Modification) -> str:
    """Say what an MTA would be asked for, as opendkim(8) does."""
    match modification:
        case InsertField(field):
            value = _text(field.value).removeprefix(" ")
            return f"INSHEADER: idx=0 hname='{_text(field.name)}' hvalue='{value}'"
        case DeleteField(name, index):
            return f"CHGHEADER: hname='{_text(name)}' idx={index} hvalue='(null)'"
        case Quarantine(reason):
            return f"QUARANTINE: reason='{escaped(reason)}'"
        case AddRecipient(address):
            return f"ADDRCPT: '{_text(address)}'"
        case DeleteRecipient(address):
            return f"DELRCPT: '{_text(address)}'"


def _is_signature(field: HeaderField) -> bool:
    return field.name.lower() == b"dkim-signature"


def _text(octets: bytes) -> str:
    """Return a field or an address for a terminal: lines stay, control characters do not."""
    text = octets.replace(b"\r\n", b"\n").decode("utf-8", "backslashreplace")
    return "".join(char if char in "\n\t" else escaped(char) for char in text)
