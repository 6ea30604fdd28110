"""Each RFC section that the source cites exists.

A citation is trusted by whoever reads the code, so one that leads nowhere is worse
than none.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.rfc_sections import SECTIONS

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))

SECTION = r"(?:\d+(?:\.\d+)*|[A-Z](?:\.\d+)*)(?![\w-])"
CITATION = re.compile(
    rf"(?:RFC\s(?P<document>\d{{4}}),?\s(?:and\s)?)?"
    rf"(?:section|appendix|appendice)s?\s(?P<list>{SECTION}(?:(?:,\s|,?\sand\s|,?\sor\s|\sto\s){SECTION})*)",
    re.IGNORECASE,
)


def citations(source: str) -> list[tuple[str | None, str]]:
    """Finds (RFC or None, section) in a text, also where a line ends inside a citation."""
    text = re.sub(r"\s*\n\s*(?:#:?\s*)?", " ", source)
    return [
        (found["document"], section)
        for found in CITATION.finditer(text)
        for section in re.findall(SECTION, found["list"])
    ]


def problems(source: str) -> list[str]:
    """Says which citations lead nowhere."""
    named = sorted(set(re.findall(r"RFC\s(\d{4})", source)))
    wrong = []
    for document, section in citations(source):
        if document is not None and document not in SECTIONS:
            wrong.append(f"RFC {document}: look its sections up for tests/data/rfc_sections.json")
        elif document is not None and section not in SECTIONS[document]:
            wrong.append(f"RFC {document} has no section {section}")
        elif document is None and not any(section in SECTIONS.get(rfc, ()) for rfc in named):
            wrong.append(f"section {section}: of no RFC that this file names")
    return wrong


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_cited_section_exists(path):
    assert problems(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("RFC 6376 section 3.4.4", [("6376", "3.4.4")]),
        (
            "(RFC 6376 sections 3.9, 6.1; RFC 8601 section 2.7.1)",
            [("6376", "3.9"), ("6376", "6.1"), ("8601", "2.7.1")],
        ),
        ("    # see RFC 6376\n    # section 6.1.2.", [("6376", "6.1.2")]),
        ("RFC 8463 appendix A.3", [("8463", "A.3")]),
        ("ours; section 3.5", [(None, "3.5")]),
        ("the header section a message has", []),
    ],
)
def test_citations_are_found(text, found):
    assert citations(text) == found


def test_a_citation_that_leads_nowhere_is_noticed():
    assert problems("RFC 6376 section 3.4.9") == ["RFC 6376 has no section 3.4.9"]
    assert problems("RFC 6376. Section 12.") == ["section 12: of no RFC that this file names"]
    assert problems("RFC 1149 section 1") == [
        "RFC 1149: look its sections up for tests/data/rfc_sections.json"
    ]
