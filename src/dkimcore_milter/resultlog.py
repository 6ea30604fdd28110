"""The log lines about the signatures of a message, in OpenDKIM's words.

Those are few words; with LogWhy there is one more line for each signature that failed, which
says precisely why.
"""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING

from dkimcore.protocol.result import Cause
from dkimcore_milter.logline import Level
from dkimcore_milter.wording import failure_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dkimcore.protocol.result import SignatureResult, VerifyResults
    from dkimcore.protocol.signature import Signature
    from dkimcore_milter.transaction import Transaction
    from dkimcore_milter.wording import Wording

__all__ = ["log_results"]


def log_results(
    transaction: Transaction, results: VerifyResults, told: Mapping[int, Wording]
) -> None:
    """Log what verifying a message came to (SyslogSuccess, LogResults, LogWhy).

    Args:
        transaction: The message.
        results: One for each signature.
        told: How each is worded, by position.
    """
    settings, say = transaction.engine.settings.logging, transaction.say
    if len(results) > 1:
        domains = [str(one.signature.domain) for one in results if one.signature]
        if len(domains) > 1:
            text = f"message has signatures from {', '.join(domains)}"
            say(Level.INFO, text, event="signatures")
    if settings.results and results:
        text = "; ".join(_summary(result, told[result.position]) for result in results)
        say(Level.INFO, text, event="results")
    best = results.best
    if best is None:
        return
    if results.passed:
        if settings.success:
            text = "DKIM verification successful"
            say(Level.INFO, text, event="verified", **_fields(best))
    else:
        if best.cause is Cause.SIGNATURE and best.signature is not None:
            # Log watchers count these.
            text = f"{_names(best.signature)} SSL error: the signature does not fit"
            say(Level.INFO, text, event="crypto-error", **_fields(best))
        level, text, event = failure_line(best, told[best.position])
        say(level, text, event=event, **_fields(best))
    if settings.why:
        for result in results:
            if not result.passed:
                _say_why(transaction, result, told[result.position])


def _say_why(transaction: Transaction, result: SignatureResult, worded: Wording) -> None:
    phrase = worded.reason if result.cause is None else result.cause.phrase
    text = f"signature {result.position + 1} not accepted: {phrase}"
    if result.signature is not None:
        text += f" ({_names(result.signature)})"
    if result.detail:
        text += f": {result.detail}"
    transaction.say(Level.INFO, text, event="signature-failed", **_fields(result))


def _names(signature: Signature) -> str:
    return f"s={signature.selector} d={signature.domain} a={signature.algorithm}"


def _summary(result: SignatureResult, worded: Wording) -> str:
    text = "no signature error" if result.passed else worded.reason or result.detail
    signature = result.signature
    if signature is None:
        return f'result="{text}"'
    data = binascii.b2a_base64(signature.signature_data[:6], newline=False).decode("ascii")
    return (
        f'signature={data} domain={signature.domain} selector={signature.selector} result="{text}"'
    )


def _fields(result: SignatureResult) -> dict[str, str | int | bool | None]:
    signature, record = result.signature, result.key_record
    key = None if record is None else record.public_key
    return {
        "domain": None if signature is None else str(signature.domain),
        "selector": None if signature is None else str(signature.selector),
        "algorithm": None if signature is None else str(signature.algorithm),
        "status": str(result.status),
        "cause": None if result.cause is None else result.cause.name.lower(),
        "detail": result.detail,
        "testing": result.testing,
        "bits": None if key is None else key.bits,
        "secure": result.authentic,
    }
