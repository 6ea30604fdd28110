"""Shows what dkimcore does: keys, signatures, verdicts, explanations, and mail through Postfix.

Runs the installed ``dkimcore`` command as a person would, on the messages beside this
file, with the public keys in a real name server on loopback. Exits with 1 as soon as
anything is not as it must be, and says what.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The name server is the one that the tests use, which are not installed.
sys.path.insert(0, str(ROOT))

from demo import mail  # noqa: E402
from tests.servers.nsd import NsdServer, zone_records  # noqa: E402

__all__ = ["Demo", "main"]

MESSAGES = sorted(Path(__file__).with_name("messages").glob("*.eml"))
DOMAIN = "example.com"
SELECTORS = ("s1", "s1-ed25519")  # of the two keys that keygen makes when it is not told which
COMMAND = Path(sys.executable).with_name("dkimcore")


class NotAsItMustBe(Exception):
    """Something came out otherwise than promised; ends the demonstration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tampering:
    """One way to change a signed message, and how to say so."""

    title: str
    message: str
    old: bytes
    new: bytes
    told: str  # what the explanation must mention
    compare: bool = False  # give the verifier the original to compare with


TAMPERINGS = (
    Tampering(
        title="Somebody changes a number in the body",
        message="1-plain.eml",
        old=b"4 or 11 December",
        new=b"4 or 12 December",
        told="12 December",
        compare=True,
    ),
    Tampering(
        title="Somebody changes the Subject",
        message="5-empty-body.eml",
        old=b"finished: 0 errors",
        new=b"finished: 9 errors",
        told="9 errors",
        compare=True,
    ),
    Tampering(
        title="A mailing list adds its footer",
        message="3-utf8.eml",
        old=b"J\xc3\xbcrgen\r\n",
        new=b"J\xc3\xbcrgen\r\n_______________\r\nlist@recipient.example\r\n",
        told="footer",
    ),
    Tampering(
        title="Somebody adds a second Subject above the signed one",
        message="2-multipart.eml",
        old=b"Subject:",
        new=b"Subject: You have won\r\nSubject:",
        told="You have won",
    ),
)


FAILURES = (NotAsItMustBe, mail.MailFailed, OSError, RuntimeError, subprocess.TimeoutExpired)


