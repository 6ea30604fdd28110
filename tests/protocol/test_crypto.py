"""Public keys and signatures over a hash (RFC 8301, 8463, 8017 and 8032)."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dkimcore.protocol.algorithm import Algorithm, KeyType
from dkimcore.protocol.crypto import PublicKey
from dkimcore.protocol.result import Cause, Status, Unusable
from tests.protocol import material

rfc = pytest.mark.rfc
RSA, ED25519 = Algorithm.RSA_SHA256, Algorithm.ED25519_SHA256
DIGEST = hashlib.sha256(b"header").digest()


def der(tag, content):
    size = len(content)
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    length = octets if size < 128 else bytes([0x80 | len(octets)]) + octets
    return bytes([tag]) + length + content


def rsa_der(modulus, exponent, *, bare=False):
    """An RSAPublicKey (RFC 8017 appendix A.1.1), or one in a SubjectPublicKeyInfo."""
    integers = (der(2, n.to_bytes(n.bit_length() // 8 + 1, "big")) for n in (modulus, exponent))
    key = der(0x30, b"".join(integers))
    algorithm = bytes.fromhex("300d06092a864886f70d0101010500")
    return key if bare else der(0x30, algorithm + der(3, b"\x00" + key))


def refusal(octets, key_type):
    with pytest.raises(Unusable) as caught:
        PublicKey.decode(octets, key_type)
    assert caught.value.cause.status is Status.PERMERROR
    return caught.value.cause


@rfc("6376", "3.6.1")
@rfc("8017", "A.1.1")
@pytest.mark.parametrize("bare", [False, True])
def test_both_forms_of_an_rsa_key_are_read(bare):
    """Statements 92, 175."""
    key = material.rsa()
    numbers = key.private.public_key().public_numbers()
    octets = rsa_der(numbers.n, numbers.e, bare=bare)
    decoded = PublicKey.decode(octets, KeyType.RSA)
    assert (decoded.key_type, decoded.bits) == (KeyType.RSA, 2048)
    assert decoded.encode() == octets
    assert decoded.verifies(key.sign_digest(DIGEST), DIGEST, RSA)
    if not bare:
        assert octets == key.public_key.encode()
        assert decoded == key.public_key


@rfc("8301", "3.2")
@pytest.mark.parametrize("bits", [1023, 1024, 4096])
def test_the_length_of_a_key_is_counted_in_bits(bits):
    """Statement 74: 1023 is not 1024, though both have 128 octets."""
    decoded = PublicKey.decode(rsa_der((1 << bits - 1) | 1, 65537), KeyType.RSA)
    assert decoded.bits == bits


@rfc("8463", "4.2")
@rfc("8463", "A.2")
def test_an_ed25519_key_is_its_32_octets():
    """Statement 79, with the RFC's key."""
    octets = base64.b64decode("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
    decoded = PublicKey.decode(octets, KeyType.ED25519)
    assert (decoded.key_type, decoded.bits, decoded.encode()) == (KeyType.ED25519, 256, octets)


@rfc("8463", "4.2")
def test_an_ed25519_key_in_a_container_is_refused():
    """Statement 79."""
    spki = (
        material.ed25519()
        .private.public_key()
        .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )
    assert refusal(spki, KeyType.ED25519) is Cause.KEY_SYNTAX_ERROR
    assert refusal(spki, KeyType.RSA) is Cause.KEY_SYNTAX_ERROR


@rfc("8032", "5.1.5")
@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_an_ed25519_key_of_another_length_is_refused(size):
    """Statement 80."""
    assert refusal(b"\x05" * size, KeyType.ED25519) is Cause.KEY_SYNTAX_ERROR


def elliptic_curve_key():
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@rfc("6376", "8.8")
@rfc("6376", "6.1.2")
@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\x00",
        b"\x30\x84\xff\xff\xff\xff",
        material.rsa().public_key.encode()[:-1],
        material.rsa().public_key.encode() + b"\x00",
        material.rsa().public_key.encode()[1:],
        elliptic_curve_key(),
        b"-----BEGIN PUBLIC KEY-----",
        b"\x30" * 4000,
    ],
    ids=[
        "nothing",
        "one octet",
        "endless",
        "cut off",
        "too long",
        "headless",
        "ECDSA",
        "PEM",
        "nested",
    ],
)
def test_what_is_no_rsa_key_is_refused(octets):
    """Statement 101: broken DER and other types, without an exception."""
    assert refusal(octets, KeyType.RSA) is Cause.KEY_SYNTAX_ERROR


MODULUS = material.rsa().private.public_key().public_numbers().n


