"""No secret is in anything that a program writes, with every backend and every fault, at DEBUG.

Canaries are the tokens, secret_ids, PINs, passphrases, credentials of AWS, private keys and TLS
keys; what is searched is every record of every logger with the variables of its exceptions, each
exception of ours, each object's print, both outputs, and files.  The milter and the commands are
in `test_canaries_of_processes`.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from dkimcore.errors import KeyUnavailable
from dkimcore.keys import KeyContext
from dkimcore.keys.store import KeyStore
from dkimcore.testing import EphemeralKey
from tests.backends.subject import Recorder, eventually
from tests.backends.vault import TransitKey, VaultKvKey
from tests.security.canaries import listening, shown_by
from tests.security.canaryfixtures import make, search, secret_hsm, secret_library
from tests.security.hostile import hostile_faults
from tests.servers import requires_server
from tests.servers.kubernetes import TokenReviews
from tests.servers.openbao import SealedOpenBao
from tests.servers.tls import Authority

__all__ = ["make", "search", "secret_hsm", "secret_library"]  # fixtures

DIGEST = sha256(b"a header").digest()


def patience(fault):
    """Little for a server that does not answer; else a busy machine is no fault."""
    quick = {"connect_timeout": 0.4, "read_timeout": 0.4}
    return {"settings": quick, "deadline": 1.0} if fault.hangs else {}


def opened(store, uri):
    """Opens a key, where that may take a moment."""
    eventually(lambda: _opens(store, uri))
    return store.get(uri)


def _opens(store, uri):
    with contextlib.suppress(KeyUnavailable):
        return store.get(uri)


def use(subject, search):
    """Does all that a program does with a key, and lets all go wrong that can."""
    for fault in (*subject.opening_faults, *hostile_faults(subject)):
        with subject.store(**patience(fault)) as store, fault.breaks(subject) as other:
            search.failing(store.get, other or subject.uri)
    for fault in (*subject.signing_faults, *hostile_faults(subject)):
        with subject.store(**patience(fault)) as store:
            key = opened(store, subject.uri)
            search.failing(key.sign_digest, bytes(20))
            with fault.breaks(subject):
                search.failing(key.sign_digest, DIGEST)
    with subject.store(refresh=1.0) as store:
        store.get(subject.uri).sign_digest(DIGEST)
        search.texts += shown_by("dkimcore")
    if subject.kind and not subject.signs_elsewhere:
        fetch_again(subject, search)


def fetch_again(subject, search):
    """Lets the refresh of a fetched key go wrong, too."""
    for fault in hostile_faults(subject):
        heard = Recorder()
        with subject.store(observer=heard) as store:
            key = store.get(subject.uri)
            subject.rotate()
            search.add(subject)
            with fault.breaks(subject):
                for refresher in tuple(store._refreshers.values()):  # not in five minutes
                    refresher.refresh()
            search.failing(key.sign_digest, DIGEST)
        assert len(heard.events) > 1
        search.texts += map(repr, heard.events)


# One key of each backend; both kinds where a key's octets come by.
USED = [
    *("file-rsa", "file-ed25519", "vault-kv-rsa", "vault-kv-ed25519", "vault-transit-ed25519"),
    *("awskms-ed25519", "awskms-envelope-rsa", "pkcs11-rsa"),
]


@pytest.mark.parametrize("name", USED)
def test_a_program_that_uses_a_key(make, search, capfd, name):
    subject = make(name)
    with listening() as heard:
        use(subject, search)
    assert heard.heard or not subject.kind
    search.demand_nothing(heard.text, *capfd.readouterr())


# --- Logins ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sealed():
    """A Vault with TLS, which certificates can log in to."""
    requires_server("openbao")
    with SealedOpenBao() as server:
        yield server


@pytest.fixture(scope="module")
def api():
    """Who reviews the tokens of pods."""
    with TokenReviews() as running:
        yield running


class Logins(TransitKey):
    """A key with a section for each way to log in, and the secrets of each."""

    def __init__(self, server, api):
        super().__init__("ed25519", server)
        self.authority = Authority(self.folder)
        shown = self.authority.issue("mta.example.com")
        shown.key_file.chmod(0o600)
        self.tls_key = shown.key
        role = server.approle([self.policy], token_ttl="2s", token_max_ttl="4s")
        mount = server.kubernetes_role(
            api, [self.policy], namespace="mail", account="mta", ttl="2s"
        )
        jwt = api.token(namespace="mail", account="mta")
        token = server.token([self.policy], period="2s")
        self.secrets = {"token": token, "secret_id": role.secret_id, "jwt": jwt}
        self.ways = {
            "token": {"token_file": self.write("periodic", token)},
            "approle": {
                "mount": role.mount,
                "role_id": role.role_id,
                "secret_id_file": self.write("secret_id", role.secret_id),
            },
            "kubernetes": {
                "mount": mount,
                "role": "dkim",
                "jwt_file": self.write("jwt", jwt, mode=0o644),
            },
            "cert": {
                "mount": server.certificate_role(
                    self.authority.certificate, [self.policy], token_ttl=2
                ),
                "certificate": str(shown.certificate_file),
                "key": str(shown.key_file),
                # Our certificate has to come to the server itself.
                "address": server.address,
                "ca": server.ca_file,
            },
        }

    def way(self, name):
        """The settings of one of them."""
        return {"address": self.door.url, "auth": name, **self.ways[name]}

    def section(self, *, direct=False):
        """Nothing of its own."""
        return {}


@pytest.fixture
def logins(sealed, api, search):
    """A subject whose secrets are canaries."""
    with contextlib.closing(Logins(sealed, api)) as made:
        for name, secret in made.secrets.items():
            search.canaries.add(name, secret)
        search.canaries.add_key("the TLS key", load_pem_private_key(made.tls_key, None))
        search.add(made)
        yield made


@pytest.mark.parametrize("name", ["token", "approle", "kubernetes", "cert"])
def test_a_login_that_is_renewed_and_refused(logins, search, capfd, name):
    heard = Recorder()
    with listening() as logged:
        with logins.store(settings=logins.way(name), observer=heard) as store:
            key = store.get(logins.uri)
            heard.wait_for("token-renewed")
            key.sign_digest(DIGEST)
            search.texts += shown_by("dkimcore")
            search.texts += [repr(each) for each in store.context.resources._made.values()]
        for fault in hostile_faults(logins):
            with fault.breaks(logins), logins.store(settings=logins.way(name)) as store:
                search.failing(store.get, logins.uri)
        for file in ("periodic", "secret_id", "jwt"):
            logins.write(file, f"canary-wrong-{file}-of-nobody")
            search.canaries.add(f"a wrong {file}", f"canary-wrong-{file}-of-nobody")
        with logins.store(settings=logins.way(name)) as store:
            search.failing(store.get, logins.uri)
    for request in logins.door.recent:  # the tokens that logins brought
        token = request.fields.get(b"x-vault-token")
        if token:
            search.canaries.add("a token of a login", token)
    search.texts += map(repr, heard.events)
    search.demand_nothing(logged.text, *capfd.readouterr())


# --- Passphrases and PINs -------------------------------------------------------------------

PASSPHRASES = ("canary correct horse", "canary wrong horse")


def encrypted(key):
    return key._private_key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSPHRASES[0].encode())
    )


class Encrypted(VaultKvKey):
    """A key that is fetched and then decrypted."""

    def keep(self, name, text):
        """Writes it encrypted."""
        super().keep(name, encrypted(self.key).decode() if name == "s1" else text)


@pytest.mark.parametrize("where", ["file", "vault"])
@pytest.mark.parametrize("passphrase", [*PASSPHRASES, None])
def test_a_passphrase(request, search, capfd, tmp_path, where, passphrase):
    for each in PASSPHRASES:
        search.canaries.add("a passphrase", each)
    with contextlib.ExitStack() as stack:
        sections = {}
        if where == "vault":
            server = request.getfixturevalue("openbao")
            subject = stack.enter_context(contextlib.closing(Encrypted("ed25519", server)))
            uri, key = subject.uri, subject.key
            with subject.store() as store:
                sections = {"sections": store.context.sections}
        else:
            key = EphemeralKey.rsa()
            path = tmp_path / "s1.pem"
            path.write_bytes(encrypted(key))
            path.chmod(0o600)
            uri = f"file:{path}"
        search.canaries.add_key("the key", key._private_key)
        heard = stack.enter_context(listening())
        context = KeyContext(secret=lambda _: passphrase, **sections)
        store = stack.enter_context(KeyStore(context=context))
        found = search.failing(store.get, uri)
        assert (found is not None) == (passphrase == PASSPHRASES[0])
        search.texts += shown_by("dkimcore")
    search.demand_nothing(heard.text, *capfd.readouterr())


@pytest.mark.parametrize("pin", ["pin-canary-5f3b", "pin-canary-wrong", None])
@pytest.mark.parametrize("source", ["environment", "caller"])
def test_a_pin(make, search, monkeypatch, capfd, pin, source):
    subject = make("pkcs11-ed25519")
    search.canaries.add("a wrong PIN", "pin-canary-wrong")
    settings = {}
    if source == "environment":
        settings = {"pin_env": "CANARY_PIN"}
        monkeypatch.setenv("CANARY_PIN", pin or "")
    uri = subject.uri.partition("&pin-source=")[0]
    with subject.store(settings=settings) as store, listening() as heard:
        context = replace(store.context, secret=lambda _: None if settings else pin)
        with KeyStore(context=context) as other:
            found = search.failing(other.get, uri)
            assert (found is not None) == (pin == "pin-canary-5f3b")
            search.texts += shown_by("dkimcore")
    search.demand_nothing(heard.text, *capfd.readouterr())