class Demo:
    """One demonstration in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = ("", 0)

    def run(self, *arguments: str | Path, status: int = 0, show: bool = True) -> bytes:
        """Runs a dkimcore command, shows it, and demands this exit status.

        Args:
            *arguments: The command line after ``dkimcore``.
            status: The exit status that it must have.
            show: Whether what it prints is shown.

        Returns:
            What the command wrote to standard output.

        Raises:
            NotAsItMustBe: The exit status is another one.
        """
        words = [str(argument) for argument in arguments]
        print(f"  $ dkimcore {shlex.join(words)}", flush=True)
        ran = subprocess.run(
            [COMMAND, *words], cwd=self.folder, capture_output=True, check=False, timeout=60
        )
        output = ran.stdout + ran.stderr if show or ran.returncode != status else ran.stderr
        for line in output.decode("utf-8", "replace").splitlines():
            print(f"    {line}")
        if ran.returncode != status:
            raise NotAsItMustBe(f"exit status {ran.returncode}, not {status}")
        return ran.stdout

    def make_keys(self) -> dict[str, list[bytes]]:
        """Makes both keys and reads the files with their records as a name server would."""
        zone: dict[str, list[bytes]] = {}
        self.run("keygen", "-d", DOMAIN, "-s", SELECTORS[0], "-D", "keys")
        for selector in SELECTORS:
            text = (self.folder / "keys" / f"{selector}.txt").read_text("ascii")
            zone |= zone_records(text, origin=f"{DOMAIN}.")
        expected = {f"{selector}._domainkey.{DOMAIN}." for selector in SELECTORS}
        if set(zone) != expected:
            raise NotAsItMustBe(f"keygen wrote records for {sorted(zone)}")
        return zone

    def sign(self, message: Path) -> Path:
        """Signs a message with every key in one pass, and checks that nothing else changed."""
        signers: list[str] = []
        for selector in SELECTORS:
            signers += ["--signer", f"{DOMAIN}:{selector}:file:keys/{selector}.private"]
        octets = self.run("sign", *signers, message.name, show=False)
        original = message.read_bytes()
        added = octets.removesuffix(original)
        if added == octets or added.lower().count(b"dkim-signature:") != len(SELECTORS):
            raise NotAsItMustBe("the output is not two fields and then the message as it was")
        signed = self.folder / f"signed-{message.name}"
        signed.write_bytes(octets)
        print(f"    {len(SELECTORS)} fields, {len(added)} octets, written to {signed.name}")
        return signed

    def verify(self, message: Path, *options: str, passes: bool) -> bytes:
        """Verifies a message through the name server."""
        host, port = self.address
        arguments = ("verify", "--nameserver", f"{host}:{port}", *options, message.name)
        return self.run(*arguments, status=0 if passes else 1)

    def tamper(self, tampering: Tampering) -> None:
        """Changes a signed message and lets the verifier say what is wrong."""
        print(f"\n  {tampering.title}:")
        octets = (self.folder / f"signed-{tampering.message}").read_bytes()
        # The last occurrence: the signatures above may hold the same words.
        before, found, after = octets.rpartition(tampering.old)
        if not found:
            raise NotAsItMustBe(f"{tampering.message} has no {tampering.old!r}")
        changed = self.folder / f"changed-{tampering.message}"
        changed.write_bytes(before + tampering.new + after)
        reference = ["--reference", tampering.message] if tampering.compare else []
        output = self.verify(changed, "--explain", *reference, passes=False)
        if tampering.told not in output.decode("utf-8", "replace"):
            raise NotAsItMustBe(f"the explanation does not mention {tampering.told!r}")

    def play(self) -> str:
        """Does everything, in order; says how mail went at the end."""
        (self.folder / "keys").mkdir()
        for message in MESSAGES:
            (self.folder / message.name).write_bytes(message.read_bytes())
        heading("Two keys, and their DNS records")
        zone = self.make_keys()
        with NsdServer(zone=zone) as server:
            self.address = server.address
            heading(f"The records are published by NSD on {':'.join(map(str, server.address))}")
            for name, records in zone.items():
                print(f"  {name}  {records[0][:60].decode('ascii')}...")
            heading(f"{len(MESSAGES)} messages are signed with RSA and Ed25519")
            signed = [self.sign(self.folder / message.name) for message in MESSAGES]
            heading("They are verified through that name server")
            for message in signed:
                passed = self.verify(message, passes=True).count(f": pass d={DOMAIN} ".encode())
                if passed != len(SELECTORS):
                    raise NotAsItMustBe(f"{passed} of {len(SELECTORS)} signatures passed")
            heading("Changed messages fail, and the reason is told")
            for tampering in TAMPERINGS:
                self.tamper(tampering)
            heading("A message without a signature is not taken for a signed one")
            self.verify(self.folder / MESSAGES[0].name, passes=False)
            return mail.play(
                self.folder,
                self.address,
                message=MESSAGES[0].read_bytes(),
                heading=heading,
                verify=self.verify_arrival,
            )

    def verify_arrival(self, octets: bytes) -> bytes:
        """Verifies what was taken out of a mailbox."""
        arrived = self.folder / "arrived.eml"
        arrived.write_bytes(octets)
        return self.verify(arrived, passes=True)


def heading(text: str) -> None:
    """Prints a step's title."""
    print(f"\n== {text} ==", flush=True)


def main() -> int:
    """Runs the demonstration; 0 when all of it came out right."""
    # What is shown must not depend on the terminal of whoever runs it.
    os.environ.update(NO_COLOR="1", COLUMNS="100")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dkimcore-demo-") as folder:
        try:
            route = Demo(Path(folder)).play()
        except FAILURES as problem:
            print(f"\nThe demonstration failed: {problem}", file=sys.stderr)
            return 1
    print(
        f"\nAll as it must be: {len(MESSAGES)} messages signed twice and verified, "
        f"{len(TAMPERINGS)} changed ones refused, {route}, in {time.monotonic() - started:.1f} s."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
