"""Under which names the milter speaks: the authserv-id, and the host in DKIM-Filter.

Both come from the MTA (macro ``j``) unless AuthservID says otherwise.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dkimcore.settings.model import Verifying

__all__ = ["UNKNOWN_HOST", "authserv_id", "host_name"]

UNKNOWN_HOST = "unknown-host"


def host_name(macro: str | None) -> str:
    """Return the MTA's name, or OpenDKIM's word for none.

    Args:
        macro: The MTA's macro ``j``.
    """
    if macro is None or not macro.isprintable() or not macro.strip():
        return UNKNOWN_HOST
    return macro.strip()


def authserv_id(verifying: Verifying, host: str) -> str:
    """Return who says so in Authentication-Results (AuthservID).

    Args:
        verifying: The settings.
        host: The MTA's name, from `host_name`.
    """
    if verifying.authserv_id is None:
        return host
    if verifying.authserv_id == "HOSTNAME":
        return host_name(socket.gethostname())
    return host_name(verifying.authserv_id)
