"""The case set against other implementations: `python -m tests.cases.compare_peers [peer ...]`.

Every case runs in a worker process with a time limit, because peers crash and hang on some.
What a peer cannot be told (several TXT records, a clock) is counted as not askable.
"""

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field

from tests.interop.peers.job import Peer, VerifyJob

from .catalogue import all_cases
from .model import Case

_SECONDS = 5.0  # per case; dkimcore needs less than a tenth of it
NAMES = ("dkimcore", "dkimpy", "Mail::DKIM", "OpenDKIM")


@dataclass(slots=True)
class Score:
    """What one implementation made of the set."""

    asked: int = 0
    right: int = 0
    false_pass: list[str] = field(default_factory=list)
    refused_good: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    crashed: list[str] = field(default_factory=list)
    hung: list[str] = field(default_factory=list)

    def row(self, name: str) -> str:
        """One line of the table."""
        share = 100 * self.right / max(self.asked, 1)
        return (
            f"{name:11}{self.asked:7}{self.right:7}{share:7.1f} %{len(self.false_pass):8}"
            f"{len(self.refused_good):9}{len(self.wrong):8}{len(self.crashed):8}{len(self.hung):6}"
        )


HEADING = (
    f"{'':11}{'asked':>7}{'right':>7}{'':>9}{'false':>8}{'refused':>9}{'other':>8}{'':>8}{'':>6}\n"
    f"{'':11}{'':>7}{'':>7}{'':>9}{'pass':>8}{'good':>9}{'word':>8}{'crash':>8}{'hang':>6}"
)


def askable(name: str, case: Case) -> bool:
    """Whether the peer can be given this case as it stands; only MUSTs are counted."""
    if not case.must or not case.verdicts or case.allow_length:
        return False
    if name != "OpenDKIM":
        return True
    # Its clock is the machine's; its test keys are one line for each name that has one.
    answers = [answer for answer in case.dns.values() if isinstance(answer, tuple)]
    lines = all(len(a) == 1 and not {0, 10, 13} & set(a[0]) for a in answers)
    return case.statement not in range(43, 48) and lines and "SERVFAIL" not in case.zone.values()


def judge(score: Score, case: Case, words: Sequence[str], *, own: bool) -> None:
    """Count one answer.

    dkimcore is held to each word in its place.  Peers may leave out signatures that they ignore
    (RFC 6376 section 6.1) and list them in an order of their own, so for them it counts how many
    passed and whether a temporary failure was called one.
    """
    score.asked += 1
    wanted = [verdict.ours if own else verdict.anyone for verdict in case.verdicts]
    passes = sum(words == {"pass"} for words in wanted)
    if "hang" in words or "crash" in words:
        (score.hung if "hang" in words else score.crashed).append(case.name)
    elif words.count("pass") > passes:
        score.false_pass.append(case.name)
    elif words.count("pass") < passes:
        score.refused_good.append(case.name)
    elif (own and not _each(wanted, words)) or ({"temperror"} in wanted) != ("temperror" in words):
        score.wrong.append(case.name)
    else:
        score.right += 1


def _each(wanted: Sequence[Set[str]], words: Sequence[str]) -> bool:
    return len(words) == len(wanted) and all(w in v for w, v in zip(words, wanted, strict=True))


def peer_called(name: str) -> Peer:
    """A driver by its name."""
    if name == "dkimpy":
        from tests.interop.peers.dkimpy import Dkimpy

        return Dkimpy()
    if name == "Mail::DKIM":
        from tests.interop.peers.mail_dkim import MailDkim

        return MailDkim()
    if name == "dkimcore":
        from tests.interop.peers.own import Dkimcore

        return Dkimcore()
    from tests.interop.peers.opendkim import OpenDkim

    return OpenDkim()


def job(case: Case) -> VerifyJob:
    """The case as peers take it."""
    zone = {
        name: None if answer == "SERVFAIL" else () if answer == "NXDOMAIN" else answer
        for name, answer in case.zone.items()
    }
    return VerifyJob(message=case.make(), zone=zone, now=case.now)


def worker(name: str, start: int, *, light: bool) -> None:
    """Answer the cases from number `start` on, one line of JSON for each."""
    numbers = [
        number
        for number, case in enumerate(all_cases())
        if number >= start and askable(name, case) and not (light and case.heavy)
    ]

    def jobs() -> Iterator[VerifyJob]:
        for number in numbers:
            prepared = job(all_cases()[number])
            print(json.dumps({"number": number, "words": None}), flush=True)
            yield prepared

    for number, words in zip(numbers, peer_called(name).verify_each(jobs()), strict=True):
        print(json.dumps({"number": number, "words": words}), flush=True)


def compare(name: str, *, light: bool = False) -> Score:
    """Run the set against one implementation; `light` leaves the largest messages out."""
    score, cases = Score(), all_cases()
    start: int | None = 0
    while start is not None:
        start = _one_worker(name, start, score, cases, light=light)
    return score


def _one_worker(
    name: str, start: int, score: Score, cases: tuple[Case, ...], *, light: bool
) -> int | None:
    """Run one worker until it ends, dies or hangs; return where the next one must begin."""
    module = "tests.cases.compare_peers"
    command = [sys.executable, "-W", "ignore", "-m", module, "--worker", name, str(start)] + [
        "--light"
    ] * light
    pending: int | None = None
    hung = False
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        for line in _lines(process):
            said = json.loads(line)
            if said["words"] is None:
                pending = said["number"]
                continue
            judge(score, cases[said["number"]], said["words"], own=name == "dkimcore")
            pending = None
        hung = process.poll() is None
        process.kill()
    if pending is None:
        return None
    judge(score, cases[pending], ["hang" if hung else "crash"], own=False)
    return pending + 1


def _lines(process: "subprocess.Popen[bytes]") -> Iterator[bytes]:
    """The worker's lines; ends when the worker ends or is silent for too long."""
    assert process.stdout is not None
    waiting = b""
    asked = False
    while True:
        # Making a case may take longer than judging it: 10 MB bodies, RSA of 16384 bits.
        ready, _, _ = select.select([process.stdout], [], [], _SECONDS if asked else 120)
        octets = os.read(process.stdout.fileno(), 65_536) if ready else b""
        if not octets:
            if ready:
                process.wait()
            return
        *lines, waiting = (waiting + octets).split(b"\n")
        for line in lines:
            asked = b"null" in line
            yield line


def main(arguments: list[str]) -> None:
    """Print the table, and the names of the cases behind each figure."""
    if arguments[:1] == ["--worker"]:
        worker(arguments[1], int(arguments[2]), light="--light" in arguments)
        return
    scores = {name: compare(name) for name in arguments or NAMES}
    print(HEADING)
    for name, score in scores.items():
        print(score.row(name))
    for name, score in scores.items():
        for kind in ("false_pass", "refused_good", "wrong", "crashed", "hung"):
            names = getattr(score, kind)
            if names:
                print(f"\n{name} {kind} ({len(names)}): {', '.join(sorted(names))}")


if __name__ == "__main__":
    main(sys.argv[1:])
