"""Driver for Mail::DKIM (Debian libmail-dkim-perl): one perl process for many messages."""

import base64
import json
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from .job import SignJob, VerifyJob

_SCRIPT = Path(__file__).with_name("mail_dkim.pl")
# Mail::DKIM's words beside RFC 8601's own.
_WORDS = {"invalid": "permerror"}


class MailDkim:
    """Mail::DKIM with ``Strict``, which is RFC 8301; Debian's has no Ed25519."""

    name = "Mail::DKIM"
    algorithms = frozenset({"rsa-sha256"})

    def sign(self, jobs: Sequence[SignJob]) -> list[bytes]:
        """Sign each message."""
        answers = self._run(
            {
                "op": "sign",
                "message": _text(job.message),
                "pem": _text(job.pem),
                "method": "/".join(job.canonicalization),
                "algorithm": job.algorithm,
                "domain": job.domain,
                "selector": job.selector,
            }
            for job in jobs
        )
        return [base64.b64decode(str(answer)) + b"\r\n" if answer else b"" for answer in answers]

    def verify(self, jobs: Sequence[VerifyJob]) -> list[list[str]]:
        """Verify each message."""
        answers = self._run(
            {
                "op": "verify",
                "message": _text(job.message),
                "zone": {
                    name: None if records is None else [_text(record) for record in records]
                    for name, records in job.zone.items()
                },
                "now": job.now,
            }
            for job in jobs
        )
        return [
            ["crash"] if answer is None else [_WORDS.get(word, word) for word in answer]
            for answer in answers
        ]

    def _run(self, jobs: Iterable[dict[str, object]]) -> list[list[str] | str | None]:
        lines = "".join(json.dumps(job) + "\n" for job in jobs)
        done = subprocess.run(
            ["/usr/bin/perl", str(_SCRIPT)],
            input=lines.encode(),
            capture_output=True,
            check=True,
            timeout=300,
        )
        return [json.loads(line)["answer"] for line in done.stdout.splitlines()]


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")
