"""Runs a configuration's mail through one filter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.servers.milterclient import MilterError, deliver

from .keys import BASE, key_files, records
from .observe import observe

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.servers.filterprocess import FilterProcess

    from .model import Setting
    from .observe import Aspects

__all__ = ["launched", "observed"]


def launched(program: Callable[..., FilterProcess], setting: Setting) -> FilterProcess:
    """Starts a filter with a configuration, without waiting for it."""
    lines = "".join(f"{name} {record.decode()}\n" for name, record in records().items())
    files: dict[str, str | bytes] = {**key_files(), "records": lines, **setting.files}
    process = program((BASE if setting.base else "") + setting.conf, files=files)
    process.launch()
    return process


def observed(process: FilterProcess, setting: Setting) -> dict[str, Aspects]:
    """Gives the filter the configuration's mail.

    Args:
        process: A filter that was launched.
        setting: The configuration.

    Returns:
        The aspects of each probe by its name.  A filter that refused to start has the one
        aspect ``start``, one that died ``dead``.
    """
    from tests.servers.filterprocess import DidNotStart

    found: dict[str, Aspects] = {}
    try:
        process.wait_until_ready()
    except DidNotStart as error:
        return {one.name: {"start": f"exit status {error.status}"} for one in setting.probes}
    for probe in setting.probes:
        try:
            found[probe.name] = observe(deliver(process.address, probe.message, probe.delivery))
        except (MilterError, OSError) as error:
            found[probe.name] = {"dead": str(error) if process.status is None else "it crashed"}
    return found
