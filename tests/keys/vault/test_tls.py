"""Whom to trust, and what we show ourselves with."""

from __future__ import annotations

import datetime
import os
import shutil
import socket
import ssl
import threading
from logging import INFO, WARNING

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from dkimcore.errors import ConfigError, KeyDenied, KeyNotFound
from dkimcore.keys import KeyContext
from dkimcore.keys.vault import tls
from dkimcore.keys.vault.place import VaultPlace
from dkimcore.keys.vault.tls import VaultTls
from tests.servers.tls import Authority


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def told():
    """Level and event of all that is told."""
    return []


@pytest.fixture
def make(sections, told):
    def build(*, check_permissions=True, **keys):
        section = sections(eu={"address": "https://vault", **keys}).get("vault")
        context = KeyContext(check_permissions=check_permissions)
        place = VaultPlace.of(section, {})
        return VaultTls(place, section, context, tell=lambda *event: told.append(event), uri="x:y")

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


class TestReplaced:
    """Our certificate and its key are replaced on disk while we run."""

    @pytest.fixture
    def ours(self, authority, write):
        """Writes a new pair, or one half of it, where the section has ours."""

        def replace(*, certificate=True, key=True, mode=0o600):
            new = authority.issue("mta")
            if certificate:
                write("ours.pem", new.certificate)
            if key:
                write("ours.key", new.key, mode)
            return new

        replace()
        return replace

    @pytest.fixture
    def running(self, make, authority, ours, tmp_path):
        return make(ca=authority.file, certificate=tmp_path / "ours.pem", key=tmp_path / "ours.key")

    @pytest.fixture
    def shown(self):
        """The contexts that connections were to be made with."""
        return []

    @pytest.fixture
    def always(self, monkeypatch):
        monkeypatch.setattr(tls, "_WATCH_SECONDS", 0.0)

    @pytest.mark.usefixtures("always")
    def test_a_new_pair_is_shown(self, running, ours, shown, told):
        first = running.context
        running.look(shown.append)
        assert shown == []
        ours()
        for _ in range(3):
            running.look(shown.append)
        assert shown == [running.context]
        assert shown[0] is not first  # which handshakes may be under way with
        assert count(running) == 1
        assert running.context.check_hostname
        assert [event[:2] for event in told] == [(INFO, "certificate-replaced")]

    def test_it_is_looked_for_once_a_second(self, running, ours, shown, monkeypatch):
        monkeypatch.setattr(tls, "_WATCH_SECONDS", 3600.0)
        ours()
        running.look(shown.append)
        assert shown == []
        running.look(shown.append, at_once=True)
        assert len(shown) == 1

    @pytest.mark.usefixtures("always")
    @pytest.mark.parametrize("half", ["certificate", "key"])
    def test_half_a_pair_is_waited_for(self, running, ours, shown, write, half):
        new = ours(certificate=half == "certificate", key=half == "key")
        running.look(shown.append)
        running.look(shown.append, at_once=True)
        assert shown == []
        write("ours.pem", new.certificate)
        write("ours.key", new.key)
        running.look(shown.append)
        assert shown == [running.context]

    @pytest.mark.usefixtures("always")
    def test_files_that_are_not_there_for_a_while(self, running, ours, shown, tmp_path, authority):
        for name in ("ours.pem", "ours.key", authority.file.name):
            new = ours()
            content = (tmp_path / name).read_bytes()
            (tmp_path / name).unlink()
            running.look(shown.append)
            assert shown == []
            (tmp_path / name).write_bytes(content)
            (tmp_path / name).chmod(0o600)
            running.look(shown.append)
            assert shown.pop() is running.context
            assert new.certificate == (tmp_path / "ours.pem").read_bytes()

    @pytest.mark.usefixtures("always")
    def test_a_key_that_others_can_read_is_not_taken(
        self, authority, make, open_folder, shown, told
    ):
        """And is taken when they cannot, though it is the same file with the same content."""
        path = open_folder / "mta.key"
        where = Authority(open_folder)
        pair = where.issue("mta")
        path.chmod(0o600)
        running = make(ca=where.file, certificate=pair.certificate_file, key=path)
        where.issue("mta")
        path.chmod(0o644)
        running.look(shown.append)
        assert (shown, told) == ([], [])
        path.chmod(0o600)
        running.look(shown.append)
        assert shown == [running.context]

    @pytest.mark.usefixtures("always")
    def test_a_pair_that_does_not_fit_for_long_is_told_once(self, running, ours, shown, told):
        for _ in range(2):
            ours(key=False)
            for _ in range(4):
                running.look(shown.append)
            level, event, text, _ = told.pop()
            assert (level, event, told) == (WARNING, "certificate-kept", [])
            assert "still shown: TLS cannot use the certificate" in text
            assert "KEY_VALUES_MISMATCH" in text

    def test_what_passes_is_not_told(self, running, ours, shown, told):
        ours(key=False)
        for _ in range(4):
            running.look(shown.append, at_once=True)
        assert (shown, told) == ([], [])

    def test_without_a_certificate_there_is_nothing_to_do(self, make, authority, shown):
        running = make(ca=authority.file)
        os.utime(authority.file, (0, 0))
        running.look(shown.append, at_once=True)
        assert shown == []


def test_why_a_server_hung_up_can_be_read_when_nothing_can_be_sent(make, authority):
    """With TLS 1.3 it judges our certificate after the handshake, as we see it, is over."""
    issued = authority.issue()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(issued.certificate_file, issued.key_file)
    server.load_verify_locations(authority.file)
    server.verify_mode = ssl.CERT_REQUIRED
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse():
            accepted, _ = listener.accept()
            with accepted, pytest.raises(ssl.SSLError):
                server.wrap_socket(accepted, server_side=True)

        refusing = threading.Thread(target=refuse)
        refusing.start()
        plain = socket.create_connection(listener.getsockname(), timeout=20)
        context = make(ca=authority.file).context
        with context.wrap_socket(plain, server_hostname="localhost") as client:
            refusing.join()

            def send_on():
                while True:
                    client.sendall(b"GET / HTTP/1.1\r\n")

            with pytest.raises(BrokenPipeError):
                send_on()
            with pytest.raises(ssl.SSLError) as caught:
                client.recv(1)
    assert caught.value.reason == "TLSV13_ALERT_CERTIFICATE_REQUIRED"
