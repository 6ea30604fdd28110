"""Driver for Mail::DKIM (Debian libmail-dkim-perl): one perl process for many messages."""

import base64
import json
import subprocess
from collections.abc import Iterable, Iterator, Sequence
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
        return list(self.verify_each(jobs))

    def verify_each(self, jobs: Iterable[VerifyJob]) -> Iterator[list[str]]:
        """Verify one message after the other."""
        for answer in self._run(map(_verify_order, jobs)):
            yield ["crash"] if answer is None else [_WORDS.get(word, word) for word in answer]

    def _run(self, jobs: Iterable[dict[str, object]]) -> Iterator[list[str] | str | None]:
        with subprocess.Popen(
            ["/usr/bin/perl", str(_SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as perl:
            assert perl.stdin is not None
            assert perl.stdout is not None
            for job in jobs:
                perl.stdin.write(json.dumps(job).encode() + b"\n")
                perl.stdin.flush()
                yield json.loads(perl.stdout.readline() or b'{"answer": null}')["answer"]


def _verify_order(job: VerifyJob) -> dict[str, object]:
    return {
        "op": "verify",
        "message": _text(job.message),
        "zone": {
            name: None if records is None else [_text(record) for record in records]
            for name, records in job.zone.items()
        },
        "now": job.now,
    }


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")
