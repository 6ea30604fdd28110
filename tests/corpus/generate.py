"""Write the corpus: `python -m tests.corpus.generate` from the repository's root.

The output is the same in every run; `tests/corpus/test_corpus.py` holds the files against it.
"""

import json
from pathlib import Path

from . import letters, mime, odd, traffic
from .compose import Entry

FOLDER = Path(__file__).parent / "messages"
INDEX = Path(__file__).parent / "corpus.json"


def entries() -> list[Entry]:
    """Every message of the corpus, by name."""
    every = [*letters.entries(), *mime.entries(), *odd.entries(), *traffic.entries()]
    return sorted(every, key=lambda entry: entry.name)


def main() -> None:
    """Write each message and the index beside this file."""
    FOLDER.mkdir(exist_ok=True)
    for entry in entries():
        (FOLDER / f"{entry.name}.eml").write_bytes(entry.octets)
    index = {entry.name: entry.exercises for entry in entries()}
    INDEX.write_text(json.dumps(index, indent=2, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
