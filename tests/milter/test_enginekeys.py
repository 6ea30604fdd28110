"""The keys of a configuration: where they are, when they are opened, what is checked before."""

from __future__ import annotations

import threading

import pytest

from dkimcore.errors import ConfigError, KeyUnavailable, KeyUnusable
from dkimcore.protocol.keyrecord import TxtAnswer, TxtStatus
from dkimcore.protocol.mailbox import Mailbox
from dkimcore.testing import EphemeralKey
from dkimcore_milter.engine import Origin
from dkimcore_milter.imports import import_backends
from dkimcore_milter.logline import Level
from dkimcore_milter.meter import Meter
from dkimcore_milter.metrics import Count
from tests.milter import farkeys
from tests.milter.site import Site

AUTHOR = Mailbox.parse(b"ann@example.com")
OURS = Origin(allowed=True, reason="a test")
TABLES = "KeyTable file:keys\nSigningTable file:signing\nDkimcoreKeyBackends keys.toml\n"


@pytest.fixture
def far(tmp_path, monkeypatch):
    with farkeys.installed(tmp_path / "packages", monkeypatch) as service:
        yield service


class Made:
    """An engine, and what it logged."""

    def __init__(self, site, conf):
        self.lines = []
        self.came = threading.Semaphore(0)
        self.engine = site.engine(conf, log=self._take)
        self.choice = self.engine.choose(AUTHOR, OURS)

    def _take(self, line):
        self.lines.append(line)
        self.came.release()

    def events(self):
        return [line.event for line in self.lines]

    def wait_for(self, event):
        while event not in self.events():
            assert self.came.acquire(timeout=30)


@pytest.fixture
def make(tmp_path, far):
    """Makes an engine that signs with the key of a row."""
    site = Site(tmp_path)

    def make(key="far:one/key", *, backends="", records="", conf=""):
        site.write("keys", f"k example.com:s1:{key}\n")
        site.write("signing", "example.com k\n")
        site.write("keys.toml", backends)
        site.write("records", f"else._domainkey.example.net v=DKIM1; p=\n{records}")
        return Made(site, f"{TABLES}TestPublicKeys records\n{conf}")

    make.site = site
    return make


def record(key):
    return f"s1._domainkey.example.com {key.key_record().decode()}\n"


class TestSections:
    def test_a_mistake_names_its_line(self, make):
        with pytest.raises(ConfigError, match="no key deadlin") as caught:
            make(backends="[store]\ndeadlin = 3\n")
        assert (caught.value.file, caught.value.line) == (str(make.site.folder / "keys.toml"), 2)

    def test_a_secret_is_refused(self, make):
        with pytest.raises(ConfigError) as caught:
            make(backends='[backend.eu]\ntype = "vault"\ntoken = "hvs.notsosecret"\n')
        assert "hvs." not in str(caught.value)

    def test_a_file_that_is_not_there_names_the_option(self, make):
        with pytest.raises(ConfigError, match=r"DkimcoreKeyBackends: .*/gone\.toml: ") as caught:
            make(conf="DkimcoreKeyBackends gone.toml\n")
        assert (caught.value.file, caught.value.line) == (
            str(make.site.folder / "opendkim.conf"),
            5,
        )

    def test_they_reach_the_backends(self, make, far):
        made = make(backends='[store]\nrefresh = 7\n[backend.x]\ntype = "far"\nqueue = 7\n')
        made.engine.signers(made.choice)
        sections = made.engine.keys.store.context.sections
        assert (sections.store.refresh, sections.get("far").name) == (7.0, "x")


class TestTheStart:
    def test_nothing_is_opened_elsewhere_before_a_worker_lives(self, make, far):
        made = make()
        made.engine.preload()
        assert far.opened == []

    def test_not_for_a_single_key_either(self, make, far):
        site = make.site
        engine = site.engine("KeyFile far:one/key\nSelector s1\nDomain example.com\n")
        engine.preload()
        assert far.opened == []
        engine.keys.warm_up()
        assert engine.keys.store.get("far:one/key").public_key
        assert far.opened == ["key"]

    def test_a_single_key_of_an_unknown_scheme_stops_it(self, make):
        engine = make.site.engine("KeyFile nosuch:x\nSelector s1\nDomain example.com\n")
        with pytest.raises(ConfigError, match="'nosuch'"):
            engine.preload()

    def test_a_row_of_an_unknown_scheme_is_said(self, make):
        made = make("nosuch:x")
        made.engine.preload()
        (line,) = made.lines
        assert (line.event, line.level) == ("backend-missing", Level.WARNING)
        assert "'nosuch'" in line.text

    def test_each_key_is_opened_once_and_no_more_than_some_hundred(self, make, far):
        site = make.site
        rows = (f"k{number} %:s{number}:far:one/key{number % 600}\n" for number in range(1200))
        site.write("keys", "".join((*rows, "local example.com:s:/k.pem\n", "bad nonsense\n")))
        site.write("signing", "example.com k0\n")
        engine = site.engine(TABLES.replace("DkimcoreKeyBackends keys.toml\n", ""))
        assert len(engine.keys._elsewhere) == 500
        assert engine.keys.schemes == {"far"}

    def test_who_only_verifies_opens_none(self, make, far):
        made = make(conf="Mode v\n")
        assert made.engine.keys.schemes == frozenset()
        made.engine.preload()
        made.engine.keys.warm_up()

    def test_keys_that_cannot_be_opened_are_said(self, make, far):
        far.missing.add("key")
        made = make()
        made.engine.keys.warm_up()
        made.wait_for("key-refused")

    def test_records_are_looked_at(self, make, far):
        made = make(records=record(EphemeralKey.ed25519()))
        made.engine.keys.warm_up()
        made.wait_for("record-differs")
        (line,) = [line for line in made.lines if line.event == "record-differs"]
        assert line.level is Level.WARNING
        assert line.text.startswith("far:one/key: the key record s1._domainkey.example.com")
        assert line.fields["domain"] == "example.com"

    def test_without_threads_the_first_message_opens_them(self, make, far, monkeypatch):
        def refuse(_thread):
            raise RuntimeError("can't start new thread")

        made = make()
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            made.engine.keys.warm_up()
        assert made.engine.signers(made.choice)


