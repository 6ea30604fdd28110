"""Secrets that are known, in every form in which they could be written, and the search for them.

`Canaries` holds the forms.  `Listener` hears every logger at DEBUG, as a program would that wants
to know everything.  `told_by` and `shown_by` are what tools print of exceptions and objects.
"""

from __future__ import annotations

import base64
import contextlib
import gc
import json
import logging
import os
import pickle
import threading
import traceback
from typing import TYPE_CHECKING
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from dkimcore.keys.tracebacks import chain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

__all__ = ["Canaries", "Listener", "listening", "shown_by", "told_by"]

PIECE = 24  # characters of a long form: enough to be nothing else
OCTETS = 12
STEP = 30


class Canaries:
    """Secrets, and how each may look."""

    def __init__(self) -> None:
        self._forms: dict[bytes, str] = {}
        self._lock = threading.Lock()

    def add(self, name: str, secret: str | bytes) -> None:
        """Adds a token, a PIN, a passphrase.

        Args:
            name: What it is called where it is found.
            secret: It; eight characters at least, or it would be found everywhere.
        """
        octets = secret.encode() if isinstance(secret, str) else secret
        assert len(octets) >= 8, name
        forms = {octets, octets.hex().encode(), octets.hex().upper().encode()}
        forms |= {quote(octets).encode(), quote(octets, safe="").encode()}
        forms |= {json.dumps(octets.decode("latin-1"))[1:-1].encode()}
        forms |= _printed(octets) | _base64(octets)
        with self._lock:
            self._forms.update(dict.fromkeys(forms, name))

    def add_key(self, name: str, key: PrivateKeyTypes) -> None:
        """Adds a private key: PEM, DER, its numbers or its seed; not its public half."""
        kinds = [PrivateFormat.PKCS8]
        if not isinstance(key, ed25519.Ed25519PrivateKey):
            kinds.append(PrivateFormat.TraditionalOpenSSL)
        forms: set[bytes] = set()
        for kind in kinds:
            der = key.private_bytes(Encoding.DER, kind, NoEncryption())
            forms |= _pieces(der, _private_from(key, der))
        if isinstance(key, rsa.RSAPrivateKey):
            numbers = key.private_numbers()
            for number in (numbers.d, numbers.p, numbers.q, numbers.dmp1, numbers.dmq1):
                forms |= {str(number)[:PIECE].encode(), f"{number:x}"[:PIECE].encode()}
                forms.add(f"{number:X}"[:PIECE].encode())
        if isinstance(key, ed25519.Ed25519PrivateKey):
            self.add(f"{name}, its seed", key.private_bytes_raw())
            forms.add(str(list(key.private_bytes_raw()))[1:-1].encode())
        with self._lock:
            self._forms.update(dict.fromkeys(forms, name))

    def found_in(self, text: str | bytes) -> set[str]:
        """The names of what stands in a text."""
        octets = text
        if isinstance(text, str):
            octets = text.encode("utf-8", "surrogatepass")
            if not text.isascii():  # what was octets once
                octets += text.encode("latin-1", "replace")
        return {name for form, name in tuple(self._forms.items()) if form in octets}

    def found_in_files(self, folder: Path) -> dict[str, set[str]]:
        """What stands in the files of a folder, by their names."""
        found = {
            str(path): self.found_in(path.read_bytes())
            for path in folder.rglob("*")
            if path.is_file()
        }
        return {path: names for path, names in found.items() if names}


def _printed(octets: bytes) -> set[bytes]:
    """What Python prints of a secret: of its quotes one kind is escaped if both are around."""
    return {repr(octets)[2:-1].encode(), repr(b'"' + octets)[3:-1].encode()}


def _base64(octets: bytes) -> set[bytes]:
    """What a secret looks like in base64, wherever it begins in what was encoded."""
    forms = set()
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + octets)
        # The letters at both ends depend on what stands around.
        middle = encoded[(before * 8 + 5) // 6 :].rstrip(b"=")[:-1]
        if len(middle) >= 8:
            forms |= {middle, middle.replace(b"+", b"-").replace(b"/", b"_")}
    return forms


def _private_from(key: PrivateKeyTypes, der: bytes) -> int:
    """Where a key's encoding has nothing public behind it."""
    if isinstance(key, rsa.RSAPrivateKey):
        modulus = key.key_size // 8
        return der.index(key.private_numbers().public_numbers.n.to_bytes(modulus, "big")) + modulus
    return len(der) - 32 if isinstance(key, ed25519.Ed25519PrivateKey) else 8


def _pieces(der: bytes, start: int) -> set[bytes]:
    forms = set()
    for position in range(start, len(der) - OCTETS, STEP):
        piece = der[position : position + OCTETS]
        forms |= {piece, piece.hex().encode(), *_printed(piece)}
    encoded = base64.b64encode(der)
    for position in range(start * 4 // 3 + 4, len(encoded) - PIECE, STEP):
        piece = encoded[position : position + PIECE]
        line = position // 64 != (position + PIECE - 1) // 64  # PEM breaks it there
        forms |= {piece} if not line else {piece, _longest(piece, 64 - position % 64)}
    return forms


def _longest(piece: bytes, cut: int) -> bytes:
    return max(piece[:cut], piece[cut:], key=len)


class Listener(logging.Handler):
    """Hears everything, and keeps what each record says, holds and came from."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record, with the variables of its exception."""
        self.heard.append(f"{record.name}: {record.getMessage()} {vars(record)!r}")
        if record.exc_info and record.exc_info[1] is not None:
            self.heard.append("\n".join(told_by(record.exc_info[1])))

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(self.heard)


@contextlib.contextmanager
def listening() -> Iterator[Listener]:
    """Sets every logger that there is, and that will be, to DEBUG, and hears them."""
    listener = Listener()
    loggers = [logging.root]
    for name in tuple(logging.root.manager.loggerDict):
        loggers.append(logging.getLogger(name))
    before = [(each, each.level, each.propagate, each.disabled) for each in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.propagate, logger.disabled = True, False
    logging.root.addHandler(listener)
    try:
        yield listener
    finally:
        logging.root.removeHandler(listener)
        for logger, level, propagate, disabled in before:
            logger.setLevel(level)
            logger.propagate, logger.disabled = propagate, disabled


def told_by(error: BaseException) -> list[str]:
    """All that a tool could print of an exception: text, attributes, pickle, frames and variables.

    The frames of tests are left out: what they hold, they made.
    """
    told = []
    for each in chain(error):
        told += [_shown(each), repr(vars(each)), *getattr(each, "__notes__", ())]
        with contextlib.suppress(Exception):  # what cannot be pickled leaks nothing so
            told.append(pickle.dumps(each).decode("latin-1"))
        for frame, _ in traceback.walk_tb(each.__traceback__):
            if f"{os.sep}tests{os.sep}" not in frame.f_code.co_filename:
                told += [f"{name} = {_shown(value)}" for name, value in frame.f_locals.items()]
    return told


def shown_by(module: str) -> list[str]:
    """What all objects of a package's classes print."""
    found = []
    for each in gc.get_objects():
        if str(getattr(type(each), "__module__", "")).startswith(module):
            found.append(_shown(each))
    return found


def _shown(value: object) -> str:
    shown = ""
    for convert in (repr, str):
        with contextlib.suppress(Exception):  # half made, or closed
            shown += convert(value)
    return shown


def unite(found: Iterable[set[str]]) -> set[str]:
    """All names of several searches."""
    return set().union(*found)
