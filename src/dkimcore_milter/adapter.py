"""libmilter, through pymilter: the only module that imports it.

Turns libmilter's callbacks into the calls of a `Connection`, and its answers into libmilter's.
libmilter's state is that of a process: one socket, one set of callbacks, one loop.  Sockets are
opened in the supervisor and served in its children, so nothing here may start a thread before.
pymilter is under the GNU GPL: the licence note says what that means.

libmilter can be stopped only for good, which with its pool of threads also cuts off the
connections that are open.  So it is never stopped: `stop_listening` takes the socket away.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import syslog
from dataclasses import dataclass
from typing import TYPE_CHECKING

import milter

from dkimcore_milter.action import Reply, Verdict
from dkimcore_milter.connection import Connection
from dkimcore_milter.failure import StartFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dkimcore_milter.activity import Activity
    from dkimcore_milter.engine import Engine
    from dkimcore_milter.logline import LogSink
    from dkimcore_milter.sockets import Listen

__all__ = [
    "WAKE_SIGNAL",
    "Service",
    "libmilter_version",
    "open_listener",
    "serve",
    "stop_listening",
]

WAKE_SIGNAL = signal.SIGUSR2
"""Ends libmilter's wait for a connection; needs a handler that does nothing."""

_BACKLOG = 1024
_MAX_DESCRIPTOR = 1024  # the system gives the lowest one that is free
_MAX_REPLY_OCTETS = 900  # libmilter refuses 980 (MAXREPLYLEN) and forgets to say so

