"""Query mode (-Q): an operator tries out what a data set answers.

The first line of the input names a data set, each further one is ``KEY/N``: the value of KEY,
divided into N fields.  As with opendkim(8) keys compare with regard to case here.  What may
be a private key is not shown.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from dkimcore.errors import ConfigError
from dkimcore.tables.dataset import DataSet, split_fields

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

__all__ = ["answer", "hide_keys"]

_MAX_FIELDS = 64
_DESCRIPTION = """\
enter data set description
\tcsl:entry1[,entry2[,...]]
\tfile:path
\trefile:path
"""
_QUERY = "enter 'query/n' where 'n' is number of fields to request\n"
_KEY = re.compile(r"-----BEGIN.*?(?:-----END[^-]*-----|$)|[A-Za-z0-9+/=]{60,}", re.DOTALL)


def answer(program: str, source: TextIO, output: TextIO, errors: TextIO) -> int:
    """Answer queries until the input ends.

    Args:
        program: What to call ourselves.
        source: The data set, then the queries; a terminal is prompted.
        output: Where answers go.
        errors: Where problems go.

    Returns:
        0; 64 for a query that is none; 70 if the data set cannot be opened; 71 if the input
        is empty.
    """
    prompt = f"{program}: " if source.isatty() else ""
    lines = _lines(source, output, prompt)
    text = next(lines, None)
    if text is None:
        print(f"{program}: there is no data set on standard input", file=errors)
        return os.EX_OSERR
    try:
        data_set = DataSet.load(text, ignore_case=False)
    except ConfigError as exc:
        print(f"{program}: {exc}", file=errors)
        return os.EX_SOFTWARE
    for query in lines:
        key, slash, number = query.rpartition("/")
        count = int(number) if number.isascii() and number.isdigit() and len(number) < 4 else -1
        if not slash or not 0 <= count <= _MAX_FIELDS:
            print(f"{program}: invalid query {query!r}: KEY/N is wanted", file=errors)
            return os.EX_USAGE
        print(*_answers(data_set, key, count, program), sep="\n", file=output, flush=True)
    return os.EX_OK


def hide_keys(text: str) -> str:
    """Return a value with a word in the place of what may be a private key."""
    return _KEY.sub("<hidden: it may be a private key>", text)


def _lines(source: TextIO, output: TextIO, prompt: str) -> Iterator[str]:
    text = _DESCRIPTION
    while True:
        if prompt:
            print(f"{prompt}{text}> ", end="", file=output, flush=True)
        line = source.readline()
        if not line:
            return
        if line.strip():
            yield line.strip()
            text = _QUERY


def _answers(data_set: DataSet, key: str, count: int, program: str) -> Iterator[str]:
    row = data_set.find(key)
    if row is None:
        yield f"{program}: record not found"
        return
    fields = split_fields(row.value, count) if row.value is not None and count else ()
    for number in range(count):
        field = fields[number] if number < len(fields) else None
        if field is None:
            yield "<absent>"
        else:
            yield (
                f"'{_KEY.sub('<hidden: it may be a private key>', field)}'" if field else "<empty>"
            )
