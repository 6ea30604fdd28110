"""Keys that are made can be used, and unsuitable lengths are refused."""

from __future__ import annotations

import pytest

from dkimcore.errors import SettingsError
from dkimcore.keys.generation import generate_pem
from dkimcore.keys.memory import MemoryKey, decode_private_key
from dkimcore.keys.selfcheck import check_key
from dkimcore.protocol.algorithm import KeyType


@pytest.mark.parametrize(
    ("key_type", "bits", "length"),
    [(KeyType.RSA, 2048, 256), (KeyType.RSA, 1024, 128), (KeyType.ED25519, 2048, 64)],
)
def test_a_new_key_signs(key_type, bits, length):
    pem = generate_pem(key_type, bits=bits)
    private_key = decode_private_key(pem, uri="file:new", passphrase=lambda: None, validate=True)
    assert check_key(MemoryKey(private_key, name="file:new"), uri="file:new") == length


@pytest.mark.rfc("8301", "3.2")
@pytest.mark.parametrize("bits", [512, 1023, 8193])
def test_lengths_that_verifiers_refuse(bits):
    with pytest.raises(SettingsError, match="2048 is good"):
        generate_pem(KeyType.RSA, bits=bits)
