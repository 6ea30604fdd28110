"""RFC 5322 section 3.6: which fields a message must have, and which only once."""

import pytest

from dkimcore.protocol.message import Header
from dkimcore_milter.fieldcounts import wrong_counts

NO = "does not have exactly one %s field"
MANY = "has multiple %s fields"


def header(*names):
    return Header(b"".join(name + b": x\r\n" for name in names))


@pytest.mark.parametrize(
    "names",
    [
        (b"From", b"Date"),
        (b"DATE", b"from", b"To", b"Cc", b"Bcc", b"Subject", b"Message-ID"),
        (b"From", b"Date", b"Received", b"Received", b"Comments", b"Comments", b"Keywords"),
        (b"From", b"Date", b"Resent-From", b"Resent-From", b"X-A", b"X-A"),
    ],
)
def test_a_usual_message_is_right(names):
    assert wrong_counts(header(*names)) == ()


@pytest.mark.parametrize(
    ("names", "wrong"),
    [
        ((), (NO % "Date", NO % "From")),
        ((b"From",), (NO % "Date",)),
        ((b"Date",), (NO % "From",)),
        ((b"From", b"Date", b"from"), (NO % "From",)),
        ((b"From", b"Date", b"To", b"To", b"To"), (MANY % "To",)),
        ((b"From", b"Date", b"Subject", b"subject"), (MANY % "Subject",)),
        ((b"From", b"Date", b"References", b"References"), (MANY % "References",)),
    ],
)
def test_what_is_wrong_is_named(names, wrong):
    assert wrong_counts(header(*names)) == wrong
