"""The keys of a run: made once, put into every server, and opened by one store under many names.

Each server at each latency has a backend section of its own, as it has connections of its own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from benchmarks.contenders import KeyPair
from benchmarks.remote_keys.apart import Relay, StandIn
from benchmarks.remote_keys.scenario import ALGORITHMS, ED25519, LATENCIES, REAL, RSA, STAND_IN
from benchmarks.remote_keys.standinkeys import KMS_KEYS
from benchmarks.throughput.processes import cpu_seconds
from dkimcore.keys import KeyContext
from dkimcore.keys.pkcs11.key import open_key as open_token_key
from dkimcore.keys.sections import Sections
from dkimcore.keys.store import KeyStore
from dkimcore.keys.uri import KeyUri
from tests.servers import available
from tests.servers.closing import Closing
from tests.servers.ministack import ACCESS_KEY, REGION, SECRET_KEY, MinistackServer
from tests.servers.nsd import HOST
from tests.servers.openbao import OpenBaoServer
from tests.servers.softhsm import SoftHsm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Self

    from benchmarks.remote_keys.scenario import Place
    from dkimcore.errors import KeyBackendError
    from dkimcore.keys import RemoteKey
    from dkimcore.keys.stored import StoredKey

__all__ = ["Sites", "at_hand", "transit_section"]

_NAMES = {RSA: "rsa", ED25519: "ed25519"}
_SPECS = {RSA: "RSA_2048", ED25519: "ECC_NIST_EDWARDS25519"}
_TYPES = {RSA: "rsa-2048", ED25519: "ed25519"}
# CPU time of a signature in a batch, measured with OpenBao on a core of this kind.
_WORK = {RSA: 0.001, ED25519: 0.00006}
# How long signatures take is measured, also where mail would not wait for them.
_STORE = "[store]\ndeadline = 20\n"
_SERVERS = {"OpenBao": "openbao", "ministack": "ministack", "SoftHSM": "softhsm"}


def at_hand() -> tuple[str, ...]:
    """Returns the real servers that are installed."""
    return tuple(name for name in REAL.values() if available(_SERVERS[name]))


def transit_section(name: str, port: int, token_file: str, threads: int | None) -> str:
    """Writes a backend section of a Vault.

    Args:
        name: Its name.
        port: On loopback.
        token_file: A path.
        threads: How many calls may be under way; None leaves it at the default.
    """
    return (
        f'[backend.{name}]\ntype = "vault"\naddress = "http://{HOST}:{port}"\n'
        f'token_file = "{token_file}"\n{_calls(threads)}'
    )


class Sites(Closing):
    """Servers and an open key store while its ``with`` block lasts.

    Args:
        real: Names of real servers to run besides the stand-in.
        threads: How many calls of a section may be under way; None leaves it at the default.
        works: Whether the stand-in takes the time for a signature that OpenBao takes, on four
            cores; else it takes none.

    Attributes:
        pairs: The keys that the stand-in has, and files, by algorithm.
        stand_in: The stand-in.
    """

    def __init__(
        self, real: Sequence[str], *, threads: int | None = None, works: bool = False
    ) -> None:
        self._real = tuple(real)
        self.threads = threads
        self._undo = contextlib.ExitStack()
        self.pairs = {algorithm: KeyPair.make(algorithm) for algorithm in ALGORITHMS}
        pems = {_NAMES[algorithm]: pair.pem for algorithm, pair in self.pairs.items()}
        work = {_NAMES[algorithm]: seconds for algorithm, seconds in _WORK.items()}
        self.stand_in = StandIn(pems, LATENCIES, work=work if works else None)
        self._names: dict[tuple[str, str], str] = {}
        self._cpu: dict[str, Callable[[], float]] = {}

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            self._undo.callback(undo.close)
            self._folder = Path(tempfile.mkdtemp(prefix="dkimcore-remote-keys-"))
            undo.callback(shutil.rmtree, self._folder, ignore_errors=True)
            undo.enter_context(_environment(_AWS))
            undo.enter_context(self.stand_in)
            self._cpu[STAND_IN] = lambda: self.stand_in.cpu
            sections = _STORE + self._standin_sections()
            for name in self._real:
                sections += _START[name](self, undo)
            self._write("keys.toml", sections)
            for algorithm, pair in self.pairs.items():
                self._write(f"{_NAMES[algorithm]}.pem", pair.pem.decode())
            context = KeyContext(sections=Sections.load(self._folder / "keys.toml"))
            self._store = undo.enter_context(KeyStore(context=context))
            self._undo = undo.pop_all()
        return self

    def close(self) -> None:
        """Ends everything; again is harmless."""
        self._undo.close()

    def local(self, algorithm: str) -> StoredKey:
        """Returns a key in a file, from the same store."""
        return self._opened(str(self._folder / f"{_NAMES[algorithm]}.pem"))

    def key(self, place: Place) -> StoredKey:
        """Returns the key of a place, which is opened the first time."""
        if place.backend == "pkcs11":
            return self._distant_token(place)
        backend = _section(place.server, place.backend, place.latency)
        name = _NAMES[place.algorithm]
        if place.backend == "vault-kv":
            return self._opened(f"vault-kv:secret/{name}?kv=2&backend={backend}")
        if place.backend == "awskms-envelope":
            blob = self._folder / f"{name}.blob"
            self._write(blob.name, f"encrypted {name}")
            return self._opened(f"awskms-envelope:{blob}?key={KMS_KEYS}{name}&backend={backend}")
        if place.backend == "vault-transit":
            return self._opened(f"vault-transit:transit/{name}?version=1&backend={backend}")
        arn = self._names.get((place.server, place.algorithm), KMS_KEYS + name)
        return self._opened(f"awskms:{arn}?backend={backend}")

    def cpu(self, place: Place) -> float:
        """The CPU seconds that a server has used so far; a token's are this process's."""
        return self._cpu.get(place.server, lambda: 0.0)()

    def _opened(self, uri: str) -> StoredKey:
        return cast("StoredKey", self._store.get(uri))

    def _distant_token(self, place: Place) -> StoredKey:
        uri = KeyUri.parse(self._names[(place.server, place.algorithm)])
        latency = f"{place.latency * 1000:g}"
        name = str(replace(uri, options={**uri.options, "latency": latency}))
        if not self._store.is_open(name):
            key = open_token_key(uri, self._store.context)
            self._store.add(name, _Distant(cast("RemoteKey", key), place.latency))
        return self._opened(name)

    def _write(self, name: str, text: str) -> None:
        path = self._folder / name
        path.touch(0o600)
        path.write_text(text)

    def _standin_sections(self) -> str:
        self._write("token", "a-token-of-the-stand-in")
        text = ""
        for latency in LATENCIES:
            port = self.stand_in.port(latency)
            name = _section(STAND_IN, "vault-transit", latency)
            text += transit_section(name, port, f"{self._folder}/token", self.threads)
            text += _aws_section(_section(STAND_IN, "awskms", latency), port, self.threads)
        return text

    def _relay(self, port: int, undo: contextlib.ExitStack) -> Callable[[float], int]:
        """Puts delays in front of a server."""
        relay = undo.enter_context(Relay([(port, latency) for latency in LATENCIES if latency]))
        return lambda latency: relay.port(port, latency) if latency else port

    def _start_openbao(self, undo: contextlib.ExitStack) -> str:
        server = undo.enter_context(OpenBaoServer())
        self._cpu["OpenBao"] = _used_by(server.pid)
        transit = server.client().secrets.transit
        server.enable_secrets("transit", "transit")
        for algorithm, name in _NAMES.items():
            transit.create_key(name, key_type=_TYPES[algorithm])
        self._write("openbao-token", server.root_token)
        port = self._relay(server.port, undo)
        return "".join(
            transit_section(
                _section("OpenBao", "vault-transit", latency),
                port(latency),
                f"{self._folder}/openbao-token",
                self.threads,
            )
            for latency in LATENCIES
        )

    def _start_ministack(self, undo: contextlib.ExitStack) -> str:
        server = undo.enter_context(MinistackServer())
        self._cpu["ministack"] = _used_by(server.pid)
        for algorithm, spec in _SPECS.items():
            self._names["ministack", algorithm] = server.create_key(spec)
        port = self._relay(server.port, undo)
        return "".join(
            _aws_section(_section("ministack", "awskms", latency), port(latency), self.threads)
            for latency in LATENCIES
        )

    def _start_softhsm(self, undo: contextlib.ExitStack) -> str:
        token = undo.enter_context(SoftHsm())
        undo.enter_context(_environment(token.environment))
        for algorithm, pair in self.pairs.items():
            self._names["SoftHSM", algorithm] = token.add(pair.private).uri
        return ""


_START = {
    "OpenBao": Sites._start_openbao,
    "ministack": Sites._start_ministack,
    "SoftHSM": Sites._start_softhsm,
}
_AWS = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


class _Distant:
    """A token's key behind a network: each call waits first, as a call of a network HSM does.

    Args:
        key: The key.
        latency: Seconds.
    """

    def __init__(self, key: RemoteKey, latency: float) -> None:
        self._key, self._latency = key, latency
        self.endpoint, self.batch = key.endpoint, key.batch
        self.algorithm, self.public_key = key.algorithm, key.public_key

    def sign_digest(self, digest: bytes) -> bytes:
        time.sleep(self._latency)
        return self._key.sign_digest(digest)

    def sign_digests(
        self, digests: Sequence[bytes], *, timeout: float
    ) -> Sequence[bytes | KeyBackendError]:
        time.sleep(self._latency)
        return self._key.sign_digests(digests, timeout=timeout)


def _section(server: str, backend: str, latency: float) -> str:
    kind = "vault" if backend.startswith("vault") else "aws"
    return f"{server}-{kind}-{latency * 1000:g}"


def _aws_section(name: str, port: int, threads: int | None) -> str:
    return (
        f'[backend.{name}]\ntype = "aws"\nregion = "{REGION}"\n'
        f'endpoint_url = "http://{HOST}:{port}"\n{_calls(threads)}'
    )


def _calls(threads: int | None) -> str:
    return "" if threads is None else f"threads = {threads}\n"


def _used_by(pid: int) -> Callable[[], float]:
    return lambda: cpu_seconds(pid)


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
