"""Keys in an OpenBao: fetched from KV, or signing in Transit; a proxy is the door."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from dkimcore.errors import KeyDenied, KeyNotFound, KeyUnavailable, KeyUnusable
from dkimcore.testing import EphemeralKey
from tests.backends.subject import Fault, Subject
from tests.servers.faultproxy import FaultProxy
from tests.servers.faults import (
    Answer,
    Close,
    Cut,
    Hang,
    Huge,
    Reset,
    garbage,
    other_key,
    vault_error,
    wrong_signature,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.backends.subject import Recorder
    from tests.servers import faults
    from tests.servers.openbao import OpenBaoServer

__all__ = ["TransitKey", "TransitKey4096", "VaultKvKey", "VaultKvV1Key", "VaultSubject"]


def injected(fault: faults.Fault, match: str | None = None):
    """Makes what `Fault.breaks` is, of what a proxy does."""

    @contextlib.contextmanager
    def breaks(subject: VaultSubject) -> Iterator[None]:
        with subject.door.broken(fault, match=match):
            yield

    return breaks


@contextlib.contextmanager
def stopped(subject: Subject) -> Iterator[None]:
    """Nobody listens."""
    with subject.stopped():
        yield


def transport(match: str | None) -> tuple[Fault, ...]:
    """What can go wrong with any request.

    Args:
        match: Which ones.
    """
    temporary = {
        "throttled": (vault_error(429, "too many", headers={"Retry-After": "0"}), "rate limit"),
        "sealed": (vault_error(503, "Vault is sealed"), "unseal it"),
        "500": (vault_error(500, "internal error"), "see its log"),
        "502": (vault_error(502, "no upstream"), "something that it needs"),
        "a page of a proxy": (Answer(status=503, body=b"<html>"), "stands in front of it"),
        "reset": (Reset(), "closed the connection"),
        "reset when done": (Reset(asked=True), "closed the connection"),
        "closed": (Close(), "closed the connection"),
        "cut": (Cut(), "closed the connection"),
        "garbage": (garbage(), "see (its log|what stands)"),
        "huge": (Huge(size=1 << 23), "more than 2097152 octets; see what listens there"),
        "redirected": (
            Answer(status=307, headers={"Location": "http://thief.example/v1/x"}),
            "where the token does not go unasked",
        ),
    }
    return (
        *(
            Fault(
                name=name, kind=KeyUnavailable, words=words, way=True, breaks=injected(fault, match)
            )
            for name, (fault, words) in temporary.items()
        ),
        Fault(
            name="hang",
            kind=KeyUnavailable,
            words="did not answer in time|slow or down; see what the log says",
            breaks=injected(Hang(), match),
            hangs=True,
            way=True,
        ),
        Fault(
            name="stopped",
            kind=KeyUnavailable,
            words="see whether it runs",
            breaks=stopped,
            way=True,
        ),
    )


@contextlib.contextmanager
def without_policy(subject: VaultSubject) -> Iterator[None]:
    """The token's policy grants nothing any more."""
    write = subject.server.client().sys.create_or_update_policy
    write(name=subject.policy, policy='path "none" { capabilities = ["deny"] }')
    yield
    write(name=subject.policy, policy=subject.rules)


@contextlib.contextmanager
def wrong_token(subject: VaultSubject) -> Iterator[None]:
    """The file holds a token that the server does not know."""
    with subject.another_token("s.unknown-token-of-nobody"):
        yield


class VaultSubject(Subject):
    """What keys in an OpenBao have in common.

    Args:
        algorithm: ``rsa`` or ``ed25519``.
        server: Where; its keys are in mounts of their own.
    """

    kind = "vault"

    def __init__(self, algorithm: str, server: OpenBaoServer) -> None:
        super().__init__(algorithm)
        self.server = server
        self.door = self.undo.enter_context(FaultProxy(server.address, ca_file=server.ca_file))
        self.rules = self.prepare()
        self.policy = server.policy(self.rules)
        self.token = server.token([self.policy])
        self.token_file = self.write("token", self.token)

    def prepare(self) -> str:
        """Makes the key, and returns the policy that suffices to use it."""
        raise NotImplementedError

    def section(self, *, direct: bool = False) -> Mapping[str, object]:
        """A token in a file."""
        address = self.server.address if direct else self.door.url
        return {"address": address, "token_file": self.token_file}

    @contextlib.contextmanager
    def another_token(self, token: str) -> Iterator[None]:
        """Another token is in the file while a block lasts."""
        self.write("token", token)
        try:
            yield
        finally:
            self.write("token", self.token)

    def hanging(self) -> contextlib.AbstractContextManager[object]:
        """Requests are not answered."""
        return self.door.broken(Hang())

    def stop(self) -> None:
        """The door is shut, and its connections are gone."""
        self.door.stop()

    def start(self) -> None:
        """The door opens at the same address."""
        self.door.start()


