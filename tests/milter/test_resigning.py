"""Mail that is verified and signed again for whom it is sent on (ResignMailTo)."""

import pytest

import dkimcore
from dkimcore.settings.model import Action, Source
from dkimcore_milter.action import DeleteField, Reply, Verdict
from tests.milter.sessions import BODY, NOW, SIMPLE, Mta, compose, parse, site
from tests.milter.test_signing import RECORDS, FarKey
from tests.milter.test_verifying import FORGED, mail, tampered

LIST = (b"<list@example.net>",)


def forwarded(folder, message, *, recipients=LIST, key="main", **groups):
    signing = {"resign_recipients": Source(f"list@example.net={key}"), **groups.pop("signing", {})}
    return Mta(site(folder, signing=signing, **groups)).pass_on(message, recipients=recipients)


def count(outcome):
    return len(outcome.values("DKIM-Signature"))


def test_what_passed_is_signed_again(tmp_path):
    message = compose([FORGED], b"")[:-2] + mail()
    outcome = forwarded(tmp_path, message, signing={"remove_old_signatures": True})
    assert "dkim=pass" in outcome.results[0]
    assert len(outcome.results) == 1
    assert count(outcome) == 1
    assert dkimcore.verify(outcome.message, resolver=RECORDS, now=NOW).passed
    kinds = [isinstance(change, DeleteField) for change in outcome.changes]
    assert kinds == sorted(kinds, reverse=True)


def test_what_did_not_pass_is_not(tmp_path):
    assert count(forwarded(tmp_path, tampered())) == 1
    assert count(forwarded(tmp_path, compose(SIMPLE, BODY))) == 0


def test_unless_all_is(tmp_path):
    """ResignAll."""
    outcome = forwarded(tmp_path, compose(SIMPLE, BODY), signing={"resign_all": True})
    assert count(outcome) == 1


def test_other_recipients_get_it_as_it_is(tmp_path):
    assert count(forwarded(tmp_path, mail(), recipients=(b"<bob@example.net>",))) == 1


def test_what_is_rejected_is_not_signed(tmp_path):
    outcome = forwarded(
        tmp_path,
        tampered(),
        signing={"resign_all": True},
        actions={"bad_signature": Action.REJECT},
    )
    assert outcome.reply.verdict is Verdict.REJECT


def test_who_only_verifies_signs_nothing(tmp_path):
    assert count(forwarded(tmp_path, mail(), hosts={"signs": False})) == 1


def test_a_wrong_table_is_never_an_unsigned_message(tmp_path):
    outcome = forwarded(tmp_path, mail(), key="nosuchkey")
    assert (outcome.reply, outcome.step) == (Reply(Verdict.TEMPFAIL), "eoh")


@pytest.mark.parametrize(
    ("author", "said"),
    [
        (b" root@localhost", "'localhost' cannot be a signing domain; not signed"),
        (b" <a@b> c@d", "there is no author whose domain could sign; not signed"),
    ],
)
def test_an_author_that_cannot_sign_is_only_verified(tmp_path, author, said):
    """A stranger's mail, which is not to be refused for our "%"."""
    signing = {"resign_recipients": Source("list@example.net=main"), "resign_all": True}
    settings = site(tmp_path, signing=signing)
    (tmp_path / "KeyTable").write_text(f"main %:s1:{tmp_path}/s1.private\n")
    outcome = Mta(settings).pass_on(mail(fields=[(b"From", author), *SIMPLE[1:]]), recipients=LIST)
    assert "dkim=pass" in outcome.results[0]
    assert len(outcome.values("DKIM-Signature")) == 1
    assert outcome.lines("unfit-domain") == [said]


def test_a_message_that_cannot_be_signed_again(tmp_path):
    """Two authors: what goes wrong while it is signed is told, and nothing is changed."""
    fields = [*SIMPLE, (b"From", b" eve@example.org")]
    outcome = forwarded(tmp_path, compose(fields, BODY), signing={"resign_all": True})
    assert outcome.reply.code == "550"


def test_a_key_service_that_is_down_tempfails(tmp_path, monkeypatch):
    signing = {"resign_recipients": Source("list@example.net=main")}
    settings = site(tmp_path, signing=signing)
    (tmp_path / "KeyTable").write_text("main example.com:s1:far:key\n")
    mta = Mta(settings)
    mta.engine._keys.add("far:key", FarKey.ed25519(bytes(32)))
    monkeypatch.setattr(FarKey, "is_down", True)
    fields, body = parse(mail())
    mta.session.envelope_recipient(LIST[0])
    for one in fields:
        mta.session.field(*one)
    mta.session.end_of_header()
    assert mta.session.may_be_slow
    mta.session.body(body)
    assert mta.session.end_of_message().reply.code == "451"
