"""The example of a backend for a signing service: what it makes of a service's answers.

That it can be installed and used is shown by its page, whose examples run (`test_docs`).
"""

from __future__ import annotations

import base64
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dkimcore.errors import (
    ConfigError,
    KeyBackendError,
    KeyDenied,
    KeyNotFound,
    KeyUnavailable,
    KeyUnusable,
)
from dkimcore.keys import KeyContext
from dkimcore.keys.sections import Sections
from dkimcore.keys.store import KeyStore
from dkimcore.testing import EphemeralKey
from tests.docs.snippets import ROOT, blocks
from tests.keys.remotes import Heard

PAGE = ROOT / "docs/howto/write-a-key-backend.md"
TOKEN = "s3-CANARY"
KEY = EphemeralKey.ed25519(bytes(32))


class Service(BaseHTTPRequestHandler):
    """Gives the answers that a test has put down, then signatures."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, wanted, self.headers["Authorization"]))
        if self.server.answers:
            status, headers, body = self.server.answers.pop(0)
        else:
            signed = [KEY.sign_digest(base64.b64decode(each)) for each in wanted["digests"]]
            body = {"signatures": [base64.b64encode(each).decode() for each in signed]}
            status, headers = 200, {}
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def service():
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        server.daemon_threads = True
        server.asked, server.answers = [], []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def signer(tmp_path, monkeypatch):
    """The modules of the page."""
    for block in blocks(PAGE.read_text("utf-8")):
        name = block.comments.get("file", "")
        if name.startswith("dkim-signer/") and name.endswith(".py"):
            (tmp_path / Path(name).name).write_text(block.text)
    monkeypatch.syspath_prepend(str(tmp_path))
    import dkim_signer

    yield dkim_signer
    for name in ("dkim_signer", "dkim_signer_client"):
        del sys.modules[name]


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
def keys(service, signer, tmp_path, heard, monkeypatch):
    """A store that opens ``signer:k``."""
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "keys.toml").write_text(
        '[backend.local]\ntype = "signer"\ntoken_file = "token"\nattempts = 1\n'
        f'address = "http://127.0.0.1:{service.server_address[1]}"\n'
    )
    sections = Sections.load(tmp_path / "keys.toml")
    with KeyStore(context=KeyContext(sections=sections, observer=heard)) as keys:
        monkeypatch.setitem(keys._backends._loaded, "signer", signer.open_key)
        yield keys


def public_half():
    half = base64.b64encode(KEY.public_key.encode()).decode()
    return (200, {}, {"type": "ed25519", "public_key": half})


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((401, {}, {"error": "who are you"}), KeyDenied),
        ((403, {}, {"error": f"not with {TOKEN}"}), KeyDenied),
        ((404, {}, {"error": "no such key"}), KeyNotFound),
        ((418, {}, {"error": "a teapot"}), KeyBackendError),
        ((429, {"Retry-After": "7"}, {}), KeyUnavailable),
        ((503, {"Retry-After": "soon"}, b"<html>"), KeyUnavailable),
        ((200, {}, b"no json"), KeyUnusable),
        ((200, {}, ["no", "object"]), KeyUnusable),
        ((200, {}, {"type": "dsa", "public_key": ""}), KeyUnusable),
        ((200, {}, b"x" * 100_000), KeyUnusable),
    ],
)
def test_each_answer_is_an_error_that_says_what_to_do(service, keys, answer, kind):
    status, headers, body = answer
    service.answers.append((status, {**headers, "X-Request-Id": "r-42"}, body))
    with pytest.raises(KeyBackendError) as caught:
        keys.get("signer:k")
    assert type(caught.value) is kind
    assert "CANARY" not in str(caught.value)
    if kind is KeyUnavailable:
        assert caught.value.retry_after == (7.0 if status == 429 else None)
        assert caught.value.request_id == "r-42"


def test_a_signature_is_asked_for_with_the_token_which_no_event_shows(service, keys, heard):
    service.answers.append(public_half())
    assert keys.get("signer:k").sign_digest(bytes(32)) == KEY.sign_digest(bytes(32))
    assert [path for path, _, _ in service.asked] == ["/keys/k", *["/keys/k/sign"] * 2]
    assert {token for _, _, token in service.asked} == {f"Bearer {TOKEN}"}
    assert heard.names() == ["login", "key-opened"]
    assert "CANARY" not in "".join(event.text for event in heard.events)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "local: write address = and token_file ="),
        ('address = "x"\ntoken_file = "token"\n', "address: write it as http://"),
        ('address = "http://h"\ntoken_file = "absent"\n', "token_file: .*No such file"),
        ('adress = "http://h"\n', "adress: signer has no such key"),
    ],
)
def test_a_wrong_section_is_named_with_its_line(signer, tmp_path, monkeypatch, text, says):
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "keys.toml").write_text(f'[backend.local]\ntype = "signer"\n{text}')
    sections = Sections.load(tmp_path / "keys.toml")
    with KeyStore(context=KeyContext(sections=sections)) as keys:
        monkeypatch.setitem(keys._backends._loaded, "signer", signer.open_key)
        with pytest.raises(ConfigError, match=rf"keys.toml:\d: backend local.*{says[-20:]}"):
            keys.get("signer:k")
