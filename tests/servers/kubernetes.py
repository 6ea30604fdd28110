"""So much of a Kubernetes API that OpenBao's Kubernetes login works: it reviews tokens.

The real thing is asked whether a service account's token is good, and for whom; this one knows
the tokens that it has made.
"""

from __future__ import annotations

import base64
import json
import secrets
import ssl
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.servers.closing import Closing
from tests.servers.nsd import HOST
from tests.servers.tls import Authority

if TYPE_CHECKING:
    from typing import Self

__all__ = ["TokenReviews"]

REVIEW_LIMIT = 1 << 20  # octets of one request


class TokenReviews(Closing):
    """An API that reviews tokens while its ``with`` block lasts.

    Example::

        with TokenReviews() as api:
            mount = openbao.kubernetes_role(api, ["policy"], namespace="mail", account="mta")
            jwt = api.token(namespace="mail", account="mta")
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, str]] = {}
        self.reviewed = 0
        self._folder = tempfile.TemporaryDirectory(prefix="dkimcore-kubernetes-")
        self.authority = Authority(Path(self._folder.name))
        certificate = self.authority.issue("kubernetes")
        self._server = ThreadingHTTPServer((HOST, 0), self._handler())
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate.certificate_file, certificate.key_file)
        self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="token reviews", daemon=True
        )

    @property
    def url(self) -> str:
        """Where it is."""
        return f"https://{HOST}:{self._server.server_address[1]}"

    def token(self, *, namespace: str, account: str) -> str:
        """Makes a token of a service account, as a pod finds it in a file."""
        claims = {
            "iss": "https://kubernetes.default.svc.cluster.local",
            "sub": f"system:serviceaccount:{namespace}:{account}",
            "aud": ["https://kubernetes.default.svc.cluster.local"],
            "nbf": 1577836800,  # 2020
            "exp": 4102444800,  # 2100
            "jti": secrets.token_hex(8),
            "kubernetes.io": {
                "namespace": namespace,
                "serviceaccount": {"name": account, "uid": _uid(account)},
            },
        }
        parts = ({"alg": "RS256", "typ": "JWT"}, claims)
        text = ".".join([*(_packed(json.dumps(part).encode()) for part in parts), _packed(b"x")])
        self._known[text] = namespace, account
        return text

    def revoke(self, token: str) -> None:
        """Makes a token invalid."""
        del self._known[token]

    def review(self, review: Any) -> dict[str, Any]:
        """Answers a TokenReview."""
        self.reviewed += 1
        known = self._known.get(review["spec"]["token"])
        status: dict[str, Any] = {"authenticated": False, "error": "token is not known"}
        if known is not None:
            namespace, account = known
            status = {
                "authenticated": True,
                "user": {
                    "username": f"system:serviceaccount:{namespace}:{account}",
                    "uid": _uid(account),
                    "groups": ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"],
                },
                "audiences": review["spec"].get("audiences", []),
            }
        kind = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview"}
        return {**kind, "status": status}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = min(int(self.headers["Content-Length"]), REVIEW_LIMIT)
                answer = json.dumps(api.review(json.loads(self.rfile.read(length)))).encode()
                self.send_response(201)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        return Handler

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def close(self) -> None:
        """Stops it; again is harmless."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        self._folder.cleanup()


def _uid(account: str) -> str:
    return f"uid-of-{account}"


def _packed(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
