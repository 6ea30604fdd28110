"""Key files, folders that other users can reach, and packages with key backends."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tests.keys.remotes import Heard, endpoints

CASES = Path(__file__).resolve().parent.parent / "cases" / "keys"
PASSPHRASE = "correct horse CANARY staple"
RSA = load_pem_private_key((CASES / "rsa2048.pem").read_bytes(), None)


@pytest.fixture
def passphrase():
    return PASSPHRASE


@pytest.fixture
def rsa_key():
    return RSA


@pytest.fixture
def keep(tmp_path):
    """Writes octets to a file of mode 0600 and returns its path."""

    def write(octets, name="key", mode=0o600):
        path = tmp_path / name
        path.write_bytes(octets)
        path.chmod(mode)
        return str(path)

    return write


@pytest.fixture
def key_file(keep):
    """Writes an RSA key to a file."""

    def write(name="s1.pem", *, secret=None, encoding=Encoding.PEM, form=PrivateFormat.PKCS8):
        cipher = BestAvailableEncryption(secret.encode()) if secret else NoEncryption()
        return keep(RSA.private_bytes(encoding, form, cipher), name)

    return write


@pytest.fixture
def open_folder():
    """A folder that every user can enter; pytest's own are closed."""
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="dkimcore-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Makes a distribution with one module and some entry points importable."""

    def make(distribution, schemes, module=None, text="", group="dkimcore.keys"):
        folder = tmp_path / distribution
        info = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
        )
        lines = "".join(f"{scheme} = {value}\n" for scheme, value in schemes.items())
        (info / "entry_points.txt").write_text(f"[{group}]\n{lines}")
        if module:
            (folder / f"{module}.py").write_text(text)
        monkeypatch.syspath_prepend(str(folder))

    return make


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
def make_endpoint(heard):
    """Makes key endpoints; at the end of the test they are closed, and their threads must end."""
    yield from endpoints(heard)
