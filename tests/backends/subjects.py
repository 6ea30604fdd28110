"""All backends and algorithms by which the contract is kept, and how each subject is made.

The fixtures are imported by the ``conftest`` of each folder that wants them.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.backends.aws import EnvelopeKey, KmsKey
from tests.backends.files import FileKey
from tests.backends.hsm import Pkcs11Key
from tests.backends.vault import TransitKey, TransitKey4096, VaultKvKey, VaultKvV1Key
from tests.servers import requires_server
from tests.servers.pkcs11shim import build

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.backends.subject import Subject
    from tests.servers.softhsm import SoftHsm

__all__ = ["KINDS", "Kind", "ambient", "made_subjects", "make_subject", "shim_library", "subject"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A backend with an algorithm.

    Attributes:
        backend: Its subject.
        algorithm: ``rsa`` or ``ed25519``.
        fixtures: What the subject is made with.
    """

    backend: type[Subject]
    algorithm: str
    fixtures: tuple[str, ...] = ()


_BACKENDS = (
    ("file", FileKey, ()),
    ("vault-kv", VaultKvKey, ("openbao",)),
    ("vault-transit", TransitKey, ("openbao",)),
    ("awskms", KmsKey, ("ministack",)),
    ("awskms-envelope", EnvelopeKey, ("ministack",)),
    ("pkcs11", Pkcs11Key, ("softhsm", "shim_library")),
)

KINDS: Mapping[str, Kind] = {
    **{
        f"{name}-{algorithm}": Kind(backend=backend, algorithm=algorithm, fixtures=fixtures)
        for name, backend, fixtures in _BACKENDS
        for algorithm in ("rsa", "ed25519")
    },
    "vault-kv1-rsa": Kind(backend=VaultKvV1Key, algorithm="rsa", fixtures=("openbao",)),
    "vault-transit-rsa4096": Kind(backend=TransitKey4096, algorithm="rsa", fixtures=("openbao",)),
}
"""By the names that tests have."""


@pytest.fixture(scope="session")
def shim_library(softhsm: SoftHsm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The module in front of a copy of SoftHSM's: nobody else initialises that."""
    requires_server("gcc")
    folder = tmp_path_factory.mktemp("module")
    module = folder / "module.so"
    shutil.copyfile(softhsm.module, module)
    module.chmod(0o755)
    return build(folder, module=str(module))


def make_subject(kind: Kind, request: pytest.FixtureRequest) -> Subject:
    """Makes a subject; whoever asks closes it."""
    return kind.backend(kind.algorithm, *map(request.getfixturevalue, kind.fixtures))


@pytest.fixture(scope="session")
def made_subjects() -> Iterator[dict[str, Subject]]:
    """Those that a test has asked for, by name; closed when all tests are done."""
    made: dict[str, Subject] = {}
    yield made
    for each in made.values():
        each.close()


@pytest.fixture
def subject(request: pytest.FixtureRequest, made_subjects: dict[str, Subject]) -> Subject:
    """The subject of the kind whose name the test is parametrised with; tests share it."""
    name = request.param
    if name not in made_subjects:
        made_subjects[name] = make_subject(KINDS[name], request)
    return made_subjects[name]


@pytest.fixture
def ambient(subject: Subject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The subject's environment, and nothing of this machine's own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in os.environ:
        if name.upper().startswith(("AWS_", "VAULT_", "BAO_", "HTTP_PROXY", "HTTPS_PROXY")):
            monkeypatch.delenv(name)
    for name, value in subject.environment.items():
        monkeypatch.setenv(name, value)
