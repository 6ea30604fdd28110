"""What a hostile or confused server may do with a secret that it was given, or that it keeps."""

from __future__ import annotations

import json
from dataclasses import dataclass

from dkimcore.errors import KeyBackendError
from tests.backends.subject import Fault
from tests.backends.vault import injected
from tests.servers.faults import Rewrite
from tests.servers.httpoctets import reply

__all__ = ["HOSTILE", "Echo", "hostile_faults"]


@dataclass(frozen=True, slots=True)
class Echo:
    """An error that quotes the request, credentials and all, as AWS does of a wrong signature.

    Attributes:
        status: Of the answer.
        code: What AWS would call it.
        betrays: Whether it quotes what the true answer is, private key and all, instead.
    """

    status: int
    code: str = "InvalidSignatureException"
    betrays: bool = False

    async def play(self, exchange):
        """Sends it."""
        quoted = (await exchange.ask()).body if self.betrays else _secret_first(exchange.request)
        text = f"for {quoted.decode('latin-1')}"
        said = {"errors": [text], "__type": self.code, "message": text}
        exchange.writer.write(reply(self.status, json.dumps(said).encode()))
        await exchange.writer.drain()
        return True


def _secret_first(request):
    """A request whose credentials come first, for texts are cut."""
    lines = request.octets.split(b"\r\n")
    return b"\r\n".join(sorted(lines, key=lambda line: b"token" not in line.lower()))


def damaged(body):
    """The answer with a private key that is cut in the middle."""
    document = json.loads(body)
    if "Plaintext" in document:
        document["Plaintext"] = document["Plaintext"][: len(document["Plaintext"]) // 8 * 4]
    data = document.get("data")
    if isinstance(data, dict):
        data = data.get("data", data)
        if "key" in data:
            data["key"] = data["key"][: len(data["key"]) * 3 // 4]
    return json.dumps(document).encode()


def misplaced(body):
    """The answer with all that it holds where something else should be."""
    return json.dumps({"data": body.decode(), "Plaintext": {"x": body.decode()}}).encode()


HOSTILE = (
    Echo(400),
    Echo(400, "AccessDeniedException"),
    Echo(403),
    Echo(500),
    Echo(400, betrays=True),
    Echo(500, betrays=True),
    Rewrite(damaged),
    Rewrite(misplaced),
)


def hostile_faults(subject):
    """What may go wrong besides."""
    return tuple(
        Fault(name=f"hostile {number}", kind=KeyBackendError, words="", breaks=injected(fault))
        for number, fault in enumerate(HOSTILE if hasattr(subject, "door") else ())
    )
