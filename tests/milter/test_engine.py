"""The engine as a whole: keys, their lengths and permissions, and its end."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path

import pytest

import dkimcore
from dkimcore.errors import ConfigError, KeyDenied, KeyNotFound, KeyUnusable, TableError
from dkimcore.protocol.mailbox import Mailbox
from dkimcore.protocol.policy import SigningProfile
from dkimcore.testing import EphemeralKey
from dkimcore_milter.engine import Engine, KeyTooSmall, Origin
from tests.milter.site import SMALL_RSA, Site

CASES = Path(__file__).parents[1] / "cases" / "keys"
OURS = Origin(allowed=True, reason="a test")
AUTHOR = Mailbox.parse(b"ann@example.com")
TABLES = "KeyTable file:keys\nSigningTable file:signing\nMultipleSignatures yes\n"
ONE_KEY = "KeyFile one.pem\nSelector s1\nDomain example.com\n"
MESSAGE = b"From: ann@example.com\r\nSubject: x\r\n\r\nHello.\r\n"


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def signers(engine, profile=None):
    return engine.signers(engine.choose(AUTHOR, OURS), profile)


def test_what_the_tables_choose_signs_and_verifies(site):
    """RSA and Ed25519 for one author in one pass; each key its own algorithm."""
    keys = {"r": EphemeralKey.rsa(), "e": EphemeralKey.ed25519()}
    for name, key in keys.items():
        site.key(name, key)
    site.write("keys", f"r %:r:{site.folder}/r\ne %:e:./e:ed25519-sha256\n")
    site.write("signing", "example.com r:@%\nexample.com e\n")
    site.write(
        "records",
        "".join(
            f"{name}._domainkey.example.com {key.key_record().decode()}\n"
            for name, key in keys.items()
        ),
    )
    engine = site.engine(f"{TABLES}TestPublicKeys records")
    fields = dkimcore.sign(MESSAGE, signers(engine), now=engine.now())
    results = dkimcore.verify(
        fields.octets + MESSAGE, resolver=engine.resolver, policy=engine.policy, now=engine.now()
    )
    assert [str(result.status) for result in results] == ["pass", "pass"]
    assert b"a=rsa-sha256" in fields[0].raw
    assert b"a=ed25519-sha256" in fields[1].raw
    assert b"i=@example.com" in fields[0].raw


def test_signers_take_the_engines_profile_or_another(site):
    site.key("one.pem")
    engine = site.engine(f"{ONE_KEY}SignHeaders Subject")
    other = SigningProfile(lifetime=60)
    assert signers(engine)[0].profile is engine.profile
    assert signers(engine, other)[0].profile is other


def test_the_time_is_in_whole_seconds(site):
    assert site.engine("").now() == 1_700_000_000


def test_a_key_of_the_table_is_opened_when_it_is_used(site):
    site.write("keys", "k example.com:s1:./gone.pem\n")
    site.write("signing", "example.com k\n")
    engine = site.engine(TABLES)
    engine.preload()
    with pytest.raises(KeyNotFound, match=r"gone\.pem does not exist"):
        signers(engine)
    site.key("gone.pem")
    assert len(signers(engine)) == 1


def test_a_key_of_the_table_that_is_replaced_or_removed_signs_no_more(site):
    """OpenDKIM reads it for each message: new key, new record, done."""
    new = EphemeralKey.ed25519()
    path = site.key("k.pem")
    site.write("keys", "k example.com:s1:./k.pem\n")
    site.write("signing", "example.com k\n")
    engine = site.engine(TABLES)
    (old,) = signers(engine)
    site.key("k.pem", new)
    (signer,) = signers(engine)
    assert signer.key.public_key.encode() == new.public_key.encode()
    path.unlink()
    with pytest.raises(KeyNotFound):
        signers(engine)
    assert old.key.sign_digest(bytes(32))


def test_a_key_that_a_third_user_owns_is_refused_for_the_user_of_userid(open_site):
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    site = open_site
    os.chown(site.folder, 0, -1)
    os.chown(site.key("one.pem"), 54321, -1)
    settings = site.settings(ONE_KEY)
    with pytest.raises(KeyDenied, match="belongs to neither root nor the user 54322"):
        Engine.load(settings, uid=54322).preload()
    Engine.load(settings, uid=54321).preload()


def test_a_key_of_another_algorithm_than_its_row_says_is_an_error(site):
    site.key("k.pem")
    site.write("keys", "k example.com:s1:./k.pem:rsa-sha256\n")
    site.write("signing", "example.com k\n")
    with pytest.raises(TableError, match=r"keys:1: .*says rsa-sha256"):
        signers(site.engine(TABLES))


def test_the_one_key_is_opened_before_privileges_are_dropped(site):
    """Afterwards its file may not be readable any more."""
    path = site.key("one.pem")
    engine = site.engine(ONE_KEY)
    engine.preload()
    path.unlink()
    assert len(signers(engine)) == 1


def test_a_one_key_that_cannot_be_opened_stops_the_start(site):
    engine = site.engine(ONE_KEY)
    with pytest.raises(KeyNotFound):
        engine.preload()
    site.engine(f"{ONE_KEY}Mode v").preload()  # who only verifies needs no key
    with pytest.raises(ConfigError, match="nosuch"):
        site.engine("KeyFile nosuch:x\nSelector s\nDomain *").preload()


@pytest.fixture
def open_site():
    """A folder that everybody can enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder))
        site.folder.chmod(0o755)
        yield site


