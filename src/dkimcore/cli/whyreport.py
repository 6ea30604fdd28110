"""What ``dkimcore why`` prints: to people, and as JSON to programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dkimcore.cli.describe import result_json, result_line
from dkimcore.cli.output import printable, say, styled
from dkimcore_milter.action import Quarantine, Verdict
from dkimcore_milter.explanation import Outcome

if TYPE_CHECKING:
    from dkimcore.protocol.result import VerifyResults
    from dkimcore_milter.action import Conclusion
    from dkimcore_milter.explanation import Explanation, OpenedKey, Step
    from dkimcore_milter.rehearsal import Rehearsal

__all__ = ["Tried", "print_report", "report_json"]

_COLOURS = {
    Outcome.SIGNED: "green",
    Outcome.VERIFIED: "green",
    Outcome.MALFORMED: "yellow",
    Outcome.REFUSED: "red",
    Outcome.UNSIGNABLE: "red",
}
_VERDICTS = {
    Verdict.ACCEPT: "it is accepted",
    Verdict.DISCARD: "it is discarded",
    Verdict.REJECT: "it is rejected",
    Verdict.TEMPFAIL: "it is refused for now",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What came of doing what the milter would do.

    Attributes:
        rehearsal: What it would change and log.
        results: What verifying came to: the message, or, if it was signed, what would be
            sent; None if there was nothing to verify.
    """

    rehearsal: Rehearsal
    results: VerifyResults | None = None


def print_report(name: str, explanation: Explanation, tried: Tried | None) -> None:
    """Print an explanation for people.

    Args:
        name: What the message is called.
        explanation: What is to be said.
        tried: The same, done; None if it was not.
    """
    say(f"{printable(name)}: {styled(explanation.outcome, _COLOURS.get(explanation.outcome))}")
    for step in explanation.steps:
        say(_line(step))
    ending = explanation.ending if tried is None else tried.rehearsal.conclusion
    if ending is not None:
        say(f"  {'ending':<10} {printable(_ending(ending))}")
    if tried is None:
        return
    for line in tried.rehearsal.lines:
        say(f"  {'log':<10} {printable(line.text)}")
    for result in tried.results or ():
        say(f"  {result_line(result)}")


def _line(step: Step) -> str:
    place = f" ({printable(step.place)})" if step.place else ""
    return f"  {step.question:<10} {printable(step.answer)}{place}"


def _ending(ending: Conclusion) -> str:
    reply = ending.reply
    held = [change for change in ending.modifications if isinstance(change, Quarantine)]
    text = "it is held in quarantine" if held else _VERDICTS.get(reply.verdict, "it goes on")
    words = " ".join(filter(None, (reply.code, reply.enhanced, reply.text)))
    return f"{text}: {words}" if words else text


def report_json(name: str, explanation: Explanation, tried: Tried | None) -> dict[str, object]:
    """Return an explanation as JSON has it; docs/reference/commands.md explains each name.

    Args:
        name: What the message is called.
        explanation: What is to be said.
        tried: The same, done; None if it was not.
    """
    ending = explanation.ending if tried is None else tried.rehearsal.conclusion
    value: dict[str, object] = {
        "message": name,
        "outcome": explanation.outcome.name.lower(),
        "steps": [
            {
                "question": step.question,
                "answer": step.answer,
                "place": step.place or None,
                "decides": step.decides,
            }
            for step in explanation.steps
        ],
        "keys": [_key(key) for key in explanation.keys],
        "verdict": None if ending is None else ending.reply.verdict.value,
        "problem": None if explanation.error is None else str(explanation.error),
    }
    if tried is not None:
        value["log"] = [line.text for line in tried.rehearsal.lines]
        value["fields"] = [
            field.raw.decode("utf-8", "replace") for field in tried.rehearsal.inserted
        ]
        value["signatures"] = [result_json(result) for result in tried.results or ()]
    return value


def _key(key: OpenedKey) -> dict[str, object]:
    planned = key.planned
    public_key = None if key.signer is None else key.signer.key.public_key
    return {
        "domain": planned.domain.ascii,
        "selector": planned.selector.ascii,
        "auid": None if planned.auid is None else str(planned.auid),
        "key": planned.key_uri,
        "algorithm": None if key.signer is None else str(key.signer.key.algorithm),
        "key_bits": None if public_key is None else public_key.bits,
        "problem": None if key.error is None else str(key.error),
    }
