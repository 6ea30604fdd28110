"""Keys that never leave KMS."""

from __future__ import annotations

import base64
import dataclasses
import json
import multiprocessing
import threading
import time
from hashlib import sha256

import pytest

from dkimcore.errors import (
    ConfigError,
    KeyBackendError,
    KeyDenied,
    KeyNotFound,
    KeyUnavailable,
    KeyUnusable,
    KeyUriError,
)
from dkimcore.keys.aws.kms import open_key
from dkimcore.keys.sections import Sections
from dkimcore.keys.uri import KeyUri
from dkimcore.protocol.algorithm import Algorithm
from dkimcore.testing import EphemeralKey, check_key_backend
from tests.servers.faults import (
    Close,
    Hang,
    Reset,
    Rewrite,
    Slow,
    aws_error,
    garbage,
    other_key,
    wrong_signature,
)

DIGEST = sha256(b"a header").digest()
KINDS = {
    "RSA_2048": (Algorithm.RSA_SHA256, 2048),
    "RSA_3072": (Algorithm.RSA_SHA256, 3072),
    "RSA_4096": (Algorithm.RSA_SHA256, 4096),
    "ECC_NIST_EDWARDS25519": (Algorithm.ED25519_SHA256, 256),
}
FAST = {"connect_timeout": 0.3, "read_timeout": 0.3}


@pytest.fixture(scope="module")
def arns(make_key):
    """One key of each kind."""
    return {spec: make_key(spec) for spec in KINDS}


@pytest.fixture
def alias(kms, request):
    """Gives a key an alias of the test's own."""

    def name(arn):
        text = f"alias/dkim/{sha256(request.node.nodeid.encode()).hexdigest()[:16]}"
        kms.create_alias(AliasName=text, TargetKeyId=arn.rpartition("/")[2])
        return text

    return name


def opened(uri, context):
    return open_key(KeyUri.parse(uri), context)


@pytest.mark.parametrize("spec", KINDS)
def test_contract(arns, context, spec):
    passed = check_key_backend(open_key, f"awskms:{arns[spec]}", context=context())

    assert passed[-2:] == ("fork", "no secrets")


@pytest.mark.parametrize("spec", KINDS)
def test_kinds(arns, context, spec):
    key = opened(f"awskms:{arns[spec]}", context())

    assert (key.algorithm, key.public_key.bits) == KINDS[spec]
    assert key.batch == 1
    assert key.public_key.verifies(key.sign_digest(DIGEST), DIGEST, key.algorithm)
    assert repr(key) == f"<KmsKey {arns[spec]} {key.algorithm}, {key.public_key.bits} bits>"


def test_by_alias_and_by_id(arns, alias, context):
    arn = arns["RSA_2048"]
    name = alias(arn)
    made = context()
    account = arn.split(":")[4]
    for rest in (
        name,
        f"{name}?region=eu-west-1",
        f"arn:aws:kms:eu-west-1:{account}:{name}",
        arn.rpartition("/")[2],
        f"{name}?backend=eu",
    ):
        key = opened(f"awskms:{rest}", made)
        assert key.arn == arn
        assert key.uri == f"awskms:{rest}"


def test_a_key_that_has_copies_in_other_regions(make_key, context):
    arn = make_key("RSA_2048", MultiRegion=True)
    assert "/mrk-" in arn

    key = opened(f"awskms:{arn}", context())

    assert key.public_key.verifies(key.sign_digest(DIGEST), DIGEST, key.algorithm)


def test_a_moved_alias_changes_nothing(make_key, kms, arns, alias, context, events):
    name = alias(arns["RSA_2048"])
    key = opened(f"awskms:{name}", context(observer=events))
    other = make_key("RSA_2048")
    kms.update_alias(AliasName=name, TargetKeyId=other.rpartition("/")[2])

    assert key.public_key.verifies(key.sign_digest(DIGEST), DIGEST, key.algorithm)
    (event,) = events
    assert (event.event, event.fields["arn"]) == ("alias-resolved", arns["RSA_2048"])
    assert event.uri == f"awskms:{name}"


def test_an_arn_says_nothing(arns, context, events):
    opened(f"awskms:{arns['RSA_2048']}", context(observer=events))

    assert events == []


def test_signatures_are_asked_for_by_arn(arns, alias, context, proxy):
    key = opened(f"awskms:{alias(arns['RSA_2048'])}", context(url=proxy.url))
    key.sign_digest(DIGEST)

    request = json.loads(proxy.recent[-1].body)
    assert request["KeyId"] == arns["RSA_2048"]
    assert request["MessageType"] == "DIGEST"


@pytest.mark.parametrize("algorithm", ["RSA_2048", "ECC_NIST_EDWARDS25519"])
def test_one_call_for_one_signature(arns, context, proxy, algorithm):
    key = opened(f"awskms:{arns[algorithm]}", context(url=proxy.url))
    before = proxy.requests
    key.sign_digest(DIGEST)

    assert proxy.requests == before + 1


