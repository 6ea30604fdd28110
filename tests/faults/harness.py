"""A filter with one key, what mail of ours looks like, and a look at processes from outside."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import dkimcore
from dkimcore.testing import EphemeralKey, StaticResolver
from tests.milter.processes import children
from tests.servers.milterclient import Delivery, Outlook
from tests.servers.milterwire import InsertField

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.servers.dkimcoremilter import DkimcoreMilter
    from tests.servers.milterclient import Outcome

__all__ = [
    "DOMAIN",
    "FILES",
    "INSIDE",
    "KEY",
    "MESSAGE",
    "OUTSIDE",
    "SIGNING",
    "Resources",
    "demand_signed",
    "is_signed",
    "look",
    "the_worker",
    "verdicts",
]

DOMAIN = "example.com"
KEY = EphemeralKey.rsa(2048)
FILES: Mapping[str, str | bytes] = {"key": KEY.private_pem()}
SIGNING = f"Domain {DOMAIN}\nSelector s1\nKeyFile {{folder}}/key\nRequireSafeKeys no\n"
INSIDE = Delivery(host="localhost", address="127.0.0.1")
OUTSIDE = Delivery(host="mail.example.org", address="192.0.2.1")
MESSAGE = b"From: a@example.com\r\nSubject: hi\r\n\r\n" + b"A line of the body.\r\n" * 20


def verdicts(message: bytes, *, key: EphemeralKey = KEY, selector: str = "s1") -> list[str]:
    """What a verifier says of each signature, from the top."""
    records = {f"{selector}._domainkey.{DOMAIN}": key.key_record()}
    return [str(one.status) for one in dkimcore.verify(message, resolver=StaticResolver(records))]


def is_signed(outcome: Outcome, *, key: EphemeralKey = KEY) -> bool:
    """Whether a message goes on with exactly one signature, which passes."""
    accepted = outcome.reply.outlook in (Outlook.ACCEPT, Outlook.CONTINUE)
    return accepted and outcome.step == "eom" and verdicts(outcome.message(), key=key) == ["pass"]


def demand_signed(outcome: Outcome, *, key: EphemeralKey = KEY) -> None:
    """Demands that a message goes on with one signature that passes."""
    assert [type(change) for change in outcome.changes] == [InsertField], outcome.replies
    assert is_signed(outcome, key=key), (outcome.reply, verdicts(outcome.message(), key=key))


def the_worker(milter: DkimcoreMilter) -> int:
    """The process id of a filter's only worker."""
    (pid,) = children(milter.pid, 1)
    return pid


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a process has and has used.

    Attributes:
        memory: Resident memory, in octets.
        descriptors: How many are open.
        cpu: Seconds of processor time, its own and the kernel's.
    """

    memory: int
    descriptors: int
    cpu: float


def look(pid: int) -> Resources:
    """Looks at a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    resident = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert resident is not None
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(words[11]) + int(words[12])
    return Resources(
        memory=int(resident[1]) * 1024,
        descriptors=len(os.listdir(f"/proc/{pid}/fd")),
        cpu=ticks / os.sysconf("SC_CLK_TCK"),
    )
