"""Calls of KMS: what is sent, what is understood, and with which login."""

from __future__ import annotations

import datetime
import json
import multiprocessing
import pickle

import boto3
import botocore.auth
import pytest
from botocore.config import Config

from dkimcore.errors import (
    KeyBackendError,
    KeyDenied,
    KeyNotFound,
    KeyUnavailable,
    KeyUnusable,
)
from dkimcore.keys.aws.client import Answer, KmsClient
from dkimcore.keys.endpoint import EndpointLimits
from tests.servers.faults import Answer as Reply
from tests.servers.faults import aws_error, garbage
from tests.servers.ministack import ACCESS_KEY, SECRET_KEY, MinistackServer

URI = "awskms:alias/s1?region=eu-west-1"
DIGEST = bytes(range(32))
CALLS = [
    ("GetPublicKey", "get_public_key", {"KeyId": "alias/ä"}),
    (
        "Sign",
        "sign",
        {
            "KeyId": "arn:aws:kms:eu-west-1:111122223333:key/1",
            "Message": DIGEST,
            "MessageType": "DIGEST",
            "SigningAlgorithm": "RSASSA_PKCS1_V1_5_SHA_256",
        },
    ),
    (
        "Decrypt",
        "decrypt",
        {"CiphertextBlob": b"\1\2", "KeyId": "k", "EncryptionContext": {"d": "bücher.example"}},
    ),
]


@pytest.fixture
def client(section):
    """Makes clients for a URL."""
    made = []

    def make(url, *, region="eu-west-1", conceal=lambda _: None, **values):
        made.append(
            KmsClient(
                section(endpoint_url=url, **values),
                region=region,
                limits=EndpointLimits(),
                conceal=conceal,
            )
        )
        return made[-1]

    yield make
    for each in made:
        each.close()


def call(made, action="ListKeys", parameters=None, *, timeout=5):
    return made.call(action, parameters or {}, uri=URI, timeout=timeout)


@pytest.mark.parametrize(("action", "method", "parameters"), CALLS)
@pytest.mark.parametrize("token", [None, "token-of-a-session"])
def test_what_is_sent_is_what_boto3_sends(
    client, proxy, monkeypatch, action, method, parameters, token
):
    if token:
        monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    now = datetime.datetime(2026, 11, 30, 9, 0, tzinfo=datetime.UTC)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: now)
    config = Config(retries={"mode": "standard", "total_max_attempts": 1})
    theirs = boto3.session.Session().client(
        "kms", endpoint_url=proxy.url, region_name="eu-west-1", config=config
    )

    with proxy.broken(aws_error("NotFoundException")):
        with pytest.raises(KeyNotFound):
            call(client(proxy.url), action, parameters)
        with pytest.raises(theirs.exceptions.NotFoundException):
            getattr(theirs, method)(**parameters)

    ours, other = proxy.recent
    assert ours.first_line == other.first_line
    assert json.loads(ours.body) == json.loads(other.body)
    for name in (b"content-type", b"host", b"x-amz-date", b"x-amz-security-token"):
        assert ours.fields.get(name) == other.fields.get(name)
    assert ours.target == other.target == f"TrentService.{action}"
    assert ours.fields[b"accept-encoding"] == other.fields[b"accept-encoding"] == b"identity"
    assert ours.fields[b"user-agent"].startswith(b"dkimcore/")
    # With the same octets and the same time, the signature is the same.
    assert ours.body == other.body
    assert ours.fields[b"authorization"] == other.fields[b"authorization"]


def test_an_answer(client, ministack):
    arn = ministack.create_key("ECC_NIST_EDWARDS25519")

    answer = call(client(ministack.url), "GetPublicKey", {"KeyId": arn})

    assert answer.text("KeyId") == arn
    assert len(answer.octets("PublicKey")) == 44
    assert len(answer.request_id) == 36
    assert "PublicKey" not in repr(answer)


def test_parts_of_an_answer():
    answer = Answer({"text": "a", "octets": "AAE=", "part": {"text": "b"}}, uri=URI, request_id="7")

    assert answer.octets("octets") == b"\0\1"
    assert answer.part("part").text("text") == "b"
    assert answer.part("part").request_id == "7"


@pytest.mark.parametrize("value", [None, 1, [], "AAE", "A A=", "ä", "AAE=\n"])
def test_octets_that_are_none(value):
    with pytest.raises(KeyUnavailable, match="no good Signature") as caught:
        Answer({"Signature": value}, uri=URI, request_id="7").octets("Signature")
    assert (caught.value.uri, caught.value.request_id) == (URI, "7")


def test_texts_and_parts_that_are_none():
    answer = Answer({"KeyId": 1}, uri=URI, request_id=None)

    with pytest.raises(KeyUnavailable, match="no good KeyId"):
        answer.text("KeyId")
    with pytest.raises(KeyUnavailable, match="no good KeyMetadata"):
        answer.part("KeyMetadata")


