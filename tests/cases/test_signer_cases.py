"""Statements 115 to 130: what a signer must do (RFC 6376 section 5), checked without dkimcore."""

import base64
import re
from dataclasses import replace

import pytest

import dkimcore
from dkimcore import Auid, Canonicalization, DomainName, MessageError, Selector, SigningProfile
from dkimcore.errors import SettingsError
from dkimcore.keys.memory import MemoryKey, decode_private_key
from tests.corpus.generate import FOLDER

from . import keys
from .checking import (
    body_hash,
    digest_info,
    header_hash_input,
    padded_block,
    read_tags,
    signature_fits,
)
from .model import NOW
from .signing import MESSAGE, field_name, split

CORPUS = {path.stem: path.read_bytes() for path in sorted(FOLDER.glob("*.eml"))}
# RFC 6376 section 5.4.1: fields that are not to be signed.
_NEVER = {b"return-path", b"received", b"comments", b"keywords", b"dkim-signature"}


def _key(name: str) -> MemoryKey:
    seed = base64.b64encode(keys.ed().seed)
    octets = seed if name == "ed" else (keys.FOLDER / f"rsa{name}.pem").read_bytes()
    private = decode_private_key(octets, uri=name, passphrase=lambda: None)
    return MemoryKey(private, name=name)


def _signer(name: str = "2048", **profile: object) -> dkimcore.Signer:
    return dkimcore.Signer(
        domain=DomainName.parse("example.com"),
        selector=Selector.parse("s1"),
        key=_key(name),
        profile=SigningProfile(**profile),  # type: ignore[arg-type]  # tests name the settings
    )


def _sign(message: bytes, signer: dkimcore.Signer | None = None) -> bytes:
    (field,) = dkimcore.sign(message, [signer or _signer()], now=NOW)
    return field.raw


@pytest.mark.parametrize("header", list(Canonicalization))
@pytest.mark.parametrize("body", list(Canonicalization))
@pytest.mark.rfc("6376", "3.7")
def test_every_corpus_message_is_signed_as_an_independent_signer_would(
    header: Canonicalization, body: Canonicalization
) -> None:
    signer = _signer(header_canonicalization=header, body_canonicalization=body)
    for name, message in CORPUS.items():
        field = _sign(message, signer)
        assert read_tags(field)["bh"] == body_hash(field, message), name
        assert signature_fits(field, message, keys.rsa()), name


@pytest.mark.rfc("8463", "3")
def test_ed25519_signs_the_digest() -> None:
    for name, message in CORPUS.items():
        assert signature_fits(_sign(message, _signer("ed")), message, keys.ed()), name


@pytest.mark.rfc("6376", "3.3.2")
def test_rsa_block_is_pkcs1_over_sha256() -> None:
    field = _sign(MESSAGE)
    info = digest_info(header_hash_input(field, MESSAGE))
    assert padded_block(field, keys.rsa()) == b"\x00\x01" + b"\xff" * 202 + b"\x00" + info


@pytest.mark.parametrize(
    "message",
    [
        MESSAGE.replace(b"From:", b"X-From:"),
        b"From: other@example.com\r\n" + MESSAGE,
        b"FROM : other@example.com\r\n" + MESSAGE,
        b"",
        b"\r\nFrom: in the body\r\n",
    ],
    ids=["none", "two", "two-obsolete", "empty", "only-body"],
)
@pytest.mark.rfc("6376", "5.4")
def test_a_message_without_exactly_one_from_is_refused(message: bytes) -> None:
    with pytest.raises(MessageError):
        _sign(message)


@pytest.mark.parametrize(
    "message",
    [
        MESSAGE.replace(b"\r\n", b"\n"),
        MESSAGE.replace(b"Subject:", b"X: a\nSubject:"),
        MESSAGE.replace(b"Subject:", b"X: a\rSubject:"),
        MESSAGE.replace(b"Hi.\r\n", b"Hi.\n"),
        MESSAGE.replace(b"Hi.\r\n", b"Hi.\r"),
        MESSAGE.replace(b"Hi.\r\n", b"Hi.\r\r\n"),
        MESSAGE + b"\r",
        MESSAGE + b"\n",
    ],
    ids=["lf", "header-lf", "header-cr", "body-lf", "body-cr", "crcrlf", "final-cr", "final-lf"],
)
@pytest.mark.rfc("6376", "5.3")
def test_a_message_not_in_wire_form_is_refused_in_any_chunking(message: bytes) -> None:
    for chunks in ([message], [message[n : n + 1] for n in range(len(message))]):
        with pytest.raises(MessageError):
            dkimcore.sign(chunks, [_signer()], now=NOW)


