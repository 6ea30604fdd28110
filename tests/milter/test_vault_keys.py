"""The filter as a process, with keys in a real OpenBao: it is killed, reloaded, and left alone."""

from __future__ import annotations

import base64
import os
import pwd
import shutil
import signal
import threading
import urllib.request

import pytest

import dkimcore
from dkimcore.protocol.algorithm import KeyType
from dkimcore.protocol.crypto import PublicKey
from dkimcore.protocol.keyrecord import KeyRecord
from dkimcore.resolvers.static import StaticResolver
from dkimcore.testing import EphemeralKey
from tests.keys.remotes import eventually
from tests.milter.processes import children, open_path
from tests.servers import requires_server
from tests.servers.dkimcoremilter import DkimcoreMilter
from tests.servers.faultproxy import FaultProxy
from tests.servers.faults import Slow
from tests.servers.milterclient import Delivery, MilterClient, converse, deliver
from tests.servers.milterwire import MilterError
from tests.servers.nsd import free_port
from tests.servers.openbao import SealedOpenBao

pytestmark = pytest.mark.server("openbao")

INSIDE = Delivery(host="localhost", address="127.0.0.1")
MESSAGE = b"From: a@%b\r\nSubject: hi\r\n\r\nhello\r\n"
CONF = """
KeyTable file:{folder}/keys
SigningTable file:{folder}/signing
MultipleSignatures yes
DkimcoreKeyBackends {folder}/keys.toml
DkimcoreOnKeyFailure csl:open.example=unsigned,backup.example=fallback:file
TestPublicKeys {folder}/records
"""
SIGNING = "example.com ed\nexample.com rsa\nopen.example open\nbackup.example backup\n"
POLICY = """
path "transit/keys/dkim-*" {{ capabilities = ["read"] }}
path "transit/sign/dkim-*" {{ capabilities = ["update"] }}
"""


@pytest.fixture(scope="module")
def vault():
    """A server with two keys."""
    requires_server("openbao")
    with SealedOpenBao() as server:
        server.enable_secrets("transit", "transit")
        transit = server.client().secrets.transit
        transit.create_key("dkim-ed", key_type="ed25519", mount_point="transit")
        transit.create_key("dkim-rsa", key_type="rsa-2048", mount_point="transit")
        yield server


def record(vault, name):
    """The key record of a key there."""
    found = vault.client().secrets.transit.read_key(name, mount_point="transit")["data"]["keys"]
    text = found["1"]["public_key"]
    kind = KeyType.RSA if "BEGIN" in text else KeyType.ED25519
    octets = "".join(line for line in text.splitlines() if "-----" not in line)
    public_key = PublicKey.decode(base64.b64decode(octets), kind)
    return KeyRecord(public_key=public_key, key_type=kind).print()


class VaultMilter(DkimcoreMilter):
    """A filter whose keys are in Vault, but one."""

    def __init__(
        self,
        vault,
        *,
        conf="",
        token_file="{folder}/token",
        address=None,
        ca_file=None,
        login=None,
        **options,
    ):
        login = login or f'token_file = "{token_file}"'
        token = vault.token([vault.policy(POLICY.format())])
        ed, rsa = (f"vault-transit:transit/dkim-{kind}?version=1" for kind in ("ed", "rsa"))
        self.records = {"ed": record(vault, "dkim-ed"), "rsa": record(vault, "dkim-rsa")}
        self.port = free_port()
        own = EphemeralKey.ed25519()
        files = {
            "keys": f"ed example.com:ed:{ed}\nrsa example.com:rsa:{rsa}\n"
            f"open open.example:ed:{ed}\nbackup backup.example:ed:{ed}\n"
            "file backup.example:file:{folder}/file.pem\n",
            "signing": SIGNING,
            "keys.toml": f'[backend.bao]\ntype = "vault"\naddress = "{address or vault.address}"\n'
            f'ca = "{ca_file or vault.ca_file}"\n{login}\n'
            "[store]\ndeadline = 2.0\n",
            "token": token,
            "file.pem": own.private_pem(),
            "records": "".join(
                f"{name}._domainkey.{domain} {text.decode()}\n"
                for name, text in self.records.items()
                for domain in ("example.com", "open.example", "backup.example")
            ),
        }
        metrics = f"DkimcoreMetrics inet:{self.port}@127.0.0.1\n"
        self.token = token
        super().__init__(CONF + metrics + conf, files=files, workers=2, **options)

    def metric(self, line):
        """The value of a metric."""
        url = f"http://127.0.0.1:{self.port}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            text = answer.read().decode()
        (found,) = [each for each in text.splitlines() if each.startswith(f"{line} ")]
        return float(found.rpartition(" ")[2])

    def passed(self, outcome):
        """The selectors of the signatures of a delivery that verify."""
        records = {
            f"{name}._domainkey.example.com": text.decode() for name, text in self.records.items()
        }
        results = dkimcore.verify(outcome.message(), resolver=StaticResolver(records))
        return sorted(str(each.signature.selector) for each in results if each.passed)


