"""A name server on loopback that answers as badly as a test wants."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import dns.flags
import dns.message
import dns.rdatatype
import dns.rrset

from tests.servers.nsd import HOST, free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    Reply = Callable[[bytes, bool], bytes | list[bytes] | None]

__all__ = ["HostileServer", "answered", "records"]


def answered(query: bytes, *rrsets: dns.rrset.RRset, flags: int = 0, rcode: int = 0) -> bytes:
    """Makes a reply to a query with these answers."""
    reply = dns.message.make_response(dns.message.from_wire(query), recursion_available=True)
    reply.flags |= flags
    reply.set_rcode(rcode)
    reply.answer.extend(rrsets)
    return reply.to_wire(max_size=65535)


def records(query: bytes, *texts: bytes, ttl: int = 60) -> dns.rrset.RRset:
    """Makes TXT records at the name that the query asks for, one for each text."""
    name = dns.message.from_wire(query).question[0].name
    rdata = [
        " ".join(f'"{text[i : i + 255].decode("ascii")}"' for i in range(0, len(text) or 1, 255))
        for text in texts
    ]
    return dns.rrset.from_text(name, ttl, "IN", "TXT", *rdata)


class HostileServer:
    """Listens on UDP and TCP while its ``with`` block lasts.

    ``reply(query, over_tcp)`` gives the octets to send back, several datagrams, or None to
    keep silent; over TCP the octets get no length, so that a wrong one can be sent.
    """

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._stop = False
        self.queries: list[tuple[bytes, bool]] = []
        self.address = (HOST, free_port())
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(self.address)
        self._tcp = socket.create_server(self.address)
        self._threads = [threading.Thread(target=run) for run in (self._datagrams, self._streams)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop = True
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", self.address)
        socket.create_connection(self.address).close()
        for thread in self._threads:
            thread.join()
        self._udp.close()
        self._tcp.close()

    def _replies(self, query: bytes, *, over_tcp: bool) -> list[bytes]:
        self.queries.append((query, over_tcp))
        replies = self._reply(query, over_tcp)
        if replies is None:
            return []
        return replies if isinstance(replies, list) else [replies]

    def _datagrams(self) -> None:
        while True:
            query, client = self._udp.recvfrom(65535)
            if self._stop:
                return
            for reply in self._replies(query, over_tcp=False):
                self._udp.sendto(reply, client)

    def _streams(self) -> None:
        while True:
            connection, _ = self._tcp.accept()
            with connection:
                if self._stop:
                    return
                stream = connection.makefile("rb")
                # Who asks may have given up, before or after its query.
                with stream, contextlib.suppress(OSError):
                    query = stream.read(int.from_bytes(stream.read(2)))
                    for reply in self._replies(query, over_tcp=True) if query else ():
                        connection.sendall(reply)
