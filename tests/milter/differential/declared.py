"""All differences that are meant, but for those that rules describe."""

from __future__ import annotations

from .declared_receiving import RECEIVING
from .declared_sending import SENDING

__all__ = ["DECLARED"]

DECLARED = (*SENDING, *RECEIVING)
