"""Who asks KMS and where it is, as boto3 finds it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from dkimcore.errors import ConfigError, KeyDenied, KeyUnavailable, KeyUriError
from dkimcore.keys.aws.failures import EXPIRED
from dkimcore.keys.aws.login import KEYS, AwsLogin
from dkimcore.keys.sections import Sections
from tests.servers.faults import Answer
from tests.servers.ministack import ACCESS_KEY, SECRET_KEY


@pytest.fixture
def login(section):
    """Makes logins and remembers what they conceal."""
    concealed = []

    def make(asked=None, **values):
        made = AwsLogin(section(**values), region=asked, conceal=concealed.append)
        made.concealed = concealed
        return made

    return make


@pytest.fixture
def config(tmp_path):
    """Writes ~/.aws/config."""

    def write(text):
        (tmp_path / "aws-config").write_text(text)

    return write


@pytest.fixture
def credentials(tmp_path):
    """Writes ~/.aws/credentials."""

    def write(key, secret, token=None, profile="default"):
        lines = [f"[{profile}]", f"aws_access_key_id={key}", f"aws_secret_access_key={secret}"]
        lines += [f"aws_session_token={token}"] if token else []
        (tmp_path / "aws-credentials").write_text("\n".join(lines) + "\n")

    return write


@pytest.fixture
def no_environment(monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")


def test_the_environment(login):
    found = login("eu-west-1").credentials()

    assert (found.access_key, found.secret_key, found.token) == (ACCESS_KEY, SECRET_KEY, None)


def test_each_secret_is_concealed_once(login, monkeypatch):
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token-of-a-session")
    made = login("eu-west-1")

    made.credentials()
    made.credentials()

    assert made.concealed == [SECRET_KEY, "token-of-a-session"]
    assert "eu-west-1" in repr(made)
    assert SECRET_KEY not in repr(made)


def test_a_word_of_an_emulator_is_no_secret(login, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    made = login("eu-west-1")

    assert made.credentials().secret_key == "test"
    assert made.concealed == []


@pytest.mark.usefixtures("no_environment")
def test_a_profile(login, config, credentials):
    config("[profile mail]\nregion = eu-north-1\n")
    credentials("AKIAMAIL", "secret-of-mail", profile="mail")
    made = login(profile="mail")

    assert made.credentials().access_key == "AKIAMAIL"
    assert made.place.region == "eu-north-1"


@pytest.mark.usefixtures("no_environment")
def test_no_login(login):
    failure = login("eu-west-1").credentials()

    assert failure.kind is KeyDenied
    assert "there is no login" in failure.problem


@pytest.mark.usefixtures("no_environment")
def test_a_login_is_looked_for_once_for_all_threads(login, config, tmp_path):
    program = tmp_path / "login"
    program.write_text(
        f"#!/bin/sh\necho >> {tmp_path}/count\nsleep 0.1\n"
        'echo \'{"Version": 1, "AccessKeyId": "AKIAPROGRAM", "SecretAccessKey": "secret"}\'\n'
    )
    program.chmod(0o700)
    config(f"[default]\ncredential_process = {program}\n")
    made = login("eu-west-1")
    found = []
    threads = [threading.Thread(target=lambda: found.append(made.credentials())) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {each.access_key for each in found} == {"AKIAPROGRAM"}
    assert (tmp_path / "count").read_text() == "\n"


@pytest.mark.usefixtures("no_environment")
def test_no_login_is_found_out_once_for_those_who_wait(login, config, tmp_path):
    config(f"[default]\ncredential_process = sh -c 'echo >> {tmp_path}/count; exit 1'\n")
    made = login("eu-west-1")

    first = made.credentials()
    assert made.credentials() is first
    made._failed = float("-inf")
    assert made.credentials() == first
    assert (tmp_path / "count").read_text() == "\n\n"


@pytest.mark.usefixtures("no_environment")
def test_half_a_login(login, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)

    failure = login("eu-west-1").credentials()

    assert failure.kind is KeyDenied
    assert "not whole" in failure.problem


@pytest.mark.usefixtures("no_environment")
def test_a_program_that_fails_and_prints_a_secret(login, config):
    config("[default]\ncredential_process = sh -c 'echo CANARY >&2; exit 1'\n")

    failure = login("eu-west-1").credentials()

    assert failure.kind is KeyUnavailable
    assert "credential_process=" in failure.problem
    assert "CANARY" not in failure.problem


@pytest.mark.usefixtures("no_environment")
def test_sts_that_is_not_there(login, config, credentials, monkeypatch, unused_port):
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://127.0.0.1:{unused_port}")
    credentials("AKIAMAIL", "secret-of-mail", profile="base")
    config(
        "[profile mail]\nregion = eu-west-1\nsource_profile = base\n"
        "role_arn = arn:aws:iam::111122223333:role/mail\nexternal_id = 42\n"
    )

    failure = login(profile="mail").credentials()

    assert failure.kind is KeyUnavailable
    assert "STS" in failure.problem


def test_an_expired_login_is_looked_for_again(login, no_environment, credentials):
    credentials("AKIAOLD", "secret-of-the-old", "token-of-the-old")
    made = login("eu-west-1")
    old = made.credentials()

    assert not made.has_newer(old)  # the file says the same
    credentials("AKIANEW", "secret-of-the-new", "token-of-the-new")
    assert not made.has_newer(old)  # not so soon again
    made._searched = float("-inf")
    assert made.has_newer(old)
    assert made.credentials().access_key == "AKIANEW"
    assert made.has_newer(old)  # another thread comes with the old one
    assert made.concealed[-2:] == ["secret-of-the-new", "token-of-the-new"]


@pytest.fixture
def start():
    """Starts a thread and returns a function that waits for what it gives."""
    threads = []

    def start(work):
        results = []
        thread = threading.Thread(target=lambda: results.append(work()))
        threads.append(thread)
        thread.start()

        def finish():
            thread.join(30)
            (result,) = results
            return result

        return finish

    yield start
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


class WatchedLock:
    """A lock that tells when somebody has to wait for it."""

    def __init__(self, waits):
        self._lock, self._waits = threading.Lock(), waits

    def __enter__(self):
        if not self._lock.acquire(blocking=False):
            self._waits()
            assert self._lock.acquire(timeout=30)

    def __exit__(self, *_):
        self._lock.release()


@pytest.mark.usefixtures("no_environment")
def test_who_comes_while_another_finds_a_newer_login_has_it_too(section, credentials, start):
    credentials("AKIAOLD", "secret-of-the-old", "token-of-the-old")
    others, settled = [], threading.Event()

    def other():
        try:
            return made.has_newer(old), made.credentials().access_key
        finally:
            settled.set()

    def conceal(text):
        if text == "token-of-the-new" and not others:
            others.append(start(other))
            assert settled.wait(30)  # it is done, or waits for us

    made = AwsLogin(section(), region="eu-west-1", conceal=conceal)
    made._lock = WatchedLock(settled.set)
    old = made.credentials()
    credentials("AKIANEW", "secret-of-the-new", "token-of-the-new")

    assert made.has_newer(old)
    (finish,) = others
    assert finish() == (True, "AKIANEW")


@pytest.mark.usefixtures("no_environment")
def test_a_newer_login_is_not_used_before_it_is_concealed(section, credentials):
    credentials("AKIAOLD", "secret-of-the-old")
    used = []

    def conceal(text):
        if text == "secret-of-the-new" and not used:
            used.append(None)
            used.append(made.credentials().access_key)

    made = AwsLogin(section(), region="eu-west-1", conceal=conceal)
    old = made.credentials()
    credentials("AKIANEW", "secret-of-the-new")

    assert made.has_newer(old)
    assert used == [None, "AKIAOLD"]


@pytest.mark.usefixtures("no_environment")
def test_who_still_has_the_old_login_does_not_bring_it_back(section, credentials, start):
    credentials("AKIAOLD", "secret-of-the-old")
    main, holds, goes_on = threading.current_thread(), threading.Event(), threading.Event()

    def conceal(text):
        if threading.current_thread() is not main:
            holds.set()
            assert goes_on.wait(30)

    made = AwsLogin(section(), region="eu-west-1", conceal=conceal)
    late = start(made.credentials)
    assert holds.wait(30)
    old = made.credentials()
    credentials("AKIANEW", "secret-of-the-new")
    assert made.has_newer(old)
    goes_on.set()

    assert late() == old
    assert made.has_newer(old)
    assert made.credentials().access_key == "AKIANEW"


def of_sts(document, status=200):
    return Answer(status=status, body=document.encode(), headers={"Content-Type": "text/xml"})


def assumed(key):
    # What ends so soon is renewed for each request.
    end = (datetime.now(UTC) + timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return of_sts(
        f"<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>{key}</AccessKeyId>"
        "<SecretAccessKey>secret-of-the-role</SecretAccessKey><SessionToken>token-of-the-role"
        f"</SessionToken><Expiration>{end}</Expiration></Credentials></AssumeRoleResult>"
        "</AssumeRoleResponse>"
    )


@pytest.mark.usefixtures("no_environment")
def test_a_role_whose_own_login_has_expired_is_taken_with_a_newer_one(
    login, config, credentials, monkeypatch, proxy
):
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", proxy.url)
    credentials("AKIABASE", "secret-of-the-base", "token-of-the-old", profile="base")
    config(
        "[profile mail]\nregion = eu-west-1\nsource_profile = base\n"
        "role_arn = arn:aws:iam::111122223333:role/mail\n"
    )
    made = login(profile="mail")
    with proxy.broken(assumed("AKIAOLD")):
        assert made.credentials().access_key == "AKIAOLD"
    expired = "<ErrorResponse><Error><Code>ExpiredToken</Code></Error></ErrorResponse>"
    with proxy.broken(of_sts(expired, 403)):
        failure = made.credentials()
    assert failure.code in EXPIRED

    credentials("AKIABASE", "secret-of-the-base", "token-of-the-new", profile="base")
    with proxy.broken(assumed("AKIANEW")):
        assert made.has_newer(None)
        assert made.credentials().access_key == "AKIANEW"
    assert proxy.recent[-1].fields[b"x-amz-security-token"] == b"token-of-the-new"


def test_no_newer_login_where_there_is_none_any_more(login, no_environment, credentials, tmp_path):
    credentials("AKIAOLD", "secret-of-the-old", "token-of-the-old")
    made = login("eu-west-1")
    old = made.credentials()
    (tmp_path / "aws-credentials").unlink()

    assert not made.has_newer(old)
    assert made.credentials() == old


@pytest.mark.parametrize(
    ("values", "environment", "region", "url"),
    [
        ({}, {"AWS_DEFAULT_REGION": "eu-west-3"}, None, "https://kms.eu-west-3.amazonaws.com"),
        (
            {"region": "eu-west-2"},
            {"AWS_DEFAULT_REGION": "eu-west-3"},
            None,
            "https://kms.eu-west-2.amazonaws.com",
        ),
        ({"region": "eu-west-2"}, {}, "eu-west-1", "https://kms.eu-west-1.amazonaws.com"),
        ({}, {}, "cn-north-1", "https://kms.cn-north-1.amazonaws.com.cn"),
        (
            {},
            {"AWS_USE_FIPS_ENDPOINT": "true"},
            "us-gov-west-1",
            "https://kms-fips.us-gov-west-1.amazonaws.com",
        ),
        ({}, {"AWS_USE_DUALSTACK_ENDPOINT": "true"}, "eu-west-1", "https://kms.eu-west-1.api.aws"),
        (
            {},
            {"AWS_ENDPOINT_URL_KMS": "https://vpce-1.example"},
            "eu-west-1",
            "https://vpce-1.example",
        ),
        (
            {"endpoint_url": "https://vpce-2.example"},
            {"AWS_ENDPOINT_URL": "https://other.example"},
            "eu-west-1",
            "https://vpce-2.example",
        ),
        ({"endpoint_url": "http://localhost:4566"}, {}, "eu-west-1", "http://localhost:4566"),
        ({"endpoint_url": "http://[::1]:4566"}, {}, "eu-west-1", "http://[::1]:4566"),
    ],
)
def test_places(login, monkeypatch, values, environment, region, url):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    place = login(region, **values).place

    assert place.url == url
    assert place.ca is None


def test_the_file_of_authorities(login, monkeypatch):
    monkeypatch.setenv("AWS_CA_BUNDLE", "/etc/ssl/ambient.pem")

    assert login("eu-west-1").place.ca == "/etc/ssl/ambient.pem"
    assert login("eu-west-1", ca="/etc/ssl/own.pem").place.ca == "/etc/ssl/own.pem"


def test_no_region(login):
    with pytest.raises(KeyUriError, match="add region= to the URI or to the section"):
        login()


def test_no_such_profile(login):
    with pytest.raises(ConfigError, match=r"keys.toml:3: backend eu: profile: .*profile mail"):
        login("eu-west-1", profile="mail")


@pytest.mark.parametrize(
    "url",
    ["http://kms.example", "http://192.0.2.1:4566", "http://127.0.0.1.example", "http://"],
)
def test_what_others_could_read_is_refused(login, url):
    with pytest.raises(ConfigError, match=r"keys.toml:3: backend eu: endpoint_url"):
        login("eu-west-1", endpoint_url=url)


@pytest.mark.parametrize("region", ["bad region", "evil.example/x"])
def test_a_region_of_the_section_that_is_none(login, region):
    with pytest.raises(ConfigError, match=r"keys.toml:3"):
        login(region=region)


def test_a_configuration_that_botocore_does_not_understand(login, config):
    config("[default\nregion")

    with pytest.raises(ConfigError, match="as it is configured"):
        login("eu-west-1")


def test_unknown_keys_of_a_section(login):
    with pytest.raises(ConfigError, match=r"it knows: .*endpoint_url"):
        login("eu-west-1", regoin="x")
    assert KEYS == ("region", "profile", "endpoint_url", "ca")


@pytest.mark.parametrize(
    "key", ["aws_secret_access_key", "secret_access_key", "aws_session_token", "token"]
)
def test_no_credential_in_a_section(tmp_path, key):
    path = tmp_path / "keys.toml"
    path.write_text(f'[backend.eu]\ntype = "aws"\n{key} = "CANARY"\n')

    with pytest.raises(ConfigError, match=f"keys.toml:3: .*{key}") as caught:
        Sections.load(path)
    assert "CANARY" not in str(caught.value)


def test_no_access_key_in_a_section_either(login):
    with pytest.raises(ConfigError, match="aws_access_key_id"):
        login("eu-west-1", aws_access_key_id="AKIA")
