"""Fetched keys are fetched again: answers are obeyed, silence is bridged for a while."""

from __future__ import annotations

import pytest

from dkimcore.errors import (
    KeyDenied,
    KeyNotFound,
    KeyUnavailable,
    KeyUnusable,
    SettingsError,
)
from dkimcore.keys import KeyContext
from dkimcore.keys.contain import Containment
from dkimcore.keys.fetched import FetchedKey
from dkimcore.keys.refreshing import Refresher
from dkimcore.keys.sections import Sections, StoreSettings
from dkimcore.keys.stored import stored_key
from dkimcore.testing import EphemeralKey
from tests.keys.remotes import GOOD, Heard

DIGEST = bytes(range(32))
DOWN = KeyUnavailable("down", uri="acme:k")


class Site:
    """One fetched key with its refresher; `answer` is what its backend has, or raises."""

    def __init__(self, refresh=300.0, stale=1000.0):
        self.answer, self.now, self.forgotten, self.fetched = GOOD.private_pem(), 1000.0, 0, 0
        self.heard = Heard()
        settings = Sections(store=StoreSettings(refresh=refresh, stale=stale))
        self.containment = Containment(KeyContext(sections=settings, observer=self.heard))
        self.key = FetchedKey(bytearray(self.answer), name="acme:k", fetch=self.fetch)
        self.stored = stored_key(self.key, uri="acme:k", containment=self.containment, seconds=30.0)
        self.refresher = Refresher(
            self.stored,
            self.key,
            context=self.containment.context,
            contain=lambda exc: self.containment.contain(exc, uri="acme:k"),
            forget=self.forget,
            clock=lambda: self.now,
        )

    def fetch(self):
        self.fetched += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return bytearray(self.answer)

    def forget(self):
        self.forgotten += 1

    def after(self, seconds, answer=None):
        self.now += seconds
        self.answer = answer or self.answer
        self.refresher.refresh()

    @property
    def due(self):
        """In how many seconds it is fetched next."""
        import time

        housekeeping = self.containment.context.resources.housekeeping
        return [round(when - time.monotonic()) for when, _, _ in housekeeping._due]

    def close(self):
        self.containment.context.resources.close()


@pytest.fixture
def site():
    made = Site()
    yield made
    made.close()


def test_the_same_octets_confirm_the_key(site):
    site.after(300)
    assert (site.fetched, site.refresher.age) == (1, 0.0)
    site.now += 5
    assert site.refresher.age == 5.0
    assert site.heard.names() == []
    assert site.stored.backend_key is site.key


def test_it_is_done_again_each_time_a_little_sooner_or_later(site):
    for _ in range(20):
        site.refresher.begin()
    due = site.due
    assert all(269 <= seconds <= 331 for seconds in due)
    assert len(set(due)) > 5


def test_the_same_key_in_another_form_takes_its_place(site):
    site.after(300, GOOD.private_pem() + b"\n")
    assert site.stored.backend_key is not site.key
    assert site.stored.sign_digest(DIGEST) == GOOD.sign_digest(DIGEST)
    assert site.heard.names() == ["key-refreshed"]
    site.after(300)
    assert site.heard.names() == ["key-refreshed"]


def test_another_key_under_the_old_name_is_not_taken_and_said_once(site):
    site.after(300, EphemeralKey.ed25519().private_pem())
    site.after(300)
    assert site.stored.sign_digest(DIGEST) == GOOD.sign_digest(DIGEST)
    assert site.heard.names() == ["key-changed"]
    assert "new selector" in site.heard.events[0].text


def test_a_damaged_copy_of_the_key_is_not_taken():
    """Its public half is the same: only what it signs tells."""
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    from tests.keys.conftest import RSA
    from tests.keys.test_memory import damaged

    def pem(key):
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    site = Site()
    good = FetchedKey(bytearray(pem(RSA)), name="acme:k", fetch=site.fetch)
    stored = stored_key(good, uri="acme:k", containment=site.containment, seconds=30.0)
    site.refresher._key, site.refresher._stored = good, stored
    site.after(300, pem(damaged(RSA)))
    assert stored.backend_key is good
    assert site.heard.names() == ["key-changed"]
    assert "damaged" in site.heard.events[0].text
    assert site.due
    site.close()


@pytest.mark.parametrize(
    "error",
    [
        KeyNotFound("deleted", uri="acme:k"),
        KeyDenied("no more", uri="acme:k"),
        KeyUnusable("no key", uri="acme:k"),
    ],
)
def test_a_definite_answer_is_obeyed(site, error):
    site.after(300, error)
    with pytest.raises(type(error), match=error.problem):
        site.stored.sign_digest(DIGEST)
    assert site.forgotten == 1
    assert site.heard.names() == ["key-withdrawn"]
    site.after(300)
    assert site.fetched == 1


def test_a_setting_that_is_wrong_says_nothing_about_the_key(site):
    """A child that was forked reads files of the section anew, which may be half replaced."""
    site.after(300, SettingsError("ca.pem holds no certificate"))
    assert site.stored.sign_digest(DIGEST)
    (event,) = site.heard.events
    assert event.event == "key-stale"
    assert "ca.pem holds no certificate" in event.text
    site.after(701)
    with pytest.raises(KeyUnavailable):
        site.stored.sign_digest(DIGEST)


def test_silence_is_bridged_with_the_age_of_the_key(site):
    site.after(300, DOWN)
    assert site.stored.sign_digest(DIGEST)
    assert site.refresher.age == 300.0
    (event,) = site.heard.events
    assert event.event == "key-stale"
    assert "(down)" in event.text
    assert "for 300 s, for at most 1000 s" in event.text
    assert site.due[-1] == 30


def test_silence_is_not_said_every_half_minute(site):
    for _ in range(20):
        site.after(30, DOWN)
    assert site.heard.names() == ["key-stale"] * 5  # after 30, 60, 120, 240 and 480 s
    site.after(30, GOOD.private_pem())
    site.after(300, DOWN)
    assert site.heard.names() == ["key-stale"] * 6


def test_silence_is_bridged_for_so_long_and_no_longer(site):
    site.after(1000, DOWN)
    assert site.stored.sign_digest(DIGEST)
    site.after(1)
    with pytest.raises(KeyUnavailable):
        site.stored.sign_digest(DIGEST)
    assert site.heard.names() == ["key-stale", "key-withdrawn"]


def test_a_backend_that_is_back_confirms_it(site):
    site.after(900, DOWN)
    site.after(30, GOOD.private_pem())
    site.after(900, DOWN)
    assert site.stored.sign_digest(DIGEST)


def test_what_the_backend_raises_is_contained(site):
    site.after(300, RuntimeError("odd"))
    assert site.heard.names() == ["key-withdrawn"]
    assert "RuntimeError: odd" in site.heard.events[0].text


def test_after_its_end_nothing_is_fetched_and_nothing_forgotten(site):
    site.refresher.end()
    site.after(300, KeyNotFound("deleted", uri="acme:k"))
    assert (site.fetched, site.forgotten) == (0, 0)


def test_an_end_while_it_is_fetched_is_the_end(site):
    """The store opened the key anew meanwhile: that one is not to be forgotten."""

    def fetch():
        site.refresher.end()
        raise KeyNotFound("deleted", uri="acme:k")

    site.key._fetch = fetch
    site.after(300)
    assert site.forgotten == 0
    assert site.heard.names() == []
    assert site.stored.sign_digest(DIGEST)
