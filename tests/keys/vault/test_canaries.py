"""No token, secret_id or private key shows in a log, a repr, an exception or its frames.

All loggers are at DEBUG, as an application may set them, and everything goes wrong that can.
"""

from __future__ import annotations

import base64
import contextlib
import gc
import json
import logging
import traceback

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dkimcore.errors import DkimError
from dkimcore.keys.store import KeyStore
from dkimcore.keys.uri import KeyUri
from dkimcore.keys.vault import kv, transit
from dkimcore.keys.vault.client import client_of
from dkimcore.keys.vault.making import KV, TRANSIT
from tests.servers.faults import (
    Answer,
    Close,
    Cut,
    Hang,
    Huge,
    Raw,
    Reset,
    Rewrite,
    garbage,
    vault_error,
)
from tests.servers.openbaosetup import fresh_name

pytestmark = pytest.mark.server("openbao")


def frames(exc):
    """Everything that a tool which prints local variables would print."""
    seen, waiting = set(), [exc]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield repr(each) + str(each) + "".join(traceback.format_exception(each))
        waiting += [each.__cause__, each.__context__]
        trace = each.__traceback__
        while trace is not None:
            inside = trace.tb_frame.f_code.co_filename
            if "/dkimcore/" in inside or "/hvac/" in inside or "/urllib3/" in inside:
                for value in trace.tb_frame.f_locals.values():
                    with contextlib.suppress(Exception):
                        yield repr(value)
            trace = trace.tb_next


