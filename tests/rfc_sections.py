"""Which sections the RFCs that we cite have.

The data file was made from the documents' own headings; an RFC or section that is
missing there is added by looking it up, never by trusting the citation.
"""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["SECTIONS"]

SECTIONS: dict[str, dict[str, str]] = json.loads(
    Path(__file__).with_name("data").joinpath("rfc_sections.json").read_text("ascii")
)
"""RFC number to section number to its title, which may be empty; appendices begin with A."""