def test_only_json_and_octets_are_sent(client, ministack):
    with pytest.raises(TypeError, match="memoryview is no parameter"):
        call(client(ministack.url), "Sign", {"Message": memoryview(b"")})


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (aws_error("com.amazonaws.kms#NotFoundException"), KeyNotFound, "no such key"),
        (
            Reply(status=400, headers={"x-amzn-ErrorType": "DisabledException:http://x/"}),
            KeyDenied,
            "is disabled",
        ),
        (
            Reply(status=400, body=b'{"__type": "AccessDeniedException", "Message": "not you"}'),
            KeyDenied,
            "not you",
        ),
        (
            Reply(status=400, body=b'{"__type": "AccessDeniedException", "message": 7}'),
            KeyDenied,
            "policy",
        ),
        (aws_error("ThrottlingException"), KeyUnavailable, "asked too often"),
        (aws_error("KMSInternalException", status=500), KeyUnavailable, "KMS failed"),
        (Reply(status=503), KeyUnavailable, "status 503"),
        (Reply(status=403, body=b"<html>blocked</html>"), KeyUnavailable, "is not KMS"),
        (Reply(status=400, body=b'{"__type": 7}'), KeyUnavailable, "is not KMS"),
        (Reply(status=400, body=b"[" * 60000), KeyUnavailable, "is not KMS"),
        (Reply(status=302, headers={"Location": "/"}), KeyUnavailable, "is not KMS"),
        (garbage(), KeyUnavailable, "is not KMS"),
        (Reply(status=200, body=b"[]"), KeyUnavailable, "is not KMS"),
        (aws_error("FutureException"), KeyUnusable, "FutureException, status 400"),
    ],
)
def test_errors(client, proxy, fault, kind, words):
    made = client(proxy.url)
    with proxy.broken(fault), pytest.raises(KeyBackendError, match=words) as caught:
        call(made)

    assert type(caught.value) is kind
    assert caught.value.uri == URI
    assert caught.value.request_id == fault.headers.get("x-amzn-RequestId")
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert pickle.loads(pickle.dumps(caught.value)).request_id == caught.value.request_id
    assert proxy.requests == 1  # and no second attempt


@pytest.mark.parametrize(
    ("text", "seconds"), [("2", 2.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("1e9", None)]
)
def test_when_to_ask_again(client, proxy, text, seconds):
    fault = aws_error("ThrottlingException", headers={"Retry-After": text})
    with proxy.broken(fault), pytest.raises(KeyUnavailable) as caught:
        call(client(proxy.url))

    assert caught.value.retry_after == seconds


def test_a_request_id_that_cannot_be_printed(client, proxy):
    fault = Reply(status=503, headers={"x-amzn-RequestId": "\xff" * 5})
    with proxy.broken(fault), pytest.raises(KeyUnavailable) as caught:
        call(client(proxy.url))

    assert caught.value.request_id is None


def test_no_frame_of_a_failure_holds_a_secret(client, proxy, monkeypatch, shown_locals):
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token-of-a-session")
    with proxy.broken(aws_error("DisabledException")), pytest.raises(KeyDenied) as caught:
        call(client(proxy.url))

    shown = shown_locals(caught)
    assert SECRET_KEY not in shown
    assert "token-of-a-session" not in shown


def test_wrong_credentials(client, monkeypatch):
    with MinistackServer(AUTH="true") as strict:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN")
        with pytest.raises(KeyDenied, match="AWS does not know the access key"):
            call(client(strict.url))


def test_no_login(client, ministack, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    with pytest.raises(KeyDenied, match="there is no login"):
        call(client(ministack.url))


class TestExpired:
    """A login in a file that has expired, and is written anew or not."""

    @pytest.fixture
    def write(self, monkeypatch, tmp_path):
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

        def write(token):
            (tmp_path / "aws-credentials").write_text(
                f"[default]\naws_access_key_id={ACCESS_KEY}\n"
                f"aws_secret_access_key={SECRET_KEY}\naws_session_token={token}\n"
            )

        write("token-of-the-old")
        return write

    @pytest.mark.parametrize("code", ["ExpiredTokenException", "UnrecognizedClientException"])
    def test_a_newer_one_is_taken_at_once(self, client, proxy, write, code):
        concealed = []
        made = client(proxy.url, conceal=concealed.append)
        call(made)
        write("token-of-the-new")
        proxy.inject(aws_error(code), times=1)

        call(made)

        tokens = [request.fields[b"x-amz-security-token"] for request in proxy.recent]
        assert tokens == [b"token-of-the-old", b"token-of-the-old", b"token-of-the-new"]
        assert concealed == [SECRET_KEY, "token-of-the-old", SECRET_KEY, "token-of-the-new"]

    def test_without_a_newer_one_it_is_over(self, client, proxy, write):
        made = client(proxy.url)
        with proxy.broken(aws_error("ExpiredTokenException")):
            for _ in range(2):
                with pytest.raises(KeyDenied, match="has expired"):
                    call(made)

        assert proxy.requests == 2

    def test_a_newer_one_that_is_no_better(self, client, proxy, write):
        made = client(proxy.url)
        with proxy.broken(aws_error("ExpiredTokenException")):
            with pytest.raises(KeyDenied):
                call(made)
            write("token-of-the-new")
            with pytest.raises(KeyDenied):
                call(made)

        assert proxy.requests == 2  # it is looked for every 5 seconds


def _count_in_child(made, queue):
    try:
        call(made)
        queue.put("signed")
    except Exception as exc:
        queue.put(repr(exc))
        raise


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_has_connections_of_its_own(client, proxy):
    made = client(proxy.url)
    call(made)
    assert proxy.counts()["connections"] == 1
    process = multiprocessing.get_context("fork")
    queue = process.SimpleQueue()
    child = process.Process(target=_count_in_child, args=(made, queue))
    child.start()
    assert queue.get() == "signed"
    child.join()

    assert proxy.counts()["connections"] == 2
    call(made)
    assert proxy.counts()["connections"] == 2  # the parent's is as it was


def test_one_client_for_a_section_and_region(context, section):
    made = context()
    eu = section(endpoint_url="http://127.0.0.1:1", region="eu-west-1")

    first = KmsClient.of(eu, made, region="eu-west-1")

    assert KmsClient.of(eu, made, region="eu-west-1") is first
    assert KmsClient.of(eu, made, region=None) is first
    assert KmsClient.of(eu, made, region="us-east-1") is not first
    assert "eu-west-1" in repr(first)
