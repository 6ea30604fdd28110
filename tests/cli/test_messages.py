"""Where messages come from: line ends across chunks, mbox files as they are found."""

from __future__ import annotations

import os
import threading

import pytest

from dkimcore import to_crlf
from dkimcore.cli import messages
from dkimcore.cli.messages import LineEnds, Source, SourceKind, find_sources, open_messages


def read(path, *, line_ends=LineEnds.AUTO, kind=SourceKind.AUTO, unescape=True):
    source = Source(name="file", path=path)
    opened = open_messages(source, kind=kind, line_ends=line_ends, unescape=unescape)
    return [(one.name, one.line_ends, b"".join(one.wire())) for one in opened]


@pytest.fixture
def file(tmp_path):
    def write(octets):
        path = tmp_path / "file"
        path.write_bytes(octets)
        return path

    return write


@pytest.mark.parametrize("chunk", [1, 2, 3, 65_536])
@pytest.mark.parametrize(
    ("octets", "form"),
    [
        (b"A: b\n\nc\n", LineEnds.LF),
        (b"A: b\r\n\r\nc\n", LineEnds.CRLF),
        (b"A: b\n\nc\rd\n", LineEnds.LF),
        (b"A: b", LineEnds.CRLF),
        (b"", LineEnds.CRLF),
        (b"\r\r\r", LineEnds.CRLF),
        (b"\n\r\n", LineEnds.CRLF),
    ],
)
def test_local_form_is_what_has_no_crlf(file, monkeypatch, chunk, octets, form):
    monkeypatch.setattr(messages, "_CHUNK", chunk)
    ((_, found, wire),) = read(file(octets), kind=SourceKind.MESSAGE)
    assert found is form
    assert wire == (octets.replace(b"\n", b"\r\n") if form is LineEnds.LF else octets)


@pytest.mark.parametrize("chunk", [1, 2, 3, 65_536])
def test_lf_may_be_forced_on_mixed_lines(file, monkeypatch, chunk):
    monkeypatch.setattr(messages, "_CHUNK", chunk)
    octets = b"A: b\r\nC: d\n\r\nbody\r\n\n"
    ((_, _, wire),) = read(file(octets), line_ends=LineEnds.LF, kind=SourceKind.MESSAGE)
    assert wire == to_crlf(octets)


def test_an_mbox_is_divided_at_from_lines_behind_empty_ones(file):
    line = b"From ada@example.com Mon Nov 16 09:12:44 2026\n"
    octets = line + b"A: 1\n\none\nFrom the middle\n\n" + line + b"A: 2\n\n\n\n" + line + b"A: 3\n"
    assert [wire for _, _, wire in read(file(octets))] == [
        b"A: 1\r\n\r\none\r\nFrom the middle\r\n",
        b"A: 2\r\n\r\n\r\n",
        b"A: 3\r\n",
    ]


def test_an_mbox_of_crlf_and_empty_lines_on_top(file):
    line = b"From ada@example.com Mon Nov 16 09:12:44 2026\r\n"
    octets = b"\r\n" + line + b"A: 1\r\n\r\n" + line + b"A: 2\r\n"
    found = read(file(octets), kind=SourceKind.MBOX)
    assert [(name, wire) for name, _, wire in found] == [
        ("file:1", b"A: 1\r\n"),
        ("file:2", b"A: 2\r\n"),
    ]


@pytest.mark.parametrize(
    ("unescape", "expected"),
    [(True, b"From a\r\n>From b\r\n >From c\r\n"), (False, b">From a\r\n>>From b\r\n >From c\r\n")],
)
def test_escaped_from_lines(file, unescape, expected):
    octets = b"From x Mon Nov 16 09:12:44 2026\nA: b\n\n>From a\n>>From b\n >From c\n"
    ((_, _, wire),) = read(file(octets), unescape=unescape)
    assert wire == b"A: b\r\n\r\n" + expected


def test_an_escape_in_the_middle_of_a_long_line_is_none(file, monkeypatch):
    monkeypatch.setattr(messages, "_CHUNK", 64)
    body = b"x" * 64 + b">From the same line\n"
    octets = b"From x Mon Nov 16 09:12:44 2026\nA: b\n\n" + body
    ((_, _, wire),) = read(file(octets))
    assert wire.endswith(b"x>From the same line\r\n")


def test_a_named_pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(b"A: b\n\nc\n",))
    writer.start()
    ((_, _, wire),) = read(path)
    writer.join()
    assert wire == b"A: b\r\n\r\nc\r\n"


def test_a_maildir_leaves_out_what_is_being_delivered(tmp_path):
    for part in ("cur", "new", "tmp"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "1").write_bytes(b"A: b\n\n")
    (tmp_path / "cur" / ".hidden").write_bytes(b"")
    names = [os.path.relpath(source.name, tmp_path) for source in find_sources([str(tmp_path)])]
    assert names == ["cur/1", "new/1"]
