"""Driver for dkimcore itself, so that it stands in the same table under the same rules."""

from collections.abc import Iterable, Iterator, Sequence

import dkimcore
from dkimcore import TxtAnswer, TxtStatus

from .job import SignJob, VerifyJob, Zone


class _Resolver:
    def __init__(self, zone: Zone) -> None:
        self._zone = zone

    def lookup_txt(self, name: str) -> TxtAnswer:
        records = self._zone.get(name.lower(), ())
        if records is None:
            return TxtAnswer(TxtStatus.FAILED)
        if not records:
            return TxtAnswer(TxtStatus.NO_RECORD)
        return TxtAnswer(TxtStatus.FOUND, tuple(records))


class Dkimcore:
    """dkimcore with its default policy."""

    name = "dkimcore"
    algorithms = frozenset({"rsa-sha256", "ed25519-sha256"})

    def sign(self, jobs: Sequence[SignJob]) -> list[bytes]:
        """Not asked for: the other tests sign with dkimcore directly."""
        return [b""] * len(jobs)

    def verify(self, jobs: Sequence[VerifyJob]) -> list[list[str]]:
        """Verify each message."""
        return [self._verify(job) for job in jobs]

    def verify_each(self, jobs: Iterable[VerifyJob]) -> Iterator[list[str]]:
        """Verify one message after the other."""
        return map(self._verify, jobs)

    @staticmethod
    def _verify(job: VerifyJob) -> list[str]:
        results = dkimcore.verify(job.message, resolver=_Resolver(job.zone), now=job.now)
        return [str(result.status) for result in results]
