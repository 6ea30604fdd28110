"""What a filter did to a message, as named aspects that can be compared one by one."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import dkim

from dkimcore.protocol.names import to_a_labels
from tests.servers.milterclient import Outlook
from tests.servers.miltermessage import split_message
from tests.servers.milterwire import AddRecipient, DeleteRecipient, Quarantine

from .keys import records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.milterclient import Outcome
    from tests.servers.milterwire import Change

__all__ = ["Aspects", "observe", "summary"]

Aspects = dict[str, str]


def observe(outcome: Outcome) -> Aspects:
    """Names what a filter did.

    Returns:
        ``reply`` (where the message was decided and how), ``body`` (whether all of it was
        wanted), ``added`` and ``removed`` (fields), ``envelope``, and the content of each
        added field: ``signature 1 d`` and so on, from the top, ``results 1 dkim 1`` and
        its properties.  Of a message that is refused nobody sees the fields.
    """
    aspects = {
        "reply": _reply(outcome),
        "body": "skipped" if any(one.outlook is Outlook.SKIP for _, one in outcome.replies) else "",
        "envelope": ", ".join(sorted(filter(None, map(_envelope, outcome.changes)))),
    }
    if outcome.reply.outlook not in (Outlook.ACCEPT, Outlook.CONTINUE):
        del aspects["envelope"]
        return {name: value for name, value in aspects.items() if value}
    before = Counter(_lines(outcome.original))
    if outcome.delivery.received is not None:
        before[outcome.delivery.received] += 1
    final = outcome.message()
    added, order = [], []
    for line in _lines(final):
        if before[line]:
            before[line] -= 1
            order.append("...")
        else:
            added.append(line)
            order.append(_name(line))
    aspects["added"] = " ".join(_merged(order)).removesuffix("...").strip()
    aspects["removed"] = " | ".join(
        sorted(_shown(line) for line, count in before.items() for _ in range(count))
    )
    aspects.update(_contents(added, final))
    return {name: value for name, value in aspects.items() if value}


def summary(aspects: Aspects) -> str:
    """What happened, in one line."""
    told = [aspects[name] for name in ("start", "dead", "reply") if name in aspects]
    told += [f"removed {aspects['removed']}"] if "removed" in aspects else []
    told += ["quarantine"] if aspects.get("envelope", "").startswith("quarantine") else []
    for number in range(1, 10):
        if f"signature {number} d" in aspects:
            tags = [f"{tag}={aspects[f'signature {number} {tag}']}" for tag in "ads"]
            verifies = aspects[f"signature {number} verifies"]
            told.append(f"signed {' '.join(tags)}" + f" ({verifies})" * (verifies != "yes"))
        if f"results 1 dkim {number}" in aspects:
            told.append(f"dkim={aspects[f'results 1 dkim {number}']}")
    return ", ".join(told)


def _envelope(change: Change) -> str:
    match change:
        case AddRecipient(address):
            return f"also to {address.decode().strip('<>')}"
        case DeleteRecipient(address):
            return f"not to {address.decode().strip('<>')}"
        case Quarantine(reason):
            return f"quarantine: {reason.decode()}"
    return ""


def _reply(outcome: Outcome) -> str:
    told = outcome.reply.smtp
    kind = outcome.reply.outlook.name.lower()
    if outcome.reply.text:
        return f"{outcome.step}: {told}"
    return f"{outcome.step}: {kind}"


def _lines(message: bytes) -> list[bytes]:
    return split_message(message)[0]


def _name(line: bytes) -> str:
    return line.partition(b":")[0].decode("ascii")


def _shown(line: bytes) -> str:
    return re.sub(r"\s+", " ", line.decode("utf-8", "backslashreplace"))


def _merged(order: list[str]) -> Iterator[str]:
    """Neighbours that are both ``...`` become one."""
    for number, word in enumerate(order):
        if word != "..." or number == 0 or order[number - 1] != "...":
            yield word


def _contents(added: list[bytes], final: bytes) -> Aspects:
    aspects: Aspects = {}
    numbers: Counter[str] = Counter()
    signatures = 0
    for line in added:
        name, value = _name(line), line.partition(b":")[2].decode("utf-8", "backslashreplace")
        numbers[name] += 1
        number = numbers[name]
        match name:
            case "DKIM-Signature":
                found = _signature(value)
                found["verifies"] = _verify(final, signatures)
                signatures += 1
                aspects.update({f"signature {number} {tag}": text for tag, text in found.items()})
            case "Authentication-Results":
                aspects.update(_results(number, value))
            case _:
                aspects[f"{name} {number}"] = re.sub(r"\s+", " ", value).strip()
    return aspects


def _signature(value: str) -> Aspects:
    tags = {}
    for part in re.sub(r"\s+", "", value).rstrip(";").split(";"):
        tag, _, text = part.partition("=")
        tags[tag] = text
    found = {tag: text for tag, text in tags.items() if tag not in ("b", "bh", "h", "t", "x", "z")}
    if "x" in tags:
        found["x-t"] = str(int(tags["x"]) - int(tags["t"]))
    if "z" in tags:
        names = [one.partition(":")[0].lower() for one in tags["z"].split("|")]
        found["z"] = " ".join(sorted(names))
    counts = Counter(tags.get("h", "").lower().split(":"))
    found["h"] = " ".join(
        name if count == 1 else f"{name}*{count}" for name, count in sorted(counts.items())
    )
    return found


def _verify(message: bytes, index: int) -> str:
    """dkimpy's word on a signature."""

    def txt(name: bytes, timeout: int = 5) -> bytes | None:
        try:
            return records().get(to_a_labels(name.decode().rstrip(".")))
        except ValueError:  # no name that the DNS can have
            return None

    try:
        judge = dkim.DKIM(message, minkey=512)
        return "yes" if judge.verify(idx=index, dnsfunc=txt) else "does not verify"
    except dkim.DKIMException as error:
        return f"does not verify: {error}"


def _results(number: int, value: str) -> Aspects:
    """Takes an Authentication-Results field apart (RFC 8601 section 2.2)."""
    parts = _split(re.sub(r"\s+", " ", value).strip())
    found = {f"results {number} by": parts[0].strip()}
    counts: Counter[str] = Counter()
    for part in parts[1:]:
        comments = re.findall(r"\([^()]*\)", part)
        words = re.findall(r'[^\s"()]+="[^"]*"|[^\s()]+', re.sub(r"\([^()]*\)", " ", part))
        method, _, result = words[0].partition("=")
        counts[method] += 1
        key = f"results {number} {method} {counts[method]}"
        found[key] = result
        for word in words[1:]:
            name, _, text = word.partition("=")
            found[f"{key} {name}"] = text.strip('"')
        if comments:
            found[f"{key} comment"] = " ".join(comments)
    return found


def _split(text: str) -> list[str]:
    """Splits at semicolons outside quotes and comments."""
    parts, depth, quoted = [""], 0, False
    for letter in text:
        if letter == '"':
            quoted = not quoted
        elif not quoted and letter in "()":
            depth += 1 if letter == "(" else -1
        if letter == ";" and not quoted and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts
