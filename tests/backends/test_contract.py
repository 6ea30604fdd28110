"""One contract for the keys of every backend, in either algorithm, with the real servers.

What other programs say of the signatures; versions, threads, processes.  What goes wrong is in
`test_failing`.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from collections import defaultdict
from hashlib import sha256

import pytest

import dkimcore
from dkimcore.errors import KeyUnusable
from dkimcore.testing import StaticResolver
from tests.backends.subject import Recorder, record_of, signs
from tests.backends.subjects import KINDS, make_subject
from tests.forked import fork
from tests.interop.peers.dkimpy import Dkimpy
from tests.interop.peers.job import VerifyJob
from tests.interop.peers.mail_dkim import MailDkim
from tests.servers import requires_server

pytestmark = [
    pytest.mark.usefixtures("ambient"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]

each_key = pytest.mark.parametrize("subject", KINDS, indirect=True)

DOMAIN, SELECTOR = "example.com", "s1"
MESSAGE = (
    b"From: a@example.com\r\nTo: b@example.org\r\nSubject: a subject\r\n"
    b"Date: Sun, 22 Nov 2026 21:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n\r\n"
) + b"A line of the body.\r\n" * 30

THREADS = 8
SIGNATURES = 1000  # of each thread
# Ed25519 in all backends and RSA from a file are done in full.  Of the others a signature takes
# milliseconds of the server's core, or it is made as one from a file is.
FEWER = {
    "awskms-envelope-rsa": 100,
    "awskms-rsa": 50,
    "pkcs11-rsa": 100,
    "vault-kv-rsa": 100,
    "vault-kv1-rsa": 100,
    "vault-transit-rsa": 100,
    "vault-transit-rsa4096": 12,
}
DIGESTS = [sha256(b"%d" % number).digest() for number in range(61)]
PATIENCE = 60.0  # seconds; nothing here takes a tenth of it


@pytest.fixture
def store(subject):
    """Makes stores with this subject's section; they are closed when the test ends."""
    with contextlib.ExitStack() as stack:
        yield lambda **values: stack.enter_context(subject.store(**values))


@each_key
def test_others_accept_its_signature_of_a_message(subject, store):
    key = store().get(subject.uri)
    (field,) = dkimcore.sign(MESSAGE, [dkimcore.Signer.make(DOMAIN, SELECTOR, key)])
    message = field.raw + b"\r\n" + MESSAGE
    name, record = f"{SELECTOR}._domainkey.{DOMAIN}.", record_of(key.public_key)

    (result,) = dkimcore.verify(message, resolver=StaticResolver({name: record}))
    assert str(result.status) == "pass"
    job = VerifyJob(message=message, zone={name: [record]})
    assert Dkimpy().verify([job]) == [["pass"]]
    if subject.algorithm == "rsa":  # Debian's Mail::DKIM has no Ed25519
        requires_server("Mail::DKIM")
        assert MailDkim().verify([job]) == [["pass"]]


@each_key
@pytest.mark.parametrize("length", [0, 20, 31, 33, 64])
def test_a_digest_of_another_length_is_refused(subject, store, length):
    key = store().get(subject.uri)
    with pytest.raises(KeyUnusable, match="a SHA-256 digest, 32 octets"):
        key.sign_digest(bytes(length))


@each_key
def test_threads_get_their_own_signatures(request, subject, store):
    key = store(direct=True).get(subject.uri)
    count = FEWER.get(request.node.callspec.params["subject"], SIGNATURES)
    made, faults, begin = defaultdict(set), [], threading.Barrier(THREADS)

    def work(thread):
        begin.wait(PATIENCE)
        try:
            for number in range(count):
                digest = DIGESTS[(thread + number) % len(DIGESTS)]
                made[digest].add(key.sign_digest(digest))
        except Exception as exc:  # noqa: BLE001 - told below
            faults.append(exc)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    assert faults == []
    # Both algorithms are deterministic: a digest has one signature, whoever asked for it.
    assert len(made) == min(len(DIGESTS), THREADS + count - 1)
    for digest, (signature_data,) in made.items():
        assert key.public_key.verifies(signature_data, digest, key.algorithm)


def in_child(check):
    """Runs a check in a child, and returns what it raised, or that it did not end."""
    reader, writer = os.pipe()
    child = fork()
    if child == 0:
        said = b"nothing"
        try:
            check()
            said = b"done"
        except BaseException as exc:  # noqa: BLE001 - the parent tells it
            said = repr(exc).encode()
        finally:
            os.write(writer, said)
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        if not select.select([pipe], [], [], PATIENCE)[0]:
            os.kill(child, signal.SIGKILL)
        said = pipe.read()
    os.waitpid(child, 0)
    return said.decode()


@each_key
def test_after_a_fork_both_processes_sign(subject, store):
    open_keys = store()
    key = open_keys.get(subject.uri)
    assert signs(key, DIGESTS[0])

    def check():
        assert all(signs(key, digest) for digest in DIGESTS[:8])
        with subject.store() as own:  # and what the child opens itself
            assert signs(own.get(subject.uri), DIGESTS[0])
        open_keys.close()

    assert in_child(check) == "done"
    assert all(signs(key, digest) for digest in DIGESTS[:8])


@each_key
def test_a_child_of_a_process_that_is_signing(subject, store):
    """What is under way in the parent at the moment of the fork is lost to the child, no more.

    The locks inside a PKCS#11 module are its own, and a child finds them as they were.  Nothing
    can be signed there then; but the deadline is kept, and nobody waits for ever.
    """
    key, stop = store(deadline=2.0).get(subject.uri), threading.Event()

    def work():
        while not stop.is_set():
            key.sign_digest(DIGESTS[1])

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        said = [in_child(lambda: key.sign_digest(DIGESTS[0])) for _ in range(3)]
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE)
    good = {"done"}
    assert {each for each in said if subject.kind != "pkcs11" or "deadline" not in each} <= good
    assert signs(key, DIGESTS[2])


@pytest.fixture
def own_subject(request):
    """A subject that this test may spoil."""
    kind = KINDS[request.node.callspec.params["subject"]]
    with contextlib.closing(make_subject(kind, request)) as made:
        yield made


@each_key
def test_the_key_stays_when_another_takes_its_name(subject, own_subject):
    """Rotated, overwritten, the alias moved: receivers have the first one's public half."""
    heard = Recorder()
    with own_subject.store(observer=heard, refresh=1.0) as store:
        key = store.get(own_subject.uri)
        before, record = key.sign_digest(DIGESTS[0]), record_of(key.public_key)
        own_subject.rotate()
        own_subject.await_refresh(heard)
        assert key.sign_digest(DIGESTS[0]) == before
        assert record_of(key.public_key) == record
    with own_subject.store() as store:
        again = record_of(store.get(own_subject.uri).public_key)
    # Where a name has one key at a time, the next process finds another: the comparison with the
    # DNS, which is the milter's and the commands', is for that.
    assert (again == record) == own_subject.pins
