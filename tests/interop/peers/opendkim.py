"""Driver for OpenDKIM (Debian opendkim) in its test mode: one short process per message."""

import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.servers import find_program

from .job import SignJob, VerifyJob

_INSERTED = re.compile(
    rb"### INSHEADER: idx=\d+ hname='([^']*)' hvalue='(.*?)'\n(?=### |opendkim: |\Z)", re.DOTALL
)
_VERIFY = """Mode v
AlwaysAddARHeader yes
AuthservID interop
MaximumSignaturesToVerify 100
TestPublicKeys {folder}/keys
"""
_SIGN = """Mode s
RequireSafeKeys no
Canonicalization {method}
SignatureAlgorithm {algorithm}
SigningTable refile:{folder}/signing
KeyTable {folder}/table
"""


class OpenDkim:
    """OpenDKIM.  Its clock is the machine's, and its test keys are one record per name."""

    name = "OpenDKIM"
    algorithms = frozenset({"rsa-sha256", "ed25519-sha256"})

    def sign(self, jobs: Sequence[SignJob]) -> list[bytes]:
        """Sign each message."""
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(self._sign, jobs))

    def verify(self, jobs: Sequence[VerifyJob]) -> list[list[str]]:
        """Verify each message."""
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(self._verify, jobs))

    def verify_each(self, jobs: Iterable[VerifyJob]) -> Iterator[list[str]]:
        """Verify one message after the other."""
        return map(self._verify, jobs)

    def _sign(self, job: SignJob) -> bytes:
        with TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "key.pem").write_bytes(job.pem)
            (folder / "signing").write_text("* k\n", "ascii")
            row = f"k {job.domain}:{job.selector}:{folder}/key.pem\n"
            (folder / "table").write_text(row, "ascii")
            settings = _SIGN.format(
                folder=folder, method="/".join(job.canonicalization), algorithm=job.algorithm
            )
            for field, value in self._run(folder, settings, job.message):
                if field == b"DKIM-Signature":
                    return b"DKIM-Signature: " + value.replace(b"\n", b"\r\n") + b"\r\n"
        return b""

    def _verify(self, job: VerifyJob) -> list[str]:
        lines = [
            name.encode().removesuffix(b".") + b" " + records[0] + b"\n"
            for name, records in job.zone.items()
            if records
        ]
        with TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "keys").write_bytes(b"".join(lines))
            settings = _VERIFY.format(folder=folder)
            try:
                inserted = self._run(folder, settings, job.message)
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
                return ["crash"]
        value = b"".join(v for field, v in inserted if field == b"Authentication-Results")
        words = re.findall(rb";\s*dkim=(\w+)", value)
        return [word.decode() for word in words if word != b"none"]

    @staticmethod
    def _run(folder: Path, settings: str, message: bytes) -> list[tuple[bytes, bytes]]:
        (folder / "conf").write_text(settings, "ascii")
        (folder / "message").write_bytes(message)
        done = subprocess.run(
            [
                find_program("opendkim") or "opendkim",
                "-x",
                str(folder / "conf"),
                "-t",
                str(folder / "message"),
                "-vv",
            ],
            capture_output=True,
            check=False,
            timeout=20,
        )
        if done.returncode < 0:
            raise subprocess.CalledProcessError(done.returncode, "opendkim")
        return _INSERTED.findall(done.stdout)
