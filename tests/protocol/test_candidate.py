"""One signature on its way to a result: nothing against it is a pass."""

import pytest

from dkimcore.protocol.candidate import Candidate
from dkimcore.protocol.keyrecord import KeyRecord
from dkimcore.protocol.names import DomainName, Selector
from dkimcore.protocol.result import Cause, Status
from dkimcore.protocol.signature import Signature
from tests.protocol import material

SIGNATURE = Signature(
    algorithm=material.rsa().algorithm,
    domain=DomainName.parse("example.com"),
    selector=Selector.parse("s1"),
    signed_fields=(b"from",),
    body_hash=bytes(32),
    signature_data=bytes(64),
    body_length=7,
)


def test_without_a_cause_it_passes_and_what_is_known_is_told():
    record = KeyRecord(public_key=material.rsa().public_key)
    candidate = Candidate(position=2, field_position=5, signature=SIGNATURE, key_record=record)
    candidate.authentic, candidate.body_octets = True, 9
    result = candidate.result()
    assert (result.status, result.cause, result.detail) == (Status.PASS, None, "")
    assert (result.position, result.signature, result.key_record) == (2, SIGNATURE, record)
    assert (result.authentic, result.body_signed, result.body_octets) == (True, 7, 9)
    assert not result.testing


@pytest.mark.parametrize("cause", list(Cause))
def test_a_cause_decides_the_status(cause):
    candidate = Candidate(position=0, field_position=0)
    candidate.conclude(cause, "why")
    result = candidate.result()
    assert (result.status, result.cause, result.detail) == (cause.status, cause, "why")
    assert result.status is not Status.PASS
    assert result.body_signed is None


def test_a_domain_that_tests_is_told_so():
    """RFC 6376 section 3.6.1, t=y."""
    record = KeyRecord.parse(b"v=DKIM1; t=y; p=")
    assert Candidate(position=0, field_position=0, key_record=record).result().testing
