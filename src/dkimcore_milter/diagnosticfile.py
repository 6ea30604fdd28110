"""Files that show what became of the signed fields of a message (DiagnosticDirectory).

A signature that fails and has ``z=`` tells what its fields were (RFC 6376 section 3.5).  One
file for each such message, named by its queue id, holds what differs, the fields as they were
signed, and the header as it was received.  Why a signature failed is left to
`dkimcore.diagnosis`; whether a file can be written or not, the message goes its way.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
from typing import TYPE_CHECKING, TypeAlias

from dkimcore.diagnosis.copies import read_copies
from dkimcore.protocol.canonical import Canonicalization, canonicalize_field
from dkimcore.protocol.result import Status
from dkimcore_milter.logline import Level
from dkimcore_milter.logsink import escaped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from dkimcore.protocol.message import Header
    from dkimcore.protocol.result import SignatureResult
    from dkimcore.protocol.signature import Signature
    from dkimcore.settings.model import Settings
    from dkimcore_milter.transaction import Transaction

__all__ = ["MAX_FILES", "MAX_FILE_OCTETS", "DiagnosticDirectory"]

MAX_FILES = 10_000
"""Files that a worker writes: strangers decide how many signatures fail, and 640 MiB is what
they may fill.  OpenDKIM has no limit."""

MAX_FILE_OCTETS = 65_536
"""Octets of a file; what differs stands first, so that a cut loses the least."""

# Queue ids of Postfix and Sendmail; whatever else the macro i holds names no file.
_QUEUE_ID = re.compile(r"[A-Za-z0-9]{1,64}")

_Compared: TypeAlias = tuple[bytes, bytes]
"""A field as it stands, and its relaxed form."""

_CUT = b"\n(cut here)\n"
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class DiagnosticDirectory:
    """The directory that the files go to.  Safe to share between threads.

    Nothing is opened before there is something to write: it is then the user of UserID who
    writes, and with ChangeRootDirectory the path counts from that root.

    Args:
        settings: DiagnosticDirectory, which may be unset, and what its path counts from.
    """

    __slots__ = ("_path", "_written")

    def __init__(self, settings: Settings) -> None:
        path, process = settings.verifying.diagnostic_directory, settings.process
        # chroot() leaves the process in the new root.
        base = process.base_directory if process.root_directory is None else "/"
        self._path = None if path is None else os.path.join(base or "", path)
        self._written = 0  # threads may count one too few, which does not matter

    def write(
        self, transaction: Transaction, results: Iterable[SignatureResult], *, header: Header
    ) -> None:
        """Write the file of a message if one of its signatures failed and has ``z=``.

        A file that is there already stays as it is.  What prevents the file is logged.

        Args:
            transaction: The message.
            results: What its signatures came to.
            header: Its header as received.
        """
        if self._path is None:
            return
        failed = [result for result in results if _failed_with_copies(result)]
        if not failed or self._written > MAX_FILES:
            return
        if self._written == MAX_FILES:
            self._written += 1
            text = f"no more diagnostic files: {MAX_FILES} were written; reload to go on"
            transaction.say(Level.WARNING, text, event="diagnostic-file-failed")
            return
        if not _QUEUE_ID.fullmatch(transaction.job_id):
            text = "no diagnostic file: the queue id cannot be the name of a file"
            transaction.say(Level.WARNING, text, event="diagnostic-file-failed")
            return
        path = os.path.join(self._path, transaction.job_id)
        content = _content(transaction.job_id, failed, header=header)
        try:
            _create(path, content)
        except (OSError, ValueError) as exc:  # ValueError: a NUL in the path
            why = exc.strerror if isinstance(exc, OSError) else exc
            text = f"can't write diagnostic file {path}: {why}"
            transaction.say(Level.WARNING, text, event="diagnostic-file-failed", path=path)
        else:
            self._written += 1
            text = f"wrote diagnostic file {path}"
            transaction.say(Level.INFO, text, event="diagnostic-file", path=path)


def _failed_with_copies(result: SignatureResult) -> bool:
    # The cause, and not the status, which a setting may have changed.
    if result.cause is None or result.cause.status is not Status.FAIL:
        return False
    return result.signature is not None and result.signature.copied_fields is not None


def _create(path: str, content: bytes) -> None:
    # Nobody but the filter's user: it is other people's mail.
    descriptor = os.open(path, _NEW_FILE, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(path)  # half a comparison misleads
        raise


def _content(job_id: str, failed: Sequence[SignatureResult], *, header: Header) -> bytes:
    content = bytearray()
    for line in _lines(job_id, failed, header=header):
        content += line.encode("utf-8") + b"\n"
        if len(content) > MAX_FILE_OCTETS:  # what follows is not even made
            return bytes(content[: MAX_FILE_OCTETS - len(_CUT)]) + _CUT
    return bytes(content)


def _lines(job_id: str, failed: Sequence[SignatureResult], *, header: Header) -> Iterator[str]:
    yield f"The header of message {job_id} as it was signed (z=) and as it was received."
    yield "What is not printable is written as \\x00."
    for result in failed:
        if result.signature is not None and result.cause is not None:
            yield ""
            yield _title(result.position, result.signature, why=result.cause.phrase)
            yield from _differences(header, result.signature)
    for result in failed:
        if result.signature is not None:
            yield from ("", f"As it was signed, by signature {result.position + 1}:", "")
            for raw in read_copies(result.signature.copied_fields):
                yield from _shown(raw)
    yield from ("", "As it was received:", "")
    for raw in header.canonical(Canonicalization.SIMPLE):
        yield from _shown(raw)


def _title(position: int, signature: Signature, *, why: str) -> str:
    names = f"s={signature.selector} d={signature.domain} a={signature.algorithm}"
    return escaped(f"Signature {position + 1} ({names}): {why}")


def _differences(header: Header, signature: Signature) -> Iterator[str]:
    """Yield what differs, without regard to white space, field name by field name."""
    copies: dict[bytes, list[_Compared]] = {}
    for raw in read_copies(signature.copied_fields):
        one = (raw, canonicalize_field(raw, Canonicalization.RELAXED))
        copies.setdefault(raw.partition(b":")[0].lower(), []).append(one)
    if not copies:
        yield "Its z= is empty or malformed."
        return
    raws = header.canonical(Canonicalization.SIMPLE)
    forms = header.canonical(Canonicalization.RELAXED)
    names = dict.fromkeys([*copies, *(name.lower() for name in signature.signed_fields)])
    found = False
    for name in names:
        if name == b"dkim-signature":  # the signature itself never is among the copies
            continue
        signed = copies.get(name, [])
        received = [(raws[position], forms[position]) for position in header.positions(name)]
        for mark, fields in (("-", _without(signed, received)), ("+", _without(received, signed))):
            for raw in fields:
                if not found:
                    found = True
                    yield 'What differs, "-" as signed and "+" as received:'
                yield from (mark + line for line in _shown(raw))
    if not found:
        yield "No field differs from its copy, except perhaps in white space."


def _without(fields: Iterable[_Compared], others: Iterable[_Compared]) -> Iterator[bytes]:
    """Yield the fields that have no counterpart among the others.

    Their order is no difference: signers write copies from the top or from the bottom.
    """
    counterparts = Counter(form for _, form in others)
    for raw, form in fields:
        if counterparts[form]:
            counterparts[form] -= 1
        else:
            yield raw


def _shown(raw: bytes) -> Iterator[str]:
    """Yield the lines of a field; control characters must not reach a terminal."""
    for line in raw.decode("utf-8", "backslashreplace").split("\r\n"):
        yield "\t".join(map(escaped, line.split("\t")))
