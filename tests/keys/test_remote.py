"""What keys that sign elsewhere have in common."""

from __future__ import annotations

import pytest

from dkimcore.errors import KeyDenied, KeyUnusable
from dkimcore.keys.remote import RemoteKeyBase
from tests.keys.remotes import GOOD, Service

DIGEST = bytes(range(32))


def test_one_digest_is_a_batch_of_one(make_endpoint):
    service = Service(make_endpoint(connect_timeout=0.5, read_timeout=0.25))
    assert service.sign_digest(DIGEST) == GOOD.sign_digest(DIGEST)
    assert service.calls == [[DIGEST]]
    assert service.timeouts == [0.75]
    assert service.batch == 1


def test_an_error_among_the_answers_is_raised(make_endpoint):
    service = Service(make_endpoint(), behave=lambda _: [KeyDenied("no", uri="acme:k")])
    with pytest.raises(KeyDenied, match="no"):
        service.sign_digest(DIGEST)
    assert isinstance(service.sign_digests([DIGEST], timeout=1.0)[0], KeyDenied)


@pytest.mark.parametrize("digest", [b"", bytes(31), bytes(33), bytearray(32), "x" * 32, None])
def test_a_digest_of_another_length_is_never_sent(make_endpoint, digest):
    service = Service(make_endpoint(), batch=3)
    with pytest.raises(KeyUnusable, match="32 octets"):
        service.sign_digests([DIGEST, digest, DIGEST], timeout=1.0)
    with pytest.raises(KeyUnusable, match="32 octets"):
        service.sign_digest(digest)
    assert service.calls == []


def test_it_prints_its_name_and_no_more(make_endpoint):
    assert repr(Service(make_endpoint())) == "<Service acme:k ed25519-sha256, 256 bits>"


def test_without_a_way_to_sign_it_is_none(make_endpoint):
    with pytest.raises(TypeError, match="_sign"):
        RemoteKeyBase("acme:k", algorithm=None, public_key=None, endpoint=make_endpoint())
