"""Documents and adapters over one exchange."""

from __future__ import annotations

import json
import time

import pytest

from dkimcore.errors import KeyDenied, KeyUnavailable
from dkimcore.keys import KeyContext
from dkimcore.keys.secret import Secret
from dkimcore.keys.vault.channel import Adapter, Channel
from dkimcore.keys.vault.place import VaultPlace
from dkimcore.keys.vault.tls import VaultTls
from dkimcore.keys.vault.transport import Request, Transport
from tests.servers.faults import Answer, vault_error

TOKEN = "s.canary-of-the-channel"


@pytest.fixture
def channel(proxy, sections):
    section = sections(eu={"address": proxy.url}).get("vault")
    place = VaultPlace.of(section, {})
    tls = VaultTls(place, section, KeyContext(), tell=lambda *_: None, uri="x:y")
    transport = Transport(
        place,
        context=tls.context,
        connections=2,
        connect_timeout=1.0,
        read_timeout=1.5,
    )
    made = Channel(transport, tls=tls, address=proxy.url)
    yield made
    made.close()


def ask(channel, **keywords):
    request = Request(method="GET", target="/v1/sys/health?standbyok=true")
    token = Secret(TOKEN)
    return channel.ask(request, token=token, deadline=time.monotonic() + 5, uri="x:y", **keywords)


@pytest.mark.server("openbao")
class TestChannel:
    def test_a_document(self, channel):
        assert ask(channel)["sealed"] is False

    @pytest.mark.parametrize("status", [200, 204])
    def test_nothing_to_say(self, channel, proxy, status):
        proxy.inject(Answer(status=status))
        assert ask(channel) == {}

    @pytest.mark.parametrize("body", [b"[]", b"<html>", b'"text"', b"\xff"])
    def test_what_is_not_of_vault(self, channel, proxy, body):
        proxy.inject(Answer(status=200, body=body))
        with pytest.raises(KeyUnavailable, match="see what stands in front of it"):
            ask(channel)

    def test_a_refusal_quotes_no_secret(self, channel, proxy):
        proxy.inject(vault_error(403, f"token {TOKEN} is bad", "and s.hidden"))
        with pytest.raises(KeyDenied, match="withheld"):
            ask(channel, hidden=(Secret("s.hidden"),))


class TestAdapter:
    """What hvac's classes ask through."""

    @pytest.fixture
    def asked(self):
        return []

    @pytest.fixture
    def adapter(self, asked):
        return Adapter(lambda request: asked.append(request) or {"data": {}})

    def test_reading(self, adapter, asked):
        assert adapter.get("/v1/a/b", params={"version": 3}) == {"data": {}}
        assert asked == [Request(method="GET", target="/v1/a/b?version=3")]
        assert asked[0].path == "a/b"

    def test_writing(self, adapter, asked):
        adapter.post("/v1/a", json={"b": "c"})
        adapter.put("/v1/a")
        assert [(each.method, json.loads(each.body)) for each in asked] == [
            ("POST", {"b": "c"}),
            ("PUT", {}),
        ]
        assert asked[0].needs == 'create", "update'

    def test_a_login_needs_no_policy(self, adapter, asked):
        adapter.login("/v1/auth/approle/login", use_token=True, json={"role_id": "x"})
        assert asked[0].needs == ""

    def test_what_is_slow(self, asked):
        slow = Adapter(lambda request: asked.append(request) or {}, slow=True)
        slow.get("/v1/a")
        slow.post("/v1/a")
        assert all(request.slow for request in asked)
