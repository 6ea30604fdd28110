"""Real programs that tests run against, and what to say where one is absent."""

from __future__ import annotations

import os
import shutil
import subprocess

__all__ = ["INSTALL", "available", "find_program", "requires_server", "servers_required"]

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
    "systemd-analyze": "systemd",
    "Mail::DKIM": "libmail-dkim-perl",
}
"""The Debian package that holds each program or Perl module."""


def find_program(name: str) -> str | None:
    """Finds a program, also where daemons are kept and a user's PATH does not reach."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def available(name: str) -> bool:
    """Whether a program of `INSTALL` can be run; a name with ``::`` is a Perl module."""
    if "::" not in name:
        return find_program(name) is not None
    perl = find_program("perl")
    if perl is None:
        return False
    tried = subprocess.run([perl, f"-M{name}", "-e", "1"], capture_output=True, check=False)
    return tried.returncode == 0


def servers_required() -> bool:
    """Whether an absent program is a failure: in CI, or when the environment says so."""
    return any(
        os.environ.get(variable, "").lower() not in ("", "0", "false")
        for variable in ("CI", "DKIMCORE_REQUIRE_SERVERS")
    )


def requires_server(name: str) -> None:
    """Ends the calling test where a program is absent, saying how to install it.

    Args:
        name: A key of `INSTALL`.
    """
    import pytest  # here, because the demonstration uses this package without pytest

    package = INSTALL[name]
    if available(name):
        return
    reason = f"{name} is not installed: sudo apt-get install {package}"
    if servers_required():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
