"""What mail picks up on its way: lists, bounces, Received chains, Resent blocks, signatures."""

from .compose import Entry, letter

_LIST = """
Return-Path: <dev-bounces@lists.example.org>
Received: from lists.example.org (lists.example.org [198.51.100.7])
 by mx.example.com with ESMTPS; Fri, 2 Feb 2024 12:00:09 +0000 (UTC)
Received: from localhost (localhost [127.0.0.1])
\tby lists.example.org (Postfix) with ESMTP id 17A2B3;
\tFri,  2 Feb 2024 12:00:05 +0000 (UTC)
X-Original-To: dev@lists.example.org
Delivered-To: dev@lists.example.org
From: Erin via dev <dev@lists.example.org>
To: dev@lists.example.org
Reply-To: Erin <erin@example.net>
Subject: [dev] Release 2.0 (was: Re: Release 1.9)
Date: Fri, 2 Feb 2024 12:00:00 +0000
Message-ID: <mailman.17.1706875200.4242.dev@lists.example.org>
In-Reply-To: <1706870000.m@example.net>
Sender: "dev" <dev-bounces@lists.example.org>
Errors-To: dev-bounces@lists.example.org
List-Id: Development <dev.lists.example.org>
List-Unsubscribe: <https://lists.example.org/options/dev>,
 <mailto:dev-request@lists.example.org?subject=unsubscribe>
List-Archive: <https://lists.example.org/pipermail/dev/>
List-Post: <mailto:dev@lists.example.org>
List-Help: <mailto:dev-request@lists.example.org?subject=help>
List-Subscribe: <https://lists.example.org/listinfo/dev>,
 <mailto:dev-request@lists.example.org?subject=subscribe>
Precedence: list
X-BeenThere: dev@lists.example.org
X-Mailman-Version: 2.1.39
MIME-Version: 1.0
Content-Type: text/plain; charset="us-ascii"
Content-Transfer-Encoding: 7bit
"""
_LIST_BODY = """> When is it out?

Today.
_______________________________________________
dev mailing list  --  dev@lists.example.org
https://lists.example.org/listinfo/dev
"""

_BOUNCE = """
Return-Path: <>
Received: by mail.example.com (Postfix)
\tid 9C0FFEE; Wed,  3 Jan 2024 03:04:05 +0100 (CET)
Date: Wed,  3 Jan 2024 03:04:05 +0100 (CET)
From: MAILER-DAEMON@mail.example.com (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: frank@example.com
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
\tboundary="8BADF00D.1704247445/mail.example.com"
Message-Id: <20240103020405.9C0FFEE@mail.example.com>
"""
_BOUNCE_BODY = """This is a MIME-encapsulated message.

--8BADF00D.1704247445/mail.example.com
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

<gone@example.net>: host mx.example.net[203.0.113.9] said: 550 5.1.1
    <gone@example.net>: Recipient address rejected (in reply to RCPT TO command)

--8BADF00D.1704247445/mail.example.com
Content-Type: message/delivery-status

Reporting-MTA: dns; mail.example.com
Final-Recipient: rfc822; gone@example.net
Action: failed
Status: 5.1.1

--8BADF00D.1704247445/mail.example.com--
"""

_SHORT = """
From: Gina <gina@example.com>
To: hal@example.net
Subject: {}
Date: Mon, 8 Jan 2024 08:00:00 +0000
Message-ID: <{}@example.com>
"""


def _short(subject: str, number: int, before: str = "", after: str = "") -> str:
    return "\n" + before + _SHORT.format(subject, number).removeprefix("\n") + after


def _received(count: int) -> str:
    return "".join(
        f"Received: from hop{n}.example.net (hop{n}.example.net [192.0.2.{n}])\n"
        f"\tby hop{n - 1}.example.net (Exim 4.96) with esmtps  (TLS1.3)\n"
        f"\tid 1rM{n:03}-000abc-2{n:02};\tMon, 08 Jan 2024 08:00:{n:02} +0000\n"
        for n in range(count, 0, -1)
    )


def entries() -> list[Entry]:
    """Every message that has travelled."""
    body = "As promised.\n\nGina\n"
    thread = "".join(f"\n <{n:04}.{n * 7919}@thread.example.net>" for n in range(220))
    duplicated = (
        "Comments: first\nX-Tag: a\nComments: second\nKeywords: one, two\nX-Tag: b\n"
        "x-tag:  c \nComments: third\n"
    )
    resent = (
        "Resent-From: ivy@example.org\nResent-To: jon@example.org\n"
        "Resent-Date: Tue, 9 Jan 2024 09:00:00 +0000\nResent-Message-ID: <r2@example.org>\n"
        "Resent-From: kim@example.org\nResent-To: ivy@example.org\n"
        "Resent-Date: Tue, 9 Jan 2024 08:30:00 +0000\nResent-Message-ID: <r1@example.org>\n"
    )
    signed = (
        "Authentication-Results: mx.example.org; dkim=pass header.d=example.net\n"
        "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=gone.example.net; s=old;\n"
        "\th=from:to:subject; bh=frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=;\n"
        "\tb=dGhpcyBpcyBub3QgYSBzaWduYXR1cmU=\n"
    )
    return [
        Entry(
            name="list-mail",
            exercises="List-* fields, Sender, Return-Path, list footer",
            octets=letter(_LIST, _LIST_BODY),
        ),
        Entry(
            name="bounce",
            exercises="empty Return-Path, obsolete From with a comment, multipart/report",
            octets=letter(_BOUNCE, _BOUNCE_BODY),
        ),
        Entry(
            name="received-chain",
            exercises="24 folded Received fields",
            octets=letter(_short("Hops", 1, _received(24)), body),
        ),
        Entry(
            name="duplicated-fields",
            exercises="several Comments, Keywords and X- fields, other case",
            octets=letter(_short("Twice", 2, "", duplicated), body),
        ),
        Entry(
            name="long-references",
            exercises="References of 220 message identifiers",
            octets=letter(_short("Re: thread", 3, "", f"References:{thread}\n"), body),
        ),
        Entry(
            name="resent-blocks",
            exercises="two Resent-* blocks",
            octets=letter(_short("Again", 4, resent), body),
        ),
        Entry(
            name="already-signed",
            exercises="a foreign DKIM-Signature and Authentication-Results in the header",
            octets=letter(_short("Signed before", 5, signed), body),
        ),
    ]
