"""What the site's own people send is signed with both keys and arrives as it was sent."""

from __future__ import annotations

import uuid

import pytest

from tests.postfix.site import DOMAIN, USER, Site, fields
from tests.servers.postfix import OUTSIDE

pytestmark = [pytest.mark.server("postfix"), pytest.mark.server("Mail::DKIM")]

HEADER = (
    b"From: Alice <alice@example.com>\r\n"
    b"To: box@recipient.example\r\n"
    b"Date: Sun, 22 Nov 2026 21:00:00 +0000\r\n"
)
KINDS = {
    "plain": HEADER + b"Subject: Hello\r\n\r\nOne line.\r\nAnother one. \r\n\r\n\r\n",
    "empty": HEADER + b"Subject: Nothing follows\r\n\r\n",
    "folded": (
        b"From:\r\n Alice\r\n\t<alice@example.com>\r\n"
        b"To:box@recipient.example,\r\n\r\t  \r\n other@recipient.example\r\n".replace(
            b"\r\t", b"\t"
        )
        + b"Date: Sun, 22 Nov 2026 21:00:00 +0000\r\n"
        b"Subject:   three blanks\r\n\t\ttwo tabs  \r\n one blank\t\r\n"
        b"SUBJECT2:no blank\r\n"
        b"References:\r\n <1@example.com>\r\n\t<2@example.com>\r\n"
        b"X-Empty:\r\nX-Blank: \r\n"
        b"\r\nBody\r\n"
    ),
    "long": (
        HEADER
        + b"Subject: "
        + b"x" * 3000
        + b"\r\nReferences:"
        + b"".join(b"\r\n\t<%d@example.com>" % n for n in range(1000))
        + b"\r\n\r\n"
        + b"y" * 5000
        + b"\r\n..\r\n.\t\r\n"
    ),
    "8-bit": HEADER + b"Subject: J\xfcrgen\r\n\r\n\xc3\xbc is \xfc in Latin-1, \x80\xff\r\n",
    "utf-8": (
        "From: Jürgen Größe <jürgen@example.com>\r\n"
        "To: Пользователь <ящик@recipient.example>\r\n"
        "Date: Sun, 22 Nov 2026 21:00:00 +0000\r\n"
        "Subject: 設定 Socket\r\n"
        "\r\n最簡單的做法\r\n"
    ).encode(),
}
OPTIONS = {"8-bit": ("BODY=8BITMIME",), "utf-8": ("BODY=8BITMIME", "SMTPUTF8")}
ENTRANCES = ["inet-6", "inet-2", "unix-6", "unix-2"]


def sent(kind: str) -> bytes:
    """A message of this kind; no two are the same."""
    return b"Message-ID: <%s@example.com>\r\n" % uuid.uuid4().hex.encode() + KINDS[kind]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("entrance", ENTRANCES)
def test_an_internal_host_is_signed_for(site: Site, entrance: str, kind: str) -> None:
    message = sent(kind)
    recipient = "ящик@recipient.example" if kind == "utf-8" else "box@recipient.example"
    receipt = site.postfix.submit(
        entrance, message, recipients=[recipient], options=OPTIONS.get(kind, ())
    )
    arrived = site.postfix.arrival(receipt.queue_id)
    assert arrived.endswith(b"\r\n" + message)
    site.keys.demand_peers_pass(arrived)
    assert site.keys.verdicts(arrived) == [(DOMAIN, "pass")] * 2


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_an_authenticated_client_is_signed_for(site: Site, entrance: str) -> None:
    message = sent("folded")
    receipt = site.postfix.submit(entrance, message, source=OUTSIDE, login=USER)
    arrived = site.postfix.arrival(receipt.queue_id)
    assert arrived.endswith(b"\r\n" + message)
    site.keys.demand_peers_pass(arrived)


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_the_same_client_is_not_signed_for_without(site: Site, entrance: str) -> None:
    receipt = site.postfix.submit(entrance, sent("plain"), source=OUTSIDE)
    arrived = site.postfix.arrival(receipt.queue_id)
    assert fields(arrived, b"dkim-signature") == []
    running = site.filters[entrance.partition("-")[0]]
    told = [entry["text"] for entry in running.log() if entry["job_id"] == receipt.queue_id]
    assert f"[{OUTSIDE}] [{OUTSIDE}] not internal" in told
    assert "not authenticated" in told
    assert "no signature data" in told


