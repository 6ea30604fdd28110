"""What `why` answers with: the steps of a decision, and what becomes of the message."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dkimcore.errors import DkimError
    from dkimcore.signer import Signer
    from dkimcore_milter.action import Conclusion
    from dkimcore_milter.engine import Planned
    from dkimcore_milter.peer import Peer

__all__ = ["Envelope", "Explanation", "OpenedKey", "Outcome", "Step", "Steps"]


class Outcome(StrEnum):
    """What becomes of a message."""

    SIGNED = "signed"
    VERIFIED = "verified"
    LEFT_ALONE = "left alone"
    CLEANED = "left alone, without forged results"
    MALFORMED = "called malformed"
    REFUSED = "refused"
    UNSIGNABLE = "not signed, though it should be"


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """How a message comes.

    Attributes:
        peer: The client.
        macros: The MTA's macros by their names, such as ``i`` and ``{auth_type}``.
        recipients: The envelope's recipients.
    """

    peer: Peer
    macros: Mapping[str, str] = field(default_factory=dict)
    recipients: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One question and its answer.

    Attributes:
        question: What was asked, in one word, such as ``origin``.
        answer: What was found, in one line.
        place: The file and line of the rule, or "".
        decides: Whether the outcome followed from it.
    """

    question: str
    answer: str
    place: str = ""
    decides: bool = False


class Steps:
    """Steps while they are found."""

    __slots__ = ("_steps",)

    def __init__(self) -> None:
        self._steps: list[Step] = []

    @property
    def all(self) -> tuple[Step, ...]:
        """Those so far, in order."""
        return tuple(self._steps)

    def say(self, question: str, answer: str, place: str = "", *, decides: bool = False) -> None:
        """Add a step; for the arguments see `Step`."""
        self._steps.append(Step(question=question, answer=answer, place=place, decides=decides))


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedKey:
    """A signature that the settings ask for, and its key.

    Attributes:
        planned: The signature to make.
        signer: The signer, with the open key; None if the key cannot be had.
        error: Why not.
    """

    planned: Planned
    signer: Signer | None = None
    error: DkimError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a message is treated as it is.

    Attributes:
        outcome: What becomes of it.
        steps: The questions, in the order in which they are asked.
        keys: The signatures that the settings ask for.
        ending: How it ends, if neither its body nor the DNS has a say in it.
        error: What is to be mended, if the message is not signed though it should be.
    """

    outcome: Outcome
    steps: tuple[Step, ...]
    keys: tuple[OpenedKey, ...] = ()
    ending: Conclusion | None = None
    error: DkimError | None = None