class TransitKey(VaultSubject):
    """A key that signs in Transit."""

    signs_elsewhere = True
    opening_faults = (
        Fault(
            name="not found",
            kind=KeyNotFound,
            words="make it, or correct the name",
            breaks=lambda subject: contextlib.nullcontext(subject.uri.replace("dkim-", "dkim-no-")),
        ),
        Fault(
            name="no such version",
            kind=KeyNotFound,
            words="no version 77",
            breaks=lambda subject: contextlib.nullcontext(
                subject.uri.replace("version=1", "version=77")
            ),
        ),
        Fault(name="denied", kind=KeyDenied, words="let a policy", breaks=without_policy),
        Fault(name="login refused", kind=KeyDenied, words="token_file|token", breaks=wrong_token),
        *transport("/keys/"),
    )
    signing_faults = (
        Fault(name="denied", kind=KeyDenied, words="let a policy", breaks=without_policy),
        Fault(
            name="wrong signature",
            kind=KeyUnusable,
            words="does not verify with its public half",
            breaks=injected(wrong_signature(), "/sign/"),
        ),
        Fault(
            name="wrong key",
            kind=KeyUnusable,
            words="signs with another key or version",
            breaks=lambda subject: subject.door.broken(subject.forger(), match="/sign/"),
        ),
        *transport("/sign/"),
    )

    bits = 2048

    def prepare(self) -> str:
        """Makes the key in a mount of its own."""
        self._mount = self.server.enable_secrets("transit")
        self._transit = self.server.client().secrets.transit
        kind = f"rsa-{self.bits}" if self.algorithm == "rsa" else "ed25519"
        self._transit.create_key("dkim-s1", key_type=kind, mount_point=self._mount)
        self.uri = f"vault-transit:{self._mount}/dkim-s1?version=1"
        return (
            f'path "{self._mount}/keys/dkim-*" {{ capabilities = ["read"] }}\n'
            f'path "{self._mount}/sign/dkim-*" {{ capabilities = ["update"] }}\n'
        )

    def forger(self) -> faults.Fault:
        """Signs with another key of the same kind."""
        return other_key(forging_key(self.algorithm, self.bits))

    def another_uri(self, name: str) -> str:
        """In the same mount."""
        return f"vault-transit:{self._mount}/dkim-{name}"

    def rotate(self) -> None:
        """Makes the next version, which is the latest now."""
        self._transit.rotate_key("dkim-s1", mount_point=self._mount)


class TransitKey4096(TransitKey):
    """The longest that Transit has."""

    bits = 4096


class VaultKvKey(VaultSubject):
    """A key that is fetched from KV version 2."""

    signs_elsewhere = False
    opening_faults = (
        Fault(
            name="not found",
            kind=KeyNotFound,
            words="make it, or correct the name",
            breaks=lambda subject: contextlib.nullcontext(subject.uri.replace("/s1", "/none")),
        ),
        Fault(name="denied", kind=KeyDenied, words="let a policy", breaks=without_policy),
        Fault(name="login refused", kind=KeyDenied, words="token_file|token", breaks=wrong_token),
        Fault(
            name="no key",
            kind=KeyUnusable,
            words="private key",
            breaks=lambda subject: contextlib.nullcontext(subject.uri.replace("/s1", "/junk")),
        ),
        *transport("/dkim/"),
    )
    version = "2"

    def prepare(self) -> str:
        """Writes the key into a mount of its own."""
        self._mount = self.server.enable_secrets("kv", version=self.version)
        self.key = EphemeralKey.rsa() if self.algorithm == "rsa" else EphemeralKey.ed25519()
        self.keep("s1", self.key.private_pem().decode())
        self.keep("junk", "-----BEGIN PRIVATE KEY-----\nMIIEvQ==\n-----END PRIVATE KEY-----\n")
        self.uri = f"vault-kv:{self._mount}/dkim/s1"
        if self.version == "2":
            self.uri += "?version=1"
        data = "data/" if self.version == "2" else ""
        return f'path "{self._mount}/{data}dkim/*" {{ capabilities = ["read"] }}\n'

    def keep(self, name: str, text: str) -> None:
        """Writes a secret."""
        kv = getattr(self.server.client().secrets.kv, f"v{self.version}")
        kv.create_or_update_secret(f"dkim/{name}", secret={"key": text}, mount_point=self._mount)

    def another_uri(self, name: str) -> str:
        """In the same mount."""
        return f"vault-kv:{self._mount}/dkim/{name}"

    def rotate(self) -> None:
        """Writes another key under the same name."""
        other = EphemeralKey.rsa() if self.algorithm == "rsa" else EphemeralKey.ed25519()
        self.key = other
        self.keep("s1", other.private_pem().decode())
        self._asked = self.door.requests

    def await_refresh(self, heard: Recorder) -> None:
        """Waits until the server was asked for it again."""
        self.door.wait_for(self._asked + 1)
        self.door.wait_until_idle()


class VaultKvV1Key(VaultKvKey):
    """A key that is fetched from KV version 1, which keeps no versions."""

    version = "1"
    pins = False

    def await_refresh(self, heard: Recorder) -> None:
        """Waits until it is said that there is another key."""
        heard.wait_for("key-changed")


_FORGERS: dict[tuple[str, int], EphemeralKey] = {}


def forging_key(algorithm: str, bits: int = 2048):
    """Another key of the same kind: what `cryptography` calls it."""
    if (algorithm, bits) not in _FORGERS:
        made = EphemeralKey.rsa(bits) if algorithm == "rsa" else EphemeralKey.ed25519()
        _FORGERS[algorithm, bits] = made
    return _FORGERS[algorithm, bits]._private_key
