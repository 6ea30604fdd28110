"""The page about keys in Vault does what it says, with a server that is run as a real one is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.snippets import Page
from tests.servers import requires_server
from tests.servers.openbao import SealedOpenBao, find_openbao

PAGE = Path(__file__).resolve().parents[3] / "docs" / "howto" / "keys-in-vault.md"


@pytest.fixture
def server():
    requires_server("openbao")
    with SealedOpenBao() as running:
        yield running


@pytest.mark.server("nsd")
@pytest.mark.server("openbao")
def test_examples_do_what_the_page_says(server, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "bin").mkdir()
    (folder / "bin" / "bao").symlink_to(find_openbao())
    (folder / ".vault-token").write_text(server.root_token)
    (folder / ".vault-token").chmod(0o600)
    text = PAGE.read_text("utf-8")
    examples = text.count("<!-- openbao-") + text.count("<!-- no-run: needs a Vault")
    text = text.replace("<!-- openbao-", "<!-- ")
    for shown, real in (
        ("https://vault.example.com:8200", server.address),
        ("/etc/dkimcore/vault-ca.pem", server.ca_file),
        ("/etc/dkimcore", str(folder / "work")),
        ("/run/vault", str(folder / "work")),
        ("<!-- no-run: needs a Vault -->\n", ""),
    ):
        assert shown in text
        text = text.replace(shown, real)
    path = tmp_path / "page.md"
    path.write_text(text, "utf-8")
    page = Page(path, folder)
    page.environment |= {"BAO_ADDR": server.address, "BAO_CACERT": server.ca_file}
    page.environment["PATH"] = f"{folder / 'bin'}:{page.environment['PATH']}"

    assert page.run() == examples > 20
