"""Plain letters: charsets, quoting, and everything a body can end with."""

from .compose import Entry, letter, quoted

_HEAD = """
Received: from mail.example.net (mail.example.net [192.0.2.25])
\tby mx.example.org (Postfix) with ESMTPS id 4Q1x2z3Y4z
\tfor <kees@example.org>; Tue, 14 May 2024 09:12:33 +0200 (CEST)
Date: Tue, 14 May 2024 09:12:31 +0200
From: Anna Berg <anna.berg@example.net>
To: Kees de Vries <kees@example.org>
Message-ID: <20240514071231.{}@example.net>
MIME-Version: 1.0
"""


def _head(number: int, *more: str) -> str:
    return _HEAD.format(number) + "".join(line + "\n" for line in more)


_ASCII = "Content-Type: text/plain; charset=us-ascii"

_PROSE = """Hi Kees,

the train leaves at 07:42 from platform 5b.  Bring the blue folder, the one with
the contracts; the red one stays here.

    Departure   07:42
    Arrival     11:18   (change at Utrecht)

See you,
Anna
-- \nAnna Berg, Example Networks
"""

_GERMAN = """Grüße aus Köln,

das Übungsheft für Jürgen liegt im Büro; die Schlüssel hat Frau Weiß.
Preis: 12,50 € für ein Stück, 100 % Rabatt gibt es nicht.

Schöne Grüße
Jörg
"""

_FRENCH = "Chère Hélène,\n\nvoilà le résumé : déjà vu, n'est-ce pas ?\nÀ bientôt,\nÉmile\n"

_SPACED = (
    "Dear all,\n\nThis line ends in blanks.   \nThis one in a tab.\t\n \n\t\n  \t \n"
    "The three lines above hold only white space.\n\tIndented by a tab.\n  By two spaces.\n"
)


def entries() -> list[Entry]:
    """Every plain letter."""
    return [*_charsets(), *_endings(), *_lines()]


def _charsets() -> list[Entry]:
    utf8 = "Content-Type: text/plain; charset=utf-8"
    eight = "Content-Transfer-Encoding: 8bit"
    return [
        Entry(
            name="plain-ascii",
            exercises="text/plain, format=flowed signature line, double spaces",
            octets=letter(_head(1, "Subject: Tomorrow's train", _ASCII), _PROSE),
        ),
        Entry(
            name="utf8-8bit",
            exercises="8-bit UTF-8 body, encoded-word subject",
            octets=letter(
                _head(2, "Subject: =?utf-8?q?=C3=9Cbungsheft_f=C3=BCr_J=C3=BCrgen?=", utf8, eight),
                _GERMAN,
            ),
        ),
        Entry(
            name="latin1-8bit",
            exercises="ISO-8859-1 octets in the body, invalid as UTF-8",
            octets=letter(
                _head(
                    3,
                    "Subject: =?ISO-8859-1?Q?r=E9sum=E9?=",
                    "Content-Type: text/plain; charset=iso-8859-1",
                    eight,
                ),
                _FRENCH,
                charset="latin-1",
            ),
        ),
        Entry(
            name="latin1-raw-subject",
            exercises="raw ISO-8859-1 octets in a signed header field, as old mailers send",
            octets=letter(
                _head(4, "Subject: Facture payée à l'été", _ASCII), _PROSE, charset="latin-1"
            ),
        ),
        Entry(
            name="quoted-printable",
            exercises="quoted-printable with soft breaks and =20 line ends",
            octets=letter(
                _head(5, "Subject: QP", utf8, "Content-Transfer-Encoding: quoted-printable"),
                quoted(_GERMAN + "Eine lange Zeile: " + "Wörter über Wörter " * 12 + "\n"),
            ),
        ),
        Entry(
            name="utf8-header-fields",
            exercises="raw UTF-8 in Subject, To display name and an address (RFC 6532)",
            octets=letter(
                _head(
                    6,
                    "Cc: 山田太郎 <用户@example.org>",
                    "Subject: 会議の件: žluťoučký kůň",
                    utf8,
                    eight,
                ),
                "こんにちは。\n\nzpráva bez kódování\n",
            ),
        ),
    ]


def _endings() -> list[Entry]:
    def made(number: int, name: str, exercises: str, body: str | bytes) -> Entry:
        return Entry(
            name=name,
            exercises=exercises,
            octets=letter(_head(number, f"Subject: {name}", _ASCII), body),
        )

    return [
        made(20, "empty-body", "nothing after the empty line", b""),
        made(21, "body-one-crlf", "body of exactly one CRLF", b"\r\n"),
        made(22, "body-only-crlfs", "body of seven CRLFs", b"\r\n" * 7),
        made(
            23, "body-only-blanks", "body of lines that hold only white space", b" \r\n\t\r\n  \r\n"
        ),
        made(24, "trailing-blank-lines", "four empty lines at the end", _PROSE + "\n\n\n\n"),
        made(
            25, "trailing-blank-space-lines", "last lines hold white space", _PROSE + " \n\t\n \n"
        ),
        made(26, "blanks-at-line-ends", "white space at line ends and lone tab lines", _SPACED),
        made(27, "no-final-crlf", "the last line has no CRLF", b"Only half a line\r\nand the end"),
        made(
            28, "no-final-crlf-blanks", "last line without CRLF ends in blanks", b"One\r\ntwo \t "
        ),
        made(29, "single-octet", "body of one octet", b"x"),
    ]


def _lines() -> list[Entry]:
    long_998 = "0123456789" * 99 + "01234567"
    return [
        Entry(
            name="long-lines-998",
            exercises="lines of exactly 998 octets, the SMTP limit",
            octets=letter(_head(40, "Subject: long", _ASCII), f"{long_998}\n{long_998}\nend\n"),
        ),
        Entry(
            name="long-line-20000",
            exercises="one line far beyond the SMTP limit, with runs of spaces",
            octets=letter(_head(41, "Subject: longer", _ASCII), "word  " * 3400 + "\nend\n"),
        ),
        Entry(
            name="dots",
            exercises="lines that begin with dots, as after a dot-stuffing mistake",
            octets=letter(
                _head(42, "Subject: dots", _ASCII), "one\n.\n..\n...two\n.three\n. \nend\n"
            ),
        ),
        Entry(
            name="from-lines",
            exercises='lines that begin with "From " and ">From "',
            octets=letter(
                _head(43, "Subject: mbox", _ASCII),
                "From here on it gets better.\n>From the start, really.\n\n"
                "From anna@example.net Tue May 14 09:12:31 2024\nFrom: not a header\n",
            ),
        ),
        Entry(
            name="header-like-body",
            exercises="body that looks like a signed message, with a DKIM-Signature of its own",
            octets=letter(
                _head(44, "Subject: look", _ASCII),
                "DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=x; b=AAAA\n"
                "From: x@example.com\n\nhi\n",
            ),
        ),
        Entry(
            name="digest-prose",
            exercises="long prose, sentences with two spaces, 40 kB",
            octets=letter(
                _head(45, "Subject: Minutes", _ASCII),
                "".join(f"{n}.  Item {n}:  the board agreed.  Next item.\n\n" for n in range(800)),
            ),
        ),
    ]
