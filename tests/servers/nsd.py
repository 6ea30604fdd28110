"""A real name server (NSD) on loopback, for tests and the demonstration.

It serves TXT and CNAME records from a zone file in a folder of its own, on a free
port, and is gone afterwards. Nothing of the machine's own NSD is read or touched.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.zone
from dns.rdtypes.ANY.TXT import TXT

from tests.servers import find_program
from tests.servers.closing import Closing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

__all__ = ["NsdServer", "free_port", "txt_rdata", "zone_records", "zone_text"]

HOST = "127.0.0.1"
STARTUP = 10.0  # seconds; NSD answers within a tenth of one
PORTS_TO_TRY = 5  # a port found free may be taken by someone else before NSD binds it

CONFIGURATION = """\
server:
  ip-address: {host}@{port}
  port: {port}
  server-count: 1
  username: ""
  chroot: ""
  zonesdir: "{folder}"
  pidfile: "{folder}/nsd.pid"
  database: ""
  zonelistfile: "{folder}/zone.list"
  xfrdfile: "{folder}/xfrd.state"
  xfrdir: "{folder}"
  logfile: "{folder}/nsd.log"
  hide-version: yes
remote-control:
  control-enable: no
zone:
  name: "."
  zonefile: "{folder}/root.zone"
"""


def txt_rdata(record: bytes) -> str:
    """Prints one TXT record as a zone file has it: strings of at most 255 octets.

    Args:
        record: The record's octets, any octets at all.

    Returns:
        Quoted character-strings, as RFC 1035 section 5.1 escapes them.
    """
    strings = [record[start : start + 255] for start in range(0, len(record), 255)] or [b""]
    return " ".join(f'"{"".join(map(_escape, string))}"' for string in strings)


def _escape(octet: int) -> str:
    if octet in b'"\\':
        return f"\\{octet:c}"
    return f"{octet:c}" if 0x20 <= octet < 0x7F else f"\\{octet:03d}"


def zone_text(zone: Mapping[str, Sequence[bytes]], cnames: Mapping[str, str]) -> str:
    """Prints a root zone with these TXT and CNAME records.

    Args:
        zone: Owner name to records; an owner may have several.
        cnames: Owner name to target.

    Returns:
        A zone file; every record has a TTL of 60 seconds.
    """
    lines = [
        "$TTL 60",
        ". IN SOA ns.invalid. hostmaster.invalid. 1 3600 600 86400 60",
        ". IN NS ns.invalid.",
        f"ns.invalid. IN A {HOST}",
    ]
    for owner, records in zone.items():
        lines += [f"{_absolute(owner)} IN TXT {txt_rdata(record)}" for record in records]
    lines += [f"{_absolute(owner)} IN CNAME {_absolute(to)}" for owner, to in cnames.items()]
    return "\n".join(lines) + "\n"


def zone_records(text: str, *, origin: str = "example.com.") -> dict[str, list[bytes]]:
    """Reads the TXT records of a zone file, as ``dkimcore keygen`` writes one per key.

    Args:
        text: The zone file; it needs neither a SOA nor a TTL.
        origin: What names without a final dot are relative to.

    Returns:
        Owner name to records, as `NsdServer` takes them.

    Raises:
        dns.exception.DNSException: It is not a zone file.
    """
    zone = dns.zone.from_text(
        f"$TTL 60\n{text}", origin=origin, relativize=False, check_origin=False
    )
    records: dict[str, list[bytes]] = {}
    for name, _, record in zone.iterate_rdatas(dns.rdatatype.TXT):
        assert isinstance(record, TXT)
        records.setdefault(name.to_text(), []).append(b"".join(record.strings))
    return records


def _absolute(name: str) -> str:
    return dns.name.from_text(name).to_text()


def free_port() -> int:
    """Finds a port that is free for both UDP and TCP on loopback."""
    while True:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        ):
            tcp.bind((HOST, 0))
            port: int = tcp.getsockname()[1]
            try:
                udp.bind((HOST, port))
            except OSError:
                continue
            return port


class NsdServer(Closing):
    """An NSD that serves the given records while its ``with`` block lasts.

    Example::

        with NsdServer(zone={"s1._domainkey.example.com": [b"v=DKIM1; p=..."]}) as server:
            host, port = server.address
    """

    def __init__(
        self, *, zone: Mapping[str, Sequence[bytes]], cnames: Mapping[str, str] | None = None
    ) -> None:
        """Takes the records; the server starts with the ``with`` block.

        Args:
            zone: Owner name to TXT records.
            cnames: Owner name to target.
        """
        self._zone = zone_text(zone, cnames or {})
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, UDP and TCP."""
        return HOST, self._port

    def __enter__(self) -> Self:
        program = find_program("nsd")
        if program is None:
            raise RuntimeError("nsd is not installed: sudo apt-get install nsd")
        self._folder = tempfile.TemporaryDirectory(prefix="dkimcore-nsd-")
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            self._start(program, Path(self._folder.name))
            undo.pop_all()
        return self

    def _start(self, program: str, folder: Path) -> None:
        for _ in range(PORTS_TO_TRY):
            self._launch(program, folder)
            if self._becomes_ready():
                return
            self._stop()
            if "already in use" not in self._log():
                break
        raise RuntimeError(f"nsd did not start:\n{self._log()}")

    def _launch(self, program: str, folder: Path) -> None:
        self._port = free_port()
        configuration = folder / "nsd.conf"
        configuration.write_text(
            CONFIGURATION.format(host=HOST, port=self._port, folder=folder), encoding="ascii"
        )
        (folder / "root.zone").write_text(self._zone, encoding="ascii")
        with (folder / "output").open("wb") as output:
            self._process = subprocess.Popen(
                [program, "-d", "-c", str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def _becomes_ready(self) -> bool:
        """Asks until the server answers with the zone's SOA; False when it can't any more."""
        assert self._process is not None
        query = dns.message.make_query(".", "SOA")
        end = time.monotonic() + STARTUP
        while self._process.poll() is None and time.monotonic() < end:
            try:
                answer = dns.query.udp(query, HOST, port=self._port, timeout=0.05)
            except (dns.exception.Timeout, OSError):
                continue
            # NSD reads its zones before it answers: anything else is a zone it could not read.
            return answer.rcode() == dns.rcode.NOERROR and bool(answer.answer)
        return False

    def _log(self) -> str:
        assert self._folder is not None
        files = [Path(self._folder.name, name) for name in ("output", "nsd.log")]
        return "".join(file.read_text(errors="replace") for file in files if file.exists())

    def _stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def close(self) -> None:
        """Stops the server and removes its folder; again is harmless."""
        self._stop()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
