"""How long one message takes through a real Postfix with a filter, on each kind of socket.

usage: python -m benchmarks.postfix_latency [--quick] [--json FILE] [--markdown FILE]

One SMTP connection to each contender stays open, and they take turns message by message, so
that whatever else the machine does hits all alike.  The time is that of one transaction: from
MAIL to the reply after the final dot.  Root is needed, as Postfix changes users.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import messages
from benchmarks.contenders import DOMAIN, SELECTOR, KeyPair, WrongAnswer
from benchmarks.report import Report, Section, Target, as_json, as_markdown, as_text
from dkimcore.version import __version__
from tests.servers import available
from tests.servers.dkimcoremilter import DkimcoreMilter
from tests.servers.nsd import HOST, free_port
from tests.servers.opendkim import OpenDkimServer
from tests.servers.postfix import OUTSIDE, Entrance, Postfix, postfix_unusable
from tests.servers.submission import transact

if TYPE_CHECKING:
    import smtplib
    from collections.abc import Sequence

__all__ = ["main", "measure"]

CONF = f"""\
KeyTable csl:k={DOMAIN}:{SELECTOR}:{{folder}}/key.pem
SigningTable csl:{DOMAIN}=k
InternalHosts {HOST}
Canonicalization relaxed/relaxed
TestPublicKeys {{folder}}/records
RequireSafeKeys no
UMask 000
"""  # the keys are at hand, so no DNS is in the figures
SIZE = 2_000
GOAL = 1.5  # inet to unix
WARM_UP = 5  # messages of each contender which nobody counts
DROPPED = "box@drop.example"  # no figure has the delivery to a box beside it
SETTINGS = {"transport_maps": "inline:{drop.example=discard:}"}
WITNESS = {"sign": b"DKIM-Signature: v=1;", "verify": b"dkim=pass"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A filter on a kind of socket; without a filter, what Postfix alone takes.

    Attributes:
        program: Its name.
        where: ``inet``, ``unix`` or "".
    """

    program: str
    where: str

    @property
    def name(self) -> str:
        """A word for Postfix's services."""
        return f"{self.program}-{self.where}".strip("-")


def contenders() -> list[Contender]:
    """Who takes part: OpenDKIM only where it is installed."""
    programs = ["dkimcore-milter", *(["OpenDKIM"] if available("opendkim") else [])]
    found = [Contender(program=program, where=w) for program in programs for w in ("unix", "inet")]
    return [Contender(program="no filter", where=""), *found]


def measure(found: Sequence[Contender], count: int) -> dict[tuple[str, str], list[float]]:
    """Sends messages in turn.

    Args:
        found: Who takes part.
        count: How many messages each of them gets, for signing and for verifying.

    Returns:
        Operation and contender's name to seconds, one figure per message.
    """
    pair = KeyPair.make("rsa-sha256")
    files: dict[str, str | bytes] = {
        "key.pem": pair.pem,
        "records": b"%s._domainkey.%s %s\n" % (SELECTOR.encode(), DOMAIN.encode(), pair.record),
    }
    plain = messages.message("text", SIZE)
    times: dict[tuple[str, str], list[float]] = {}
    with contextlib.ExitStack() as stack:
        postfix = _postfix(found, files, stack)
        for operation, octets, source in (
            ("sign", plain, HOST),
            ("verify", pair.sign(plain, "relaxed/relaxed"), OUTSIDE),
        ):
            with contextlib.ExitStack() as clients:
                open_clients = {
                    one.name: clients.enter_context(postfix.client(_service(one), source=source))
                    for one in found
                }
                for one in found:
                    _check(one, postfix, open_clients[one.name], octets, operation)
                for turn in range(WARM_UP + count):
                    for name, client in open_clients.items():
                        taken = _send(client, octets)
                        if turn >= WARM_UP:
                            times.setdefault((operation, name), []).append(taken)
            print(f"{operation}: done", file=sys.stderr, flush=True)
    return times


def _service(contender: Contender) -> str:
    return contender.name.replace(" ", "-")