@rfc("6376", "8.13")
@pytest.mark.parametrize(
    "exponent",
    [0, 1, 2, 4, 65536, 2**32 + 1, 2**64 + 1, 2**2000 + 1, MODULUS],
    ids=lambda exponent: f"{exponent.bit_length()} bits {exponent % 97}",
)
def test_an_unreasonable_exponent_is_refused(exponent):
    """Statements 77, 169: with e=1 everybody could sign."""
    refusal(rsa_der(MODULUS, exponent), KeyType.RSA)
    refusal(rsa_der(MODULUS, exponent, bare=True), KeyType.RSA)


@rfc("6376", "8.13")
@pytest.mark.parametrize("exponent", [3, 17, 65537, 2**32 - 1])
def test_a_reasonable_exponent_is_accepted(exponent):
    """Statement 77."""
    assert PublicKey.decode(rsa_der(MODULUS, exponent), KeyType.RSA).bits == 2048


def test_an_even_modulus_is_refused():
    refusal(rsa_der(MODULUS - 1, 65537), KeyType.RSA)


# Arithmetic on edwards25519, written from RFC 8032 section 5.1.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def point(octets):
    """Decode a point (section 5.1.3), also with a y that is not reduced; None if there is none."""
    y = (int.from_bytes(octets, "little") & (1 << 255) - 1) % P
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P == -u % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if v * x * x % P != u:
        return None
    return (P - x if x and x & 1 != octets[31] >> 7 else x), y


