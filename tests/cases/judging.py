"""Hold an implementation's words against a case."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dkimcore import SignatureResult, TxtAnswer, TxtStatus, VerifyPolicy

from .model import Answer, Case


@dataclass(frozen=True, slots=True)
class ZoneResolver:
    """The DNS of one case; counts nothing, follows nothing."""

    zone: Mapping[str, Answer]

    def lookup_txt(self, name: str) -> TxtAnswer:
        """The case's answer; a name it does not have does not exist."""
        answer = self.zone.get(name.lower(), "NXDOMAIN")
        if answer == "SERVFAIL":
            return TxtAnswer(TxtStatus.FAILED)
        if answer == "NXDOMAIN" or not answer:
            return TxtAnswer(TxtStatus.NO_RECORD)
        return TxtAnswer(TxtStatus.FOUND, answer)


@dataclass(frozen=True, slots=True)
class AsyncZoneResolver:
    """The same for asyncio."""

    zone: Mapping[str, Answer]

    async def lookup_txt(self, name: str) -> TxtAnswer:
        """The case's answer."""
        return ZoneResolver(self.zone).lookup_txt(name)


def policy_of(case: Case) -> VerifyPolicy:
    """The policy that the case is to be judged under."""
    return VerifyPolicy(allow_body_length=case.allow_length)


def complaints(case: Case, results: Sequence[SignatureResult], overall: str) -> list[str]:
    """What dkimcore's results get wrong; empty when the case is met."""
    words = [str(result.status) for result in results]
    details = [f"{result.status} ({result.detail})" for result in results][:6]
    found = []
    if case.overall is not None and overall not in case.overall:
        found.append(f"message: {overall}, wanted {sorted(case.overall)}; {details}")
    if case.overall is not None and not case.verdicts:
        return found
    if len(words) != len(case.verdicts):
        return [*found, f"{len(words)} results for {len(case.verdicts)} signatures: {details}"]
    for position, (word, verdict) in enumerate(zip(words, case.verdicts, strict=True)):
        if word not in verdict.ours:
            found.append(f"{position}: {details[position]}, wanted {sorted(verdict.ours)}")
    return found
