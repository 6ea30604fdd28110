"""One HTTP exchange: limits, redirects, TLS, and what is said when there is no reply."""

from __future__ import annotations

import socket
import ssl
import time

import pytest

from dkimcore.errors import KeyUnavailable
from dkimcore.keys.secret import Secret
from dkimcore.keys.vault import transport
from dkimcore.keys.vault.place import VaultPlace
from dkimcore.keys.vault.transport import Request, Transport
from tests.servers.faultproxy import FaultProxy
from tests.servers.faults import Answer, Close, Cut, Drip, Hang, Huge, Raw, Reset
from tests.servers.nsd import free_port
from tests.servers.openbao import OpenBaoServer
from tests.servers.tls import Authority

HEALTH = Request(method="GET", target="/v1/sys/health")
TOKEN = "s.canary-of-the-transport"


@pytest.fixture
def connect():
    made = []

    def make(address, *, context=None, read_timeout=1.5, **keys):
        made.append(
            Transport(
                VaultPlace(address=address, **keys),
                context=context or ssl.create_default_context(),
                connections=4,
                connect_timeout=1.0,
                read_timeout=read_timeout,
            )
        )
        return made[-1]

    yield make
    for each in made:
        each.close()


def ask(connection, request=HEALTH, *, timeout=5.0, token=TOKEN):
    return connection.exchange(
        request,
        token=None if token is None else Secret(token),
        deadline=time.monotonic() + timeout,
        uri="x:y",
    )


pytestmark = pytest.mark.server("openbao")


def test_a_reply(connect, proxy):
    reply = ask(connect(proxy.url))
    assert reply.status == 200
    assert reply.document()["initialized"] is True
    ask(connect(proxy.url, namespace="mail/eu"))
    fields = proxy.recent[-1].fields
    assert fields[b"x-vault-token"] == TOKEN.encode()
    assert fields[b"x-vault-request"] == b"true"
    assert fields[b"x-vault-namespace"] == b"mail/eu"
    assert b"accept-encoding" not in fields or fields[b"accept-encoding"] == b"identity"
    assert "canary" not in repr(reply) + repr(HEALTH)


def test_connections_are_kept(connect, proxy):
    connection = connect(proxy.url)
    for _ in range(5):
        ask(connection)
    assert proxy.counts()["connections"] == 1


def test_a_connection_that_the_server_closed_is_not_used_again(connect, proxy):
    connection = connect(proxy.url)
    ask(connection)
    proxy.stop()
    proxy.start()
    assert ask(connection).status == 200