def add(first, second):
    """Add points (section 5.1.4)."""
    (x1, y1), (x2, y2) = first, second
    product = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P
    return x, (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P


def times(number, base):
    total = (0, 1)
    while number:
        if number & 1:
            total = add(total, base)
        base, number = add(base, base), number >> 1
    return total


def order(base):
    """The order of a point that has a small one; 0 for others."""
    total = base
    for number in range(1, 9):
        if total == (0, 1):
            return number
        total = add(total, base)
    return 0


def small_order_encodings():
    """Every 32 octets that a decoder may take for a point of small order."""
    generator = next(
        torsion
        for y in range(2, 50)
        if (found := point(y.to_bytes(32, "little"))) and order(torsion := times(L, found)) == 8
    )
    found = set()
    for number in range(8):
        y = times(number, generator)[1]
        for value in (y, y + P):
            if value < 1 << 255:
                found |= {(value | sign << 255).to_bytes(32, "little") for sign in (0, 1)}
    return sorted(found)


@rfc("8032", "5.1")
@rfc("8032", "5.1.3")
def test_the_points_of_small_order_are_these():
    """Statement 80: seven y, each with either sign; found by arithmetic, not from a list."""
    encodings = small_order_encodings()
    assert len(encodings) == 14
    assert {order(point(octets)) for octets in encodings} == {1, 2, 4, 8}
    assert order(point(material.ed25519().public_key.encode())) == 0


@rfc("8032", "5.1")
@rfc("8032", "5.1.7")
@pytest.mark.parametrize("octets", small_order_encodings(), ids=bytes.hex)
def test_a_point_of_small_order_is_refused(octets):
    """Statements 77, 80: such a key would accept signatures that nobody made."""
    assert refusal(octets, KeyType.ED25519) is Cause.KEY_UNACCEPTABLE


@rfc("8032", "5.1.3")
def test_octets_that_are_no_point_fit_no_signature():
    """Statement 80: rejected without an exception."""
    octets = next(
        candidate for y in range(2, 50) if point(candidate := y.to_bytes(32, "little")) is None
    )
    try:
        key = PublicKey.decode(octets, KeyType.ED25519)
    except Unusable as unusable:
        status = unusable.cause.status
    else:
        status = Status.PASS if key.verifies(bytes(64), DIGEST, ED25519) else Status.FAIL
    assert status in (Status.FAIL, Status.PERMERROR)


@rfc("8032", "7.1")
@pytest.mark.parametrize(
    ("public", "message", "signature"),
    [
        (
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e"
            "39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f"
            "3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67"
            "f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ],
)
def test_the_vectors_of_rfc_8032(public, message, signature):
    """Statement 78: PureEdDSA, over whatever octets there are."""
    key = PublicKey.decode(bytes.fromhex(public), KeyType.ED25519)
    assert key.verifies(bytes.fromhex(signature), bytes.fromhex(message), ED25519)
    assert not key.verifies(bytes.fromhex(signature), bytes.fromhex(message) + b"x", ED25519)


@rfc("8032", "5.1.7")
def test_an_ed25519_signature_has_a_reduced_scalar_and_64_octets():
    """Statement 80."""
    key = material.ed25519()
    good = key.sign_digest(DIGEST)
    assert key.public_key.verifies(good, DIGEST, ED25519)
    more = int.from_bytes(good[32:], "little") + L
    for wrong in (
        good[:32] + more.to_bytes(32, "little"),
        good[:-1],
        good + b"\x00",
        b"",
        bytes(64),
        bytes(256),
    ):
        assert not key.public_key.verifies(wrong, DIGEST, ED25519)


@rfc("8463", "3")
def test_ed25519_is_over_the_hash_and_not_over_what_was_hashed():
    """Statement 78."""
    key = material.ed25519()
    assert not key.public_key.verifies(key.private.sign(b"header"), DIGEST, ED25519)


@rfc("8017", "8.2.2")
@rfc("8017", "5.2.2")
def test_an_rsa_signature_has_the_length_of_the_modulus_and_is_less():
    """Statement 72."""
    key = material.rsa()
    good = key.sign_digest(DIGEST)
    assert key.public_key.verifies(good, DIGEST, RSA)
    number = int.from_bytes(good, "big")
    wrong = [b"", b"\x00", b"\x00" + good, good + b"\x00", good[:-1], b"\x00" * 256, b"\xff" * 256]
    if number + MODULUS < 1 << 2048:
        wrong.append((number + MODULUS).to_bytes(256, "big"))
    wrong.append((number + MODULUS).to_bytes(257, "big"))
    for octets in wrong:
        assert not key.public_key.verifies(octets, DIGEST, RSA)


def cube_root(number):
    low, high = 0, 1 << number.bit_length() // 3 + 1
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if middle**3 < number else (low, middle)
    return low


@rfc("8017", "9.2")
@rfc("8017", "8.2.2")
def test_a_block_with_garbage_behind_the_hash_is_no_signature():
    """Statement 72: what Bleichenbacher forged, for any key with e=3, without its private half."""
    info = bytes.fromhex("3031300d060960864801650304020105000420") + DIGEST
    prefix = b"\x00\x01" + b"\xff" * 8 + b"\x00" + info
    block = int.from_bytes(prefix + b"\x00" * (256 - len(prefix)), "big")
    forged = cube_root(block)
    assert (forged**3).to_bytes(256, "big").startswith(prefix)
    key = PublicKey.of(rsa.RSAPublicNumbers(3, MODULUS).public_key())
    assert not key.verifies(forged.to_bytes(256, "big"), DIGEST, RSA)


@rfc("6376", "3.3.2")
@rfc("8017", "8.2.2")
def test_the_hash_that_was_signed_is_part_of_the_signature():
    """Statement 71: a hash of one kind is never taken for another."""
    key = material.rsa(2048, Algorithm.RSA_SHA1)
    digest = hashlib.sha1(b"header").digest()
    signature = key.sign_digest(digest)
    assert key.public_key.verifies(signature, digest, Algorithm.RSA_SHA1)
    assert not key.public_key.verifies(signature, DIGEST, Algorithm.RSA_SHA1)
    assert not key.public_key.verifies(signature, digest, RSA)
    assert not key.public_key.verifies(signature, DIGEST, RSA)


@rfc("6376", "6.1.2")
def test_a_key_of_another_type_never_fits():
    """Statement 91: an Ed25519 key with an RSA signature, and the other way."""
    for key, other in ((material.rsa(), ED25519), (material.ed25519(), RSA)):
        assert not key.public_key.verifies(key.sign_digest(DIGEST), DIGEST, other)


def test_wrapping_a_key_gives_what_is_published():
    for key in (material.rsa(), material.ed25519()):
        wrapped = key.public_key
        assert PublicKey.decode(wrapped.encode(), wrapped.key_type) == wrapped


def test_a_key_is_not_printed():
    assert "object at" not in repr(material.rsa().public_key)
    assert repr(material.rsa().public_key) == "PublicKey(key_type=<KeyType.RSA: 'rsa'>, bits=2048)"


@rfc("8032", "5.1.3")
@pytest.mark.parametrize(
    "octets", [b"\x02" + bytes(31), b"\xff" * 31 + b"\x7f", b"\x07" + bytes(31)]
)
def test_what_encodes_no_point_is_no_key(octets):
    """Statement 83: it prevents the check, and so is no mismatch."""
    with pytest.raises(Unusable) as caught:
        PublicKey.decode(octets, KeyType.ED25519)
    assert caught.value.cause in (Cause.KEY_SYNTAX_ERROR, Cause.KEY_UNACCEPTABLE)
    assert caught.value.cause.status == "permerror"
