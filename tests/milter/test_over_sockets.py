"""The milter over its sockets, as a process, played to by a whole MTA's side of the protocol."""

from __future__ import annotations

import os
import socket
import threading

import pytest

import dkimcore
from dkimcore.resolvers.static import StaticResolver
from dkimcore.testing import EphemeralKey
from tests.milter.processes import HAS_IPV6, accepted_sockets, children, descriptors
from tests.servers.dkimcoremilter import DkimcoreMilter
from tests.servers.milterclient import Delivery, MilterClient, Outcome, converse, deliver
from tests.servers.miltermessage import split_message
from tests.servers.milterwire import (
    AddRecipient,
    ChangeField,
    DeleteRecipient,
    FilterActions,
    InsertField,
    Outlook,
    Steps,
)

KEY = EphemeralKey.ed25519()
FILES = {"key": KEY.private_pem()}
SIGNING = "Domain example.com\nSelector s1\nKeyFile {folder}/key\n"
RECORDS = StaticResolver({"s1._domainkey.example.com": KEY.key_record()})
INSIDE = Delivery(host="localhost", address="127.0.0.1")
OUTSIDE = Delivery(address="192.0.2.1")
MESSAGE = b"From: a@example.com\r\nTo: b@example.net\r\nSubject: hi\r\n\r\nhello\r\n"
ODD = (
    b"From: a@example.com\r\n"
    b"Subject:no blank\r\n"
    b"To:  two blanks\r\n\tand a fold\r\n  and another\r\n"
    b"Cc:\r\n folded at once\r\n"
    b"Reply-To: caf\xe9 \xf0\x9f\x98\x80 \xff\xfe <c@example.com>\r\n"
    b"Message-ID: <x@y> \t \r\n"
    b"\r\n"
    b"body \xe9 with a NUL \0 in it\r\n"
)


needs_ipv6 = pytest.mark.skipif(not HAS_IPV6, reason="this machine has no ::1")


def free_port(family=socket.AF_INET):
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    with socket.create_server((host, 0), family=family) as probe:
        return probe.getsockname()[1]


def play(client, message, *, macros=None):
    """Plays a message on a connection that had its CONNECT, and returns its outcome."""
    client.macros(b"M", macros or {"i": "Q1"})
    replies = [("mail", client.mail(b"<a@example.com>"))]
    replies.append(("rcpt", client.rcpt(b"<b@example.net>")))
    replies.append(("data", client.data()))
    fields, _, body = split_message(message)
    for field in fields:
        name, _, value = field.partition(b":")
        replies.append(("header", client.header(name, value)))
    replies.append(("eoh", client.eoh()))
    changes = ()
    if not replies[-1][1].final:
        replies.append(("body", client.body(body)))
        changes, reply = client.eom()
        replies.append(("eom", reply))
    return Outcome(
        replies=tuple(replies),
        changes=changes,
        negotiated=client.negotiated,
        original=message,
        delivery=OUTSIDE,
    )


def status(message):
    (result,) = dkimcore.verify(message, resolver=RECORDS)
    return result.status


@pytest.fixture(scope="module", params=["unix", "inet", pytest.param("inet6", marks=needs_ipv6)])
def milter(request):
    """A milter that signs for example.com, on each kind of socket."""
    name = None
    if request.param != "unix":
        family, host = (
            (socket.AF_INET, "localhost") if request.param == "inet" else (socket.AF_INET6, "[::1]")
        )
        name = f"{request.param}:{free_port(family)}@{host}"
    conf = f"{SIGNING}Canonicalization simple/simple\n"
    with DkimcoreMilter(conf, files=FILES, socket_name=name) as process:
        yield process


@pytest.mark.parametrize("version", [6, 2])
def test_a_message_is_signed(milter, version):
    outcome = deliver(milter.address, MESSAGE, INSIDE, version=version)
    assert outcome.reply.outlook is Outlook.ACCEPT
    assert outcome.step == "eom"
    (change,) = outcome.changes
    assert isinstance(change, InsertField)
    assert (change.index, change.name) == (0, b"DKIM-Signature")
    assert b"\r" not in change.value
    assert status(outcome.message()) == "pass"


