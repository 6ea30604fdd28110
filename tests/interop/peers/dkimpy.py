"""Driver for dkimpy (PyPI), in this process; its clock and its DNS are replaced."""

import base64
import io
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from .job import SignJob, VerifyJob


class Dkimpy:
    """dkimpy.  It says only whether a signature verified, so a refusal is ``fail``."""

    name = "dkimpy"

    def __init__(self) -> None:
        import dkim

        self._dkim = dkim
        try:
            import nacl  # noqa: F401 - dkimpy needs it for Ed25519

            self.algorithms = frozenset({"rsa-sha256", "ed25519-sha256"})
        except ImportError:
            self.algorithms = frozenset({"rsa-sha256"})

    def sign(self, jobs: Sequence[SignJob]) -> list[bytes]:
        """Sign each message."""
        return [self._sign(job) for job in jobs]

    def verify(self, jobs: Sequence[VerifyJob]) -> list[list[str]]:
        """Verify each message."""
        return [self._verify(job) for job in jobs]

    def verify_each(self, jobs: Iterable[VerifyJob]) -> Iterator[list[str]]:
        """Verify one message after the other."""
        return map(self._verify, jobs)

    def _sign(self, job: SignJob) -> bytes:
        key = job.pem
        if job.algorithm.startswith("ed25519"):
            private = load_pem_private_key(job.pem, None)
            key = base64.b64encode(private.private_bytes_raw())  # type: ignore[union-attr]  # Ed25519
        header, body = job.canonicalization
        try:
            signer = self._dkim.DKIM(job.message, signature_algorithm=job.algorithm.encode())
            return signer.sign(
                job.selector.encode(),
                job.domain.encode(),
                key,
                canonicalize=(header.encode(), body.encode()),
            )
        except self._dkim.DKIMException:
            return b""

    def _verify(self, job: VerifyJob) -> list[str]:
        def lookup(name: bytes | str, timeout: int = 5) -> bytes | None:
            text = name.decode() if isinstance(name, bytes) else name
            records = job.zone.get(text.lower(), ())
            if records is None:
                raise self._dkim.DnsTimeoutError
            return records[0] if records else None

        with _clock(job.now), redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):
            logging.disable(logging.CRITICAL)
            try:
                return self._words(job, lookup)
            except self._dkim.DKIMException:
                return ["fail"]
            except Exception:  # noqa: BLE001 - a peer's crash is a result of the comparison
                return ["crash"]
            finally:
                logging.disable(logging.NOTSET)

    def _words(self, job: VerifyJob, lookup: object) -> list[str]:
        verifier = self._dkim.DKIM(job.message)
        names = [name for name, _ in verifier.headers if name.lower() == b"dkim-signature"]
        words = []
        for index in range(len(names)):
            try:
                passed = verifier.verify(index, dnsfunc=lookup)
                words.append("pass" if passed else "fail")
            except self._dkim.DnsTimeoutError:
                words.append("temperror")
            except self._dkim.DKIMException:
                words.append("fail")
            except Exception:  # noqa: BLE001 - as above
                words.append("crash")
        return words


@contextmanager
def _clock(now: int | None) -> Iterator[None]:
    """dkimpy reads time.time; it has no other way to be told the time."""
    real = time.time
    try:
        if now is not None:
            time.time = lambda: float(now)
        yield
    finally:
        time.time = real
