"""A message that makes signing or verification raise: it gets On-InternalError, and all goes on.

What raises is what we build upon, as on a broken installation: the test puts a module in the
interpreter's way (``sitecustomize``) in which ``cryptography`` fails for certain keys, and
installs a key backend that fails.  Nothing of our own is replaced.
"""

from __future__ import annotations

import json

import pytest

import dkimcore
from dkimcore.testing import EphemeralKey
from tests.faults.harness import (
    DOMAIN,
    FILES,
    INSIDE,
    KEY,
    MESSAGE,
    OUTSIDE,
    SIGNING,
    demand_signed,
    the_worker,
)
from tests.resolvers.hostile import HostileServer, answered, records
from tests.servers.dkimcoremilter import DkimcoreMilter
from tests.servers.milterclient import MilterClient, Outlook, converse
from tests.servers.milterwire import InsertField, Quarantine

ERRORS = (
    "RuntimeError",
    "MemoryError",
    "RecursionError",
    "SystemExit",
    "KeyboardInterrupt",
    "GeneratorExit",
    "AssertionError",
    "StopIteration",
    "OSError",
)
PLACES = ("decoding", "verifying")
ACTIONS = ("accept", "discard", "quarantine", "reject", "tempfail")

# One key for each fault, the same for all tests: keys take their time.
FAULTY = {
    f"{place}-{error}".lower(): (place, error, EphemeralKey.rsa(1024))
    for place in PLACES
    for error in ERRORS
}
BROKEN_CRYPTOGRAPHY = """
import builtins, json
import cryptography.hazmat.primitives.serialization as serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

faults = json.load(open({path!r}))
real = serialization.load_der_public_key


class Broken(RSAPublicKey):
    def __init__(self, key, error):
        self._key, self._error = key, error

    def verify(self, *arguments):
        raise getattr(builtins, self._error)("injected")

    def __getattr__(self, name):
        return getattr(self._key, name)

    key_size = property(lambda self: self._key.key_size)
    def public_numbers(self): return self._key.public_numbers()
    def public_bytes(self, *arguments): return self._key.public_bytes(*arguments)
    def encrypt(self, *arguments): return self._key.encrypt(*arguments)
    def recover_data_from_signature(self, *arguments): raise ValueError
    def __eq__(self, other): return self is other
    def __copy__(self): return self
    def __deepcopy__(self, memo): return self


def load(data, backend=None):
    key = real(data)
    number = key.public_numbers().n if isinstance(key, RSAPublicKey) else 0
    place, error = faults.get(str(number), (None, None))
    if place == "decoding":
        raise getattr(builtins, error)("injected")
    return Broken(key, error) if place else key


serialization.load_der_public_key = load
"""


def signed_by(selector, key):
    (field,) = dkimcore.sign(MESSAGE, [dkimcore.Signer.make(DOMAIN, selector, key)])
    return field.raw + b"\r\n" + MESSAGE


MESSAGES = {selector: signed_by(selector, key) for selector, (_, _, key) in FAULTY.items()}
GOOD = signed_by("good", KEY)
RECORDS = {
    f"{selector}._domainkey.{DOMAIN}": key.key_record()
    for selector, key in [("good", KEY), *((name, key) for name, (_, _, key) in FAULTY.items())]
}


def number(key):
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return str(load_pem_private_key(key.private_pem(), None).public_key().public_numbers().n)


@pytest.fixture(scope="module")
def faults():
    return {number(key): (place, error) for place, error, key in FAULTY.values()}


