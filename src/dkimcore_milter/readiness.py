"""Tells systemd how we are (sd_notify(3)), without its library.

Works with Type=notify and Type=notify-reload, and WatchdogSec.  Without NOTIFY_SOCKET in the
environment everything here does nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping

__all__ = ["Readiness"]


class Readiness:
    """The service manager that started us, if one did.

    Args:
        environment: Where NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID are looked for.

    Attributes:
        watchdog: Seconds between two pings, half of what the manager waits; None: no pings.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._socket = _connect(environment.get("NOTIFY_SOCKET", ""))
        self.watchdog = _interval(environment) if self._socket else None

    def ready(self, status: str) -> None:
        """Say that we serve, in words, and which process the main one is."""
        self._send(f"READY=1\nMAINPID={os.getpid()}\nSTATUS={status}")

    def reloading(self) -> None:
        """Say that the settings are read again; `ready` follows in any case."""
        micros = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=reading the settings again")

    def stopping(self) -> None:
        """Say that we end."""
        self._send("STOPPING=1\nSTATUS=ending")

    def ping(self) -> None:
        """Say that we are alive."""
        self._send("WATCHDOG=1")

    def close(self) -> None:
        """Say nothing from now on."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, text: str) -> None:
        if self._socket is not None:
            # A manager that does not listen is no reason not to serve mail.
            with contextlib.suppress(OSError):
                self._socket.send(text.encode())


def _connect(address: str) -> socket.socket | None:
    """Connect at once: after a chroot() the socket's path is out of reach."""
    if not address.startswith(("/", "@")):
        return None
    name = f"\0{address[1:]}" if address.startswith("@") else address
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        connected.connect(name)
    except OSError:
        connected.close()
        return None
    return connected


def _interval(environment: Mapping[str, str]) -> float | None:
    micros = environment.get("WATCHDOG_USEC", "")
    pid = environment.get("WATCHDOG_PID", "")
    if not micros.isdigit() or int(micros) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(micros) / 2_000_000
