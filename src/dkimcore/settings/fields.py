"""How each field of `Settings` is read, in opendkim.conf as well as in TOML."""

from __future__ import annotations

from dataclasses import dataclass, fields

from dkimcore.protocol.algorithm import Algorithm
from dkimcore.protocol.canonical import Canonicalization
from dkimcore.settings import words
from dkimcore.settings.model import Action, KeyTrust, LogFormat, Settings
from dkimcore.settings.values import (
    Integer,
    Place,
    Reader,
    SourceReader,
    Switch,
    Text,
    Word,
)

__all__ = ["GROUPS", "HEADER_CAP", "READERS"]

HEADER_CAP = 1_048_576
"""Octets of header where MaximumHeaders is 0, "no limit": Exim's default header_maxsize."""

# Everything in Settings but what was found while reading.
GROUPS = ("signing", "verifying", "hosts", "actions", "resolving", "logging", "process", "limits")


@dataclass(frozen=True, slots=True)
class _Umask:
    """A umask; in TOML a string, for of a number the 0 in front would be lost."""

    def from_text(self, text: str, place: Place) -> int:
        """Read it as strtol(3) does."""
        return words.umask(text)

    def from_toml(self, value: object, place: Place) -> int:
        """Take a string."""
        if not isinstance(value, str):
            raise ValueError('write a string such as "007"')  # noqa: TRY004 - as all readers
        return words.octal_umask(value)


def _enumeration(kind: type[Action] | type[KeyTrust] | type[LogFormat]) -> dict[str, object]:
    return {word.value: word for word in kind}


# OpenDKIM takes each action's first letter, too.
_ACTION = Word(
    _enumeration(Action) | {action.value[0]: action for action in Action},
)
_CANONICALIZATION = Word({word.value: word for word in Canonicalization})
_ALGORITHM = Word(
    {word.value: word for word in Algorithm if not word.is_historic},
    {Algorithm.RSA_SHA1.value: "RFC 8301 forbids it, and verifiers refuse it; write rsa-sha256"},
)

_SWITCH = Switch()
_TEXT = Text()
_NUMBER = Integer()
_DATA_SET = SourceReader()
_FILE = SourceReader(data_set=False)

# By what a field is annotated with; what needs more stands below.
_BY_TYPE: dict[str, Reader] = {
    "bool": _SWITCH,
    "str": _TEXT,
    "str | None": _TEXT,
    "int": _NUMBER,
    "Source": _DATA_SET,
    "Source | None": _DATA_SET,
    "Action": _ACTION,
    "Canonicalization": _CANONICALIZATION,
    "KeyTrust": Word(_enumeration(KeyTrust)),
    "LogFormat": Word(_enumeration(LogFormat)),
}
_SPECIAL: dict[str, Reader] = {
    "signing.key_file": _FILE,
    "signing.key_backends": _FILE,
    "signing.replace_rules": _FILE,
    "signing.algorithm": _ALGORITHM,
    "signing.lifetime": Integer(instead={0: None}),
    "signing.maximum_signed_bytes": Integer(instead={-1: None}, hint="; -1 means all"),
    "verifying.minimum_key_bits": Integer(
        minimum=1024,
        maximum=8192,
        instead={0: 1024},
        hint="; RFC 8301 forbids keys of less than 1024 bits, and no one uses more than 8192",
    ),
    "verifying.clock_drift": Integer(instead={0: 300}),
    "verifying.minimum_body": Text(words.minimum),
    "verifying.maximum_header_octets": Integer(instead={0: HEADER_CAP}),
    "resolving.message_timeout": Integer(minimum=1),
    "resolving.nameservers": Text(words.name_servers, many=True),
    "resolving.test_public_keys": _FILE,
    "logging.facility": Word(words.FACILITIES),
    "process.umask": _Umask(),
    "process.auto_restart_rate": Text(words.rate),
    "process.workers": Integer(maximum=1024),
    "limits.header_fields": Integer(minimum=10, hint="; a usual message has 20 to 60 fields"),
    "limits.recipients": Integer(minimum=100, hint="; RFC 5321 section 4.5.3.1.8 asks for that"),
    "limits.queries": Integer(minimum=1, maximum=1000),
    "limits.connections": Integer(minimum=1, maximum=60_000, hint="; add workers instead"),
    "limits.threads": Integer(minimum=1, maximum=1024),
    "limits.memory": Integer(
        minimum=16, maximum=1_048_576, instead={0: 0}, hint="; it is in MiB, and 0 means no limit"
    ),
}


def _readers() -> dict[str, Reader]:
    found: dict[str, Reader] = {}
    defaults = Settings()
    for group in GROUPS:
        for field in fields(getattr(defaults, group)):
            path = f"{group}.{field.name}"
            found[path] = _SPECIAL.get(path) or _BY_TYPE[str(field.type)]
    return found


READERS: dict[str, Reader] = _readers()
"""From a field, such as ``signing.key_table``, to its reader."""