@pytest.mark.parametrize(
    ("spec", "usage", "words"),
    [
        ("ECC_NIST_P256", "SIGN_VERIFY", "of the kind ECC_NIST_P256, which no verifier"),
        ("RSA_2048", "ENCRYPT_DECRYPT", "is for ENCRYPT_DECRYPT, not for signatures"),
        ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "does not do kms:GetPublicKey with such a key"),
    ],
)
def test_keys_of_no_use(make_key, context, spec, usage, words):
    arn = make_key(spec, usage=usage)
    with pytest.raises(KeyUnusable, match=words) as caught:
        opened(f"awskms:{arn}", context())
    assert caught.value.request_id


class TestState:
    def test_disabled(self, make_key, kms, store):
        arn = make_key("RSA_2048")
        key = store().get(f"awskms:{arn}")
        kms.disable_key(KeyId=arn)

        with pytest.raises(KeyDenied, match="aws kms enable-key") as caught:
            key.sign_digest(DIGEST)
        assert caught.value.request_id
        with pytest.raises(KeyDenied, match="is disabled"):
            store().get(f"awskms:{arn}")

        kms.enable_key(KeyId=arn)
        assert key.sign_digest(DIGEST)

    def test_to_be_deleted(self, make_key, kms, store):
        arn = make_key("ECC_NIST_EDWARDS25519")
        key = store().get(f"awskms:{arn}")
        kms.schedule_key_deletion(KeyId=arn, PendingWindowInDays=7)

        with pytest.raises(KeyDenied, match="pending deletion"):
            key.sign_digest(DIGEST)

    def test_without_material(self, make_key, context):
        arn = make_key("RSA_2048", Origin="EXTERNAL")
        with pytest.raises(KeyDenied, match="waits for its material"):
            opened(f"awskms:{arn}", context())


@pytest.mark.parametrize(
    "rest",
    [
        "alias/dkim/nobody",
        "1234abcd-12ab-34cd-56ef-1234567890ab",
        "arn:aws:kms:eu-west-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "arn:aws:kms:eu-west-1:000000000000:alias/nobody",
    ],
)
def test_not_found(context, rest):
    with pytest.raises(KeyNotFound, match="no such key in eu-west-1") as caught:
        opened(f"awskms:{rest}", context())
    assert caught.value.uri == f"awskms:{rest}"
    assert caught.value.request_id


def test_in_another_region(arns, alias, context):
    name = alias(arns["RSA_2048"])
    with pytest.raises(KeyNotFound, match="no such key in us-east-1"):
        opened(f"awskms:{name}?region=us-east-1", context())


def test_no_region(arns, alias, context):
    name = alias(arns["RSA_2048"])
    with pytest.raises(KeyUriError, match="in which region"):
        opened(f"awskms:{name}", dataclasses.replace(context(), sections=Sections()))


def test_unknown_options(context):
    with pytest.raises(KeyUriError, match="has no option 'version'"):
        opened("awskms:alias/s1?version=3", context())


def test_a_section_that_is_wrong(context):
    with pytest.raises(ConfigError, match="has no such key"):
        opened("awskms:alias/s1", context(user="mail"))
    with pytest.raises(KeyUriError, match="no section"):
        opened("awskms:alias/s1?backend=us", context())


def answering(**values):
    """An answer with other values than those of KMS."""

    def change(body):
        return json.dumps({**json.loads(body), **values}).encode()

    return Rewrite(change)


class TestHostileAnswers:
    @pytest.mark.parametrize(
        "said",
        [
            "arn:aws:kms:eu-west-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "1234abcd",
            "x" * 10000,
        ],
    )
    def test_another_key_is_described(self, arns, context, proxy, said):
        with proxy.broken(answering(KeyId=said)), pytest.raises(KeyUnusable) as caught:
            opened(f"awskms:{arns['RSA_2048']}", context(url=proxy.url))
        assert "answered for" in caught.value.problem
        assert len(caught.value.problem) < 600

    def test_a_public_half_that_is_none(self, arns, context, proxy):
        with (
            proxy.broken(answering(PublicKey="AAAA")),
            pytest.raises(KeyUnusable, match="RSA or Ed25519"),
        ):
            opened(f"awskms:{arns['RSA_2048']}", context(url=proxy.url))

    def test_a_public_half_of_another_key(self, make_key, kms, arns, store, proxy):
        other = kms.get_public_key(KeyId=make_key("RSA_2048"))
        text = base64.b64encode(other["PublicKey"]).decode()
        proxy.inject(answering(PublicKey=text), match="GetPublicKey")
        with pytest.raises(KeyUnusable, match="does not verify"):
            store(url=proxy.url).get(f"awskms:{arns['RSA_2048']}")

    @pytest.mark.parametrize(
        "values",
        [
            {"KeyId": "arn:aws:kms:eu-west-1:000000000000:key/other"},
            {"SigningAlgorithm": "RSASSA_PSS_SHA_256"},
        ],
    )
    def test_another_key_or_algorithm_signed(self, arns, context, proxy, values):
        key = opened(f"awskms:{arns['RSA_2048']}", context(url=proxy.url))
        with (
            proxy.broken(answering(**values)),
            pytest.raises(KeyUnusable, match="the signature was thrown away") as caught,
        ):
            key.sign_digest(DIGEST)
        assert caught.value.request_id

    @pytest.mark.parametrize("spec", ["RSA_2048", "ECC_NIST_EDWARDS25519"])
    @pytest.mark.parametrize("kind", ["flipped", "other"])
    def test_a_wrong_signature_never_leaves(self, arns, store, proxy, events, spec, kind):
        key = store(url=proxy.url, observer=events).get(f"awskms:{arns[spec]}")
        wrong = EphemeralKey.rsa() if spec == "RSA_2048" else EphemeralKey.ed25519()
        fault = wrong_signature() if kind == "flipped" else other_key(wrong._private_key)
        with proxy.broken(fault), pytest.raises(KeyUnusable, match="was thrown away"):
            key.sign_digest(DIGEST)

        assert events[-1].event == "signature-refused"
        assert key.public_key.verifies(key.sign_digest(DIGEST), DIGEST, key.algorithm)

    @pytest.mark.parametrize("value", ["", "AAAA", "no base64", 7, None])
    def test_a_signature_that_is_none(self, arns, store, proxy, value):
        key = store(url=proxy.url).get(f"awskms:{arns['RSA_2048']}")
        with proxy.broken(answering(Signature=value)), pytest.raises(KeyBackendError):
            key.sign_digest(DIGEST)