def test_odd_octets_are_signed_as_they_are(milter):
    outcome = deliver(milter.address, ODD, INSIDE)
    assert outcome.message().endswith(ODD)
    assert status(outcome.message()) == "pass"


def test_a_body_of_2_mb_in_many_chunks(milter):
    message = MESSAGE + b"0123456789abcdef" * 131072 + b"\r\n"
    assert status(deliver(milter.address, message, INSIDE).message()) == "pass"


def test_several_messages_on_a_connection_and_some_without_an_end(milter):
    with MilterClient(milter.address) as client:
        client.negotiate()
        first = converse(client, MESSAGE, INSIDE)
        client.mail(b"<lost@example.com>")
        client.rcpt(b"<b@example.net>")
        client.data()
        client.header(b"From", b" lost@example.com")
        client.abort()
        client.mail(b"<lost@example.com>")
        client.abort()
        second = play(client, MESSAGE.replace(b"hello", b"again"))
    assert status(first.message()) == status(second.message()) == "pass"
    assert first.changes != second.changes


def test_a_unix_socket_is_sent_all_of_a_header_at_once(milter):
    inet = milter.address.startswith("inet")
    with MilterClient(milter.address) as client:
        agreed = client.negotiate()
    steps = Steps.NOHELO | Steps.NOUNKNOWN | Steps.SKIP | Steps.HDR_LEADSPC
    # On TCP each segment of the MTA is to have an answer, or it waits 40 ms for an ACK.
    muted = Steps.NODATA | Steps.NR_MAIL | Steps.NR_RCPT | Steps.NR_HDR
    assert agreed.steps == (steps if inet else steps | muted)
    assert agreed.actions == FilterActions.ADDHDRS | FilterActions.CHGHDRS
    assert agreed.symbols == ()


def test_an_mta_that_does_not_allow_what_is_needed_is_not_served(milter):
    with MilterClient(milter.address) as client, pytest.raises(Exception, match=r".") as error:
        client.negotiate(actions=FilterActions.ADDHDRS)
    assert isinstance(error.value, (OSError, EOFError)) or "Milter" in type(error.value).__name__
    line = milter.wait_for("required milter action(s) not available")
    assert line["text"].endswith("(got 0x1, need 0x11)")
    assert line["level"] == "err"


def test_a_field_name_that_is_no_text_is_one_like_others(milter):
    odd = b"X-\xff: x\r\n" + MESSAGE
    with MilterClient(milter.address) as client:
        client.negotiate()
        client.connect("localhost", "127.0.0.1")
        assert status(play(client, odd).message()) == "pass"


def test_accepted_connections_do_not_wait_to_fill_segments(milter):
    if milter.address.startswith("local"):
        return
    with MilterClient(milter.address) as client:
        client.negotiate()
        (worker,) = children(milter.pid)
        accepted = accepted_sockets(worker)
        try:
            assert accepted
            for taken in accepted:
                assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        finally:
            for taken in accepted:
                taken.close()


def test_descriptors_are_given_back(milter):
    (worker,) = children(milter.pid)
    deliver(milter.address, MESSAGE, INSIDE)
    with MilterClient(milter.address) as client:
        client.negotiate()
        before = len(descriptors(worker))
        for _ in range(50):
            deliver(milter.address, MESSAGE, INSIDE)
        # The last one may be closing still.
        assert len(descriptors(worker)) <= before + 2


def test_macros_are_asked_for_and_may_hold_any_octets():
    conf = f"{SIGNING}MacroList csl:{{color}}=blue\nInternalHosts 192.0.2.9\n"
    with DkimcoreMilter(conf, files=FILES) as milter:
        blue = Delivery(host="x", address="198.51.100.1", macros={"{color}": "blue"})
        outcome = deliver(milter.address, MESSAGE, blue)
        assert status(outcome.message()) == "pass"
        ((_, symbols),) = outcome.negotiated.symbols
        assert "{color}" in symbols.split()
        odd = Delivery(host="x", address="198.51.100.1", macros={"{color}": "bl\udcffe"})
        assert not any(
            isinstance(change, InsertField) and change.name == b"DKIM-Signature"
            for change in deliver(milter.address, MESSAGE, odd).changes
        )


