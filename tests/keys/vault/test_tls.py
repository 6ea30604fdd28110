"""Whom to trust, and what we show ourselves with."""

from __future__ import annotations

import datetime
import shutil

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from dkimcore.errors import ConfigError, KeyDenied, KeyNotFound
from dkimcore.keys import KeyContext
from dkimcore.keys.vault.place import VaultPlace
from dkimcore.keys.vault.tls import VaultTls
from tests.servers.tls import Authority


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def make(sections):
    def build(*, check_permissions=True, **keys):
        section = sections(eu={"address": "https://vault", **keys}).get("vault")
        context = KeyContext(check_permissions=check_permissions)
        return VaultTls(VaultPlace.of(section, {}), section, context, uri="x:y")

    return build


def count(tls):
    return len(tls.context.get_ca_certs())


def test_the_authorities_of_the_system(make):
    assert make().context.check_hostname


def test_a_file(make, authority):
    assert count(make(ca=authority.file)) == 1


def test_a_folder_whatever_its_files_are_called(make, authority, tmp_path):
    folder = tmp_path / "cas"
    folder.mkdir()
    shutil.copy(authority.file, folder / "one.pem")
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(Authority(other, name="other").file, folder / "two.crt")
    (folder / "README").write_text("no certificate")
    assert count(make(ca=folder)) == 2


def test_what_holds_none(make, tmp_path, write):
    (tmp_path / "empty").mkdir()
    for path, problem in (
        (tmp_path / "empty", "holds no certificate of an authority"),
        (tmp_path / "none", "no certificates to trust can be read from .*: No such file"),
        (write("junk", "junk"), "no certificates to trust can be read from"),
    ):
        with pytest.raises(ConfigError, match=f"ca: .*{problem}"):
            make(ca=path)


def test_our_certificate(make, authority):
    ours = authority.issue("mta")
    ours.key_file.chmod(0o600)
    make(certificate=ours.certificate_file, key=ours.key_file)


def test_a_key_that_others_can_read(make, open_folder):
    ours = Authority(open_folder).issue("mta")
    ours.key_file.chmod(0o644)
    keys = {"certificate": ours.certificate_file, "key": ours.key_file}
    with pytest.raises(KeyDenied, match="every user"):
        make(**keys)
    make(**keys, check_permissions=False)


def test_a_key_that_does_not_belong_to_it(make, authority):
    one, two = authority.issue("one"), authority.issue("two")
    with pytest.raises(KeyDenied, match="KEY_VALUES_MISMATCH; name two files in PEM"):
        make(certificate=one.certificate_file, key=two.key_file)


def test_files_that_are_not_there(make, authority, tmp_path):
    ours = authority.issue("mta")
    with pytest.raises(KeyNotFound):
        make(certificate=ours.certificate_file, key=tmp_path / "none")
    with pytest.raises(KeyDenied, match="No such file"):
        make(certificate=tmp_path / "none", key=ours.key_file)


def test_an_encrypted_key_asks_nobody_for_its_password(make, authority):
    ours = authority.issue("mta", lifetime=datetime.timedelta(hours=1))
    key = load_pem_private_key(ours.key, None)
    encrypted = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"canary")
    )
    ours.key_file.write_bytes(encrypted)
    with pytest.raises(KeyDenied, match="TLS cannot use the certificate"):
        make(certificate=ours.certificate_file, key=ours.key_file)
