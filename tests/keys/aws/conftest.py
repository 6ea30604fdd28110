"""A KMS on loopback, a proxy in front of it, and nothing of this machine's own AWS settings."""

from __future__ import annotations

import contextlib
import os

import pytest

from dkimcore.keys import KeyContext
from dkimcore.keys.sections import BackendSection, Sections
from dkimcore.keys.store import KeyStore
from tests.servers.faultproxy import FaultProxy
from tests.servers.ministack import ACCESS_KEY, SECRET_KEY
from tests.servers.nsd import free_port


@pytest.fixture(autouse=True)
def ambient(monkeypatch, tmp_path):
    """A login in the environment and no other; AWS_* and proxies of this machine are gone."""
    for name in os.environ:
        if name.upper().startswith(("AWS_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")):
            monkeypatch.delenv(name)
    settings = {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "aws-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "aws-credentials"),
        "HOME": str(tmp_path),
        "NO_PROXY": "127.0.0.1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def kms(ministack):
    """boto3's client of the KMS, for what an operator would do with the aws command."""
    return ministack.kms()


@pytest.fixture(scope="session")
def make_key(kms):
    """Creates a KMS key and returns its ARN."""

    def make(spec, *, usage="SIGN_VERIFY", **more):
        made = kms.create_key(KeySpec=spec, KeyUsage=usage, **more)
        return made["KeyMetadata"]["Arn"]

    return make


@pytest.fixture
def section():
    """Makes a section of type "aws"."""

    def make(name="eu", **values):
        return BackendSection(
            name=name, kind="aws", values={"type": "aws", **values}, file="keys.toml", line=3
        )

    return make


@pytest.fixture
def context(ministack, section):
    """Makes what backends are given: a section that names the KMS, or another endpoint."""
    made = []

    def make(*, url=None, observer=None, **values):
        values = {"endpoint_url": url or ministack.url, "region": "eu-west-1", **values}
        sections = Sections(backends={"eu": section(**values)})
        more = {} if observer is None else {"observer": observer}
        each = KeyContext(sections=sections, **more)
        made.append(each)
        return each

    yield make
    for each in made:
        assert each.resources.close() == []


@pytest.fixture
def store(context):
    """Makes key stores; arguments as of `context`."""
    made = []

    def make(**values):
        each = KeyStore(context=context(**values))
        made.append(each)
        return each

    yield make
    for each in made:
        each.close()


@pytest.fixture
def proxy(ministack):
    """A proxy in front of the KMS, which makes things go wrong."""
    with FaultProxy(ministack.url) as each:
        yield each


@pytest.fixture
def events():
    """An observer that remembers what it heard."""

    class Events(list):
        def event(self, event):
            self.append(event)

        def round_trip(self, endpoint, *, seconds, signatures, error):
            pass

        def retried(self, endpoint):
            pass

    return Events()


@pytest.fixture
def unused_port():
    """A port on which nobody listens."""
    return free_port()


@pytest.fixture
def shown_locals():
    """What a tool that prints the local variables of a traceback would show of our code."""

    def show(caught):
        parts, trace = [], caught.tb
        while trace is not None:
            if "/src/dkimcore/" in trace.tb_frame.f_code.co_filename:
                for value in trace.tb_frame.f_locals.values():
                    with contextlib.suppress(AttributeError):  # a key that is half made
                        parts.append(repr(value))
            trace = trace.tb_next
        assert parts
        return "\n".join(parts)

    return show