_CODES = {
    Verdict.CONTINUE: milter.CONTINUE,
    Verdict.SKIP: milter.SKIP,
    Verdict.ACCEPT: milter.ACCEPT,
    Verdict.DISCARD: milter.DISCARD,
    Verdict.REJECT: milter.REJECT,
    Verdict.TEMPFAIL: milter.TEMPFAIL,
}
_PLAIN = {
    Verdict.REJECT: Reply(Verdict.REJECT, "550", "5.7.1", "Command rejected"),
    Verdict.TEMPFAIL: Reply(
        Verdict.TEMPFAIL, "451", "4.7.1", "Service unavailable - try again later"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What new connections get.

    Attributes:
        engine: What decides.
        log: Takes lines.
        activity: Counts connections and messages.
        inet: Whether the socket is a TCP socket.
    """

    engine: Engine
    log: LogSink
    activity: Activity
    inet: bool


class _Process:
    """What libmilter keeps for the whole process."""

    name = ""  # pymilter keeps a pointer into it
    service: Service | None = None


class _LinkError(OSError):
    """libmilter refused a request: the MTA went away, or did not allow it."""


class _Link:
    """A `dkimcore_milter.connection.Link` over a libmilter context."""

    def __init__(self, context: milter.milterContext) -> None:
        self._context = context
        self._replied = False

    def symbol(self, name: str) -> str | None:
        try:
            return self._context.getsymval(name)
        except UnicodeDecodeError as exc:
            return exc.object.decode("utf-8", "surrogateescape")
        except milter.error:  # the connection is closed
            return None

    def insert(self, name: bytes, value: bytes) -> None:
        # pymilter takes text and encodes it as UTF-8: there is no way for other octets.
        with _requests():
            self._context.addheader(name.decode(), value.decode("utf-8", "replace"), 0)

    def delete(self, name: bytes, index: int) -> None:
        with _requests():
            self._context.chgheader(name.decode(), index, "")

    def add_recipient(self, address: bytes) -> None:
        with _requests():
            self._context.addrcpt(address.decode())

    def delete_recipient(self, address: bytes) -> None:
        with _requests():
            self._context.delrcpt(address.decode())

    def quarantine(self, reason: str) -> None:
        with _requests():
            self._context.quarantine(reason)

    def progress(self) -> None:
        with _requests():
            self._context.progress()

    def answer(self, reply: Reply) -> int:
        """Return libmilter's code for a reply, after telling it the text."""
        if reply.verdict in _PLAIN:
            if not reply.code and self._replied:
                reply = _PLAIN[reply.verdict]  # or libmilter would send the last text again
            if reply.code:
                self._replied = True
                text = " ".join(reply.text.split())[:_MAX_REPLY_OCTETS]
                text = text.encode("ascii", "replace").decode().replace("%", "%%")
                # MTAs make one % of two.  Without a text the verdict is still the same.
                with contextlib.suppress(milter.error):
                    self._context.setreply(reply.code, reply.enhanced or None, text)
        return _CODES[reply.verdict]


@contextlib.contextmanager
def _requests() -> Iterator[None]:
    try:
        yield
    except milter.error as exc:
        raise _LinkError(f"libmilter: {exc}") from exc


class _Attached:
    """What a libmilter context holds: a connection and the way back."""

    __slots__ = ("connection", "link")

    def __init__(self, connection: Connection, link: _Link) -> None:
        self.connection = connection
        self.link = link


def libmilter_version() -> str:
    """Return the version of the library that is loaded, for flag -V."""
    return ".".join(map(str, milter.getversion()))


def name_libmilter(name: str) -> None:
    """Let libmilter's own log lines carry our name; before a chroot() hides syslog's socket."""
    syslog.openlog(name, syslog.LOG_PID | syslog.LOG_NDELAY, syslog.LOG_MAIL)


def open_listener(listen: Listen, *, name: str, debug: int = 0) -> int:
    """Open the listening socket, for this process and its later children.

    Args:
        listen: As `Listen.resolve` returned it; nothing is bound there.
        name: Our name, for libmilter.
        debug: libmilter's debug level (MilterDebug).

    Returns:
        Its descriptor.  It does not block: of several processes that libmilter wakes for one
        connection only one gets it.

    Raises:
        StartFailure: libmilter cannot open it (status 69).
    """
    _Process.name = name
    _register(name)
    milter.setdbg(debug)
    milter.setbacklog(_BACKLOG)
    milter.setconn(listen.to_libmilter())
    before = _descriptors()
    try:
        milter.opensocket(False)  # noqa: FBT003 - pymilter's only way
    except milter.error as exc:
        raise StartFailure(
            f"can't open the socket {listen}: libmilter's lines in the mail log say why",
            status=os.EX_UNAVAILABLE,
        ) from exc
    descriptor = _listening(_descriptors() - before)
    os.set_blocking(descriptor, False)
    if listen.is_inet:
        with socket.socket(fileno=os.dup(descriptor)) as view:
            # Linux hands it on to accepted sockets.  Without it the second of libmilter's small
            # packets waits for the MTA's delayed acknowledgement: 40 ms per message.
            view.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return descriptor


def _descriptors() -> set[int]:
    """Return the descriptors that are open; /dev/fd may be out of reach after a chroot()."""
    found = set()
    for descriptor in range(_MAX_DESCRIPTOR):
        with contextlib.suppress(OSError):
            os.fstat(descriptor)
            found.add(descriptor)
    return found


def _listening(candidates: set[int]) -> int:
    for descriptor in candidates:
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as view:
            if view.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return descriptor
    raise StartFailure("libmilter opened no socket", status=os.EX_SOFTWARE)


def serve(service: Service) -> None:
    """Run libmilter's loop; it does not return unless it fails.

    To be called in a thread of its own: it blocks the signals that libmilter wants for itself.

    Raises:
        StartFailure: libmilter gave up (status 70).
    """
    _Process.service = service
    try:
        milter.main()
    except milter.error as exc:
        raise StartFailure(f"libmilter: {exc}", status=os.EX_SOFTWARE) from exc


def stop_listening(descriptor: int, *, thread: int) -> socket.socket:
    """Take no more connections; those that are open go on.

    Args:
        descriptor: What `open_listener` returned.
        thread: The identity of the thread in `serve`.

    Returns:
        What has to stay open as long as the process lives.
    """
    # libmilter goes on to wait, for a socket on which nothing ever happens.
    silent, keep = socket.socketpair()
    with silent:
        os.dup2(silent.fileno(), descriptor, inheritable=False)
    signal.pthread_kill(thread, WAKE_SIGNAL)
    return keep


def _register(name: str) -> None:
    # No callbacks for HELO and unknown commands: pymilter fails on octets that are no UTF-8.
    milter.set_connect_callback(_connect)
    milter.set_envfrom_callback(_envelope_sender)
    milter.set_envrcpt_callback(_envelope_recipient)
    milter.set_header_callback(_field)
    milter.set_eoh_callback(_end_of_header)
    milter.set_body_callback(_body)
    milter.set_eom_callback(_end_of_message)
    milter.set_abort_callback(_abort)
    milter.set_close_callback(_close)
    milter.register(name, negotiate=_negotiate)


def _attached(context: milter.milterContext) -> _Attached | None:
    found = context.getpriv()
    return found if isinstance(found, _Attached) else None


def _negotiate(context: milter.milterContext, options: list[int]) -> int:
    service = _Process.service
    if service is None:
        return milter.REJECT
    link = _Link(context)
    connection = Connection(
        service.engine, log=service.log, activity=service.activity, link=link, inet=service.inet
    )
    context.setpriv(_Attached(connection, link))
    agreement = connection.negotiate(options[0], options[1])
    if agreement is None:
        return milter.REJECT
    symbols = service.engine.symbols()
    if symbols is not None and agreement.symbols:
        context.setsymlist(milter.M_EOH, symbols)
    options[:] = [agreement.actions, agreement.steps, 0, 0]
    return milter.CONTINUE


def _step(context: milter.milterContext, call: Callable[[Connection], Reply]) -> int:
    attached = _attached(context)
    if attached is None:  # "quit, new connection follows", which no known MTA sends
        return milter.TEMPFAIL
    return attached.link.answer(call(attached.connection))


def _connect(context: milter.milterContext, host: str, family: int, address: object) -> int:
    return _step(context, lambda connection: connection.connect(host, family, address))


def _envelope_sender(context: milter.milterContext, address: bytes, *_parameters: bytes) -> int:
    return _step(context, lambda connection: connection.envelope_sender(address))


def _envelope_recipient(context: milter.milterContext, address: bytes, *_parameters: bytes) -> int:
    return _step(context, lambda connection: connection.envelope_recipient(address))


def _field(context: milter.milterContext, name: str, value: bytes) -> int:
    return _step(context, lambda connection: connection.field(name.encode(), value))


def _end_of_header(context: milter.milterContext) -> int:
    return _step(context, Connection.end_of_header)


def _body(context: milter.milterContext, chunk: bytes) -> int:
    return _step(context, lambda connection: connection.body(chunk))


def _end_of_message(context: milter.milterContext) -> int:
    return _step(context, Connection.end_of_message)


def _abort(context: milter.milterContext) -> int:
    attached = _attached(context)
    if attached is not None:
        attached.connection.abort()
    return milter.CONTINUE


def _close(context: milter.milterContext) -> int:
    attached = _attached(context)
    context.setpriv(None)  # the context and the link hold each other
    if attached is not None:
        attached.connection.close()
    return milter.CONTINUE
