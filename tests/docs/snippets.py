"""Runs the examples of a documentation page in order, as a reader would.

A page's blocks share one temporary folder, and its Python blocks one namespace. What
runs is said by comments that readers do not see, each on the line before a block:

``<!-- run -->``               run this console or shell block
``<!-- run status=1 -->``      the same; it must exit with this status
``<!-- no-run: why -->``       do not run this Python block (all others run)
``<!-- file: NAME -->``        write this block to a file of that name
``<!-- setup: COMMAND -->``    run a command that the page does not show; no block follows

In a console block, lines after a ``$ `` line are what it prints; ``...`` stands for
anything. Without such lines its output is not compared. ``$PROJECT`` is the project's
folder.

Records in ``*.txt`` files, as ``dkimcore keygen`` writes them, are published by a real
name server that takes the place of the system's, for commands and Python code alike.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import dns.exception

from tests.servers.nsd import NsdServer, zone_records

__all__ = ["Block", "Page", "blocks"]

ROOT = Path(__file__).resolve().parent.parent.parent
COMMENT = re.compile(r"<!--\s*(run|no-run|file|setup)\b:?\s*(.*?)\s*-->\s*$")
FENCE = re.compile(r"\s*(?P<fence>`{3,}|~{3,})(?P<language>[\w-]*)\s*$")

# Stands for a machine whose /etc/resolv.conf names our server, which has another port than 53.
SITECUSTOMIZE = """\
import os
from dkimcore.resolvers.nameservers import NameServers, SystemNameServers

_SERVER = NameServers(addresses=(("127.0.0.1", int(os.environ["SNIPPET_DNS_PORT"])),))
SystemNameServers.current = lambda self: _SERVER
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block, or one ``setup`` comment, of a page."""

    line: int
    language: str
    text: str
    comments: dict[str, str] = field(default_factory=dict)


def blocks(page: str) -> list[Block]:
    """Finds the fenced blocks of a page with the comments before them."""
    found: list[Block] = []
    comments: dict[str, str] = {}
    fence, start, language, lines = "", 0, "", list[str]()
    for number, line in enumerate(page.splitlines(), 1):
        if fence:
            if line.strip() == fence:
                text = "".join(f"{inner}\n" for inner in lines)
                found.append(
                    Block(line=start, language=language, text=text, comments=dict(comments))
                )
                fence, comments = "", {}
            else:
                lines.append(line)
        elif opening := FENCE.match(line):
            fence, language, start, lines = opening["fence"], opening["language"], number, []
        elif comment := COMMENT.match(line.strip()):
            if comment[1] == "setup":
                found.append(Block(line=number, language="setup", text=comment[2]))
            else:
                comments[comment[1]] = comment[2]
        elif line.strip():
            comments = {}
    return found


class Page:
    """A page while its blocks run."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.path = path
        self.folder = folder
        self.work = folder / "work"
        self.work.mkdir()
        site = folder / "site"
        site.mkdir()
        (site / "sitecustomize.py").write_text(SITECUSTOMIZE)
        self.python: list[str] = []
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "NO_COLOR": "1",
            "PROJECT": str(ROOT),
            "PYTHONPATH": str(site),
            "PYTHONWARNINGS": "error",
        }

    def run(self) -> int:
        """Runs the page's blocks; returns how many ran.

        Raises:
            AssertionError: One of them did not do what the page says.
        """
        return sum(self._run(block) for block in blocks(self.path.read_text("utf-8")))

    def _run(self, block: Block) -> bool:
        if "file" in block.comments:
            (self.work / block.comments["file"]).write_text(block.text, encoding="utf-8")
        elif block.language == "python" and "no-run" not in block.comments:
            self._python(block)
        elif block.language == "console" and "run" in block.comments:
            self._console(block)
        elif block.language == "setup" or (
            block.language in ("shell", "sh", "bash") and "run" in block.comments
        ):
            self._execute(["sh", "-e", "-c", block.text], block)
        else:
            return False
        return True

    def _python(self, block: Block) -> None:
        """Runs a block after all earlier ones, whose output is not shown again."""
        earlier = "".join(self.python)
        code = (
            "import contextlib, io\n"
            f"with contextlib.redirect_stdout(io.StringIO()):\n    exec({earlier!r}, globals())\n"
            f"exec({block.text!r}, globals())\n"
        )
        self._execute([sys.executable, "-c", code], block)
        self.python.append(block.text)

    def _console(self, block: Block) -> None:
        command, expected = "", list[str]()
        for line in [*block.text.splitlines(), "$ "]:
            if line.startswith("$ "):
                if command:
                    self._compare(self._execute(["sh", "-c", command], block), expected, block)
                command, expected = line[2:], []
            elif command.endswith("\\"):
                command += f"\n{line.removeprefix('> ')}"
            else:
                expected.append(line)

    def _compare(self, output: str, expected: list[str], block: Block) -> None:
        if not any(line.strip() for line in expected):
            return
        wanted = "\n".join(line.rstrip() for line in expected).strip()
        printed = "\n".join(line.rstrip() for line in output.splitlines()).strip()
        pattern = re.sub(r"([\[\]?*])", r"[\1]", wanted).replace("...", "*")
        assert fnmatch.fnmatchcase(printed, pattern), (
            f"{self.path}:{block.line}: the page says\n{wanted}\n\nbut it prints\n{printed}"
        )

    def _execute(self, command: list[str], block: Block) -> str:
        status = int((block.comments.get("run") or "status=0").removeprefix("status="))
        with NsdServer(zone=self._records()) as server:
            ran = subprocess.run(
                command,
                cwd=self.work,
                env={**self.environment, "SNIPPET_DNS_PORT": str(server.address[1])},
                text=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=60,
                check=False,
            )
        assert ran.returncode == status, (
            f"{self.path}:{block.line}: exit status {ran.returncode}, not {status}:\n"
            f"{block.text}\n{ran.stdout}"
        )
        return ran.stdout

    def _records(self) -> dict[str, list[bytes]]:
        zone: dict[str, list[bytes]] = {}
        for path in sorted(self.work.rglob("*.txt")):
            with contextlib.suppress(dns.exception.DNSException, ValueError):  # another text
                for name, records in zone_records(path.read_text("utf-8")).items():
                    zone.setdefault(name, []).extend(records)
        return zone
