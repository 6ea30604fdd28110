"""Peak memory of signing and verifying one large message, each in a process of its own.

usage: python -m benchmarks.memory CONTENDER OPERATION FILE KEYFILE RECORDFILE

prints the kB that the process had at its peak beyond what it had after its imports.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.report import Section

__all__ = ["main", "memory"]

_MEGABYTES = 20
_GOAL = 16  # MiB
_BODIES = ("text", "base64", "html")
# For dkimcore only: no line ends, nothing but line ends, and what shrinks to nothing.
_HOSTILE = ("one line", "only CRLF", "only SP")
_ROOT = Path(__file__).resolve().parent.parent


def memory(bodies: tuple[str, ...] = _BODIES) -> Section:
    """Measures every contender.

    Args:
        bodies: The kinds of ordinary bodies.
    """
    # Not at the top: this module also runs in the process that is measured.
    from benchmarks.contenders import DKIMPY, KeyPair
    from benchmarks.report import Section

    section = Section(
        title="Peak memory",
        note=f"MiB beyond what the process has after its imports, for a file of {_MEGABYTES} MB "
        "(RSA-2048, relaxed/relaxed). dkimcore and Mail::DKIM read the file in chunks; dkimpy "
        "takes messages whole.",
        columns=["body", "", "dkimcore", "dkimpy", "Mail::DKIM"],
    )
    with TemporaryDirectory() as name:
        folder = Path(name)
        pair = KeyPair.make("rsa-sha256")
        (folder / "key").write_bytes(pair.pem)
        (folder / "record").write_bytes(pair.record)
        for body in (*bodies, *_HOSTILE):
            octets = _message(body)
            (folder / "sign").write_bytes(octets)
            (folder / "verify").write_bytes(pair.sign(octets, "relaxed/relaxed"))
            for operation in ("sign", "verify"):
                figures = {"dkimcore": _peak("dkimcore", operation, folder)}
                if body in bodies:
                    if DKIMPY is not None:
                        figures["dkimpy"] = _peak("dkimpy", operation, folder)
                    figures["Mail::DKIM"] = _perl_peak(operation, folder)
                _row(section, body, operation, figures)
    return section


def _message(body: str) -> bytes:
    from benchmarks import messages

    octets = _MEGABYTES * 1_000_000
    if body in messages.BODIES:
        return messages.message(body, octets)
    repeated = messages.HOSTILE[body]
    return messages.HEADER + repeated * (octets // len(repeated))


def _row(section: Section, body: str, operation: str, figures: dict[str, float | None]) -> None:
    from benchmarks.report import Target

    cells = [figures.get(name) for name in ("dkimcore", "dkimpy", "Mail::DKIM")]
    section.rows.append(
        [body, operation, *("-" if cell is None else f"{cell:.1f}" for cell in cells)]
    )
    section.data.append({"body": body, "operation": operation, "mebibytes": figures})
    own = figures["dkimcore"]
    section.targets.append(
        Target(
            name=f"memory to {operation} {_MEGABYTES} MB of {body} from a file",
            goal=f"at most {_GOAL} MiB extra",
            figure="-" if own is None else f"{own:.1f} MiB",
            reached=own is not None and own <= _GOAL,
        )
    )


def _peak(contender: str, operation: str, folder: Path) -> float | None:
    files = [str(folder / name) for name in (operation, "key", "record")]
    command = [sys.executable, "-m", "benchmarks.memory", contender, operation, *files]
    return _kilobytes(command)


def _perl_peak(operation: str, folder: Path) -> float | None:
    script = Path(__file__).with_name("mail_dkim.pl")
    files = [str(folder / name) for name in ("key", "record")]
    return _kilobytes(["perl", str(script), *files, operation, str(folder / operation)])


def _kilobytes(command: list[str]) -> float | None:
    ran = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    return int(ran.stdout) / 1024 if ran.returncode == 0 else None


# --- In the process that is measured -------------------------------------------------


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return 0


def _dkimcore(operation: str, file: str, key: bytes, record: bytes) -> Callable[[], object]:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    import dkimcore
    from dkimcore.keys.memory import MemoryKey
    from dkimcore.resolvers.static import StaticResolver

    private = load_pem_private_key(key, None)
    assert isinstance(private, RSAPrivateKey)
    signer = dkimcore.Signer.make("example.com", "s1", MemoryKey(private, name="benchmark"))
    resolver = StaticResolver({"s1._domainkey.example.com": record})

    def run() -> object:
        with open(file, "rb") as message:
            if operation == "sign":
                return dkimcore.sign(message, [signer])
            return dkimcore.verify(message, resolver=resolver).passed

    return run


def _dkimpy(operation: str, file: str, key: bytes, record: bytes) -> Callable[[], object]:
    dkim = importlib.import_module("dkim")

    methods = (b"relaxed", b"relaxed")

    def answer(name: object, timeout: int = 5) -> bytes:
        return record

    def run() -> object:
        message = Path(file).read_bytes()
        if operation == "sign":
            return dkim.sign(message, b"s1", b"example.com", key, canonicalize=methods)
        return dkim.verify(message, dnsfunc=answer)

    return run


def main(contender: str, operation: str, file: str, key_file: str, record_file: str) -> None:
    """Measures one contender and prints kB."""
    make = _dkimcore if contender == "dkimcore" else _dkimpy
    run = make(operation, file, Path(key_file).read_bytes(), Path(record_file).read_bytes())
    try:
        # Makes the present size the peak, so that the imports' own peak hides nothing.
        Path("/proc/self/clear_refs").write_text("5", "ascii")
        before = _status("VmRSS")
    except OSError:
        before = _status("VmHWM")
    if not run():
        sys.exit(f"{contender} does not {operation}")
    print(_status("VmHWM") - before)


if __name__ == "__main__":
    main(*sys.argv[1:])