@pytest.mark.rfc("6376", "5.4.1")
def test_trace_fields_are_left_alone_and_instances_are_counted() -> None:
    for name, message in CORPUS.items():
        signed = [part.lower() for part in read_tags(_sign(message))["h"].split(b":")]
        present = [field_name(field) for field in split(message)[0]]
        assert b"from" in signed, name
        assert not _NEVER & set(signed), name
        for one in set(signed) & set(present):
            assert signed.count(one) >= present.count(one), (name, one)
        for one in (b"from", b"to", b"cc", b"subject", b"date", b"content-type"):
            assert signed.count(one) == present.count(one) + 1, (name, one)


@pytest.mark.rfc("6376", "5.5")
def test_lines_are_folded_before_hashing_and_stay_short() -> None:
    long_selector = dkimcore.Signer(
        domain=DomainName.parse(".".join(["a" * 40] * 3) + ".example"),
        selector=Selector.parse("b" * 50),
        key=_key("4096"),
        profile=SigningProfile(copied_fields=True, lifetime=86_400),
    )
    for signer in (_signer(), _signer("ed"), long_selector):
        for name, message in CORPUS.items():
            field = _sign(message, signer)
            assert not field.endswith(b"\r\n"), name
            assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\r\n(?![ \t])", field), name
            assert not re.search(rb"\r\n[ \t]*(\r\n|\Z)", field), f"{name}: a blank line"
            limit = 998 if signer is long_selector else 78
            assert max(map(len, field.split(b"\r\n"))) <= limit, name


@pytest.mark.rfc("6376", "3.5")
def test_times_and_identity() -> None:
    signer = replace(_signer(lifetime=3600), auid=Auid.parse("a;b=c@mail.example.com"))
    tags = read_tags(_sign(MESSAGE, signer))
    assert (tags["t"], tags["x"]) == (b"%d" % NOW, b"%d" % (NOW + 3600))
    assert tags["i"] == b"a=3Bb=3Dc@mail.example.com"
    assert "l" not in tags
    with pytest.raises(SettingsError):
        replace(_signer(), auid=Auid.parse("joe@example.org")).request()


@pytest.mark.rfc("6376", "3.5")
def test_body_length_on_request_covers_the_whole_body() -> None:
    field = _sign(MESSAGE, _signer(body_length=True))
    assert read_tags(field)["bh"] == body_hash(field, MESSAGE)
    assert b"content-type" in read_tags(field)["h"].lower()


@pytest.mark.parametrize("name", ["512", "768", "1023"])
@pytest.mark.rfc("8301", "3.2")
def test_short_keys_do_not_sign(name: str) -> None:
    with pytest.raises(dkimcore.DkimError):
        _signer(name)


@pytest.mark.rfc("8017", "8.2.1")
def test_the_same_input_gives_the_same_field() -> None:
    for name in ("2048", "ed"):
        assert _sign(MESSAGE, _signer(name)) == _sign(MESSAGE, _signer(name))


@pytest.mark.rfc("6376", "5.6")
def test_existing_signatures_are_neither_signed_nor_touched() -> None:
    first = _sign(MESSAGE) + b"\r\n" + MESSAGE
    second = _sign(first, _signer("ed"))
    assert b"dkim-signature" not in read_tags(second)["h"].lower()
    assert signature_fits(second, MESSAGE, keys.ed())


@pytest.mark.rfc("8616", "5")
def test_u_labels_only_in_internationalised_messages() -> None:
    signer = replace(_signer(), domain=DomainName.parse("bücher.example"))
    assert read_tags(_sign(MESSAGE, signer))["d"] == b"xn--bcher-kva.example"
    eai = MESSAGE.replace(b"Joe <joe@example.com>", "Jörg <jörg@bücher.example>".encode())
    assert read_tags(_sign(eai, signer))["d"] == "bücher.example".encode()


@pytest.mark.rfc("6376", "5.4.2")
def test_absent_fields_in_h_contribute_nothing() -> None:
    signer = _signer(oversigned_fields=("from", "x-none", "reply-to"), fields=("from", "x-none"))
    field = _sign(MESSAGE, signer)
    assert set(read_tags(field)["h"].lower().split(b":")) == {b"from", b"x-none", b"reply-to"}
    assert signature_fits(field, MESSAGE, keys.rsa())
