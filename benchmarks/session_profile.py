"""What a message costs in a milter session: Python's time, without sockets and without an MTA.

    python -m benchmarks.session_profile [--octets N] [--count N] [--profile sign|verify]

A `Session` is driven as the server drives it.  For each step of a message the lower quartile of
many is printed, in microseconds: what a neighbour on the machine takes is not ours.  The private
key's operation is measured alone, in turn with the messages, for it is most of signing and
nobody can avoid it.  Log lines are laid out for syslog, and go nowhere.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import dkimcore
from benchmarks import messages
from dkimcore.protocol.message import Header
from dkimcore.settings.load import load_settings
from dkimcore.testing import EphemeralKey
from dkimcore_milter import logsink
from dkimcore_milter.engine import Engine
from dkimcore_milter.peer import Peer
from dkimcore_milter.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from dkimcore_milter.action import Conclusion

__all__ = ["Site", "main"]

STEPS = ("MAIL, RCPT", "header fields", "end of header", "body", "end of message")
_MACROS = {"i": "4F00A1234", "j": "mx.example.net", "{daemon_name}": "smtpd"}
_CHUNK = 65_535  # what MTAs send at once
_CONF = """
KeyTable {folder}/KeyTable
SigningTable refile:{folder}/SigningTable
InternalHosts {folder}/Hosts
TestPublicKeys {folder}/records
RequireSafeKeys no
SyslogSuccess yes
AlwaysAddARHeader yes
Mode sv
"""


class Site:
    """An engine that signs for example.com, and knows the key to verify that with.

    Args:
        folder: Where its files are put.
    """

    def __init__(self, folder: Path) -> None:
        self.key = EphemeralKey.rsa(2048)
        (folder / "s1.pem").write_bytes(self.key.private_pem())
        (folder / "KeyTable").write_text(f"main example.com:s1:{folder}/s1.pem\n")
        (folder / "SigningTable").write_text("*@example.com main\n")
        (folder / "Hosts").write_text("127.0.0.1\n::1\n10.0.0.0/8\n")
        record = self.key.key_record().decode()
        (folder / "records").write_text(f"s1._domainkey.example.com {record}\n")
        conf = folder / "opendkim.conf"
        conf.write_text(_CONF.format(folder=folder))
        self.engine = Engine.load(load_settings(str(conf)))
        self.uri = f"{folder}/s1.pem"
        time.sleep(2.6)  # a key file that changed a moment ago is read for each message

    def sign_digest(self) -> Callable[[], object]:
        """The private key's operation alone."""
        key, digest = self.engine._keys.get(self.uri), bytes(32)
        return lambda: key.sign_digest(digest)

    def session(self, client: str) -> Session:
        """A connection from an address."""
        log = logsink._Log(_Nowhere(), _FORMAT)
        session = Session(self.engine, log=log, macros=_MACROS.get)
        session.connect(Peer(host="mail.example.com", address=client))
        return session

    def signed(self, octets: int) -> bytes:
        """A message of that size with a signature that verifies."""
        message = messages.message("text", octets)
        signer = dkimcore.Signer.make("example.com", "s1", self.key)
        return dkimcore.sign(message, [signer]).octets + message


class _Nowhere:
    def send(self, line: bytes) -> bool:
        return True

    def close(self) -> None:
        pass


_FORMAT = logsink._SyslogFormat(facility=2, ident="dkimcore-milter")


class Mail:
    """A message in the pieces in which an MTA sends it."""

    def __init__(self, octets: bytes) -> None:
        section, _, body = octets.partition(b"\r\n\r\n")
        lines = Header(section)
        self.fields = [
            (field.name, field.value) for field in map(lines.__getitem__, range(len(lines)))
        ]
        self.chunks = [body[at : at + _CHUNK] for at in range(0, len(body), _CHUNK)]

    def pass_through(self, session: Session) -> tuple[list[int], Conclusion]:
        """Send it; returns the times between the steps."""
        clock = time.perf_counter_ns
        marks = [clock()]
        session.envelope_sender(b"<alice@example.com>")
        session.envelope_recipient(b"<bob@example.org>")
        marks.append(clock())
        for name, value in self.fields:
            session.field(name, value)
        marks.append(clock())
        if session.try_end_of_header() is None:
            session.wait()
        marks.append(clock())
        for chunk in self.chunks:
            session.body(chunk)
        marks.append(clock())
        conclusion = session.end_of_message()
        marks.append(clock())
        return marks, conclusion


def measure(
    mail: Mail, session: Session, *, alone: Callable[[], object] | None, count: int
) -> None:
    """Print what the steps take."""
    steps: list[list[float]] = [[] for _ in STEPS]
    whole: list[float] = []
    keys: list[float] = []
    for _ in range(count):
        marks, conclusion = mail.pass_through(session)
        assert conclusion.modifications
        for step, times in enumerate(steps):
            times.append((marks[step + 1] - marks[step]) / 1000)
        whole.append((marks[-1] - marks[0]) / 1000)
        if alone is not None:
            start = time.perf_counter_ns()
            alone()
            keys.append((time.perf_counter_ns() - start) / 1000)
    for name, times in zip(STEPS, steps, strict=True):
        print(f"  {name:20} {_quartile(times):8.1f} us")
    print(f"  {'whole message':20} {_quartile(whole):8.1f} us (least {min(whole):.1f})")
    if keys:
        print(f"  {'private key alone':20} {_quartile(keys):8.1f} us")
        print(f"  {'beyond the key':20} {_quartile(whole) - _quartile(keys):8.1f} us")


def _quartile(times: list[float]) -> float:
    return statistics.quantiles(times, n=4)[0]


def _profile(mail: Mail, session: Session, count: int) -> None:
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(count):
        mail.pass_through(session)
    profile.disable()
    pstats.Stats(profile).sort_stats("tottime").print_stats(45)


def main() -> None:
    """Measure signing and verifying."""
    parser = argparse.ArgumentParser(description="What a message costs in a milter session.")
    parser.add_argument("--octets", type=int, nargs="*", default=[2_000, 10_000])
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--profile", choices=("sign", "verify"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder))
        inside, outside = site.session("127.0.0.1"), site.session("192.0.2.1")
        for octets in options.octets:
            plain = Mail(messages.message("text", octets))
            signed = Mail(site.signed(octets))
            if options.profile:
                mail, session = (plain, inside) if options.profile == "sign" else (signed, outside)
                _profile(mail, session, options.count)
                continue
            print(f"sign {octets} octets, {len(plain.fields)} fields")
            measure(plain, inside, alone=site.sign_digest(), count=options.count)
            print(f"verify {octets} octets, {len(signed.fields)} fields")
            measure(signed, outside, alone=None, count=options.count)


if __name__ == "__main__":
    main()