def test_nothing_is_read_from_the_environment(connect, proxy, monkeypatch, tmp_path):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    assert ask(connect(proxy.url)).status == 200
    assert b"authorization" not in proxy.recent[-1].fields


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (Hang(), "did not answer in time"),
        (Drip(interval=0.05), "did not answer in time"),
        (Reset(), "closed the connection without an answer"),
        (Close(), "closed the connection without an answer"),
        (Cut(), "closed the connection without an answer"),
        (Raw(octets=b"SSH-2.0-OpenSSH\r\n"), "closed the connection without an answer"),
        (Raw(octets=b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000), "without an answer"),
        (Huge(), "more than 2097152 octets"),
        (Huge(announced=False), "more than 2097152 octets"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_no_reply(connect, proxy, fault, problem):
    connection = connect(proxy.url, read_timeout=0.4)
    start = time.monotonic()
    with proxy.broken(fault), pytest.raises(KeyUnavailable, match=problem) as caught:
        ask(connection)
    assert time.monotonic() - start < 2
    assert caught.value.uri == "x:y"
    assert TOKEN not in str(caught.value)
    assert ask(connection).status == 200


def test_the_deadline_comes_before_the_read_timeout(connect, proxy):
    start = time.monotonic()
    with proxy.broken(Hang()), pytest.raises(KeyUnavailable, match="did not answer in time"):
        ask(connect(proxy.url), timeout=0.2)
    assert time.monotonic() - start < 1
    with pytest.raises(KeyUnavailable, match="did not answer in time"):
        ask(connect(proxy.url), timeout=0.0)


def test_what_is_slow_by_nature_has_until_the_deadline(connect, proxy):
    proxy.latency = 0.5
    slow = Request(method="GET", target="/v1/sys/health", slow=True)
    assert ask(connect(proxy.url, read_timeout=0.1), slow).status == 200


def test_a_reply_as_long_as_may_be(connect, proxy, monkeypatch):
    monkeypatch.setattr(transport, "MAX_REPLY_OCTETS", 1000)
    for size, fits in ((1000, True), (1001, False)):
        with proxy.broken(Answer(status=200, body=b"a" * size)):
            if fits:
                assert len(ask(connect(proxy.url)).body) == size
            else:
                with pytest.raises(KeyUnavailable, match="more than 1000 octets"):
                    ask(connect(proxy.url))


def test_nobody_listens(connect):
    with pytest.raises(KeyUnavailable, match="refuses connections; see whether it runs"):
        ask(connect(f"http://127.0.0.1:{free_port()}"))


def test_nobody_accepts(connect):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.settimeout(0)
            each.connect_ex(address)
        with pytest.raises(KeyUnavailable, match="in time"):
            ask(connect(f"http://127.0.0.1:{address[1]}"), timeout=0.3)
        for each in waiting:
            each.close()


def test_a_host_that_is_not_in_the_dns(connect):
    with pytest.raises(KeyUnavailable, match="not in the DNS"):
        ask(connect("https://vault.invalid:8200"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), ("99999", 3600.0), ("Fri, 31 Dec 1999 23:59:59 GMT", None), ("-1", None)],
)
def test_retry_after(connect, proxy, text, seconds):
    with proxy.broken(Answer(status=429, body=b"{}", headers={"Retry-After": text})):
        assert ask(connect(proxy.url)).retry_after == seconds


class TestRedirects:
    """A standby node names the active one, with status 307."""

    @pytest.fixture
    def elsewhere(self, vault):
        with FaultProxy(vault.address) as other:
            yield other

    def to(self, url):
        return Answer(status=307, headers={"Location": f"{url}/v1/sys/health"})

    def test_to_another_host_is_refused(self, connect, proxy, elsewhere):
        proxy.inject(self.to(elsewhere.url))
        with pytest.raises(KeyUnavailable, match="follow_redirects = true"):
            ask(connect(proxy.url))
        assert elsewhere.requests == 0

    def test_to_another_host_is_followed_where_the_section_says_so(self, connect, proxy, elsewhere):
        proxy.inject(self.to(elsewhere.url))
        assert ask(connect(proxy.url, follow_redirects=True)).status == 200
        assert elsewhere.recent[-1].fields[b"x-vault-token"] == TOKEN.encode()

    def test_within_the_host_is_followed(self, connect, proxy):
        proxy.inject(Answer(status=307, headers={"Location": "/v1/sys/health"}), times=1)
        assert ask(connect(proxy.url)).status == 200

    def test_in_a_circle_is_given_up(self, connect, proxy):
        proxy.inject(Answer(status=307, headers={"Location": "/v1/sys/health"}))
        with pytest.raises(KeyUnavailable, match="again and again"):
            ask(connect(proxy.url))
        assert proxy.requests == 3

    @pytest.mark.parametrize(
        "url",
        [
            *("ftp://127.0.0.1", "http://canary:b@127.0.0.1", "file:///etc", "http://["),
            *("http://[::1]vault.invalid", "http://vault.invalid:99999", "https://"),
        ],
    )
    def test_to_what_is_no_url_of_a_vault(self, connect, proxy, url):
        proxy.inject(self.to(url))
        with pytest.raises(KeyUnavailable, match="no URL of a Vault") as caught:
            ask(connect(proxy.url, follow_redirects=True))
        assert "canary" not in str(caught.value)

    # The last is another host to some who read URLs; what is looked at is what is connected to.
    @pytest.mark.parametrize(
        "host", ["vault.invalid", "10.1.2.3:8200", "localhost.invalid", r"vault.invalid\@127.0.0.1"]
    )
    def test_in_plain_text_off_this_host_is_not_followed(self, connect, proxy, host):
        """A section may not name such an address either."""
        proxy.inject(self.to(f"http://{host}"))
        with pytest.raises(KeyUnavailable, match=r"shows the token to everybody.*plain_http"):
            ask(connect(proxy.url, follow_redirects=True))

    def test_in_plain_text_is_followed_where_the_section_says_so(self, connect, proxy):
        proxy.inject(self.to("http://vault.invalid"))
        lax = connect(proxy.url, follow_redirects=True, plain_http=True)
        with pytest.raises(KeyUnavailable, match="not in the DNS"):
            ask(lax)

    def test_with_tls_is_followed_to_any_host(self, connect, proxy):
        proxy.inject(self.to("https://vault.invalid"))
        with pytest.raises(KeyUnavailable, match="not in the DNS"):
            ask(connect(proxy.url, follow_redirects=True))

    def test_from_tls_to_plain_text_is_never_followed(self, connect, vault, elsewhere, tmp_path):
        authority = Authority(tmp_path)
        context = ssl.create_default_context(cafile=str(authority.file))
        with FaultProxy(vault.address, certificate=authority.issue()) as secure:
            secure.inject(self.to(elsewhere.url))
            for plain_http in (False, True):
                keys = {"follow_redirects": True, "plain_http": plain_http}
                with pytest.raises(KeyUnavailable, match="shows the token to everybody"):
                    ask(connect(secure.url, context=context, **keys))
        assert elsewhere.requests == 0


