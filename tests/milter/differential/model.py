"""What is compared: configurations, mail, and the differences that are meant."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.servers.milterclient import Delivery

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EXTERNAL", "INTERNAL", "OUTCOME", "Case", "Difference", "Probe", "Setting"]

INTERNAL = Delivery(host="inside.example.org", address="192.0.2.9")
EXTERNAL = Delivery(host="outside.example.org", address="198.51.100.7")


OUTCOME = "outcome"


@dataclass(frozen=True, slots=True)
class Case:
    """One place where a difference occurs.

    Attributes:
        setting: The configuration's name.
        probe: The message's.
        theirs: What OpenDKIM does; "" if nothing of the kind.
        ours: What we do.
        aspect: What differs: a name of `observe`'s, or all of it in one line.
    """

    setting: str
    probe: str
    theirs: str
    ours: str
    aspect: str = OUTCOME


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A difference that is meant.

    Attributes:
        title: What differs, in a few words.
        reason: Why.
        cases: Where it occurs.
    """

    title: str
    reason: str
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A message, and who sends it.

    Attributes:
        name: What it is, in a few words.
        message: Its octets.
        delivery: Its circumstances.
        version: The version of the milter protocol.
    """

    name: str
    message: bytes
    delivery: Delivery = INTERNAL
    version: int = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A configuration, and the mail that both filters get under it.

    Attributes:
        name: What it is about, in a few words.
        conf: Its lines; ``{folder}`` is the folder with the files.
        files: Its tables.
        probes: The mail.
        base: Whether `keys.BASE` precedes the lines.
        modes: Modes of files; others have 0600.
    """

    name: str
    conf: str
    files: Mapping[str, str] = field(default_factory=dict)
    probes: tuple[Probe, ...]
    base: bool = True
    modes: Mapping[str, int] = field(default_factory=dict)
