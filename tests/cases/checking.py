"""An independent check of what dkimcore emits, built on `signing` and not on dkimcore.

It reads well-formed fields only: a signer has no business emitting others.
"""

import base64
import hashlib
import re

from .keys import SHA256_INFO, EdKey, RsaKey
from .signing import CRLF, canonical_body, canonical_field, select, split


def read_tags(field: bytes) -> dict[str, bytes]:
    """Tag names and values, white space inside removed, in their order."""
    value = re.sub(rb"[ \t\r\n]", b"", field.partition(b":")[2])
    specs = [spec.partition(b"=") for spec in value.rstrip(b";").split(b";")]
    assert len({name for name, _, _ in specs}) == len(specs), "a tag occurs twice"
    assert all(equals for _, equals, _ in specs), "a tag-spec without ="
    return {name.decode("ascii"): text for name, _, text in specs}


def header_hash_input(field: bytes, message: bytes) -> bytes:
    """RFC 6376 section 3.7: what `field` signs of the header of `message`."""
    tags = read_tags(field)
    way = tags.get("c", b"simple").partition(b"/")[0].decode()
    fields, _ = split(message)
    emptied = re.sub(rb"([;:][ \t\r\n]*b[ \t\r\n]*=)[^;]*", rb"\1", field)
    chosen = [canonical_field(one, way) for one in select(fields, tags["h"].split(b":"))]
    return b"".join(chosen) + canonical_field(emptied + CRLF, way).removesuffix(CRLF)


def body_hash(field: bytes, message: bytes) -> bytes:
    """The value that bh= of `field` must have."""
    tags = read_tags(field)
    way = tags.get("c", b"simple").partition(b"/")[2].decode() or "simple"
    canonical = canonical_body(split(message)[1], way)
    if "l" in tags:
        canonical = canonical[: int(tags["l"])]
    return base64.b64encode(hashlib.sha256(canonical).digest())


def signature_fits(field: bytes, message: bytes, key: RsaKey | EdKey) -> bool:
    """Whether b= is what `key` makes of it; both algorithms are deterministic."""
    expected = key.sign(header_hash_input(field, message))
    return base64.b64decode(read_tags(field)["b"], validate=True) == expected


def padded_block(field: bytes, key: RsaKey) -> bytes:
    """The PKCS#1 block inside b=, opened with the public key."""
    number = int.from_bytes(base64.b64decode(read_tags(field)["b"]), "big")
    return pow(number, key.e, key.n).to_bytes(key.octets, "big")


def digest_info(data: bytes) -> bytes:
    """SHA-256's DigestInfo for `data`."""
    return SHA256_INFO + hashlib.sha256(data).digest()