class TestTls:
    @pytest.fixture
    def authority(self, tmp_path):
        return Authority(tmp_path)

    @pytest.fixture
    def secure(self, vault, authority):
        with FaultProxy(vault.address, certificate=authority.issue("vault.example")) as running:
            yield running

    def trusting(self, authority):
        return ssl.create_default_context(cafile=str(authority.file))

    def test_with_the_right_authority(self, connect, secure, authority):
        assert ask(connect(secure.url, context=self.trusting(authority))).status == 200

    def test_a_reply_that_comes_octet_by_octet(self, connect, secure, authority):
        connection = connect(secure.url, context=self.trusting(authority), read_timeout=0.4)
        start = time.monotonic()
        with secure.broken(Drip(interval=0.05)), pytest.raises(KeyUnavailable, match="in time"):
            ask(connection)
        assert time.monotonic() - start < 2

    def test_with_another_authority(self, connect, secure):
        with pytest.raises(KeyUnavailable, match=r"not to be trusted: .*issuer certificate.*ca="):
            ask(connect(secure.url))
        assert secure.requests == 0

    def test_the_name_that_the_certificate_must_have(self, connect, secure, authority):
        context = self.trusting(authority)
        named = connect(secure.url, context=context, tls_server_name="vault.example")
        assert ask(named).status == 200
        other = connect(secure.url, context=context, tls_server_name="other.example")
        with pytest.raises(KeyUnavailable, match=r"mismatch.*tls_server_name="):
            ask(other)

    def test_where_nobody_speaks_tls(self, connect, vault):
        url = vault.address.replace("http:", "https:")
        with pytest.raises(KeyUnavailable, match=r"TLS with .* failed"):
            ask(connect(url))


def test_through_a_proxy(connect, vault):
    """What looks like one: a server that takes requests with the whole URL in them."""
    with FaultProxy(vault.address) as forward:
        connection = connect(vault.address, proxy=forward.url)
        assert ask(connection).status == 200
        assert forward.recent[-1].path.startswith(vault.address)
    with pytest.raises(KeyUnavailable, match=r"the proxy http://127\.0\.0\.1:\d+ does not lead to"):
        ask(connection)


def test_a_server_that_stops(connect):
    with OpenBaoServer() as server:
        connection = connect(server.address)
        assert ask(connection).status == 200
        server.stop(kill=True)
        with pytest.raises(KeyUnavailable):
            ask(connection)
