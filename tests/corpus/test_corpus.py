"""The corpus is what its generator says, and what the other tests take it for."""

import json
import re

from .generate import FOLDER, INDEX, entries


def test_files_are_what_the_generator_writes() -> None:
    assert {path.stem: path.read_bytes() for path in FOLDER.glob("*.eml")} == {
        entry.name: entry.octets for entry in entries()
    }
    assert json.loads(INDEX.read_text("utf-8")) == {e.name: e.exercises for e in entries()}


def test_messages_are_many_and_different() -> None:
    assert len({entry.octets for entry in entries()}) == len(entries()) >= 34


def test_line_ends_are_crlf_and_there_is_one_from() -> None:
    for entry in entries():
        assert not re.search(rb"(?<!\r)\n|\r(?!\n)", entry.octets), entry.name
        header = entry.octets.partition(b"\r\n\r\n")[0] + b"\r\n"
        assert len(re.findall(rb"(?mi)^from[ \t]*:", header)) == 1, entry.name
