"""The path of a pkcs11: URI: parsed, printed, compared."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dkimcore.errors import KeyUriError
from dkimcore.keys.pkcs11.cryptoki import LibraryInfo, SlotInfo, TokenInfo
from dkimcore.keys.pkcs11.structures import TokenFlag
from dkimcore.keys.pkcs11.tokenuri import TokenUri


@pytest.mark.rfc("7512", "2.3")
def test_every_attribute_that_names_a_key_is_read():
    uri = TokenUri.parse(
        "token=My%20token%25;manufacturer=Snake%20Oil,%20Inc.;model=v1;serial=0a:1f;slot-id=327;"
        "slot-manufacturer=M;slot-description=D%2fE;library-manufacturer=L;"
        "library-description=Soft%20Token;library-version=3.1;object=Schl%C3%BCssel;"
        "id=%01%02%Ba%dd%Ca%fe%00;type=private"
    )
    assert uri == TokenUri(
        token="My token%",
        manufacturer="Snake Oil, Inc.",
        model="v1",
        serial="0a:1f",
        slot_id=327,
        slot_manufacturer="M",
        slot_description="D/E",
        library_manufacturer="L",
        library_description="Soft Token",
        library_version=(3, 1),
        object="Schlüssel",
        id=b"\x01\x02\xba\xdd\xca\xfe\x00",
    )


def test_what_is_absent_is_none_and_what_is_empty_is_empty():
    assert TokenUri.parse("object=") == TokenUri(object="")
    assert TokenUri.parse("id=") == TokenUri(id=b"")
    assert TokenUri.parse("type=private") == TokenUri()


@pytest.mark.rfc("7512", "2.3")
def test_a_library_version_without_a_second_number_has_a_nought():
    assert TokenUri.parse("library-version=2").library_version == (2, 0)
    assert TokenUri.parse("library-version=2.40").library_version == (2, 40)


@pytest.mark.rfc("7512", "2.3")
def test_characters_that_need_no_encoding_stand_as_they_are():
    path = "object=a:[]@!$'()*+,=&-._~"
    assert TokenUri.parse(path).object == "a:[]@!$'()*+,=&-._~"
    assert str(TokenUri.parse(path)) == f"{path};type=private"


def test_an_id_is_printed_wholly_encoded():
    assert str(TokenUri(token="a b", id=b"A\x00\xff")) == "token=a%20b;id=%41%00%FF;type=private"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "name=value"),
        ("dkim", "name=value"),
        ("token=dkim;", "name=value"),
        ("token=dkim;;object=s1", "name=value"),
        ("object=a;object=a", "object stands twice"),
        ("type=private;type=private", "type stands twice"),
        ("tokn=dkim", "no attribute tokn"),
        ("x-vendor=1", "no attribute x-vendor"),
        ("Token=dkim", "no attribute Token"),
        ("\xff=1", "no attribute %C3%BF"),
        ("type=public", "names no private key"),
        ("type=", "names no private key"),
        ("token=My token", "perhaps you mean token=My%20token"),
        ("object=a/b", "perhaps you mean object=a%2Fb"),
        ("object=Schlüssel", "perhaps you mean object=Schl%C3%BCssel"),
        ("id=%zz", "perhaps you mean id=%25zz"),
        ("id=%1", "percent-encoded"),
        ("object=%ff", "UTF-8"),
        ("object=a#b", "percent-encoded"),
        ("slot-id=", "slot-id is a number"),
        ("slot-id=-1", "slot-id is a number"),
        ("slot-id=0x1", "slot-id is a number"),
        ("slot-id=\u0661", "slot-id is a number"),
        ("slot-id=18446744073709551616", "slot-id is a number"),
        ("library-version=2.", "library-version is written"),
        ("library-version=256", "up to 255"),
        ("token=" + "a" * 33, "token has at most 32 octets"),
        ("model=" + "%C3%BC" * 9, "model has at most 16 octets, this one 18"),
        ("id=" + "%00" * 257, "id has at most 256 octets"),
    ],
)
def test_what_is_wrong_is_refused_with_the_reason(path, words):
    with pytest.raises(KeyUriError) as caught:
        TokenUri.parse(path)
    assert words in str(caught.value)
    assert str(caught.value).isascii()


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)


@given(
    st.builds(
        TokenUri,
        token=st.none() | TEXT,
        manufacturer=st.none() | TEXT,
        model=st.none() | TEXT,
        serial=st.none() | TEXT,
        slot_id=st.none() | st.integers(0, 2**64 - 1),
        slot_manufacturer=st.none() | TEXT,
        slot_description=st.none() | TEXT,
        library_manufacturer=st.none() | TEXT,
        library_description=st.none() | TEXT,
        library_version=st.none() | st.tuples(st.integers(0, 255), st.integers(0, 255)),
        object=st.none() | TEXT,
        id=st.none() | st.binary(max_size=20),
    )
)
def test_what_is_printed_is_parsed_as_the_same(uri):
    assert TokenUri.parse(str(uri)) == uri


PIECES = st.sampled_from(
    ["token", "object", "id", "type", "slot-id", "library-version", "=", ";", "%", "%41", "?", "1"]
)


@given(st.text() | st.lists(PIECES | st.text(max_size=2)).map("".join))
def test_no_text_raises_anything_but_that_it_is_no_uri(text):
    with contextlib.suppress(KeyUriError):
        assert TokenUri.parse(str(TokenUri.parse(text))) == TokenUri.parse(text)


SLOT = SlotInfo(description="a slot", manufacturer="slots")
TOKEN = TokenInfo(
    label="dkim", manufacturer="maker", model="v2", serial="0123", flags=TokenFlag.LOGIN_REQUIRED
)
LIBRARY = LibraryInfo(manufacturer="SoftHSM", description="of PKCS11", version=(2, 6))


@pytest.mark.parametrize(
    ("path", "fits"),
    [
        ("object=s1", True),
        ("token=dkim;manufacturer=maker;model=v2;serial=0123;slot-id=7", True),
        ("slot-manufacturer=slots;slot-description=a%20slot", True),
        ("token=DKIM", False),
        ("token=", False),
        ("manufacturer=other", False),
        ("model=v1", False),
        ("serial=0124", False),
        ("slot-id=8", False),
        ("slot-manufacturer=other", False),
        ("slot-description=other", False),
    ],
)
def test_a_token_fits_if_all_that_is_said_of_it_does(path, fits):
    assert TokenUri.parse(path).names_token(7, SLOT, TOKEN) is fits


@pytest.mark.parametrize(
    ("path", "fits"),
    [
        ("token=any", True),
        ("library-manufacturer=SoftHSM;library-description=of%20PKCS11;library-version=2.6", True),
        ("library-version=2", False),
        ("library-manufacturer=other", False),
        ("library-description=other", False),
    ],
)
def test_a_library_fits_if_all_that_is_said_of_it_does(path, fits):
    assert TokenUri.parse(path).names_library(LIBRARY) is fits