def test_a_refusal_keeps_its_text_and_a_plain_one_gets_a_plain_text():
    files = {**FILES, "records": "s2._domainkey.example.com v=DKIM1; p=\n"}
    conf = (
        "Mode v\nTestPublicKeys {folder}/records\nInternalHosts 192.0.2.200\n"
        "On-BadSignature reject\nOn-KeyNotFound tempfail\n"
    )
    with DkimcoreMilter(SIGNING, files=FILES) as signer:
        signed = deliver(signer.address, MESSAGE, INSIDE).message()
    with DkimcoreMilter(conf, files=files) as milter, MilterClient(milter.address) as client:
        client.negotiate()
        missing = converse(client, signed, OUTSIDE)
        assert missing.reply.smtp == "451 4.7.5 DKIM key retrieval failed"
        revoked = play(client, signed.replace(b"s=s1", b"s=s2"))
        assert revoked.reply.smtp is not None
        assert revoked.reply.smtp.startswith("550 5.7")
        assert "key retrieval" not in revoked.reply.smtp


def test_failures_are_redirected_and_forged_results_deleted():
    files = {"records": f"s1._domainkey.example.com {KEY.key_record().decode()}\n"}
    conf = (
        "Mode v\nTestPublicKeys {folder}/records\nInternalHosts 192.0.2.200\n"
        "AuthservID mx.example.net\nRedirectFailuresTo postmaster@example.net\n"
    )
    with DkimcoreMilter(SIGNING, files=FILES) as signer:
        signed = deliver(signer.address, MESSAGE, INSIDE).message()
    forged = b"Authentication-Results: mx.example.net; dkim=pass header.d=example.com\r\n"
    with DkimcoreMilter(conf, files=files) as milter:
        outcome = deliver(milter.address, forged * 3 + signed + b"more\r\n", OUTSIDE)
    assert AddRecipient(b"<postmaster@example.net>") in outcome.changes
    assert DeleteRecipient(b"<rcpt@example.net>") in outcome.changes
    deleted = [change.index for change in outcome.changes if isinstance(change, ChangeField)]
    assert deleted == [3, 2, 1]
    assert outcome.message().count(b"dkim=pass") == 0
    assert b"dkim=fail" in outcome.message()


SLOW = """
import os
from dkimcore.testing import EphemeralKey

class SlowKey:
    def __init__(self, path):
        key = EphemeralKey.ed25519()
        self._path, self._key, self._uses = path, key, 0
        self.algorithm, self.public_key = key.algorithm, key.public_key

    def sign_digest(self, digest):
        self._uses += 1
        if self._uses > 1:  # not at the self-check
            with open(self._path):  # a FIFO: waits until somebody opens its other end
                pass
        return self._key.sign_digest(digest)

def open_key(uri, context):
    return SlowKey(os.environ["SLOW_FIFO"])
"""


def test_an_mta_is_told_to_wait_for_a_slow_key(tmp_path, monkeypatch):
    (tmp_path / "slowkey-1.dist-info").mkdir()
    (tmp_path / "slowkey-1.dist-info" / "METADATA").write_text("Name: slowkey\nVersion: 1\n")
    (tmp_path / "slowkey-1.dist-info" / "entry_points.txt").write_text(
        "[dkimcore.keys]\nslow = slowkey:open_key\n"
    )
    (tmp_path / "slowkey.py").write_text(SLOW)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("SLOW_FIFO", str(tmp_path / "fifo"))
    os.mkfifo(tmp_path / "fifo")
    conf = "KeyTable csl:k=example.com:s1:slow:x\nSigningTable csl:example.com=k\n"
    with DkimcoreMilter(conf) as milter, MilterClient(milter.address, timeout=60) as client:
        client.negotiate()
        outcomes = []
        mta = threading.Thread(target=lambda: outcomes.append(converse(client, MESSAGE, INSIDE)))
        mta.start()
        while client.progress == 0 and mta.is_alive():
            mta.join(0.01)
        with open(tmp_path / "fifo", "w"):
            pass
        mta.join()
    (outcome,) = outcomes
    assert outcome.progress >= 1
    assert outcome.reply.outlook is Outlook.ACCEPT
    assert len(outcome.changes) == 1
