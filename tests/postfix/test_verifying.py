"""What comes from outside is verified through a real name server, and told truly."""

from __future__ import annotations

import re
import uuid

import pytest

from tests.postfix.site import AUTHSERV_ID, SENDER_DOMAIN, Site, fields
from tests.servers.postfix import OUTSIDE
from tests.servers.submission import Receipt

pytestmark = [pytest.mark.server("postfix"), pytest.mark.server("nsd")]

ENTRANCES = ["inet-6", "inet-2", "unix-6", "unix-2"]
FORGED = (
    b"Authentication-Results: " + AUTHSERV_ID.encode() + b"; dkim=pass header.d=bank.example\r\n",
    b"AUTHENTICATION-RESULTS:" + AUTHSERV_ID.upper().encode() + b" 1;\r\n"
    b"\tdkim=pass header.d=bank.example;\r\n\tspf=pass smtp.mailfrom=bank.example\r\n",
    b'Authentication-Results: (me) "' + AUTHSERV_ID.encode() + b'"; dkim = pass (really)\r\n'
    b" header.d = bank.example\r\n",
)
FOREIGN = b"Authentication-Results: mx.elsewhere.example; dkim=pass header.d=bank.example\r\n"


def letter(body: bytes = b"Hello\r\n") -> bytes:
    """A message from `SENDER_DOMAIN`; no two are the same."""
    return (
        b"From: Bob <bob@sender.example>\r\n"
        b"To: box@recipient.example\r\n"
        b"Subject:  A letter\r\n\tfrom outside \r\n"
        b"Date: Sun, 22 Nov 2026 21:00:00 +0000\r\n"
        b"Message-ID: <" + uuid.uuid4().hex.encode() + b"@sender.example>\r\n"
        b"\r\n" + body
    )


def deliver(site: Site, entrance: str, message: bytes) -> tuple[Receipt, bytes]:
    """Sends a message from outside and takes it out of the box."""
    receipt = site.postfix.submit(entrance, message, source=OUTSIDE)
    assert receipt.code == 250, receipt
    return receipt, site.postfix.arrival(receipt.queue_id)


def told(site: Site, entrance: str, receipt: Receipt) -> str:
    """What the log says of a message."""
    entries = site.filters[entrance.rpartition("-")[0]].log()
    return "\n".join(str(e["text"]) for e in entries if e["job_id"] == receipt.queue_id)


def results(octets: bytes) -> list[str]:
    """The words of our Authentication-Results field, which must be the only one of ours."""
    values = [b" ".join(value.split()) for value in fields(octets, b"authentication-results")]
    (ours,) = [value for value in values if value.startswith(AUTHSERV_ID.encode() + b";")]
    return re.findall(r"\bdkim=(\w+)", ours.decode())


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_pass(site: Site, entrance: str) -> None:
    message = site.keys.signed(letter(), "rsa", "ed")
    receipt, arrived = deliver(site, entrance, message)
    assert arrived.endswith(b"\r\n" + message)
    assert results(arrived) == ["pass", "pass"]
    (value,) = fields(arrived, b"authentication-results")
    assert value.count(b"header.d=" + SENDER_DOMAIN.encode()) == 2
    assert b"header.s=rsa" in value
    assert b"header.s=ed" in value
    log = told(site, entrance, receipt)
    assert f"[{OUTSIDE}] [{OUTSIDE}] not internal" in log
    assert "not authenticated" in log
    assert "DKIM verification successful" in log


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_fail(site: Site, entrance: str) -> None:
    message = site.keys.signed(letter(), "rsa", "ed").replace(b"Hello", b"Hallo")
    receipt, arrived = deliver(site, entrance, message)
    assert arrived.endswith(b"\r\n" + message)
    assert results(arrived) == ["fail", "fail"]
    assert "bad signature data" in told(site, entrance, receipt)
    assert "successful" not in told(site, entrance, receipt)


@pytest.mark.parametrize("entrance", ["inet-6", "unix-2"])
@pytest.mark.parametrize(
    ("selector", "word", "line"),
    [
        ("absent", "fail", "key retrieval failed (s=absent, d=sender.example)"),
        ("revoked", "fail", "key revoked (s=revoked, d=sender.example, a=rsa-sha256)"),
    ],
)
def test_without_a_key(site: Site, entrance: str, selector: str, word: str, line: str) -> None:
    message = site.keys.signed(letter(), selector, key="rsa")
    receipt, arrived = deliver(site, entrance, message)
    assert arrived.endswith(b"\r\n" + message)
    assert results(arrived) == [word]
    assert line in told(site, entrance, receipt)


