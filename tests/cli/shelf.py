"""A key backend of a third party, with a key maker: a folder in which keys sign "elsewhere".

``shelf:NAME?version=N``; its section says where the folder is.  A file ``down`` in the folder
makes it unavailable, ``locked`` denies everything, ``dusty`` makes it warn.  Keys are never
replaced.  Some names are bad makers: ``liar`` keeps another key than it says, ``leaky`` quotes
the key in what it raises, ``second`` signs with another key than it was given.  While ``raced`` is
made, somebody else writes an ``s1.txt`` beside the shelf.
"""

from __future__ import annotations

from logging import WARNING
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from dkimcore.errors import KeyDenied, KeyNotFound, KeyUnavailable, KeyUnusable, KeyUriError
from dkimcore.keys import MadeKey
from dkimcore.keys.events import KeyEvent
from dkimcore.keys.generation import generate_pem
from dkimcore.keys.memory import MemoryKey, decode_private_key
from dkimcore.keys.remote import RemoteKeyBase
from dkimcore.protocol.crypto import PublicKey


class ShelfKey(RemoteKeyBase):
    """A key on the shelf."""

    def __init__(self, uri, key, endpoint, look):
        super().__init__(
            uri, algorithm=key.algorithm, public_key=key.public_key, endpoint=endpoint, batch=4
        )
        self._key = key
        self._look = look

    def _sign(self, digests, *, timeout):
        self._look()
        return [self._key.sign_digest(digest) for digest in digests]


def folder_of(uri, context):
    """Returns the shelf's folder, unless it is down."""
    uri.allow_options("version", "backend")
    section = context.sections.get("shelf", uri.options.get("backend"))
    section.allow("folder")
    folder = section.path("folder")
    if folder is None:
        raise KeyUriError("there is no shelf: write folder= into a section of type shelf")
    path = Path(folder)
    if (path / "down").exists():
        raise KeyUnavailable("the shelf is down; put it up again", uri=str(uri))
    if (path / "locked").exists():
        raise KeyDenied("the shelf is locked; ask who has the key to it", uri=str(uri))
    if (path / "dusty").exists():
        text = "there is dust on it; wipe it off"
        event = KeyEvent(level=WARNING, event="dust", text=text, uri=str(uri))
        context.observer.event(event)
    return path, context.endpoint(section)


def open_key(uri, context):
    """Opens a key."""
    folder, endpoint = folder_of(uri, context)
    file = folder / f"{uri.path}.{uri.options.get('version', '1')}.pem"
    if not file.exists():
        raise KeyNotFound("it is not on the shelf; make it with dkimcore keygen", uri=str(uri))
    octets = endpoint.call(lambda timeout: file.read_bytes(), uri=str(uri))
    key = MemoryKey(
        decode_private_key(octets, uri=str(uri), passphrase=lambda: None), name=str(uri)
    )
    pinned = f"shelf:{uri.path}?version={uri.options.get('version', '1')}"
    return ShelfKey(pinned, key, endpoint, lambda: folder_of(uri, context))


def create_key(uri, context, *, key_type, bits):
    """Makes a key."""
    pem = generate_pem(key_type, bits=bits)
    if uri.path == "leaky":
        raise RuntimeError(f"cannot put {pem.decode()} on the shelf")
    return _put(uri, context, pem)


def import_key(uri, context, private_key):
    """Takes a key."""
    if uri.path == "leaky":
        raise RuntimeError(f"cannot take {context.secret('passphrase')}")
    if uri.path == "second":
        private_key = Ed25519PrivateKey.generate()
    pem = private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return _put(uri, context, pem)


def _put(uri, context, pem):
    folder, _ = folder_of(uri, context)
    file = folder / f"{uri.path}.1.pem"
    if file.exists():
        raise KeyUnusable("there is such a key already; choose another name", uri=str(uri))
    key = decode_private_key(pem, uri=str(uri), passphrase=lambda: None)
    file.write_bytes(pem)
    public_key = PublicKey.of(key.public_key())
    if uri.path == "raced":
        (folder.parent / "s1.txt").write_text("mine")
    if uri.path == "liar":
        public_key = PublicKey.of(Ed25519PrivateKey.generate().public_key())
    backend = uri.options.get("backend")
    pinned = f"shelf:{uri.path}?version=1" + (f"&backend={backend}" if backend else "")
    return MadeKey(uri=pinned, public_key=public_key)
