"""Which sections the RFCs that we cite have.

The data file was made from the documents' own headings; an RFC or section that is
missing there is added by looking it up, never by trusting the citation.
"""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["SECTIONS"]

SECTIONS: dict[str, frozenset[str]] = {
    document: frozenset(sections)
    for document, sections in json.loads(
        Path(__file__).with_name("data").joinpath("rfc_sections.json").read_text("ascii")
    ).items()
}
"""RFC number to section numbers; appendices begin with their letter."""
