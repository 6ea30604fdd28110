"""Which rows ask for a signature, and whether their keys can sign: a part of `why`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dkimcore.errors import ConfigError, KeyBackendError, MessageError
from dkimcore_milter.choice import is_remote
from dkimcore_milter.engine import KeyTooSmall
from dkimcore_milter.explanation import OpenedKey
from dkimcore_milter.keyfailure import FailureAction
from dkimcore_milter.keymeter import backend_of
from dkimcore_milter.outcome import internal_action
from dkimcore_milter.printable import printable
from dkimcore_milter.singlekey import SingleKey
from dkimcore_milter.sources import place

if TYPE_CHECKING:
    from dkimcore.settings.model import Signing
    from dkimcore_milter.engine import Choice, Engine, Planned
    from dkimcore_milter.explanation import Steps

__all__ = ["key_name", "open_keys", "say_planned"]


def key_name(planned: Planned) -> str:
    """Return the key's name in the key table; its URI if it stands in none."""
    return planned.key_uri if isinstance(planned, SingleKey) else planned.key_row.name


def say_planned(steps: Steps, choice: Choice, signing: Signing) -> None:
    """Say which rows apply to an author, or that none does.

    Args:
        steps: Where to say it.
        choice: What the tables answered.
        signing: Which tables they are.
    """
    for planned in choice.planned:
        if isinstance(planned, SingleKey):
            row = planned.row
            text = f"{planned.domain} is to be signed for, as Domain lists it"
            steps.say("row", text, "" if row is None else place(row.file, row.line))
        else:
            row_of = planned.signing_row
            text = f"{printable(row_of.pattern)} asks for the key {printable(key_name(planned))}"
            steps.say("row", text, place(row_of.file, row_of.line))
    asked = signing.signing_table or signing.domains
    for finding in choice.findings:
        text, where = finding, ""
        if asked is not None:
            text = f"{finding} in {printable(asked.text)}; add a row if it is to be signed"
            where = place(asked.file, asked.line)
        steps.say("row", text, where)
    if choice.unfit is not None:
        steps.say("row", f"{choice.unfit}; not signed")


def open_keys(steps: Steps, engine: Engine, choice: Choice) -> tuple[OpenedKey, ...]:
    """Open the keys of a choice, and say of each whether it can sign.

    Args:
        steps: Where to say it.
        engine: Opens the keys.
        choice: The signatures to make.
    """
    opened = tuple(_open(engine, choice, planned) for planned in choice.planned)
    for key in opened:
        _say_key(steps, key)
        _say_failure(steps, engine, key)
    return opened


def _open(engine: Engine, choice: Choice, planned: Planned) -> OpenedKey:
    try:
        (signer,) = engine.signers(replace(choice, planned=(planned,)))
    except (ConfigError, KeyBackendError, MessageError) as exc:
        return OpenedKey(planned=planned, error=exc)
    return OpenedKey(planned=planned, signer=signer)


def _say_key(steps: Steps, key: OpenedKey) -> None:
    planned = key.planned
    where = ""
    if not isinstance(planned, SingleKey):
        where = place(planned.key_row.file, planned.key_row.line)
    # A key that stands in the table is named without its digest, which nobody knows it by.
    uri = planned.key_uri.partition("/")[0] if _is_inline(planned) else planned.key_uri
    names = f"d={planned.domain} s={planned.selector}"
    if planned.auid is not None:
        names += f" i={printable(str(planned.auid))}"
    if key.signer is None:
        steps.say("key", f"{names}: {uri} cannot sign: {_problem(key)}", where, decides=True)
        return
    public_key = key.signer.key.public_key
    kind = f"{public_key.bits} bits, {key.signer.key.algorithm}"
    if is_remote(planned.key_uri):
        kind += f", kept elsewhere ({backend_of(planned.key_uri).labels[0]})"
    steps.say("key", f"{names}: {uri} can sign, {kind}", where)


def _say_failure(steps: Steps, engine: Engine, key: OpenedKey) -> None:
    """Say what becomes of mail while the key fails, of one that fails or is kept elsewhere."""
    planned, settings, error = key.planned, engine.settings, key.error
    if error is None and not is_remote(planned.key_uri):
        return
    if error is not None and not isinstance(error, KeyBackendError):
        return  # a table is wrong, or the message cannot be signed
    if isinstance(error, KeyTooSmall):
        return
    rule = engine.failures.find(planned.domain)
    file, line = settings.origin("DkimcoreOnKeyFailure")
    where = "" if file is None else place(file, line)
    when = "if it fails" if error is None else "while it fails"
    if rule.action is FailureAction.TEMPFAIL:
        action = internal_action(settings.actions)
        steps.say("failure", f"{when}: On-InternalError decides, {action}", where)
    else:
        steps.say("failure", f"{when}: DkimcoreOnKeyFailure says {rule}", where)


def _is_inline(planned: Planned) -> bool:
    return planned.key_uri.startswith("inline:")


def _problem(key: OpenedKey) -> str:
    error = key.error
    return error.problem if isinstance(error, ConfigError | KeyBackendError) else str(error)
