"""Structured messages: multipart, attachments, calendar, S/MIME, forwarding, newsletters."""

from .compose import Entry, base64_lines, letter, noise, octets, pdf, quoted


def _head(number: int, subject: str, content: str, sender: str = "news@shop.example.com") -> str:
    return f"""
Received: by 2002:a05:6a10:1a2b:b0:{number} with SMTP id x9csp1234567pxk;
        Thu, 6 Jun 2024 10:00:0{number % 10} -0700 (PDT)
Date: Thu, 06 Jun 2024 17:00:01 +0000
From: "Shop, The" <{sender}>
Reply-To: Customer Care <care@shop.example.com>
To: bob@example.org, "Carol, C." <carol@example.org>
Cc: dave@example.org
Subject: {subject}
Message-ID: <CAJ+{number}=Xy_z@mail.shop.example.com>
MIME-Version: 1.0
Content-Type: {content}
"""


_HTML = """<!DOCTYPE html>
<html>
  <head>
    <title>June news</title>
    <style type="text/css">
      body  { margin: 0;  padding: 0; }
      td    { font-family: Arial,  sans-serif; }
    </style>
  </head>
  <body>
    <table   width="600"  cellpadding="0">
"""
_ROW = (
    '      <tr>\n        <td   class="a">Item  {0}</td>\n'
    "        <td>\t<b>EUR  {0},95</b> </td>\n      </tr>\n\n"
)


def _newsletter(rows: int) -> str:
    return (
        _HTML + "".join(_ROW.format(n) for n in range(rows)) + "    </table>\n  </body>\n</html>\n"
    )


def _alternative(boundary: str, plain: str, html: str) -> str:
    return (
        f"--{boundary}\nContent-Type: text/plain; charset=utf-8\n"
        f"Content-Transfer-Encoding: quoted-printable\n\n{quoted(plain)}\n"
        f"--{boundary}\nContent-Type: text/html; charset=utf-8\n"
        f"Content-Transfer-Encoding: quoted-printable\n\n{quoted(html)}\n--{boundary}--\n"
    )


def entries() -> list[Entry]:
    """Every structured message."""
    return [*_multiparts(), *_newsletters(), *_containers()]


def _multiparts() -> list[Entry]:
    mixed = (
        "This is a multi-part message in MIME format.\n"
        "--=_mixed\nContent-Type: text/plain; charset=us-ascii; format=flowed\n\n"
        'Invoice attached. \n\n--=_mixed\nContent-Type: application/pdf; name="invoice 17.pdf"\n'
        'Content-Disposition: attachment; filename="invoice 17.pdf"\n'
        f"Content-Transfer-Encoding: base64\n\n{base64_lines(pdf('invoice', 12000))}"
        "--=_mixed--\n\nepilogue nobody reads\n"
    )
    related = (
        '--rel\nContent-Type: text/html\n\n<img src="cid:logo@x">\n\n--rel\n'
        "Content-Type: image/png\nContent-ID: <logo@x>\nContent-Transfer-Encoding: base64\n\n"
        + base64_lines(b"\x89PNG\r\n\x1a\n" + noise("logo", 4000), 60)
        + "--rel--\n"
    )
    nested = "--outer\nContent-Type: multipart/related; boundary=rel\n\n" + related + "--outer--\n"
    return [
        Entry(
            name="multipart-alternative",
            exercises="multipart/alternative, both parts quoted-printable",
            octets=letter(
                _head(1, "Nur heute", 'multipart/alternative; boundary="000000000000abc"'),
                _alternative("000000000000abc", "Grüß Gott,\nnur heute.\n", "<p>Grüß Gott</p>\n"),
            ),
        ),
        Entry(
            name="multipart-mixed-pdf",
            exercises="multipart/mixed with a base64 PDF, preamble and epilogue",
            octets=letter(_head(2, "Invoice 17", 'multipart/mixed;\n\tboundary="=_mixed"'), mixed),
        ),
        Entry(
            name="multipart-nested",
            exercises="multipart/related within multipart/mixed, 60-column base64",
            octets=letter(_head(3, "Logo", "multipart/mixed; boundary=outer"), nested),
        ),
        Entry(
            name="base64-body",
            exercises="one base64 text part of 100 kB",
            octets=letter(
                _head(4, "Log", "text/plain; charset=utf-8\nContent-Transfer-Encoding: base64"),
                base64_lines(noise("log", 75000)),
            ),
        ),
    ]


