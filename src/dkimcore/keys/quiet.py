"""Keeps the debug output of client libraries, which holds keys and tokens, out of every log.

botocore writes a decrypted private key at DEBUG, hvac and urllib3 paths and headers.  Setting a
level would not last: an application may set it again.
"""

from __future__ import annotations

import logging

__all__ = ["quiet_loggers"]


class _Quiet(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        """Let pass what is for operators, without what was being handled when it was said."""
        record.exc_info = record.exc_text = None
        return record.levelno >= logging.INFO


_QUIET = _Quiet()


def quiet_loggers(*prefixes: str) -> None:
    """Drop the records below INFO of some loggers and of those below them, for good.

    A level set later changes nothing.  To be called again once a library made more loggers.

    Args:
        prefixes: Names of loggers, such as ``botocore``.
    """
    names = set(prefixes)
    for name in tuple(logging.root.manager.loggerDict):
        if name.startswith(tuple(f"{prefix}." for prefix in prefixes)):
            names.add(name)
    for name in names:
        logger = logging.getLogger(name)
        if _QUIET not in logger.filters:
            logger.addFilter(_QUIET)
