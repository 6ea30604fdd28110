"""The harness is worth its trust: a Postfix without a milter changes nothing."""

import smtplib
from collections.abc import Iterator

import pytest

from tests.servers import servers_required
from tests.servers.postfix import OUTSIDE, Entrance, Postfix, postfix_unusable

MESSAGE = (
    b"From: Alice <alice@example.com>\r\n"
    b"To: box@recipient.example\r\n"
    b"Subject:odd\r\n"
    b"\tfolding \r\n"
    b"Date: Sun, 22 Nov 2026 21:00:00 +0000\r\n"
    b"Message-ID: <%s@example.com>\r\n"
    b"\r\n"
    b".A dot, and octets that are not UTF-8: \xff\xfe\r\n"
    b"\r\n"
    b" \r\n"
)

pytestmark = pytest.mark.server("postfix")


@pytest.fixture(scope="module")
def postfix() -> Iterator[Postfix]:
    reason = postfix_unusable()
    if reason is not None:
        (pytest.fail if servers_required() else pytest.skip)(reason)
    entrances = {"chroot": Entrance(), "plain": Entrance(chroot=False)}
    with Postfix(entrances, users={"alice": "secret"}) as running:
        yield running


@pytest.mark.parametrize("entrance", ["chroot", "plain"])
@pytest.mark.parametrize("source", ["127.0.0.1", OUTSIDE])
def test_a_message_arrives_as_it_was_sent(postfix: Postfix, entrance: str, source: str) -> None:
    receipt = postfix.submit(entrance, MESSAGE % b"smtp", source=source)
    arrived = postfix.arrival(receipt.queue_id)
    assert arrived.endswith(b"\r\n" + MESSAGE % b"smtp")
    assert arrived.startswith(b"Received: ")
    assert f"[{source}]".encode() in arrived


def test_sendmail_submits(postfix: Postfix) -> None:
    postfix.sendmail(MESSAGE % b"sendmail")
    arrived = postfix.arrival(postfix.queue_id_of("sendmail@example.com"))
    assert arrived.endswith(b"\r\n" + MESSAGE % b"sendmail")


def test_a_client_authenticates(postfix: Postfix) -> None:
    receipt = postfix.submit("chroot", MESSAGE % b"login", login=("alice", "secret"))
    assert receipt.code == 250
    postfix.wait_for_log(f"{receipt.queue_id}: client=.*sasl_method=PLAIN, sasl_username=alice")
    with pytest.raises(smtplib.SMTPAuthenticationError):
        postfix.submit("chroot", MESSAGE % b"login", login=("alice", "wrong"))


def test_settings_change_while_it_runs(postfix: Postfix) -> None:
    postfix.reload(message_size_limit="100")
    try:
        receipt = postfix.submit("plain", MESSAGE % b"reload")
        assert (receipt.code, receipt.text[:5]) == (552, "5.3.4")
    finally:
        postfix.reload(message_size_limit="104857600")
    assert postfix.submit("plain", MESSAGE % b"reload").code == 250
