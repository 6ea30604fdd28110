"""Runs a configuration's mail through both filters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.servers.dkimcoremilter import DkimcoreMilter
from tests.servers.filterprocess import DidNotStart
from tests.servers.milterclient import MilterError, deliver
from tests.servers.opendkim import OpenDkimServer

from .keys import BASE, key_files, records
from .observe import observe

if TYPE_CHECKING:
    from tests.servers.filterprocess import FilterProcess

    from .model import Setting
    from .observe import Aspects

__all__ = ["Observed", "observe_both"]

CRASH = 2.0  # seconds in which a process that closed a connection may end, too
Observed = dict[str, "Aspects"]
"""The aspects of each message by its name."""


def observe_both(setting: Setting) -> tuple[Observed, Observed, str]:
    """Gives both filters a configuration and its mail.

    Returns:
        What OpenDKIM did, what we did, and what our program wrote to standard error.
    """
    ours = _launched(DkimcoreMilter, setting)
    try:
        theirs = _launched(OpenDkimServer, setting)
        try:
            their_aspects = _observed(theirs, setting)
        finally:
            theirs.close()
        return their_aspects, _observed(ours, setting), ours.output()
    finally:
        ours.close()


def _launched(program: type[FilterProcess], setting: Setting) -> FilterProcess:
    """Starts a filter with a configuration, without waiting for it."""
    lines = "".join(f"{name} {record.decode()}\n" for name, record in records().items())
    files: dict[str, str | bytes] = {**key_files(), "records": lines, **setting.files}
    conf = (BASE if setting.base else "") + setting.conf
    process = program(conf, files=files, modes=setting.modes)
    process.launch()
    return process


def _observed(process: FilterProcess, setting: Setting) -> Observed:
    """Gives a filter the configuration's mail.

    A filter that refused to start has the one aspect ``start``, one that died ``dead``.
    """
    try:
        process.wait_until_ready()
    except DidNotStart as error:
        return {one.name: {"start": f"exit status {error.status}"} for one in setting.probes}
    found: Observed = {}
    for probe in setting.probes:
        try:
            found[probe.name] = observe(
                deliver(process.address, probe.message, probe.delivery, version=probe.version)
            )
        except (MilterError, OSError) as error:
            found[probe.name] = {"dead": "it crashed" if process.ends(CRASH) else str(error)}
    return found
