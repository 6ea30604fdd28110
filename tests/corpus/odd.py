"""Header fields that stretch RFC 5322's grammar without breaking it."""

from .compose import Entry, letter

_BASE = """
Date: Sun, 10 Mar 2024 10:00:00 +0000
From: Lena <lena@example.com>
To: max@example.net
Message-ID: <{}.odd@example.com>
"""

_FOLDED = """Subject: a subject
 folded by a space
\tand a tab
 \t and both,   with   runs\t\tof blanks   \n
X-Blank-Continuation: before
 \t \n after a line of only white space
X-Fold-First:
 value on the second line
X-No-Space:value
X-Tabs:\t\tvalue\t
"""

_EMPTY = "Subject:\nX-Empty:\nX-Blank: \nX-Blank-Tab:\t\nComments: \n \n"

_OBSOLETE = "Subject : spaced name\nX-Tab\t: tabbed name\nX-Both \t :both\n"

_CASES = "SUBJECT: upper\nmime-version: 1.0\nCONTENT-type: TEXT/Plain\nx-MiXeD: CaSe\n"

_WORDS = """Subject: =?UTF-8?B?UmVjaG51bmcgZsO8ciBNw6RyeiDigJMgYml0dGUgaW5uZXJoYWxi?=
 =?UTF-8?B?IHZvbiAxNCBUYWdlbiB6YWhsZW4=?=
 =?iso-8859-1?Q?_=28Mahnung=29?=
Cc: =?utf-8?q?J=C3=B6rg?= <joerg@example.net>, =?utf-8?b?5bGx55Sw?= <y@example.jp>
"""

_TAGS = """Subject: b=abc; bh=def; v=1; DKIM-Signature: none
X-Lookalike: v=1; a=rsa-sha256; b=AAAA; bh=BBBB; d=example.com
X-DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=x; b=CCCC
"""

_PUNCTUATION = """Subject: ;;; === ::: \\ " ' `rm -rf` $(id) %s %n {0} <script>
X-!#$%&'*+-/=?^_`{|}~: every octet a name may hold
X-1: digit
"""


def _base(number: int) -> str:
    return _BASE.format(number)


def entries() -> list[Entry]:
    """Every message with an odd header."""
    body = "Short body.\n"
    minimal = "\nFrom: a@b.example\nDate: Sun, 10 Mar 2024 10:00:00 +0000\n"
    group = (
        "\nFrom: Team: lena@example.com, Max <max@example.net>;\nSender: lena@example.com\n"
        "Date: Sun, 10 Mar 2024 10:00:00 +0000\nTo: undisclosed-recipients:;\nSubject: group\n"
    )
    comments = (
        '\nFrom: (a comment (nested)) "Lena \\"L.\\" K." (x)\n <lena(at)@example.com (y)>\n'
        "Date: Sun, 10 Mar 2024 10:00:00 +0000 (who knows)\nTo: max @ example . net\n"
        "Subject: comments and obsolete white space\n"
    )
    comments = comments.replace("lena(at)", "lena")
    controls = "Subject: bell \x07, escape \x1b[1m, delete \x7f\nX-VT: a\x0b\x0cb \x1c \x85\n"
    long_field = "Subject: " + "x" * 980 + "\nX-Long: " + " ".join(["word"] * 1900) + "\n"
    many = "".join(f"X-Trace-{n}: value  {n} \n" for n in range(500))
    made = [
        ("folded-every-way", "folds by space, tab, both; blank continuation line", _FOLDED),
        ("empty-fields", "fields without a value, values of only white space", _EMPTY),
        ("obsolete-colon", "white space between name and colon", _OBSOLETE),
        ("odd-case", "upper-case and mixed-case field names", _CASES),
        ("encoded-words", "encoded words over folds", _WORDS),
        ("tag-lookalikes", "field values that look like DKIM tags", _TAGS),
        (
            "punctuation",
            "every legal octet in a field name, meta characters in values",
            _PUNCTUATION,
        ),
        ("controls-in-header", "BEL, ESC, DEL, VT, FF and U+0085 in field values", controls),
        ("long-fields", "a field line of 989 octets and one of 9.5 kB", long_field),
        ("many-fields", "500 extra fields", many),
    ]
    odd = [
        Entry(name=name, exercises=why, octets=letter(_base(n) + extra, body))
        for n, (name, why, extra) in enumerate(made)
    ]
    vertical = b"page one\x0c\r\n\x0bindented by VT \x0b\r\nnul \x00 here\r\n\x0c\r\n"
    return [
        *odd,
        Entry(
            name="minimal",
            exercises="From and Date only",
            octets=letter(minimal, body),
        ),
        Entry(
            name="group-from",
            exercises="group address in From, empty group in To",
            octets=letter(group, body),
        ),
        Entry(
            name="comments-in-from",
            exercises="comments, quoted pairs and folds in From",
            octets=letter(comments, body),
        ),
        Entry(
            name="nul-vt-ff-body",
            exercises="NUL, VT and FF octets in the body, a last line of FF",
            octets=letter(_base(90) + "Subject: controls\n", vertical),
        ),
    ]
