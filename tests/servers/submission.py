"""One SMTP transaction, as a mail client makes it, and how the server answered."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import smtplib
    from collections.abc import Sequence

__all__ = ["RECIPIENTS", "SENDER", "Receipt", "transact"]

SENDER = "envelope@sender.example"
RECIPIENTS = ("box@recipient.example",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """How Postfix answered.

    Attributes:
        code: The reply's code: of the final dot, or of the command that it refused.
        text: The reply's text.
    """

    code: int
    text: str

    @property
    def queue_id(self) -> str:
        """What it calls the message that it took."""
        found = re.search(r"queued as (\w+)", self.text)
        if found is None:
            raise ValueError(f"not taken: {self.code} {self.text}")
        return found[1]


def transact(
    client: smtplib.SMTP,
    message: bytes,
    sender: str = SENDER,
    recipients: Sequence[str] = RECIPIENTS,
    options: Sequence[str] = (),
) -> Receipt:
    """Sends one message over an open connection; the reply that decided is returned."""
    code, text = client.mail(sender, options)
    if code == 250:
        for recipient in recipients:
            code, text = client.rcpt(recipient)
            if code != 250:
                break
    if code == 250:
        code, text = client.data(message)
    else:
        client.rset()
    return Receipt(code=code, text=text.decode("utf-8", "replace"))