@pytest.fixture
def everything(caplog):
    """All that is written, with every logger at DEBUG, of this and of foreign modules."""
    loggers = [logging.getLogger(name) for name in list(logging.root.manager.loggerDict)]
    before = [(logger, logger.level) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    caplog.set_level(logging.DEBUG)

    def written():
        for record in caplog.records:
            foreign = record.name.partition(".")[0] in ("hvac", "requests", "urllib3")
            assert not foreign or record.levelno >= logging.INFO
        return "\n".join(
            f"{record.getMessage()} {record.exc_text or ''} {record.args!r}"
            for record in caplog.records
        )

    yield written
    for logger, level in before:
        logger.setLevel(level)


FAULTS = [
    vault_error(403, "permission denied"),
    vault_error(500, "internal error"),
    vault_error(503, "Vault is sealed"),
    vault_error(429, "quota", headers={"Retry-After": "1"}),
    garbage(),
    Answer(status=200, body=b"{}"),
    Answer(status=200, body=b'{"data":{"batch_results":[{"error":"no luck"}]}}'),
    Answer(status=307, headers={"Location": "https://elsewhere.invalid/"}),
    Rewrite(with_request=lambda request, body: b'{"data":' + request + b"}"),
    Raw(octets=b"HTTP/1.1 400 Bad\r\nContent-Length: 5\r\n\r\nhello"),
    Close(),
    Reset(),
    Cut(),
    Huge(size=1 << 22),
    Hang(),
]


class TestEveryFault:
    @pytest.fixture
    def secrets(self, vault, role_section, proxy, pem):
        """A role with its secret_id, and a secret with a key."""
        private_key = Ed25519PrivateKey.generate()
        path = f"dkim/{fresh_name('s')}"
        vault.root.secrets.kv.v2.create_or_update_secret(
            path, {"key": pem(private_key)}, mount_point=vault.kv2
        )
        keys = {"read_timeout": 0.2, "attempts": 1, "renew": False}
        section = role_section(proxy.url, keys=keys, token_ttl="1h")
        with open(section["secret_id_file"]) as file:
            secret_id = file.read()
        octets = private_key.private_bytes_raw()
        body = "".join(pem(private_key).splitlines()[1:-1])
        needles = [secret_id, body[20:], octets.hex(), base64.b64encode(octets).decode()]
        return section, f"vault-kv:{vault.kv2}/{path}?kv=2", needles

    @pytest.mark.parametrize(
        ("match", "fault"),
        [
            *((match, fault) for match in ("/login", "/data/", "/sign/") for fault in FAULTS),
            *((match, fault) for match in ("/lookup-self", "/keys/") for fault in FAULTS[::4]),
        ],
        ids=lambda value: value if isinstance(value, str) else type(value).__name__,
    )
    def test_nothing_shows(
        self, vault, contexts, sections, proxy, secrets, everything, match, fault
    ):
        section, uri, needles = secrets
        context = contexts(sections(store={"deadline": 1.0}, eu=section))
        proxy.inject(fault, match=match)
        shown = []
        # Without a store, which would take away frames: this is what others may see.
        for open_key, name in ((kv.open_key, uri), (transit.open_key, vault.ed)):
            try:
                key = open_key(KeyUri.parse(name), context)
                shown.append(repr(key))
                key.sign_digest(bytes(32))
            except DkimError as exc:
                shown += frames(exc)
        with contextlib.suppress(DkimError):
            client = client_of(context, context.sections.get("vault"), uri="x")
            grant = client._tokens._grant
            if grant is not None:
                needles.append(grant.token.reveal())
                shown += [repr(grant), repr(vars(client))]
        with KeyStore(context=context) as store:
            for name in (uri, vault.ed):
                try:
                    store.get(name).sign_digest(bytes(32))
                except DkimError as exc:
                    shown += frames(exc)
        written = "\n".join([everything(), *shown])
        for needle in needles:
            assert needle not in written


@pytest.mark.parametrize(
    ("secret", "options"),
    [
        ({"pem": "{key}"}, ""),
        ({"key": "-----BEGIN PRIVATE KEY-----{key}"}, ""),
        ({"key": "{key}"}, ""),
        ({"key": ["{key}"]}, ""),
        ({"selectors": [{"key": "{key}"}, {"key": "{key}"}]}, ""),
        ({"selectors": [{"key": "{key}", "selector": "s1"}]}, "?selector=s2"),
    ],
)
def test_secrets_that_hold_no_usable_key(
    vault, contexts, sections, token_section, everything, secret, options
):
    """Their errors come from where the key is at hand."""
    canary = "canary0of0a0key" * 8
    path = f"dkim/{fresh_name('s')}"
    filled = json.loads(json.dumps(secret).replace("{key}", canary))
    vault.root.secrets.kv.v2.create_or_update_secret(path, filled, mount_point=vault.kv2)
    uri = KeyUri.parse(f"vault-kv:{vault.kv2}/{path}{options}")
    with pytest.raises(DkimError) as caught:
        kv.open_key(uri, contexts(sections(eu=token_section())))
    assert canary not in "\n".join([everything(), *frames(caught.value)])


def test_keys_that_cannot_be_written(vault, contexts, sections, token_section, pem, everything):
    private_key = Ed25519PrivateKey.generate()
    needle = "".join(pem(private_key).splitlines()[1:-1])[20:]
    context = contexts(sections(eu=token_section()))  # the mail server's, which may not
    for maker, scheme, mount in (
        (KV, "vault-kv", f"{vault.kv2}/dkim/"),
        (TRANSIT, "vault-transit", f"{vault.transit}/dkim-"),
    ):
        uri = KeyUri.parse(f"{scheme}:{mount}{fresh_name('s')}")
        with pytest.raises(DkimError) as caught:
            maker.import_key(uri, context, private_key)
        assert needle not in "\n".join([everything(), *frames(caught.value)])


def test_a_whole_life(vault, contexts, sections, role_section, everything, write, pem):
    """Logins, renewals, refusals, signatures, keys made and brought: nothing is logged."""
    policy = vault.server.policy('path "*" { capabilities = ["create", "read", "update"] }')
    section = role_section(policies=[policy], token_period="1s")
    context = contexts(sections(eu=section))
    private_key = Ed25519PrivateKey.generate()
    made = KV.import_key(
        KeyUri.parse(f"vault-kv:{vault.kv2}/dkim/{fresh_name('s')}"), context, private_key
    )
    key = kv.open_key(KeyUri.parse(made.uri), context)
    key.sign_digest(bytes(32))
    TRANSIT.import_key(
        KeyUri.parse(f"vault-transit:{vault.transit}/dkim-{fresh_name('s')}"), context, private_key
    )
    context.observer.wait_for("token-renewed")
    client = client_of(context, context.sections.get("vault"), uri="x")
    token = client._tokens._grant.token.reveal()
    context.resources.close()
    octets = private_key.private_bytes_raw()
    written = everything()
    assert "logged in at" in written
    with open(section["secret_id_file"]) as file:
        secret_id = file.read()
    body = "".join(pem(private_key).splitlines()[1:-1])
    for needle in (token, secret_id, body[20:], octets.hex(), base64.b64encode(octets).decode()):
        assert needle not in written


def test_the_octets_that_were_fetched_are_overwritten(
    vault, contexts, sections, token_section, pem
):
    """The copy that is ours; those of the JSON decoder are not, and go with the garbage."""
    private_key = Ed25519PrivateKey.generate()
    path = f"dkim/{fresh_name('s')}"
    vault.root.secrets.kv.v2.create_or_update_secret(
        path, {"key": pem(private_key)}, mount_point=vault.kv2
    )
    context = contexts(sections(eu=token_section()))
    key = kv.open_key(KeyUri.parse(f"vault-kv:{vault.kv2}/{path}"), context)
    needle = "".join(pem(private_key).splitlines()[1:-1])[20:].encode()
    gc.collect()
    held = [each for each in gc.get_objects() if isinstance(each, bytearray) and needle in each]
    assert not held
    assert key.refetch() is None