@pytest.fixture
def broken_cryptography(tmp_path, monkeypatch, faults):
    (tmp_path / "faults.json").write_text(json.dumps(faults))
    source = BROKEN_CRYPTOGRAPHY.replace("{path!r}", repr(str(tmp_path / "faults.json")))
    (tmp_path / "sitecustomize.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def answer_from_records(query, _over_tcp):
    import dns.message

    name = dns.message.from_wire(query).question[0].name.to_text(omit_final_dot=True)
    return answered(query, records(query, RECORDS[name]))


def demand_action(outcome, action):
    """Demands that a message got the action, and nothing else."""
    reply = outcome.reply
    word = {
        Outlook.ACCEPT: "accept",
        Outlook.CONTINUE: "accept",
        Outlook.DISCARD: "discard",
        Outlook.REJECT: "reject",
        Outlook.TEMPFAIL: "tempfail",
    }.get(reply.outlook) or {"5": "reject", "4": "tempfail"}[reply.text[:1]]
    kinds = [type(change) for change in outcome.changes]
    if action == "quarantine":
        assert (word, kinds) == ("accept", [Quarantine])
    else:
        assert (word, kinds) == (action, [])


def demand_pass(outcome):
    (change,) = outcome.changes
    assert isinstance(change, InsertField)
    assert change.name == b"Authentication-Results"
    assert b"dkim=pass" in change.value


def play_all(milter, action):
    """Sends each message that raises, and one behind it that does not; on one connection."""
    worker = the_worker(milter)
    for number, (selector, message) in enumerate(MESSAGES.items()):
        place, error, _ = FAULTY[selector]
        delivery = OUTSIDE.__class__(
            host=OUTSIDE.host, address=OUTSIDE.address, queue_id=f"Q{number}"
        )
        with MilterClient(milter.address) as client:
            client.negotiate()
            demand_action(converse(client, message, delivery), action)
            demand_pass(converse(client, GOOD, OUTSIDE, greeted=True))
        (line,) = [
            entry
            for entry in milter.log()
            if entry["event"] == "internal-error" and entry["job_id"] == f"Q{number}"
        ]
        assert line["level"] == "err"
        assert error in line["text"]
        assert "Traceback" in str(line["fields"]), (place, error)
        assert error in line["fields"]["traceback"]
    assert the_worker(milter) == worker


@pytest.mark.usefixtures("broken_cryptography")
@pytest.mark.parametrize("action", ACTIONS)
def test_verification_that_raises_where_the_key_is_at_hand(action):
    rows = "".join(f"{name} {record.decode()}\n" for name, record in RECORDS.items())
    conf = f"Mode v\nTestPublicKeys {{folder}}/records\nOn-InternalError {action}\n"
    with DkimcoreMilter(conf, files={"records": rows}) as milter:
        play_all(milter, action)


@pytest.mark.usefixtures("broken_cryptography")
@pytest.mark.parametrize("action", ACTIONS)
def test_verification_that_raises_behind_a_key_query(action):
    with HostileServer(answer_from_records) as dns:
        conf = f"Mode v\nNameservers {dns.address[0]}:{dns.address[1]}\nOn-InternalError {action}\n"
        with DkimcoreMilter(conf) as milter:
            play_all(milter, action)


BACKEND = """
import builtins, pathlib

from dkimcore.keys.file import open_key as real


class Faulty:
    def __init__(self, key, path):
        self._key, self._error = key, pathlib.Path(path + ".error")
        self.algorithm, self.public_key = key.algorithm, key.public_key

    def sign_digest(self, digest):
        error = self._error.read_text()
        if error:
            raise getattr(builtins, error)("injected")
        return self._key.sign_digest(digest)


def open_key(uri, context):
    return Faulty(real(type(uri).parse("file:" + uri.path), context), uri.path)
"""


@pytest.fixture
def faulty_backend(tmp_path, monkeypatch):
    (tmp_path / "faulty_keys.py").write_text(BACKEND)
    metadata = tmp_path / "faulty_keys-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty-keys\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[dkimcore.keys]\nfaulty = faulty_keys:open_key\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.mark.usefixtures("faulty_backend")
@pytest.mark.parametrize("action", ACTIONS)
def test_a_key_that_raises(action):
    """Whatever a key backend raises, nothing goes out unsigned that the operator did not let go."""
    conf = SIGNING.replace("KeyFile ", "KeyFile faulty:") + f"On-InternalError {action}\n"
    with DkimcoreMilter(conf, files={**FILES, "key.error": ""}) as milter:
        worker = the_worker(milter)
        with MilterClient(milter.address) as client:
            client.negotiate()
            demand_signed(converse(client, MESSAGE, INSIDE))
            for error in ERRORS:
                (milter.folder / "key.error").write_text(error)
                demand_action(converse(client, MESSAGE, INSIDE, greeted=True), action)
                line = [each for each in milter.log() if each["job_id"] is not None][-1]
                assert (line["job_id"], line["level"]) == (INSIDE.queue_id, "err")
                assert error in line["text"]
                (milter.folder / "key.error").write_text("")
                demand_signed(converse(client, MESSAGE, INSIDE, greeted=True))
        assert the_worker(milter) == worker