@pytest.mark.parametrize("protocol", ["6", "2"])
@pytest.mark.parametrize("where", ["inet", "unix"])
def test_sendmail_is_signed_for(site: Site, where: str, protocol: str) -> None:
    milters = site.postfix.entrances[f"{where}-{protocol}"].milters
    site.postfix.reload(non_smtpd_milters=milters, milter_protocol=protocol)
    for kind in ("folded", "8-bit"):
        message = sent(kind)
        site.postfix.sendmail(message)
        message_id = message.partition(b">")[0].partition(b"<")[2].decode()
        arrived = site.postfix.arrival(site.postfix.queue_id_of(message_id))
        assert arrived.endswith(b"\r\n" + message)
        site.keys.demand_peers_pass(arrived)


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_what_postfix_mends_is_signed_as_mended(site: Site, entrance: str) -> None:
    bare = b"From: Alice <alice@example.com>\r\nCc : carol\r\nSubject :\r\n odd\r\n\r\nBody\r\n"
    receipt = site.postfix.submit(entrance, bare)
    arrived = site.postfix.arrival(receipt.queue_id)
    for name in (b"date", b"message-id", b"cc"):
        assert len(fields(arrived, name)) == 1
    assert b"Cc: carol@" in arrived
    site.keys.demand_peers_pass(arrived)


@pytest.mark.parametrize("kind", KINDS)
def test_simple_canonicalization_survives_postfix(site: Site, kind: str) -> None:
    message = sent(kind)
    options = OPTIONS.get(kind, ())
    receipt = site.postfix.submit("simple-6", message, options=options)
    arrived = site.postfix.arrival(receipt.queue_id)
    assert arrived.endswith(b"\r\n" + message)
    assert b"c=simple/simple" in arrived
    site.keys.demand_peers_pass(arrived)


@pytest.mark.parametrize("protocol", ["6", "2"])
def test_without_its_key_mail_is_refused_for_a_while(site: Site, protocol: str) -> None:
    receipt = site.postfix.submit(f"no-key-{protocol}", sent("plain"))
    assert receipt.code == 451
    entry = site.filters["no-key"].wait_for("error loading key 'rsa'", timeout=60)
    assert f"{entry['job_id']}: milter-reject: " in site.postfix.log()


def test_an_author_at_a_domain_of_other_letters(site: Site) -> None:
    message = sent("utf-8").replace(b"@example.com>\r\nTo", "@bücher.example>\r\nTo".encode())
    receipt = site.postfix.submit("inet-6", message, options=OPTIONS["utf-8"])
    arrived = site.postfix.arrival(receipt.queue_id)
    assert arrived.endswith(b"\r\n" + message)
    site.keys.demand_peers_pass(arrived, selectors=["idn"])


@pytest.mark.parametrize("entrance", ["inet-6", "unix-6"])
def test_20_megabytes(site: Site, entrance: str) -> None:
    line = b"All work and no play makes a message large. " * 2 + b"\r\n"
    message = sent("plain") + line * (20_000_000 // len(line) + 1)
    assert len(message) > 20_000_000
    receipt = site.postfix.submit(entrance, message)
    arrived = site.postfix.arrival(receipt.queue_id)
    assert arrived.endswith(b"\r\n" + message)
    assert site.keys.verdicts(arrived) == [(DOMAIN, "pass")] * 2
    if entrance == "inet-6":  # once: Mail::DKIM takes ten seconds
        site.keys.demand_peers_pass(arrived)