def _postfix(
    found: Sequence[Contender], files: dict[str, str | bytes], stack: contextlib.ExitStack
) -> Postfix:
    postfix = stack.enter_context(contextlib.closing(Postfix({}, settings=SETTINGS)))
    sockets = postfix.queue / "filters"
    sockets.mkdir()
    for one in found:
        milters = ""
        if one.where:
            port = free_port()
            where = f"local:{sockets}/{one.name}"
            milters = f"unix:/filters/{one.name}"
            if one.where == "inet":
                where, milters = f"inet:{port}@{HOST}", f"inet:{HOST}:{port}"
            if one.program == "OpenDKIM":
                stack.enter_context(OpenDkimServer(CONF, files=files, socket_name=where))
            else:
                started = DkimcoreMilter(CONF, files=files, socket_name=where, workers=None)
                stack.enter_context(started)
        postfix.entrances[_service(one)] = Entrance(milters=milters)
    return stack.enter_context(postfix)


def _check(
    one: Contender, postfix: Postfix, client: smtplib.SMTP, octets: bytes, operation: str
) -> None:
    """A filter that does nothing is fast, and no contender."""
    top = postfix.arrival(transact(client, octets).queue_id).partition(b"\r\nReceived:")[0]
    if (WITNESS[operation] in top) != bool(one.where):
        raise WrongAnswer(f"{one.name} does not {operation}: {top.decode()}")


def _send(client: smtplib.SMTP, octets: bytes) -> float:
    start = time.perf_counter()
    receipt = transact(client, octets, recipients=[DROPPED])
    taken = time.perf_counter() - start
    if receipt.code != 250:
        raise RuntimeError(f"Postfix said {receipt.code} {receipt.text}")
    return taken


def section(found: Sequence[Contender], times: dict[tuple[str, str], list[float]]) -> Section:
    """Makes the table and judges what was promised."""
    made = Section(
        title="Latency through Postfix",
        note=f"Milliseconds of one message of {SIZE // 1000} kB, from MAIL to the reply after the "
        "final dot, on one connection; RSA-2048, relaxed/relaxed, keys without DNS. "
        "Half of the messages take at most p50, 95 % at most p95.",
        columns=["filter", "socket", "sign p50", "p95", "verify p50", "p95"],
    )
    for one in found:
        row = [one.program, one.where]
        for operation in ("sign", "verify"):
            figures = times[operation, one.name]
            half, most = statistics.median(figures), _p95(figures)
            row += [f"{half * 1e3:.1f}", f"{most * 1e3:.1f}"]
            made.data.append(
                {"filter": one.program, "socket": one.where, "operation": operation}
                | {"p50": half, "p95": most, "seconds": figures}
            )
        made.rows.append(row)
    for program in dict.fromkeys(one.program for one in found if one.where):
        for operation in ("sign", "verify"):
            inet, unix = (
                statistics.median(times[operation, f"{program}-{where}"])
                for where in ("inet", "unix")
            )
            told = f"{program}, {operation}: p50 on inet to p50 on unix"
            if program == "OpenDKIM":
                made.note += f" {told}: {inet / unix:.1f} times."
                continue
            made.targets.append(
                Target(
                    name=told,
                    goal=f"{GOAL} times at most",
                    figure=f"{inet / unix:.2f} times",
                    reached=inet <= GOAL * unix,
                )
            )
    return made


def _p95(figures: Sequence[float]) -> float:
    return statistics.quantiles(figures, n=20, method="inclusive")[-1]


def main() -> int:
    """Runs what the arguments say."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.postfix_latency",
        description="Times messages through a real Postfix with dkimcore-milter and OpenDKIM, each "
        "on a unix and on an inet socket, in turn.",
    )
    parser.add_argument("--quick", action="store_true", help="fewer messages")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to it")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables to it")
    arguments = parser.parse_args()
    reason = postfix_unusable()
    if reason is not None:
        print(reason, file=sys.stderr)
        return 69
    found, count = contenders(), 50 if arguments.quick else 500
    report = Report(
        conditions={
            "date": time.strftime("%Y-%m-%d"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, "
            f"load {os.getloadavg()[0]:.1f}",
            "Python": platform.python_version(),
            "dkimcore": __version__,
            "messages": f"{count} for each figure, taken in turn",
        },
        sections=[section(found, measure(found, count))],
    )
    print(as_text(report), end="")
    if arguments.json:
        arguments.json.write_text(as_json(report), "utf-8")
    if arguments.markdown:
        arguments.markdown.write_text(as_markdown(report), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
