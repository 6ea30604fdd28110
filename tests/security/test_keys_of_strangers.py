"""Key records and signatures whose numbers are meant to cost much, or to be compared wrongly.

A verifier that computes RSA in Python spends minutes on one key; one that compares a hash by
the length that the message gives reads beyond it or compares too little (CVE-2020-28025).
"""

import base64
import hashlib
from dataclasses import dataclass

import pytest

from dkimcore.protocol.algorithm import Algorithm
from dkimcore.protocol.policy import Limits, VerifyPolicy
from tests.lineartime import is_linear
from tests.properties.test_linear_time import NO_LIMITS
from tests.protocol.material import MESSAGE, ed25519, rsa, sign_by_hand, verify

RSA_OID = bytes.fromhex("300d06092a864886f70d0101010500")
WIDEST = VerifyPolicy(max_rsa_bits=16_384, limits=Limits(header_octets=1 << 30))


def der(tag, content):
    size = len(content)
    octets = size.to_bytes((size.bit_length() + 7) // 8 or 1, "big")
    length = octets if size < 128 else bytes([0x80 | len(octets)]) + octets
    return bytes([tag]) + length + content


def integer(octets):
    return der(2, b"\x00" + octets)


def record(modulus, exponent):
    """A key record with an RSA key of these numbers, which nobody has to be able to use."""
    key = der(0x30, integer(modulus) + integer(exponent))
    info = der(0x30, RSA_OID + der(3, b"\x00" + key))
    return b"v=DKIM1; k=rsa; p=" + base64.b64encode(info)


@dataclass
class Claim:
    """A key that signs with octets of its own choice."""

    signature: bytes
    algorithm: Algorithm = Algorithm.RSA_SHA256

    def sign_digest(self, digest):
        return self.signature


EXPONENTS = {
    "as long as the modulus": lambda octets: b"\x7f" * (octets - 1) + b"\xff",
    "65537": lambda octets: b"\x01\x00\x01",
    "33 bits": lambda octets: b"\x01\x00\x00\x00\x01",
}


@pytest.mark.alone
@pytest.mark.rfc("6376", "8.8")
@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("policy", [None, WIDEST, NO_LIMITS], ids=["default", "widest", "none"])
def test_no_key_costs_more_than_its_length(exponent, policy):
    """Doubling the numbers does not multiply the work, as it does where they are computed with."""

    def make(octets):
        numbers = b"\xc1" * (octets - 1) + b"\x01", EXPONENTS[exponent](octets)
        return sign_by_hand(MESSAGE, Claim(b"\x55" * octets)), record(*numbers)

    def judge(parts):
        message, key = parts
        assert not verify(message, key, policy=policy).passed

    assert is_linear(make, judge)


@pytest.mark.rfc("6376", "3.5")
@pytest.mark.parametrize("size", range(65))
@pytest.mark.parametrize("key", [rsa(), ed25519()], ids=lambda key: key.algorithm)
def test_a_body_hash_of_any_length_but_its_own_does_not_pass(key, size):
    """The octets are right as far as they go, so a comparison by their length would pass."""
    digest = hashlib.sha256(b"Are you hungry?\r\n").digest() + bytes(32)
    message = sign_by_hand(MESSAGE, key, changes={b"bh": base64.b64encode(digest[:size])})
    results = verify(message, key.record())
    assert results.passed is (size == 32)


@pytest.mark.rfc("6376", "3.5")
@pytest.mark.parametrize("key", [rsa(1024), ed25519()], ids=lambda key: key.algorithm)
def test_signature_data_of_any_length_but_their_own_do_not_pass(key):
    signed = sign_by_hand(MESSAGE, key)
    head, _, rest = signed.partition(b"; b=")
    octets = base64.b64decode(rest.partition(b"\r\n")[0])
    for size in range(1, 2 * len(octets)):
        data = base64.b64encode((octets + bytes(len(octets)))[:size])
        results = verify(head + b"; b=" + data + b"\r\n" + MESSAGE, key.record())
        assert results.passed is (size == len(octets))