def test_a_key_that_others_can_read_is_refused_unless_told_otherwise(open_site):
    site = open_site
    site.key("one.pem", mode=0o644)
    site.key("two.pem", mode=0o644)
    site.write("keys", "k example.com:s1:./two.pem\n")
    site.write("signing", "example.com k\n")
    for conf in (ONE_KEY, TABLES):
        with pytest.raises(KeyDenied, match="can be read or written by every user"):
            signers(site.engine(conf))
        assert signers(site.engine(f"{conf}RequireSafeKeys no"))


def test_a_key_below_the_minimum_does_not_sign(site):
    """OpenDKIM's words, and its action On-SignatureError (part 4.6)."""
    site.key("one.pem", SMALL_RSA)
    assert signers(site.engine(ONE_KEY))
    with pytest.raises(KeyTooSmall) as caught:
        signers(site.engine(f"{ONE_KEY}MinimumKeyBits 2048"))
    assert caught.value.problem == "private key too small (1024 bits, need at least 2048)"
    assert isinstance(caught.value, KeyUnusable)


@pytest.mark.rfc("8301", "3.2")
def test_a_key_below_1024_bits_never_signs(site):
    pem = (CASES / "rsa512.pem").read_text()
    site.write("one.pem", pem)
    site.write("keys", f"k example.com:s1:{''.join(pem.splitlines()[1:-1])}\n")
    site.write("signing", "example.com k\n")
    for conf in (ONE_KEY, TABLES):
        with pytest.raises(KeyTooSmall, match=r"private key too small \(512 bits, need at least"):
            signers(site.engine(conf))


def test_an_ed25519_key_has_no_minimum(site):
    site.key("one.pem")
    assert signers(site.engine(f"{ONE_KEY}MinimumKeyBits 4096"))


def test_a_name_too_long_for_the_dns_names_the_row(site):
    site.key("k.pem")
    selector = ".".join(["s" * 60] * 4)
    path = site.write("keys", f"k example.com:{selector}:./k.pem\n")
    site.write("signing", "example.com k\n")
    with pytest.raises(TableError, match="longer than the DNS can hold") as caught:
        signers(site.engine(TABLES))
    assert (caught.value.file, caught.value.line) == (str(path), 1)
    site.key("one.pem")
    with pytest.raises(ConfigError, match="longer than the DNS can hold"):
        signers(site.engine(f"KeyFile one.pem\nSelector {selector}\nDomain example.com"))


def test_a_replaced_engine_closes_its_keys_with_its_last_session(site):
    path = site.key("one.pem")
    engine = site.engine(ONE_KEY)
    engine.retain()
    engine.retain()
    (signer,) = signers(engine)
    engine.close()
    engine.release()
    assert signer.key.sign_digest(bytes(32))
    engine.release()
    with pytest.raises(KeyUnusable, match="its KeyStore is closed"):
        signer.key.sign_digest(bytes(32))
    # A session that took the engine at the moment of the reload opens the key once more.
    engine.retain()
    assert signers(engine)[0].key.sign_digest(bytes(32))
    path.unlink()
    engine.release()
    with pytest.raises(KeyNotFound):
        signers(engine)


def test_an_engine_in_use_that_was_not_replaced_keeps_its_keys(site):
    site.key("one.pem")
    engine = site.engine(ONE_KEY)
    engine.retain()
    (signer,) = signers(engine)
    engine.release()
    assert signer.key.sign_digest(bytes(32))
    engine.close()
    with pytest.raises(KeyUnusable):
        signer.key.sign_digest(bytes(32))


def test_many_threads_share_an_engine(site):
    site.key("one.pem")
    engine = site.engine(ONE_KEY)
    faults, start = [], threading.Barrier(8)

    def work():
        start.wait()
        for _ in range(50):
            engine.retain()
            if len(signers(engine)) != 1:
                faults.append("no signer")
            engine.release()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    (signer,) = signers(engine)
    engine.close()
    with pytest.raises(KeyUnusable):  # so the count of users came back to none
        signer.key.sign_digest(bytes(32))


def test_trusted_signers_compare_by_their_a_labels(site):
    engine = site.engine("TrustSignaturesFrom Example.COM,bücher.example")
    assert engine.trusts_signer("example.com")
    assert engine.trusts_signer("xn--bcher-kva.example")
    assert not engine.trusts_signer("mail.example.com")
    assert not site.engine("").trusts_signer("example.com")


@pytest.mark.parametrize(
    ("name", "removed"),
    [
        ("MX.example.com", True),
        ("example.com", False),
        ("mx.example.org", True),  # OpenDKIM's manual promises .domain
        ("a.b.example.org", True),
        ("example.org", False),
        ("other.example.net", False),
    ],
)
def test_whose_results_are_removed(site, name, removed):
    engine = site.engine("RemoveARFrom mx.example.com,.example.org")
    assert engine.removes_results_of(name) is removed
    assert not site.engine("").removes_results_of(name)


def test_results_may_be_named_by_patterns(site):
    site.write("ids", "mx?[0-9]*.example.com\n")
    engine = site.engine("RemoveARFrom refile:ids")
    assert engine.removes_results_of("mx1.example.com")
    assert not engine.removes_results_of("example.com")


def test_a_data_set_that_cannot_be_read_names_the_options_line(site):
    with pytest.raises(TableError, match=r"opendkim\.conf:2: .*gone cannot be read"):
        site.engine("Syslog yes\nPeerList file:gone")
