"""What is kept from one message for the next changes nothing; what has to be opened waits."""

from __future__ import annotations

import pytest

import dkimcore
from dkimcore.protocol.mailbox import Mailbox
from dkimcore.settings.model import Source
from dkimcore.testing import EphemeralKey
from dkimcore_milter.engine import Engine, Origin
from tests.milter.sessions import BODY, INSIDE, OUTSIDE, SIMPLE, Mta, compose, parse, publish, site
from tests.milter.test_verifying import mail

OURS = Origin(allowed=True, reason="a test")

FAR = """
from dkimcore.testing import EphemeralKey

KEY = EphemeralKey.ed25519(bytes(range(32)))
opened = []

class FarKey:
    algorithm = KEY.algorithm
    public_key = KEY.public_key
    sign_digest = KEY.sign_digest

def open_key(uri, context):
    opened.append(str(uri))
    return FarKey()
"""


@pytest.fixture
def far(tmp_path, monkeypatch):
    """A key backend of somebody else's, which says what was opened."""
    package = tmp_path / "packages"
    info = package / "farkey-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: farkey\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[dkimcore.keys]\nfar = farkey:open_key\n")
    (package / "farkey.py").write_text(FAR)
    monkeypatch.syspath_prepend(package)
    import farkey

    farkey.opened.clear()
    return farkey


def far_site(tmp_path, **groups):
    settings = site(tmp_path, **groups)
    (tmp_path / "KeyTable").write_text("main example.com:s1:far:key\n")
    return settings


def begin(mta, fields, *, to=b"<bob@example.net>"):
    mta.session.envelope_sender(b"<>")
    mta.session.envelope_recipient(to)
    for one in fields:
        mta.session.field(*one)
    return mta.session.try_end_of_header()


def test_a_key_kept_elsewhere_is_not_opened_while_others_would_wait(tmp_path, far):
    mta = Mta(far_site(tmp_path), peer=INSIDE)
    assert begin(mta, SIMPLE) is None
    assert far.opened == []
    mta.session.wait()
    assert far.opened == ["far:key"]
    mta.session.body(BODY)
    (inserted,) = mta.session.end_of_message().modifications
    assert inserted.field.name == b"DKIM-Signature"
    assert begin(mta, SIMPLE) is not None, "it is open: nothing to wait for"


def test_a_message_that_goes_away_meanwhile_is_forgotten(tmp_path, far):
    mta = Mta(far_site(tmp_path), peer=INSIDE)
    assert begin(mta, SIMPLE) is None
    mta.session.abort()
    mta.session.wait()
    assert mta.send(SIMPLE).values("DKIM-Signature")


@pytest.mark.parametrize("known", [True, False])
def test_who_signs_again_waits_for_the_key_and_for_the_dns(tmp_path, far, known):
    """ResignMailTo."""
    signing = {"resign_recipients": Source("list@example.net=main"), "resign_all": True}
    mta = Mta(far_site(tmp_path, signing=signing), peer=OUTSIDE)
    if not known:

        class Resolver:  # has nothing at hand
            lookup_txt = mta.engine.resolver.lookup_txt

        mta.engine.resolver = Resolver()
    fields, body = parse(mail())
    assert begin(mta, fields, to=b"<list@example.net>") is None
    assert far.opened == []
    mta.session.wait()
    mta.session.body(body)
    names = [change.field.name for change in mta.session.end_of_message().modifications]
    assert names == [b"Authentication-Results", b"DKIM-Signature"]


def test_a_new_key_file_signs_the_next_message(tmp_path):
    settings = site(tmp_path)
    mta = Mta(settings, peer=INSIDE)
    for seed in (1, 2, 3):
        key = EphemeralKey.ed25519(bytes([seed]) * 32)
        (tmp_path / "s1.private").write_bytes(key.private_pem())
        publish(tmp_path, s1=key.key_record())
        resolver = Engine.load(settings).resolver
        for _ in range(2):
            signed = mta.send().message
            assert dkimcore.verify(signed, resolver=resolver, now=1_700_000_100).passed


def test_authors_are_told_apart_by_how_they_are_written(tmp_path):
    """Domains that compare as the same are not written the same, and d= is as written."""
    settings = site(tmp_path)
    (tmp_path / "KeyTable").write_text(f"main %:s1:{tmp_path}/s1.private\n")
    (tmp_path / "SigningTable").write_text("xn--bcher-kva.example main\n")
    engine = Engine.load(settings)
    for _ in range(2):
        for text in ("xn--bcher-kva.example", "b\u00fccher.example", "B\u00dcCHER.example"):
            author = Mailbox.parse(f"a@{text}".encode())
            (planned,) = engine.choose(author, OURS).planned
            assert str(planned.domain) == text.lower()


def test_a_row_that_is_wrong_is_reported_for_each_message(tmp_path):
    settings = site(tmp_path)
    (tmp_path / "KeyTable").write_text("other example.com:s1:/nowhere\n")
    mta = Mta(settings, peer=INSIDE)
    for _ in range(3):
        assert len(mta.send().lines("table-error")) == 1


def test_strangers_cannot_make_us_remember_without_end(tmp_path):
    settings = site(tmp_path)
    (tmp_path / "KeyTable").write_text(f"main %:s1:{tmp_path}/s1.private\n")
    (tmp_path / "SigningTable").write_text("* main\n")
    engine = Engine.load(settings)
    kept = []
    for number in range(3000):
        author = Mailbox.parse(f"a@h{number}.example".encode())
        (planned,) = engine.choose(author, OURS).planned
        kept.append(engine.signer(planned))
        assert kept[-1].domain.text == f"h{number}.example"
    assert engine._choice._known.cache_info().currsize <= 1024
    assert len(engine.keys._signers) <= 1024


def test_what_is_not_our_mail_is_not_remembered(tmp_path):
    engine = Engine.load(site(tmp_path))
    author = Mailbox.parse(b"alice@example.com")
    assert not engine.choose(author, Origin(allowed=False)).planned
    assert engine.choose(author, OURS).planned
    assert not engine.choose(author, Origin(allowed=False)).planned


def test_a_message_passes_that_is_composed_again(tmp_path):
    """The same octets, the same second: the same signature (RSA, PKCS #1 v1.5)."""
    mta = Mta(site(tmp_path), peer=INSIDE)
    assert mta.send().message == mta.send().message != compose(SIMPLE, BODY)
