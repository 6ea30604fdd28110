"""Imports early what is otherwise imported when it is first used.

After ChangeRootDirectory, and for the user of UserID, Python's own files may be out of reach:
then a module that was not imported before is missing when the first message needs it.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

__all__ = ["import_all"]

_LATE = (
    "dkimcore.keys.file",
    "dkimcore.resolvers.exchange",
    "dkimcore.resolvers.transport",
    "dns.rdata",
    "encodings.idna",
    "idna",
    "importlib.metadata",
)
# What a name server may put into an answer to a key query.
_RECORD_TYPES = (
    *(f"ANY.{name}" for name in ("CNAME", "DNAME", "DNSKEY", "DS", "NS", "NSEC", "NSEC3")),
    *(f"ANY.{name}" for name in ("OPT", "RRSIG", "SOA", "TXT")),
    *(f"IN.{name}" for name in ("A", "AAAA")),
)


def import_all() -> None:
    """Import them; what is not installed is left out."""
    for name in (*_LATE, *(f"dns.rdtypes.{name}" for name in _RECORD_TYPES)):
        if find_spec(name) is not None:
            import_module(name)
