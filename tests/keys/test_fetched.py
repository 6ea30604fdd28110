"""Keys whose octets were fetched: told apart by their fingerprint, and overwritten."""

from __future__ import annotations

import sys
import traceback
from hashlib import sha256

import pytest

from dkimcore.errors import KeyDenied, KeyUnavailable, KeyUnusable
from dkimcore.keys.fetched import FetchedKey
from dkimcore.testing import EphemeralKey

DIGEST = bytes(range(32))
KEY = EphemeralKey.ed25519(bytes(32))
PEM = KEY.private_pem()


def fetched(octets=PEM, **options):
    return FetchedKey(bytearray(octets), name="acme:k?version=3", **options)


def test_it_signs_in_this_process():
    key = fetched()
    assert key.is_local
    assert key.sign_digest(DIGEST) == KEY.sign_digest(DIGEST)
    assert key.fingerprint == sha256(PEM).digest()
    assert repr(key) == "<MemoryKey acme:k?version=3 ed25519-sha256, 256 bits>"


def test_what_was_fetched_is_overwritten():
    octets = bytearray(PEM)
    FetchedKey(octets, name="acme:k")
    assert octets == bytes(len(PEM))
    octets = bytearray(b"-----BEGIN CANARY-----")
    with pytest.raises(KeyUnusable):
        FetchedKey(octets, name="acme:k")
    assert octets == bytes(22)


def test_what_is_no_key_is_in_no_exception():
    octets = b"-----BEGIN PRIVATE KEY-----\nCANARY\n-----END PRIVATE KEY-----\n"
    with pytest.raises(KeyUnusable) as caught:
        fetched(octets)
    text = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    inner = [frame for frame in text.stack if frame.filename.endswith("memory.py")]
    assert inner == []
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_one_that_never_changes_is_not_fetched_again():
    key = fetched()
    assert not key.is_refreshed
    assert key.refetch() is None


def test_the_same_octets_are_no_news_and_are_overwritten():
    got = []

    def fetch():
        got.append(bytearray(PEM))
        return got[-1]

    key = fetched(fetch=fetch)
    assert key.is_refreshed
    assert key.refetch() is None
    assert got == [bytearray(len(PEM))]


def test_other_octets_are_another_key_that_is_fetched_again_too():
    other = EphemeralKey.ed25519()
    key = fetched(fetch=lambda: bytearray(other.private_pem()))
    fresh = key.refetch()
    assert fresh.public_key == other.public_key
    assert fresh.refetch() is None
    assert key.refetch() is not None


def test_what_cannot_be_fetched_and_what_is_no_key_any_more():
    def fetch():
        raise KeyUnavailable("down", uri="acme:k")

    with pytest.raises(KeyUnavailable):
        fetched(fetch=fetch).refetch()
    with pytest.raises(KeyUnusable):
        fetched(fetch=lambda: bytearray(b"rubbish")).refetch()


def test_an_encrypted_key_is_decrypted_each_time(rsa_key, passphrase, key_file):
    with open(key_file(secret=passphrase), "rb") as file:
        octets = file.read()
    asked = []

    def ask():
        asked.append(1)
        return passphrase

    key = fetched(octets, passphrase=ask, fetch=lambda: bytearray(octets + b"\n"))
    assert key.refetch().public_key == key.public_key
    assert asked == [1, 1]
    with pytest.raises(KeyDenied):
        fetched(octets)


def test_nothing_of_it_is_left_in_the_frames_of_a_failure(monkeypatch):
    """Tools that report errors print local variables."""
    with pytest.raises(KeyUnusable) as caught:
        fetched(b"-----BEGIN PRIVATE KEY-----\nCANARY==")
    frames = []
    trace = caught.value.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename != __file__:
            frames.append(trace.tb_frame)
        trace = trace.tb_next
    assert frames
    assert "CANARY" not in "".join(str(frame.f_locals) for frame in frames)
    assert sys.exc_info() == (None, None, None)