PASSING = [
    aws_error("ThrottlingException"),
    aws_error("KMSInternalException", status=500),
    aws_error("DependencyTimeoutException", status=500),
    aws_error("KeyUnavailableException", status=500),
    Reset(),
    Close(),
    Hang(),
    Slow(seconds=2),
    garbage(),
]


@pytest.mark.parametrize("fault", PASSING, ids=str)
def test_what_passes_is_tried_again(arns, store, proxy, fault):
    key = store(url=proxy.url, **FAST).get(f"awskms:{arns['RSA_2048']}")
    rule = proxy.inject(fault, times=1, match="Sign")

    assert key.public_key.verifies(key.sign_digest(DIGEST), DIGEST, key.algorithm)
    assert rule.hits == 1


@pytest.mark.parametrize("fault", PASSING, ids=str)
def test_what_does_not_pass_is_temporary(arns, store, proxy, fault):
    key = store(url=proxy.url, **FAST).get(f"awskms:{arns['RSA_2048']}")
    with proxy.broken(fault):
        begin = time.monotonic()
        with pytest.raises(KeyUnavailable) as caught:
            key.sign_digest(DIGEST)

    assert time.monotonic() - begin < 2.5
    assert caught.value.uri == f"awskms:{arns['RSA_2048']}"


@pytest.mark.parametrize("code", ["AccessDeniedException", "InvalidKeyUsageException"])
def test_what_is_final_is_not_tried_again(arns, store, proxy, code):
    key = store(url=proxy.url).get(f"awskms:{arns['RSA_2048']}")
    rule = proxy.inject(aws_error(code))

    with pytest.raises(KeyBackendError):
        key.sign_digest(DIGEST)
    assert rule.hits == 1


@pytest.mark.parametrize("timeout", [0.2, 0.6])
def test_a_call_keeps_its_time(arns, context, proxy, timeout):
    key = opened(f"awskms:{arns['RSA_2048']}", context(url=proxy.url))
    with proxy.broken(Hang()):
        begin = time.monotonic()
        with pytest.raises(KeyUnavailable, match="did not answer"):
            key.sign_digests([DIGEST], timeout=timeout)

    assert timeout <= time.monotonic() - begin < timeout + 0.4


@pytest.mark.parametrize("spec", ["RSA_2048", "ECC_NIST_EDWARDS25519"])
def test_eight_threads(arns, store, spec):
    """8 x 250: the emulator makes 400 signatures a second, whatever we do."""
    key = store().get(f"awskms:{arns[spec]}")
    faults = []

    def work(number):
        for count in range(250):
            digest = sha256(b"%d %d" % (number, count)).digest()
            try:
                if not key.public_key.verifies(key.sign_digest(digest), digest, key.algorithm):
                    faults.append("wrong")
            except KeyBackendError as exc:
                faults.append(str(exc))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def _sign_in_child(key, queue):
    signature = key.sign_digest(DIGEST)
    queue.put(key.public_key.verifies(signature, DIGEST, key.algorithm))


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_after_fork(arns, store, proxy):
    key = store(url=proxy.url).get(f"awskms:{arns['RSA_2048']}")
    assert key.sign_digest(DIGEST)
    process = multiprocessing.get_context("fork")
    queue = process.SimpleQueue()
    children = [process.Process(target=_sign_in_child, args=(key, queue)) for _ in range(3)]
    for child in children:
        child.start()
    assert [queue.get() for _ in children] == [True, True, True]
    for child in children:
        child.join()
    assert key.sign_digest(DIGEST)
