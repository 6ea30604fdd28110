"""Keys that are replaced, unreadable, unsafe, broken or gone: signed by a whole key, or deferred.

A key of KeyFile is read at the start and at each reload; one of the KeyTable whenever its
file changed, as OpenDKIM reads it for each message.
"""

from __future__ import annotations

import os
import pwd
import signal

import pytest

from dkimcore.testing import EphemeralKey
from tests.faults.harness import (
    DOMAIN,
    FILES,
    INSIDE,
    KEY,
    MESSAGE,
    SIGNING,
    demand_signed,
    verdicts,
)
from tests.faults.load import Load
from tests.servers.dkimcoremilter import DkimcoreMilter
from tests.servers.milterclient import deliver
from tests.servers.milterwire import InsertField, Outlook, Quarantine

NEW = EphemeralKey.rsa(2048)
NOBODY = pwd.getpwnam("nobody")
TABLES = "KeyTable file:{folder}/keys\nSigningTable file:{folder}/signing\nRequireSafeKeys no\n"
TABLE_FILES = {
    **FILES,
    "keys": f"k {DOMAIN}:s1:{{folder}}/key\n",
    "signing": f"{DOMAIN} k\n",
}
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def put(milter, content):
    """Puts a key in place in one step."""
    beside = milter.folder / "beside"
    beside.write_bytes(content)
    beside.chmod(0o600)
    beside.rename(milter.folder / "key")


def send(milter):
    return deliver(milter.address, MESSAGE, INSIDE)


def reload(milter, event):
    """Has the configuration read again, and waits for what the log says then."""
    before = sum(line["event"] == event for line in milter.log())
    os.kill(milter.pid, signal.SIGHUP)
    while sum(line["event"] == event for line in milter.log()) == before:
        send(milter)


def signers(outcome):
    """Which keys a message was signed by; each message has one whole signature."""
    assert outcome.reply.outlook in (Outlook.ACCEPT, Outlook.CONTINUE)
    message = outcome.message()
    keys = {"old": KEY, "new": NEW}
    found = [name for name, key in keys.items() if verdicts(message, key=key) == ["pass"]]
    assert len(found) == 1, "unsigned, or by no key that there ever was"
    return found[0]


def test_a_key_replaced_under_load_with_and_without_reloads():
    with DkimcoreMilter(TABLES, files=TABLE_FILES, workers=2) as milter:
        load = Load(milter.address)
        with load.running():
            load.wait_for(10)
            put(milter, NEW.private_pem())
            load.wait_for(20)
            for pem in (KEY, NEW, KEY, NEW):
                put(milter, pem.private_pem())
                reload(milter, "reloaded")
            load.wait_for(20)
        demand_signed(send(milter), key=NEW)
        told = [signers(outcome) for outcome in load.outcomes]
        assert told[0] == "old"


def test_the_single_key_changes_with_a_reload_only():
    with DkimcoreMilter(SIGNING, files=FILES, workers=2) as milter:
        load = Load(milter.address)
        with load.running():
            load.wait_for(10)
            put(milter, NEW.private_pem())
            load.wait_for(10)
            count = len(load.outcomes)
            reload(milter, "reloaded")
            load.wait_for(20)
        demand_signed(send(milter), key=NEW)
        told = [signers(outcome) for outcome in load.outcomes]
        assert set(told[:count]) == {"old"}


BROKEN = {
    "gone": None,
    "empty": b"",
    "half": KEY.private_pem()[:700],
    "noise": b"\x00\xff" * 500,
    "a public key": b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
}


def spoil(milter, content):
    if content is None:
        (milter.folder / "key").unlink()
    else:
        put(milter, content)


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_a_reload_with_a_broken_key_changes_nothing(content):
    with DkimcoreMilter(SIGNING, files=FILES, workers=2) as milter:
        load = Load(milter.address)
        with load.running():
            load.wait_for(5)
            spoil(milter, content)
            reload(milter, "reload-failed")
            load.wait_for(5)
            put(milter, NEW.private_pem())
            reload(milter, "reloaded")
            load.wait_for(10)
        demand_signed(send(milter), key=NEW)
        told = [signers(outcome) for outcome in load.outcomes]
        assert told[0] == "old"


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_key_of_the_table_defers_mail_until_it_is_mended(content):
    with DkimcoreMilter(TABLES, files=TABLE_FILES) as milter:
        demand_signed(send(milter))
        spoil(milter, content)
        refused = send(milter)
        assert refused.reply.outlook is Outlook.TEMPFAIL or "451" in str(refused.reply)
        assert refused.changes == ()
        milter.wait_for("error loading key 'k'")
        put(milter, NEW.private_pem())
        demand_signed(send(milter), key=NEW)


@pytest.mark.parametrize("action", ["accept", "discard", "quarantine", "reject", "tempfail"])
def test_a_key_that_is_gone_has_the_action_of_oninternalerror(action):
    conf = f"{TABLES}On-InternalError {action}\n"
    with DkimcoreMilter(conf, files=TABLE_FILES) as milter:
        demand_signed(send(milter))
        (milter.folder / "key").unlink()
        outcome = send(milter)
        assert not [change for change in outcome.changes if isinstance(change, InsertField)]
        held = [change for change in outcome.changes if isinstance(change, Quarantine)]
        assert bool(held) == (action == "quarantine")
        letter = outcome.reply.smtp[:1] if outcome.reply.smtp else outcome.reply.outlook.value
        wanted = {"accept": b"a", "quarantine": b"a", "discard": b"d", "reject": "5"}
        assert letter == wanted.get(action, "4")


class Nobodys(DkimcoreMilter):
    """A filter that runs as nobody, to whom its folder belongs."""

    def command(self, conf, socket_name):
        for path in (self.folder, *self.folder.iterdir()):
            os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)
        return super().command(conf, socket_name)


@as_root
def test_a_key_that_became_unreadable():
    conf = TABLES + "UserID nobody\nUMask 000\n"
    with Nobodys(conf, files=TABLE_FILES) as milter:
        demand_signed(send(milter))
        os.chown(milter.folder / "key", 0, 0)  # 0600: root's alone
        refused = send(milter)
        assert "451" in str(refused.reply) or refused.reply.outlook is Outlook.TEMPFAIL
        assert refused.changes == ()
        milter.wait_for("cannot be read by the user nobody")
        os.kill(milter.pid, signal.SIGHUP)
        milter.wait_for("reloaded")
        assert send(milter).changes == ()
        os.chown(milter.folder / "key", NOBODY.pw_uid, NOBODY.pw_gid)
        demand_signed(send(milter))
