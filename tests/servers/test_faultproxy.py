"""The fault proxy: each fault shows, and what is not broken goes through unchanged."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.servers.faultproxy import FaultProxy
from tests.servers.faults import (
    Answer,
    Close,
    Cut,
    Drip,
    Hang,
    Huge,
    Raw,
    Reset,
    Rewrite,
    Slow,
    garbage,
    vault_error,
    wrong_signature,
)
from tests.servers.proxyprocess import ProxyProcess
from tests.servers.tls import Authority


class Echo(BaseHTTPRequestHandler):
    """Answers with what was asked: in chunks, without a length, or with one."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(self.path)
        self.send_response(200)
        if self.path == "/chunks":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for octet in body:
                self.wfile.write(b"1\r\n%c\r\n" % octet)
            self.wfile.write(b"0\r\n\r\n")
            return
        if self.path == "/until-closed":
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.send_response(204)
        self.end_headers()

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def echo_server(port=0):
    server = ThreadingHTTPServer(("127.0.0.1", port), Echo)
    server.daemon_threads, server.asked = True, []
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def echo():
    with echo_server() as server:
        yield server


@pytest.fixture
def proxy(echo):
    echo.asked.clear()
    with FaultProxy(f"http://127.0.0.1:{echo.server_port}") as proxy:
        yield proxy


@pytest.fixture
def client(proxy):
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
    yield connection
    connection.close()


def post(client, body=b"hello", path="/", **headers):
    client.request("POST", path, body, {name.replace("_", "-"): headers[name] for name in headers})
    answer = client.getresponse()
    return answer.status, answer.read()


# --- What goes through ------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/chunks", "/until-closed"])
def test_octets_go_through_and_connections_are_kept(proxy, client, path):
    for body in (b"hello", b"", b"x" * 300_000 if path == "/" else b"x" * 300):
        assert post(client, body, path) == (200, body)
    assert proxy.requests == 3
    assert proxy.counts()["connections"] == (3 if path == "/until-closed" else 1)
    assert [request.path for request in proxy.recent] == [path] * 3
    assert proxy.recent[0].body == b"hello"


def test_answers_without_a_body(client):
    for method in ("GET", "HEAD", "GET"):
        client.request(method, "/")
        assert client.getresponse().read() == b""
    assert post(client) == (200, b"hello")


def test_a_server_that_is_gone_and_back_is_asked_again():
    with contextlib.ExitStack() as stack:
        with echo_server() as server:
            proxy = stack.enter_context(FaultProxy(f"http://127.0.0.1:{server.server_port}"))
            client = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
            stack.callback(client.close)
            assert post(client) == (200, b"hello")
            proxy.stop()  # and with it the connection that the server's thread still serves
            proxy.start()
            client.close()
        with pytest.raises(ConnectionError):
            post(client)
        client.close()
        stack.enter_context(echo_server(server.server_port))
        assert post(client) == (200, b"hello")


def test_it_is_stopped_and_started_on_the_same_port(proxy, client):
    assert post(client) == (200, b"hello")
    url = proxy.url
    proxy.stop()
    with pytest.raises(ConnectionError):
        post(client)
    client.close()
    with pytest.raises(ConnectionRefusedError):
        post(client)
    client.close()
    proxy.start()
    assert proxy.url == url
    assert post(client) == (200, b"hello")


def test_it_speaks_tls(echo, tmp_path):
    authority = Authority(tmp_path)
    inner = FaultProxy(f"http://127.0.0.1:{echo.server_port}", certificate=authority.issue())
    with inner, FaultProxy(inner.url, ca_file=str(authority.file)) as outer:
        context = ssl.create_default_context(cafile=str(authority.file))
        for client in (
            http.client.HTTPSConnection("127.0.0.1", inner.port, context=context, timeout=10),
            http.client.HTTPConnection("127.0.0.1", outer.port, timeout=10),
        ):
            with contextlib.closing(client):
                assert post(client) == (200, b"hello")
                with inner.broken(Reset()), pytest.raises((ConnectionError, ssl.SSLError)):
                    post(client)


# --- Who is met -------------------------------------------------------------------------


def test_faults_meet_so_many_requests_as_they_are_told(proxy, client):
    rule = proxy.inject(Answer(status=503), times=2, after=1)
    assert [post(client)[0] for _ in range(5)] == [200, 503, 503, 200, 200]
    assert rule.hits == 2


def test_faults_meet_those_with_a_path_or_a_target(proxy, client):
    proxy.inject(Answer(status=429), match="/sign/")
    proxy.inject(Answer(status=500), match="TrentService.Sign")
    assert post(client, path="/v1/transit/sign/k")[0] == 429
    assert post(client, X_Amz_Target="TrentService.Sign")[0] == 500
    assert post(client, X_Amz_Target="TrentService.GetPublicKey")[0] == 200
    proxy.heal()
    assert post(client, path="/v1/transit/sign/k")[0] == 200


def test_a_fault_can_last_for_a_block_or_be_taken_away(proxy, client):
    with proxy.broken(Answer(status=500)) as rule:
        assert post(client)[0] == 500
    assert post(client)[0] == 200
    kept, gone = proxy.inject(Answer(status=502)), proxy.inject(Answer(status=504))
    proxy.heal(kept)
    assert post(client)[0] == 504
    proxy.heal(gone)
    assert post(client)[0] == 200
    assert rule.hits == 1


# --- What each does ---------------------------------------------------------------------


