"""A KMS that speaks AWS's protocol on loopback: the emulator ministack, from an own environment.

It keeps its keys when it is stopped in good order and started again, on the same port.  It has
none of AWS's limits and throttles nobody: `tests.servers.faultproxy` in front of it does.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.servers import SERVERS
from tests.servers.keyserver import KeyServer
from tests.servers.nsd import HOST, free_port
from tests.servers.program import Program, open_folder, unprivileged

if TYPE_CHECKING:
    from typing import Self

__all__ = ["ACCESS_KEY", "ACCOUNT", "REGION", "SECRET_KEY", "MinistackServer", "find_ministack"]

REGION = "eu-west-1"
ACCOUNT = "000000000000"
ACCESS_KEY, SECRET_KEY = "AKIAIOSFODNN7EXAMPLE", "test-secret-access-key"
STARTS_TO_TRY = 5  # a port found free may be taken by someone else before it is bound
ANSWER = 10.0  # seconds for one call


def find_ministack() -> str | None:
    """Finds the emulator that ``scripts/setup.sh test`` installs."""
    program = SERVERS / "ministack" / "bin" / "ministack"
    return str(program) if program.exists() else None


class MinistackServer(KeyServer):
    """A KMS while its ``with`` block lasts.

    Example::

        with MinistackServer() as server:
            arn = server.create_key("RSA_2048")
            server.kms().get_public_key(KeyId=arn)

    Args:
        settings: More of ministack's environment, such as ``AUTH="true"``: unknown access keys
            are then refused.
    """

    def __init__(self, **settings: str) -> None:
        self._settings = settings
        self._port = 0
        self._known = False
        self._program: Program | None = None
        self._undo = contextlib.ExitStack()
        self.folder = open_folder("dkimcore-ministack-")
        self._undo.callback(shutil.rmtree, self.folder, ignore_errors=True)

    @property
    def url(self) -> str:
        """What an AWS client is given as its endpoint; the same after it was started again."""
        return f"http://{HOST}:{self._port}"

    @property
    def environment(self) -> dict[str, str]:
        """What makes boto3 in a child process find it, and nothing else."""
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def kms(self, *, url: str | None = None, region: str = REGION) -> Any:
        """Makes a client of boto3, which tries once.

        Args:
            url: Another endpoint than `url`, such as a proxy's.
            region: Where its keys are.
        """
        import boto3  # here, so that other tests need neither of them
        from botocore.config import Config

        session = boto3.session.Session(
            aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY, region_name=region
        )
        return session.client(
            "kms",
            endpoint_url=url or self.url,
            config=Config(
                connect_timeout=ANSWER,
                read_timeout=ANSWER,
                retries={"mode": "standard", "total_max_attempts": 1},
                proxies={},
            ),
        )

    def create_key(self, spec: str, *, usage: str = "SIGN_VERIFY") -> str:
        """Creates a key, and returns its ARN.

        Args:
            spec: ``RSA_2048``, ``ECC_NIST_EDWARDS25519``, ``SYMMETRIC_DEFAULT``, ...
            usage: ``ENCRYPT_DECRYPT`` for one that envelopes are made with.
        """
        made = self.kms().create_key(KeySpec=spec, KeyUsage=usage)
        arn: str = made["KeyMetadata"]["Arn"]
        return arn

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
        program = find_ministack()
        if program is None:
            raise RuntimeError("ministack is not installed: scripts/setup.sh test")
        python = str(Path(program).with_name("python"))
        command = unprivileged([python, program], [python, "-c", "import ministack"])
        for _ in range(STARTS_TO_TRY):
            self._port = self._port if self._known else free_port()
            before = len(self.log())
            self._program = Program(command, folder=self.folder, environment=self._all_settings())
            if self._program.becomes(self._answers):
                self._known = True
                return
            self.stop()
            if self._known or "already in use" not in self.log()[before:]:
                break
        raise RuntimeError(f"ministack did not start:\n{self.log()[before:]}")

    def _all_settings(self) -> dict[str, str]:
        folder = str(self.folder)
        return {
            "HOME": folder,
            "PATH": os.environ.get("PATH", os.defpath),
            "TMPDIR": folder,
            "BIND_HOST": HOST,
            "GATEWAY_PORT": str(self._port),
            "SERVICES": "kms",
            "MINISTACK_REGION": REGION,
            # It would talk to Docker, and listen for MQTT and SFTP on all addresses.
            "DOCKER_HOST": "unix:///nonexistent",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "PERSIST_STATE": "1",
            "STATE_DIR": str(self.folder / "state"),
            **self._settings,
        }

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self._port, timeout=ANSWER)
        with contextlib.closing(connection), contextlib.suppress(OSError):
            connection.request("GET", "/_ministack/health")
            return connection.getresponse().status == 200
        return False

    def stop(self, *, kill: bool = False) -> None:
        """Ends it: in good order it keeps its keys, killed it loses them."""
        if self._program is not None:
            self._program.stop(kill=kill)
            self._program = None

    def close(self) -> None:
        """Stops it and removes its folder; again is harmless."""
        self.stop()
        self._undo.close()
