"""What is compared: configurations, mail, and the differences that are meant."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.servers.milterclient import Delivery

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EXTERNAL", "INTERNAL", "Difference", "Probe", "Setting"]

INTERNAL = Delivery(host="inside.example.org", address="192.0.2.9")
EXTERNAL = Delivery(host="outside.example.org", address="198.51.100.7")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A difference that is meant.

    Attributes:
        aspect: What differs: a name of `observe`'s.
        theirs: What OpenDKIM does; "" if the aspect is absent.
        ours: What we do.
        reason: Why.
    """

    aspect: str
    theirs: str
    ours: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A message, and who sends it.

    Attributes:
        name: What it is, in a few words.
        message: Its octets.
        delivery: Its circumstances.
        differences: Those that are meant, beyond the rules'.
        shows: Names of rules that must apply here, so that no rule outlives its purpose.
    """

    name: str
    message: bytes
    delivery: Delivery = INTERNAL
    differences: tuple[Difference, ...] = ()
    shows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A configuration, and the mail that both filters get under it.

    Attributes:
        name: What it is about, in a few words.
        conf: Its lines; ``{folder}`` is the folder with the files.
        files: Its tables.
        probes: The mail.
        base: Whether `keys.BASE` precedes the lines.
    """

    name: str
    conf: str
    files: Mapping[str, str] = field(default_factory=dict)
    probes: tuple[Probe, ...]
    base: bool = True
