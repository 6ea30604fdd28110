"""Imports early what is otherwise imported when it is first used.

After ChangeRootDirectory, and for the user of UserID, Python's own files may be out of reach:
then a module that was not imported before is missing when the first message needs it.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from dkimcore.errors import ConfigError
from dkimcore.keys.registry import KeyBackends

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["BELOW_ROOT", "import_all", "import_backends"]

BELOW_ROOT = (
    "files of tokens and PINs, certificates of authorities (those of Python's certifi, too), "
    "/etc/resolv.conf, botocore's data and AWS' configuration, the module of a PKCS#11 device and "
    "what it opens"
)
"""What keys that are kept elsewhere open late, in each worker, and so below ChangeRootDirectory:
importing early does not help, for boto3 reads its descriptions of services when it is used."""

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


def import_backends(schemes: Iterable[str]) -> list[ConfigError]:
    """Import key backends, so that all workers share what they are made of.

    Args:
        schemes: The schemes of their URIs.

    Returns:
        Why some cannot be used: unknown, or an extra is not installed.
    """
    backends, problems = KeyBackends(), []
    for scheme in sorted(schemes):
        try:
            backends.get(scheme)
        except ConfigError as exc:
            problems.append(exc)
    return problems
