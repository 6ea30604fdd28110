"""Fixtures of the canary tests: keys in each backend whose secrets are known, and the search."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dkimcore.errors import DkimError
from tests.backends.hsm import Pkcs11Key
from tests.backends.subjects import KINDS
from tests.security.canaries import Canaries, told_by
from tests.servers import requires_server
from tests.servers.pkcs11shim import build
from tests.servers.softhsm import SoftHsm

__all__ = ["CREDENTIALS", "Search", "make", "search", "secret_hsm", "secret_library"]

CREDENTIALS = {
    "AWS_SECRET_ACCESS_KEY": "canary-secret-access-key-of-nobody-0",
    "AWS_SESSION_TOKEN": "canary-session-token-" + "t0k3n" * 20,
}
UNKNOWN_TOKEN = "s.unknown-token-of-nobody"  # what a fault puts in the place of a good one


@dataclass
class Search:
    """What a run wrote, to be searched at its end.

    Attributes:
        folder: Where the process works; nothing may be left there.
    """

    folder: Path
    canaries: Canaries = field(default_factory=Canaries)
    texts: list[str | bytes] = field(default_factory=list)

    def add(self, subject):
        """Makes canaries of all secrets of a subject."""
        holder = getattr(subject, "hsm", subject)
        for name in ("token", "pin"):
            if isinstance(getattr(holder, name, None), str):
                self.canaries.add(f"the {name}", getattr(holder, name))
        if getattr(subject, "key", None) is not None:
            self.canaries.add_key("the key", subject.key._private_key)
        if subject.kind == "vault":
            self.canaries.add("an unknown token", UNKNOWN_TOKEN)
        if subject.kind == "aws":
            for name, value in CREDENTIALS.items():
                self.canaries.add(name, value)

    def failing(self, call, *arguments):
        """Calls what may fail, and keeps all that its exception tells."""
        try:
            return call(*arguments)
        except DkimError as exc:
            self.texts += told_by(exc)
        return None

    def demand_nothing(self, *texts):
        """Demands that no canary is in any text, nor in a file of the folder."""
        found = {name for text in (*self.texts, *texts) for name in self.canaries.found_in(text)}
        if found:
            raise AssertionError(f"written somewhere: {sorted(found)}")
        files = self.canaries.found_in_files(self.folder)
        if files:
            raise AssertionError(f"in files: {files}")


@pytest.fixture
def search(tmp_path, monkeypatch):
    """The process works in a folder of its own, whose files are searched too."""
    folder = tmp_path / "working folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return Search(folder)


@pytest.fixture(scope="module")
def secret_hsm():
    """A token whose PIN is long enough to be found."""
    requires_server("softhsm")
    with SoftHsm(pin="pin-canary-5f3b") as hsm:
        yield hsm


@pytest.fixture(scope="module")
def secret_library(secret_hsm, tmp_path_factory):
    """A module in front of a copy of SoftHSM's that nobody has initialised for another folder."""
    requires_server("gcc")
    folder = tmp_path_factory.mktemp("module")
    module = folder / "module.so"
    shutil.copyfile(secret_hsm.module, module)
    module.chmod(0o755)
    return build(folder, module=str(module))


@pytest.fixture
def make(request, monkeypatch, search):
    """Makes a subject of a kind, with its environment and its canaries."""
    with contextlib.ExitStack() as stack:

        def make(name):
            kind = KINDS[name]
            fixtures = kind.fixtures
            if kind.backend is Pkcs11Key:
                fixtures = ("secret_hsm", "secret_library")
            made = kind.backend(kind.algorithm, *map(request.getfixturevalue, fixtures))
            stack.enter_context(contextlib.closing(made))
            credentials = CREDENTIALS if made.kind == "aws" else {}
            for variable, value in {**made.environment, **credentials}.items():
                monkeypatch.setenv(variable, value)
            search.add(made)
            return made

        yield make
