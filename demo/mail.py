"""The end of the demonstration: mail goes through a filter, from a client to a mailbox.

With Postfix, and as root, a real Postfix takes the mail and delivers it; else the filter is
driven over its socket, as Postfix would drive it.
"""

from __future__ import annotations

import contextlib
import re
import textwrap
from typing import TYPE_CHECKING, Protocol

from tests.servers.dkimcoremilter import DidNotStart, DkimcoreMilter
from tests.servers.milterclient import Delivery, deliver
from tests.servers.nsd import HOST, free_port
from tests.servers.postfix import OUTSIDE, Entrance, Postfix, postfix_unusable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["MailFailed", "play"]

DOMAIN = "example.com"
CONF = """\
KeyTable          {folder}/KeyTable
SigningTable      refile:{folder}/SigningTable
MultipleSignatures yes
InternalHosts     127.0.0.1,::1
AuthservID        mx.example.com
Nameservers       {host}:{port}
SyslogSuccess     yes
LogWhy            yes
RequireSafeKeys   no
"""
TABLES = {
    "SigningTable": f"*@{DOMAIN}  rsa\n*@{DOMAIN}  ed25519\n",
    "KeyTable": f"rsa      {DOMAIN}:s1:{{keys}}/s1.private\n"
    f"ed25519  {DOMAIN}:s1-ed25519:{{keys}}/s1-ed25519.private\n",
}
FORGED = b"Authentication-Results: mx.example.com; dkim=pass header.d=bank.example\r\n"


class MailFailed(Exception):
    """Mail did not arrive as it must."""


class Route(Protocol):
    """A way for mail from a client to a box."""

    def send(self, message: bytes, *, outside: bool) -> tuple[str, bytes]:
        """Sends a message; returns its queue id and what is in the box."""
        ...


class ThroughPostfix:
    """Through a real Postfix.

    Args:
        postfix: It; it runs.
    """

    def __init__(self, postfix: Postfix) -> None:
        self._postfix = postfix

    def send(self, message: bytes, *, outside: bool) -> tuple[str, bytes]:
        """As `Route` says."""
        options = ("BODY=8BITMIME",)
        source = OUTSIDE if outside else HOST
        receipt = self._postfix.submit("smtp", message, source=source, options=options)
        if receipt.code != 250:
            raise MailFailed(f"Postfix said {receipt.code} {receipt.text}")
        return receipt.queue_id, self._postfix.arrival(receipt.queue_id)


class OverTheSocket:
    """Over the filter's socket, as Postfix would do it.

    Args:
        address: The socket.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._sent = 0

    def send(self, message: bytes, *, outside: bool) -> tuple[str, bytes]:
        """As `Route` says."""
        self._sent += 1
        queue_id, client = f"demo{self._sent}", OUTSIDE if outside else HOST
        delivery = Delivery(host=f"[{client}]", address=client, queue_id=queue_id)
        return queue_id, deliver(self._address, message, delivery, timeout=60).message()


def play(
    folder: Path,
    name_server: tuple[str, int],
    *,
    message: bytes,
    heading: Callable[[str], None],
    verify: Callable[[bytes], bytes],
) -> str:
    """Plays outgoing and incoming mail.

    Args:
        folder: The demonstration's folder; the keys are in its ``keys``.
        name_server: Who has the key records.
        message: What is sent.
        heading: Prints a step's title.
        verify: Runs ``dkimcore verify`` on what arrived; returns what it printed.

    Returns:
        What was shown, for the closing line.

    Raises:
        MailFailed: It did not come out as it must.
    """
    host, port = name_server
    conf = CONF.replace("{host}", host).replace("{port}", str(port))
    files = {name: text.replace("{keys}", str(folder / "keys")) for name, text in TABLES.items()}
    socket_name = f"inet:{free_port()}@{HOST}"
    with contextlib.ExitStack() as stack:
        heading("dkimcore-milter starts with an opendkim.conf, as OpenDKIM would")
        print(textwrap.indent(conf.replace("{folder}/", ""), "    "), end="")
        try:
            milter = stack.enter_context(DkimcoreMilter(conf, files=files, socket_name=socket_name))
        except DidNotStart as problem:
            raise MailFailed(f"dkimcore-milter did not start: {problem}") from problem
        print(f"  $ dkimcore-milter -f -x opendkim.conf -p {socket_name}")
        route, closing = _route(milter, stack, heading)
        _exchange(route, milter, message, verify)
    return closing


def _route(
    milter: DkimcoreMilter, stack: contextlib.ExitStack, heading: Callable[[str], None]
) -> tuple[Route, str]:
    """Starts Postfix if it can be had; says how mail goes."""
    reason = postfix_unusable()
    if reason is None:
        port, _, host = milter.address.removeprefix("inet:").partition("@")
        entrance = Entrance(milters=f"inet:{host}:{port}")
        try:
            postfix = stack.enter_context(Postfix({"smtp": entrance}))
        except RuntimeError as problem:  # a machine may not let it
            reason = str(problem)
        else:
            heading("A real Postfix uses it, and delivers to a mailbox")
            print(f"  smtpd_milters = {entrance.milters}")
            return ThroughPostfix(postfix), "mail through Postfix into a mailbox"
    heading("It is driven over its socket, as Postfix would")
    print(textwrap.indent(reason, "  "))
    return OverTheSocket(milter.address), "mail through the filter"


def _exchange(
    route: Route, milter: DkimcoreMilter, message: bytes, verify: Callable[[bytes], bytes]
) -> None:
    print("\n  Somebody of example.com sends a message from this host:")
    queue_id, signed = route.send(message, outside=False)
    _show(milter, queue_id, signed, b"DKIM-Signature:")
    _demand(signed.endswith(b"\r\n" + message), "the message arrived changed")
    _demand(verify(signed).count(b": pass ") == 2, "the signatures do not pass")

    print("\n  The same message comes from outside, with a forged Authentication-Results field:")
    print(f"    {FORGED.decode().rstrip()}")
    queue_id, received = route.send(FORGED + signed, outside=True)
    _show(milter, queue_id, received, b"Authentication-Results:")
    _demand(b"bank.example" not in received, "the forged field is still there")
    _demand(received.count(b"dkim=pass") == 2, "the verdict is not in the message")

    print("\n  It comes again, and somebody has changed it:")
    subject = b"Subject: "
    queue_id, received = route.send(signed.replace(subject, subject + b"Re: "), outside=True)
    _show(milter, queue_id, received, b"Authentication-Results:")
    _demand(received.count(b"dkim=fail") == 2, "the change was not noticed")


def _show(milter: DkimcoreMilter, queue_id: str, octets: bytes, name: bytes) -> None:
    """Prints the log lines of a message, and the beginning of the fields that it got."""
    for entry in milter.log():
        if entry["job_id"] == queue_id:
            print(f"    log: {queue_id}: {entry['text']}")
    for field in re.findall(rb"(?m)^" + name + rb".*\r\n(?:[ \t].*\r\n)*", octets):
        lines = field.decode("utf-8", "replace").replace("\t", " ").splitlines()
        for line in lines[:3]:
            print(f"    box: {line}")
        if len(lines) > 3:
            print("    box:  ...")
    _demand(octets.startswith(name), f"{name.decode()} is not on top")


def _demand(truth: object, otherwise: str) -> None:
    if not truth:
        raise MailFailed(otherwise)