def test_one_good_signature_is_enough(site: Site) -> None:
    message = site.keys.signed(letter(), "rsa")
    message = site.keys.signed(message, "absent", key="rsa")
    receipt, arrived = deliver(site, "inet-6", message)
    assert sorted(results(arrived)) == ["fail", "pass"]
    assert "DKIM verification successful" in told(site, "inet-6", receipt)


@pytest.mark.parametrize("entrance", ["inet-6", "unix-2"])
def test_without_a_signature(site: Site, entrance: str) -> None:
    message = letter()
    receipt, arrived = deliver(site, entrance, message)
    assert arrived.endswith(b"\r\n" + message)
    assert fields(arrived, b"authentication-results") == []
    assert "no signature data" in told(site, entrance, receipt)


@pytest.mark.parametrize("protocol", ["6", "2"])
def test_mail_is_refused_for_a_while_when_the_name_server_is_down(
    site: Site, protocol: str
) -> None:
    message = site.keys.signed(letter(), "rsa")
    receipt = site.postfix.submit(f"dns-down-{protocol}", message, source=OUTSIDE)
    assert receipt.code == 451
    assert receipt.text.startswith("4.7.5 ")
    entry = site.filters["dns-down"].wait_for("key retrieval failed (s=rsa, d=sender.example)")
    assert "queued as" not in site.postfix.log().partition(str(entry["job_id"]))[2][:200]


@pytest.mark.parametrize("protocol", ["6", "2"])
def test_mail_passes_without_the_name_server_where_configured(site: Site, protocol: str) -> None:
    message = site.keys.signed(letter(), "rsa", "ed")
    receipt, arrived = deliver(site, f"dns-accept-{protocol}", message)
    assert arrived.endswith(b"\r\n" + message)
    assert results(arrived) == ["temperror", "temperror"]
    assert "key retrieval failed" in told(site, f"dns-accept-{protocol}", receipt)


@pytest.mark.parametrize("entrance", ENTRANCES)
@pytest.mark.parametrize("kind", ["signed", "changed", "junk", "unsigned"])
def test_forged_results_are_removed(site: Site, entrance: str, kind: str) -> None:
    honest = letter()
    if kind != "unsigned":
        honest = site.keys.signed(honest, "rsa")
    if kind == "changed":
        honest = honest.replace(b"Hello", b"Hallo")
    if kind == "junk":
        honest = b"DKIM-Signature: this is no tag list\r\n" + honest
    first, second, third = FORGED
    top, rest = honest.split(b"From: ")
    forged = first + FOREIGN + top + second + b"From: " + rest.replace(b"\r\n\r\n", b"\r\n" + third)
    forged = forged.replace(third, third + b"\r\n")
    receipt, arrived = deliver(site, entrance, forged)
    assert receipt.code == 250
    kept = FOREIGN + honest
    assert arrived.endswith(b"\r\n" + kept)
    assert b"bank.example" not in arrived.replace(FOREIGN, b"")
    if kind == "unsigned":
        assert len(fields(arrived, b"authentication-results")) == 1
    else:
        verdict = {"signed": "pass", "changed": "fail", "junk": "pass"}[kind]
        assert verdict in results(arrived)


@pytest.mark.parametrize(
    ("options", "body"),
    [
        (("BODY=8BITMIME",), b"\xc3\xbc is \xfc in Latin-1, \x80\xff\r\n"),
        (("BODY=8BITMIME", "SMTPUTF8"), "最簡單的做法\r\n".encode()),
    ],
    ids=["8-bit", "utf-8"],
)
def test_other_than_ascii(site: Site, options: tuple[str, ...], body: bytes) -> None:
    sender = "Bjørn <bjørn@sender.example>" if "SMTPUTF8" in options else "Bob <b@sender.example>"
    message = letter(body).replace(b"Bob <bob@sender.example>", sender.encode())
    message = site.keys.signed(message, "rsa", "ed")
    receipt = site.postfix.submit("inet-6", message, source=OUTSIDE, options=options)
    arrived = site.postfix.arrival(receipt.queue_id)
    assert arrived.endswith(b"\r\n" + message)
    assert results(arrived) == ["pass", "pass"]


def test_20_megabytes(site: Site) -> None:
    line = b"All work and no play makes a message large. " * 2 + b"\r\n"
    message = site.keys.signed(letter(line * (20_000_000 // len(line) + 1)), "rsa", "ed")
    _, arrived = deliver(site, "inet-6", message)
    assert arrived.endswith(b"\r\n" + message)
    assert results(arrived) == ["pass", "pass"]
