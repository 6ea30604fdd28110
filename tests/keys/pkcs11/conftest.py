"""A SoftHSM of our own, the module in front of it, and key stores that are closed."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from dkimcore.keys import KeyContext
from dkimcore.keys.pkcs11 import making, templates
from dkimcore.keys.pkcs11.structures import Attribute
from dkimcore.keys.sections import BackendSection, Sections
from dkimcore.keys.store import KeyStore
from dkimcore.keys.uri import KeyUri
from dkimcore.protocol.algorithm import KeyType
from tests.servers import requires_server
from tests.servers.pkcs11shim import Pkcs11Shim, build


@dataclass(frozen=True)
class Token:
    """A token with two keys, reached through a module."""

    hsm: object
    module: str
    rsa: object
    ed25519: object

    def uri(self, key=None, *, module=None, pin=True, **options):
        """Names a key: an `HsmKey`, or the path of a URI."""
        if not isinstance(key, str):
            key = f"token={self.hsm.label};object={key.label};id=%{key.id.hex('%')}"
        options = {"module-path": str(module or self.module), **options}
        if pin:
            options.setdefault("pin-source", f"file:{self.hsm.pin_file}")
        query = "&".join(f"{name}={quote(value, '/:')}" for name, value in options.items())
        return f"pkcs11:{key}?{query}"

    def fresh_label(self):
        return f"label-{secrets.token_hex(6)}"


@pytest.fixture(scope="session")
def own_module(softhsm, tmp_path_factory):
    """A copy of SoftHSM's library: what it is initialised for is nobody else's."""
    path = tmp_path_factory.mktemp("pkcs11") / "module.so"
    shutil.copyfile(softhsm.module, path)
    path.chmod(0o755)
    return str(path)


@pytest.fixture(scope="session")
def token(softhsm, own_module):
    return Token(
        hsm=softhsm,
        module=own_module,
        rsa=softhsm.add(rsa.generate_private_key(65537, 2048)),
        ed25519=softhsm.add(ed25519.Ed25519PrivateKey.generate()),
    )


@pytest.fixture(scope="session")
def built_shim(own_module, tmp_path_factory):
    requires_server("gcc")
    return build(tmp_path_factory.mktemp("shim"), module=own_module)


@pytest.fixture
def shim(built_shim, tmp_path):
    with Pkcs11Shim(built_shim, tmp_path) as shim:
        yield shim


class Observer:
    """Remembers what it hears."""

    def __init__(self):
        self.events = []
        self.retries = 0

    def event(self, event):
        self.events.append(event)

    def round_trip(self, endpoint, *, seconds, signatures, error):
        pass

    def retried(self, endpoint):
        self.retries += 1

    def named(self, name):
        return [event for event in self.events if event.event == name]


@pytest.fixture
def observer():
    return Observer()


def sections(**values):
    section = BackendSection(name="hsm", kind="pkcs11", values=values)
    return Sections(backends={"hsm": section})


@pytest.fixture
def context(observer):
    """Makes contexts whose resources are closed when the test ends."""
    made = []

    def make(secret=lambda _: None, *, check_permissions=True, **values):
        context = KeyContext(
            secret=secret,
            sections=sections(**values),
            observer=observer,
            check_permissions=check_permissions,
        )
        made.append(context)
        return context

    yield make
    for each in made:
        assert each.resources.close() == []


@pytest.fixture
def store(context):
    """Makes key stores that are closed when the test ends."""
    made = []

    def make(secret=lambda _: None, **values):
        made.append(KeyStore(context=context(secret, **values)))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def pin_file(tmp_path):
    """Writes a PIN to a file of mode 0600 and returns its path."""

    def write(text, name="pin"):
        path = tmp_path / name
        path.touch(0o600)
        path.write_text(text)
        return str(path)

    return write


@pytest.fixture
def asking_always(context, token, shim):
    """Makes a key that wants the PIN for each signature, and names it."""
    wanted = templates.new_private
    always = (Attribute.ALWAYS_AUTHENTICATE, True)

    def make(**options):
        name = f"token={token.hsm.label};object={token.fresh_label()}"
        uri = KeyUri.parse(token.uri(name, module=shim.path, **options))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(making, "new_private", lambda address: (*wanted(address), always))
            made = making.PKCS11.create_key(uri, context(), key_type=KeyType.ED25519, bits=0)
        return made.uri

    return make