@pytest.fixture
def milter(vault):
    with VaultMilter(vault) as filter_process:
        yield filter_process


def workers(milter):
    """The process ids of the two workers; the third child serves the metrics."""
    return children(milter.pid, 3)[:2]


def mail(domain="example.com"):
    return MESSAGE % domain.encode()


def test_it_signs_many_messages_side_by_side(milter):
    outcomes = []

    def play():
        with MilterClient(milter.address, timeout=30) as client:
            client.negotiate()
            client.connect("localhost", "127.0.0.1")
            for _ in range(5):
                outcomes.append(converse(client, mail(), INSIDE))
                client.abort()

    threads = [threading.Thread(target=play) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [milter.passed(outcome) for outcome in outcomes] == [["ed", "rsa"]] * 50
    assert (
        milter.metric('dkimcore_milter_key_errors_total{backend="vault",kind="unavailable"}') == 0
    )
    signatures = 'dkimcore_milter_key_round_trip_signatures_total{backend="vault"}'
    assert milter.metric(signatures) >= 100
    opened = milter.wait_for("key-opened")
    assert opened["fields"]["uri"].startswith("vault-transit:transit/dkim-")
    token = (milter.folder / "token").read_text()
    assert token not in milter._read("stdout") + milter.output()


def test_its_workers_open_keys_when_they_start(milter):
    milter.wait_for("key-opened")
    assert milter.passed(deliver(milter.address, mail(), INSIDE)) == ["ed", "rsa"]


def test_a_worker_that_is_killed_has_a_successor(milter):
    deliver(milter.address, mail(), INSIDE)
    before = workers(milter)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    milter.wait_for("restarting")
    while True:
        try:
            outcome = deliver(milter.address, mail(), INSIDE)
        except (MilterError, OSError):
            continue  # one that was being killed had it
        break
    assert milter.passed(outcome) == ["ed", "rsa"]


def test_a_reload_opens_keys_anew_and_old_connections_go_on(milter):
    with MilterClient(milter.address, timeout=30) as client:
        client.negotiate()
        client.connect("localhost", "127.0.0.1")
        assert milter.passed(converse(client, mail(), INSIDE)) == ["ed", "rsa"]
        os.kill(milter.pid, signal.SIGHUP)
        milter.wait_for("configuration reloaded")
        client.abort()
        assert milter.passed(converse(client, mail(), INSIDE)) == ["ed", "rsa"]
    assert milter.passed(deliver(milter.address, mail(), INSIDE)) == ["ed", "rsa"]


def test_a_reload_with_a_mistake_in_the_sections_changes_nothing(milter):
    (milter.folder / "keys.toml").write_text("[store]\ndeadline = 0\n")
    os.kill(milter.pid, signal.SIGHUP)
    line = milter.wait_for("the old configuration stays")
    assert "configuration error at line 2: " in line["text"]
    assert milter.passed(deliver(milter.address, mail(), INSIDE)) == ["ed", "rsa"]


@pytest.fixture
def approle(vault, tmp_path):
    """The lines of a section that logs in by AppRole."""
    role = vault.approle([vault.policy(POLICY.format())])
    secret_id = tmp_path / "secret-id"
    secret_id.write_text(role.secret_id)
    secret_id.chmod(0o600)
    login = f'auth = "approle"\nmount = "{role.mount}"\nrole_id = "{role.role_id}"\n'
    return login + f'secret_id_file = "{secret_id}"\n'


@pytest.fixture
def tokens(vault):
    """What stands for each token that there is."""
    return lambda: set(vault.client().auth.token.list_accessors()["data"]["keys"])


def test_workers_give_their_tokens_back_when_they_end(vault, approle, tokens):
    """At a reload, too: without that there would be more with each one, for a month."""
    milter = VaultMilter(vault, login=approle)
    before = tokens()
    with milter:
        eventually(lambda: len(tokens() - before) == 2)  # one for each worker
        first = tokens() - before
        os.kill(milter.pid, signal.SIGHUP)
        milter.wait_for("configuration reloaded")
        eventually(lambda: not first & tokens())
        eventually(lambda: len(tokens() - before) == 2)
        assert milter.passed(deliver(milter.address, mail(), INSIDE)) == ["ed", "rsa"]
    assert tokens() <= before


def test_workers_may_take_longer_for_that_than_for_mail(vault, approle, tokens):
    with FaultProxy(vault.address, ca_file=vault.ca_file) as proxy:
        milter = VaultMilter(vault, login=approle, address=proxy.url)
        before = tokens()
        with milter:
            eventually(lambda: len(tokens() - before) == 2)
            slow = proxy.inject(Slow(seconds=1.0), match="/revoke-self")
        assert slow.hits == 2
        assert tokens() <= before


def test_while_the_server_is_away_and_when_it_is_back(vault, milter):
    assert milter.passed(deliver(milter.address, mail(), INSIDE)) == ["ed", "rsa"]
    opened = "key-opened"
    eventually(lambda: [each["event"] for each in milter.log()].count(opened) == 4)  # two each
    vault.stop(kill=True)
    try:
        outcome = deliver(milter.address, mail(), INSIDE)
        assert outcome.reply.smtp == "451 4.7.5 resource unavailable"
        line = milter.wait_for("key-failed")
        assert line["fields"]["uri"].startswith("vault-transit:transit/dkim-")
        outcome = deliver(milter.address, mail("open.example"), INSIDE)
        assert (outcome.reply.outlook.name, outcome.changes) == ("ACCEPT", ())
        milter.wait_for("sent-unsigned")
        outcome = deliver(milter.address, mail("backup.example"), INSIDE)
        (added,) = outcome.changes
        assert b"s=file" in added.value
        milter.wait_for("signed-by-fallback")
    finally:
        vault.start()
    while True:  # the workers' breakers ask once a second at first
        outcome = deliver(milter.address, mail(), INSIDE)
        if outcome.reply.outlook.name == "ACCEPT":
            break
    assert milter.passed(outcome) == ["ed", "rsa"]
    taken = 'dkimcore_milter_key_failure_actions_total{action="%s"}'
    assert milter.metric(taken % "unsigned") == 1
    assert milter.metric(taken % "fallback") == 1
    assert milter.metric(taken % "tempfail") >= 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_workers_log_in_as_the_user_of_userid(vault, tmp_path):
    """The supervisor reads no token: that of root's would be of no use to them."""
    open_path(tmp_path)
    token_file = tmp_path / "token"
    ca_file = tmp_path / "ca"
    shutil.copyfile(vault.ca_file, ca_file)
    milter = VaultMilter(
        vault, conf="UserID nobody\n", token_file=token_file, ca_file=ca_file, modes={".": 0o777}
    )
    token_file.write_text(milter.token)
    token_file.chmod(0o600)
    os.chown(token_file, pwd.getpwnam("nobody").pw_uid, -1)
    with milter:
        assert milter.passed(deliver(milter.address, mail(), INSIDE)) == ["ed", "rsa"]
        os.chown(token_file, 0, -1)
        for pid in workers(milter):
            os.kill(pid, signal.SIGKILL)
        line = milter.wait_for("key-refused")
        assert "token && chmod 0640" in str(line["text"])  # what to do
