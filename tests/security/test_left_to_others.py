"""What is not defended against, as the security review says: so that a change is noticed there."""

import re

import pytest

from tests.milter.sessions import BODY, HOST, INSIDE, SIMPLE, Mta, compose, parse, site
from tests.protocol import material

KEY = material.ed25519()


def signed_domain(outcome):
    (change,) = outcome.changes
    return re.search(rb";\s*d=([^;\s]+)", change.field.value)[1]


def test_a_customer_may_write_as_any_author_that_a_row_names(tmp_path):
    """The MTA tells that somebody logged in, not which addresses are theirs."""
    settings = site(tmp_path, hosts={"verifies": False})
    key = tmp_path / "s1.private"
    (tmp_path / "KeyTable").write_text(f"own %:s2:{key}\n")
    (tmp_path / "SigningTable").write_text("a.com own\nb.com own\n")
    mta = Mta(settings, macros={"i": "1", "{auth_type}": "PLAIN", "{auth_authen}": "joe@a.com"})
    for author in (b"joe@a.com", b"jane@b.com"):
        outcome = mta.send([(b"From", b" " + author), *SIMPLE[1:]])
        assert signed_domain(outcome) == author.partition(b"@")[2]


def test_mail_that_is_signed_keeps_the_results_that_it_claims(tmp_path):
    """As OpenDKIM's does; the same from outside is taken out."""
    settings = site(tmp_path)
    claim = (b"Authentication-Results", f" {HOST}; dkim=pass header.d=bank.example".encode())
    inside = Mta(settings, peer=INSIDE).send([claim, *SIMPLE])
    assert b"bank.example" in inside.message
    assert inside.lines("signed")
    outside = Mta(settings).send([claim, *SIMPLE])
    assert b"bank.example" not in outside.message


@pytest.mark.rfc("6376", "8.6")
def test_a_message_passes_as_often_as_it_is_sent(tmp_path):
    settings = site(tmp_path)
    sent = Mta(settings, peer=INSIDE).send(SIMPLE)
    mta = Mta(settings)
    for number in range(3):
        to = b"<victim%d@example.org>" % number
        outcome = mta.send(*parse(sent.message), sender=b"<>", recipients=[to])
        assert "dkim=pass" in outcome.results[0]


@pytest.mark.rfc("6376", "8.14")
def test_a_public_suffix_is_not_known_to_be_one():
    """d= needs two labels; whether co.uk is somebody's own is not ours to know."""
    message = compose([(b"From", b" a@shop.co.uk")], BODY)
    for domain, status in ((b"co.uk", "pass"), (b"uk", "permerror")):
        signed = material.sign_by_hand(message, KEY, changes={b"d": domain, b"h": b"from"})
        (result,) = material.verify(signed, KEY.record())
        assert result.status == status
