"""Which token a URI means, among those that a module sees."""

from __future__ import annotations

import pytest

from dkimcore.errors import KeyNotFound, KeyUnavailable, KeyUnusable
from dkimcore.keys.pkcs11.cryptoki import Cryptoki, CryptokiError
from dkimcore.keys.pkcs11.tokens import find_token, listed
from dkimcore.keys.pkcs11.tokenuri import TokenUri

pytestmark = [pytest.mark.server("softhsm"), pytest.mark.server("gcc")]

URI = "pkcs11:object=s1"
SECOND = "second token"


@pytest.fixture(scope="module")
def second(softhsm):
    softhsm.add_token(SECOND)


@pytest.fixture
def module(shim, second):
    cryptoki = Cryptoki(str(shim.path))
    cryptoki.initialize()
    yield cryptoki
    cryptoki.finalize()


def find(module, **wanted):
    return find_token(module, TokenUri(**wanted), uri=URI)


def test_a_token_is_found_by_its_label_its_serial_number_and_its_slot(module, softhsm):
    slot, token = find(module, token=softhsm.label)
    assert find(module, serial=token.serial)[0] == slot
    assert find(module, slot_id=slot)[1] == token
    assert find(module, token=SECOND)[1].label == SECOND


def test_when_several_fit_their_serial_numbers_are_told(module, softhsm):
    _, token = find(module, token=SECOND)
    with pytest.raises(KeyUnusable, match=r"tokens fit .*add token= or serial=") as caught:
        find(module)
    assert token.serial in str(caught.value)


def test_when_none_fits_those_that_are_there_are_told(module):
    with pytest.raises(KeyNotFound, match="no token fits") as caught:
        find(module, token="third")
    assert repr(SECOND) in str(caught.value)


def test_the_library_has_to_fit_too(module, softhsm):
    assert find(module, token=softhsm.label, library_manufacturer="SoftHSM")
    with pytest.raises(KeyNotFound, match=r"'Implementation of PKCS11' .* of 'SoftHSM'"):
        find(module, token=softhsm.label, library_version=(1, 0))


def test_a_module_without_tokens_may_have_some_later(module, shim, softhsm):
    shim.take_out()
    with pytest.raises(KeyUnavailable, match="sees no token"):
        find(module, token=softhsm.label)
    shim.put_in()
    assert find(module, token=softhsm.label)


def test_a_token_that_goes_while_one_looks_is_passed_over(module, shim, softhsm):
    shim.fail("C_GetTokenInfo", 0xE1, times=-1)
    with pytest.raises(KeyUnavailable, match="sees no token"):
        find(module, token=softhsm.label)


def test_a_module_that_fails_while_one_looks_is_told(module, shim, softhsm):
    shim.fail("C_GetTokenInfo", 0x30)
    with pytest.raises(CryptokiError):
        find(module, token=softhsm.label)


def test_labels_are_listed_and_cannot_spoil_a_log():
    assert listed([]) == "none"
    assert listed(["a\nb", "ü"]) == r"'a\nb', '\xfc'"
    assert listed([str(number) for number in range(25)]).endswith("'19' and 5 more")
