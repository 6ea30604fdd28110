"""Writes the conformance page: RFC section, the tests that show it, where we differ.

The sections come from ``@pytest.mark.rfc`` marks as pytest itself collects them, so
that marks on single cases of a parametrized test count too. What differs on purpose
comes from lines of the decision records that begin "Differs from RFC".
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

__all__ = ["collect", "page"]

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.rfc_sections import SECTIONS  # noqa: E402

# The standards that make up DKIM, in the order of the page; others follow by number.
TITLES = {
    "6376": "DomainKeys Identified Mail (DKIM) Signatures",
    "8301": "Cryptographic Algorithm and Key Usage Update to DKIM",
    "8463": "A New Cryptographic Signature Method for DKIM",
    "8616": "Email Authentication for Internationalized Mail",
    "8601": "Message Header Field for Indicating Message Authentication Status",
}
DIFFERENCE = re.compile(r"^Differs from RFC (\d{4}) section ([\w.]+): (.+)$", re.MULTILINE)

# RFC number, section number -> test function -> number of its cases
Evidence = dict[tuple[str, str], Counter[str]]


def collect() -> Evidence:
    """Asks pytest for every test that carries an ``rfc`` mark.

    Raises:
        RuntimeError: The tests can't be collected.
    """
    code = (
        "import sys, pytest\n"
        "class Marks:\n"
        "    def pytest_collection_finish(self, session):\n"
        "        for item in session.items:\n"
        "            for mark in item.iter_markers('rfc'):\n"
        "                print('RFC', *mark.args, item.nodeid, sep='\\t')\n"
        "sys.exit(pytest.main(['--collect-only', '-qq', '-p', 'no:cacheprovider'], [Marks()]))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, check=False
    )
    if ran.returncode:
        raise RuntimeError(f"pytest can't collect the tests:\n{ran.stdout}{ran.stderr}")
    evidence: Evidence = {}
    for line in ran.stdout.splitlines():
        if line.startswith("RFC\t"):
            _, document, section, test = line.split("\t", 3)
            evidence.setdefault((document, section), Counter())[test.partition("[")[0]] += 1
    return evidence


def differences() -> dict[tuple[str, str], list[str]]:
    """Reads from the decision records where we differ from an RFC on purpose."""
    found: dict[tuple[str, str], list[str]] = {}
    for record in sorted((ROOT / "docs/adr").glob("0*.md")):
        for document, section, text in DIFFERENCE.findall(record.read_text("utf-8")):
            link = f"[{record.stem[:4]}](/adr/{record.name})"
            found.setdefault((document, section), []).append(f"{text} {link}")
    return found


def page() -> str:
    """Prints the page."""
    evidence, differing = collect(), differences()
    lines = [
        "# Conformance",
        "",
        "Each row names a section of a standard and the tests that show how dkimcore meets it.",
        "The page is made from the marks on those tests whenever this documentation is built.",
        "Where dkimcore differs on purpose, the row says so and links to the decision.",
    ]
    documents = [*TITLES, *sorted({document for document, _ in evidence} - set(TITLES))]
    for document in documents:
        lines += [
            "",
            f"## RFC {document}" + (f": {TITLES[document]}" if document in TITLES else ""),
        ]
        rows = [
            row(document, section, evidence, differing)
            for section in SECTIONS[document]
            if (document, section) in evidence or (document, section) in differing
        ]
        if rows:
            lines += ["", "| Section | | Tests |", "|---|---|---|", *rows]
        else:
            lines += ["", "No test is marked with this document."]
    return "\n".join(lines) + "\n"


def row(
    document: str,
    section: str,
    evidence: Evidence,
    differing: dict[tuple[str, str], list[str]],
) -> str:
    """Prints one section's line of the table."""
    tests = [
        f"`{test.removeprefix('tests/')}`" + (f" ({cases} cases)" if cases > 1 else "")
        for test, cases in sorted(evidence.get((document, section), Counter()).items())
    ]
    notes = [f"*Differs:* {text}" for text in differing.get((document, section), [])]
    cell = "<br>".join([*tests, *notes]).replace("|", "\\|")
    return f"| {section} | {SECTIONS[document][section]} | {cell} |"