def _newsletters() -> list[Entry]:
    one_click = (
        "\nList-Unsubscribe: <mailto:u@shop.example.com?subject=unsubscribe>,\n"
        " <https://shop.example.com/u?id=1234567890>\n"
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click\nPrecedence: bulk\nX-Mailer: Shop 3.1"
    )
    return [
        Entry(
            name="html-newsletter",
            exercises="indented HTML, double spaces, tabs, empty lines, List-Unsubscribe-Post",
            octets=letter(
                _head(5, "=?UTF-8?B?SnVuZSBuZXdzIOKYgO+4jw==?=", "text/html" + one_click),
                _newsletter(200),
            ),
        ),
        Entry(
            name="html-one-line",
            exercises="minified HTML in one line of 30 kB",
            octets=letter(
                _head(6, "Minified", "text/html; charset=utf-8"),
                "<html>" + "<p>caf&eacute;</p><br/>" * 1300 + "</html>\n",
            ),
        ),
    ]


def _containers() -> list[Entry]:
    invite = (
        "BEGIN:VCALENDAR\nMETHOD:REQUEST\nVERSION:2.0\nBEGIN:VEVENT\nUID:17@example.com\n"
        "DTSTART:20240610T090000Z\nSUMMARY:Weekly\n"
        "DESCRIPTION:A long description that is folded by\n  the rule of RFC 5545\n"
        "ATTENDEE;RSVP=TRUE:mailto:bob@example.org\nEND:VEVENT\nEND:VCALENDAR\n"
    )
    inner = octets(
        "Return-Path: <old@example.net>\nReceived: from a by b; Mon, 3 Jun 2024 08:00:00 +0000\n"
        "DKIM-Signature: v=1; a=rsa-sha256; d=example.net; s=old; h=from; bh=AAAA; b=BBBB\n"
        "From: Old <old@example.net>\nTo: bob@example.org\nSubject: original\n\nOriginal text\n"
    )
    forward = octets(
        "--fw\nContent-Type: text/plain\n\nFYI\n\n--fw\nContent-Type: message/rfc822\n\n"
    )
    smime = 'application/pkcs7-mime; smime-type=enveloped-data; name="smime.p7m"'
    signed = (
        'multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256;\n boundary="sm"'
    )
    return [
        Entry(
            name="calendar-invite",
            exercises="text/calendar; method=REQUEST with folded content lines",
            octets=letter(
                _head(7, "Invitation: Weekly", "text/calendar; charset=UTF-8; method=REQUEST"),
                invite,
            ),
        ),
        Entry(
            name="smime-enveloped",
            exercises="application/pkcs7-mime, base64 in 64 columns",
            octets=letter(
                _head(8, "Encrypted", smime + "\nContent-Transfer-Encoding: base64"),
                base64_lines(b"\x30\x82\x20\x00" + noise("p7m", 8192), 64),
            ),
        ),
        Entry(
            name="smime-signed",
            exercises="multipart/signed with a detached signature",
            octets=letter(
                _head(9, "Signed", signed),
                "--sm\nContent-Type: text/plain\n\nsigned text \n\n--sm\n"
                "Content-Type: application/pkcs7-signature; name=smime.p7s\n"
                "Content-Transfer-Encoding: base64\n\n"
                f"{base64_lines(noise('p7s', 900), 64)}--sm--\n",
            ),
        ),
        Entry(
            name="forwarded-rfc822",
            exercises="message/rfc822 part that carries its own DKIM-Signature",
            octets=letter(
                _head(10, "Fwd: original", "multipart/mixed; boundary=fw"),
                forward + inner + octets("\n--fw--\n"),
            ),
        ),
        Entry(
            name="binary-octets",
            exercises="every octet but CR and LF in a binary body, NUL among them",
            octets=letter(
                _head(11, "Binary", "application/octet-stream\nContent-Transfer-Encoding: binary"),
                bytes(n for n in range(256) if n not in (10, 13)) + b"\r\nend\r\n",
            ),
        ),
    ]