class TestRecords:
    def test_a_difference_is_a_warning(self, make, far):
        made = make(records=record(EphemeralKey.ed25519()))
        assert made.engine.waits_for_keys(made.choice)  # to be opened
        assert made.engine.signers(made.choice)
        assert not made.engine.waits_for_keys(made.choice)
        made.wait_for("record-differs")

    def test_keys_in_files_are_not_looked_at(self, make, far):
        make.site.key("k.pem")
        made = make("./k.pem")
        assert made.engine.signers(made.choice)
        assert made.lines == []

    def test_unless_that_is_asked_for(self, make, far):
        make.site.key("k.pem")
        made = make("./k.pem", backends='[store]\nrecord_check = "warn"\n')
        assert made.engine.signers(made.choice)
        made.wait_for("record-absent")

    @pytest.mark.parametrize("key", ["far:one/key", "./k.pem"])
    def test_a_difference_refuses_the_key(self, make, far, key):
        own = EphemeralKey.ed25519()
        make.site.key("k.pem", own)
        far.keys["key"] = own
        made = make(
            key, records=record(EphemeralKey.ed25519()), backends='[store]\nrecord_check="refuse"\n'
        )
        assert made.engine.waits_for_keys(made.choice)
        for _ in range(2):
            with pytest.raises(KeyUnusable, match="does not fit"):
                made.engine.signers(made.choice)
            assert not made.engine.waits_for_keys(made.choice)  # it is known for a while

    @pytest.mark.parametrize("key", ["far:one/key", "./k.pem"])
    def test_what_fits_signs(self, make, far, key):
        own = EphemeralKey.ed25519()
        make.site.key("k.pem", own)
        far.keys["key"] = own
        made = make(key, records=record(own), backends='[store]\nrecord_check = "refuse"\n')
        assert made.engine.waits_for_keys(made.choice)
        for _ in range(2):
            assert made.engine.signers(made.choice)
            assert not made.engine.waits_for_keys(made.choice)

    def test_a_key_file_that_changed_is_looked_at_again(self, make, far):
        own = EphemeralKey.ed25519()
        make.site.key("k.pem", own)
        made = make("./k.pem", records=record(own), backends='[store]\nrecord_check = "refuse"\n')
        assert made.engine.signers(made.choice)
        make.site.key("k.pem")
        assert made.engine.waits_for_keys(made.choice)
        with pytest.raises(KeyUnusable, match="does not fit"):
            made.engine.signers(made.choice)
        (make.site.folder / "k.pem").unlink()
        assert not made.engine.waits_for_keys(made.choice)  # there is nothing to wait for

    def test_a_dns_that_does_not_answer_refuses_the_key_for_now(self, make, far):
        class Down:
            def lookup_txt(self, name):
                return TxtAnswer(TxtStatus.FAILED, detail="timed out")

        made = make(backends='[store]\nrecord_check = "refuse"\n')
        made.engine.keys._records._resolver = Down()
        with pytest.raises(KeyUnavailable, match="timed out"):
            made.engine.signers(made.choice)


def test_events_are_counted_in_the_workers_meter(make, far):
    made = make(backends='[backend.x]\ntype = "far"\nattempts = 3\n')
    meter = Meter.alone()
    made.engine.measure(meter)
    (signer,) = made.engine.signers(made.choice)
    far.fail()
    with pytest.raises(KeyUnavailable):
        signer.key.sign_digest(bytes(32))
    assert meter.value(Count.KEY_RETRIES_OTHER) == 2
    assert meter.value(Count.KEY_ROUND_TRIPS_OTHER_UNAVAILABLE) == 3


def test_backends_that_are_not_there_are_named():
    problems = import_backends(["file", "nosuch", "alsonot"])
    assert ["'alsonot'" in str(problems[0]), "'nosuch'" in str(problems[1])] == [True, True]
