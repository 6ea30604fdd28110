"""Real programs that tests run against, and what to say where one is absent."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

__all__ = [
    "INSTALL",
    "SERVERS",
    "available",
    "find_program",
    "how_to_install",
    "requires_server",
    "servers_required",
]

SERVERS = Path(__file__).parents[2] / ".servers"
"""Where ``scripts/setup.sh test`` puts servers that Debian does not have."""

INSTALL = {
    "dig": "bind9-dnsutils",
    "gcc": "gcc",
    "groff": "groff-base",
    "nsd": "nsd",
    "opendkim": "opendkim",
    "opendkim-genkey": "opendkim-tools",
    "opendkim-testkey": "opendkim-tools",
    "opendkim-testmsg": "opendkim-tools",
    "openssl": "openssl",
    "postfix": "postfix",
    "softhsm": "softhsm2",
    "systemd-analyze": "systemd",
    "Mail::DKIM": "libmail-dkim-perl",
}
"""The Debian package that holds each program or Perl module."""

COMMANDS = {"softhsm": "softhsm2-util"}
"""What to look for where a program is called otherwise than the server."""


def find_program(name: str) -> str | None:
    """Finds a program, also where daemons are kept and a user's PATH does not reach."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def available(name: str) -> bool:
    """Whether a program of `INSTALL`, ``openbao`` or ``ministack`` can be run.

    A name with ``::`` is a Perl module.
    """
    if name == "openbao":
        from tests.servers.openbao import find_openbao

        return find_openbao() is not None
    if name == "ministack":
        from tests.servers.ministack import find_ministack

        return find_ministack() is not None
    if "::" not in name:
        return find_program(COMMANDS.get(name, name)) is not None
    perl = find_program("perl")
    if perl is None:
        return False
    tried = subprocess.run([perl, f"-M{name}", "-e", "1"], capture_output=True, check=False)
    return tried.returncode == 0


def how_to_install(name: str) -> str:
    """The command that installs what `requires_server` asks for."""
    if name in INSTALL:
        return f"sudo apt-get install {INSTALL[name]}"
    return "scripts/setup.sh test"


def servers_required() -> bool:
    """Whether an absent program is a failure: in CI, or when the environment says so."""
    return any(
        os.environ.get(variable, "").lower() not in ("", "0", "false")
        for variable in ("CI", "DKIMCORE_REQUIRE_SERVERS")
    )


def requires_server(name: str) -> None:
    """Ends the calling test where a program is absent, saying how to install it.

    Args:
        name: A key of `INSTALL`, ``openbao`` or ``ministack``.
    """
    import pytest  # here, because the demonstration uses this package without pytest

    if available(name):
        return
    reason = f"{name} is not installed: {how_to_install(name)}"
    if servers_required():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