def test_an_answer_of_its_own(proxy, client, echo):
    proxy.inject(vault_error(429, "slow down", headers={"Retry-After": "7"}), times=1)
    client.request("POST", "/", b"x")
    answer = client.getresponse()
    assert (answer.status, answer.headers["Retry-After"]) == (429, "7")
    assert json.loads(answer.read()) == {"errors": ["slow down"]}
    assert not echo.asked


def test_latency_is_added_and_can_be_changed(proxy, client):
    begin = time.monotonic()
    proxy.latency = 0.2
    post(client)
    assert time.monotonic() - begin >= 0.2
    assert proxy.latency == 0.2
    proxy.latency = 0
    proxy.inject(Slow(seconds=0.2), times=1)
    begin = time.monotonic()
    assert post(client) == (200, b"hello")
    assert time.monotonic() - begin >= 0.2


def test_hanging(proxy, client, echo):
    proxy.inject(Hang(), times=1)
    client.timeout = 0.2
    with pytest.raises(TimeoutError):
        post(client)
    proxy.wait_for(1)
    client.close()
    assert post(client) == (200, b"hello")
    assert echo.asked == ["/"]


def test_who_hangs_is_counted_until_he_is_gone(proxy):
    proxy.inject(Hang())
    clients = [http.client.HTTPConnection("127.0.0.1", proxy.port) for _ in range(5)]
    for client in clients:
        client.request("POST", "/", b"x")
    proxy.wait_for(5)
    assert proxy.counts() == {"requests": 5, "connections": 5, "pending": 5, "peak": 5}
    for client in clients:
        client.close()
    proxy.wait_until_idle()
    proxy.reset_counts()
    assert proxy.counts() == {"requests": 0, "connections": 0, "pending": 0, "peak": 0}
    with pytest.raises(TimeoutError, match="0 of 1 requests"):
        proxy.wait_for(1, timeout=0.01)


def test_dripping_takes_no_read_long_and_all_together_for_ever(proxy):
    proxy.inject(Drip(interval=0.02))
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx")
        assert [connection.recv(65536) for _ in range(8)] == [bytes([o]) for o in b"HTTP/1.1"]


@pytest.mark.parametrize("asked", [False, True])
def test_a_reset_before_or_after_the_server_was_asked(proxy, client, echo, asked):
    proxy.inject(Reset(asked=asked), times=1)
    with pytest.raises(ConnectionResetError):
        post(client)
    assert echo.asked == (["/"] if asked else [])
    client.close()
    assert post(client) == (200, b"hello")


def test_closing_without_an_answer(proxy, client, echo):
    proxy.inject(Close(), times=1)
    with pytest.raises(http.client.RemoteDisconnected):
        post(client)
    assert not echo.asked


def test_an_answer_that_is_cut_off(proxy, client):
    proxy.inject(Cut(octets=-2), times=1)
    with pytest.raises(http.client.IncompleteRead) as cut:
        post(client)
    assert cut.value.partial == b"hel"


@pytest.mark.parametrize("announced", [True, False])
def test_an_answer_of_many_octets(proxy, client, announced):
    proxy.inject(Huge(size=3_000_000, announced=announced), times=1)
    status, body = post(client)
    assert (status, len(body)) == (200, 3_000_000)
    assert body.startswith(b'{"data"')


def test_an_endless_answer_ends_with_the_client(proxy, client):
    proxy.inject(Huge(size=1 << 50), times=1)
    client.request("POST", "/", b"x")
    assert len(client.getresponse().read(1 << 20)) == 1 << 20
    client.close()
    proxy.wait_until_idle()


def test_octets_that_are_no_json_and_octets_that_are_no_http(proxy, client):
    proxy.inject(garbage(), times=1)
    status, body = post(client)
    assert status == 200
    with pytest.raises(ValueError, match=r".*"):
        json.loads(body)
    proxy.inject(Raw(octets=b"SSH-2.0-OpenSSH\r\n"), times=1)
    with pytest.raises(http.client.BadStatusLine):
        post(client)


@pytest.mark.parametrize("path", ["/", "/chunks"])
def test_a_body_is_rewritten(proxy, client, path):
    proxy.inject(Rewrite(lambda body: body * 100), times=1)
    assert post(client, path=path) == (200, b"hello" * 100)
    proxy.inject(Rewrite(with_request=lambda asked, got: asked + got), times=1)
    assert post(client, path=path) == (200, b"hellohello")
    assert post(client, path=path) == (200, b"hello")
    assert proxy.counts()["connections"] == 1


# --- Elsewhere --------------------------------------------------------------------------


def test_it_has_a_process_of_its_own_if_need_be(echo):
    with ProxyProcess(f"http://127.0.0.1:{echo.server_port}") as proxy:
        client = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=10)
        with contextlib.closing(client):
            proxy.latency = 0.05
            assert proxy.latency == 0.05
            assert post(client) == (200, b"hello")
            proxy.inject(vault_error(503, "sealed"), times=1)
            assert [post(client)[0] for _ in range(2)] == [503, 200]
            proxy.inject(wrong_signature())
            proxy.heal()
            assert proxy.requests == 3
            proxy.stop()
            with pytest.raises(ConnectionError):
                post(client)
            client.close()
            proxy.start()
            assert post(client) == (200, b"hello")
            proxy.reset_counts()
            assert proxy.counts()["requests"] == 0
            with pytest.raises(RuntimeError, match="no_such"):
                proxy._call("no_such")
            # A fault that cannot be sent there is refused here.
            with pytest.raises(AttributeError):
                proxy.inject(Rewrite(lambda body: body))
        pid = proxy.pid
    assert not Path(f"/proc/{pid}").exists()
