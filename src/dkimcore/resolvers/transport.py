"""One query to one name server over UDP or TCP (RFC 1035 section 4.2), and its reply.

Blocking.  What waits is timed by the monotonic clock: dnspython 2.9.2 takes the time of day,
and waits for a day where that is put back by a day meanwhile.  What to ask whom is left to
`dkimcore.resolvers.exchange`.  Imports dnspython, so it is imported with the first query.
"""

from __future__ import annotations

import socket
import time

import dns.exception
import dns.message

__all__ = ["BadResponse", "over_tcp", "over_udp"]

_LARGEST = 65535  # octets of a message


class BadResponse(dns.exception.FormError):
    """A reply over TCP is not one to the query."""


def over_udp(
    query: dns.message.Message, server: tuple[str, int], seconds: float
) -> dns.message.Message:
    """Ask over UDP; datagrams that are no reply to the query are passed over.

    Args:
        query: The query.
        server: IP address and port.
        seconds: How long at most.

    Raises:
        TimeoutError: No reply came in time.
        OSError: The query could not be sent, or nobody listens there (ICMP).
        dns.message.Truncated: The reply is cut; it is to be had over TCP.
    """
    deadline = time.monotonic() + seconds
    with socket.socket(_family(server), socket.SOCK_DGRAM) as sock:
        sock.connect(server)  # so that the kernel drops what others send, and reports ICMP
        sock.send(query.to_wire())
        while True:
            sock.settimeout(_left(deadline))
            octets = sock.recv(_LARGEST)
            try:
                reply = dns.message.from_wire(octets, raise_on_truncation=True)
            except dns.message.Truncated as exc:
                cut = exc.message()  # type: ignore[no-untyped-call]
                if query.is_response(cut):
                    raise
            except Exception:  # noqa: BLE001, S112 - anybody can send a datagram
                continue
            else:
                if query.is_response(reply):
                    return reply


def over_tcp(
    query: dns.message.Message, server: tuple[str, int], seconds: float
) -> dns.message.Message:
    """Ask over TCP.

    Args:
        query: The query.
        server: IP address and port.
        seconds: How long at most.

    Raises:
        TimeoutError: The reply was not complete in time.
        EOFError: The name server ended the connection before that.
        OSError: There is no connection.
        BadResponse: The reply is one to another query.
        dns.exception.DNSException: It cannot be parsed.
    """
    deadline = time.monotonic() + seconds
    wire = query.to_wire()
    with socket.create_connection(server, timeout=seconds) as sock:
        sock.sendall(len(wire).to_bytes(2, "big") + wire)
        length = int.from_bytes(_exactly(sock, 2, deadline), "big")
        reply = dns.message.from_wire(_exactly(sock, length, deadline))
    if not query.is_response(reply):
        raise BadResponse
    return reply


def _family(server: tuple[str, int]) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in server[0] else socket.AF_INET


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _exactly(sock: socket.socket, count: int, deadline: float) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        sock.settimeout(_left(deadline))
        part = sock.recv(count - len(parts))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)
