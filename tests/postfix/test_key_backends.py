"""Postfix, and a filter whose keys are kept elsewhere: what comes of mail when they are away.

Nothing leaves unsigned, or signed wrongly; nothing is lost, and nothing arrives twice.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.backends.aws import EnvelopeKey, KmsKey
from tests.backends.hsm import Pkcs11Key
from tests.backends.subjects import shim_library
from tests.backends.vault import TransitKey, VaultKvKey
from tests.postfix.keysite import KeySite, MailServers
from tests.servers import requires_server
from tests.servers.ministack import MinistackServer
from tests.servers.openbao import SealedOpenBao
from tests.servers.postfix import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["shim_library"]  # a fixture

pytestmark = [pytest.mark.server("postfix"), pytest.mark.server("nsd")]

MESSAGES = 200
BEFORE = 60  # of them are sent before the backend is stopped
ALGORITHMS = ("rsa", "ed25519")
REMOTE = ("transit", "kms", "hsm")
FETCHED = ("kv", "envelope")


@pytest.fixture(scope="module")
def mail_servers(postfix_works: None) -> Iterator[MailServers]:
    """A Postfix that sends, and one with the filters."""
    with MailServers.running([*REMOTE, *FETCHED]) as running:
        yield running


@pytest.fixture(scope="module")
def own_openbao() -> Iterator[SealedOpenBao]:
    """An OpenBao with TLS that may be stopped; it keeps its keys, and comes back sealed."""
    requires_server("openbao")
    with SealedOpenBao() as server:
        yield server


@pytest.fixture(scope="module")
def own_ministack() -> Iterator[MinistackServer]:
    """A KMS that may be stopped; it keeps its keys."""
    requires_server("ministack")
    with MinistackServer() as server:
        yield server


@pytest.fixture
def key_site(
    request: pytest.FixtureRequest, mail_servers: MailServers, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], KeySite]]:
    """Makes the site of a backend, with its filter running."""
    with contextlib.ExitStack() as stack:

        def make(name: str) -> KeySite:
            behind = None
            if name == "hsm":
                library = request.getfixturevalue("shim_library")
                hsm = request.getfixturevalue("softhsm")
                first = Pkcs11Key(ALGORITHMS[0], hsm, library)
                # A site has one module: workers open it one after another.
                others = [Pkcs11Key(each, hsm, library, first.shim) for each in ALGORITHMS[1:]]
                subjects = [first, *others]
            elif name in ("transit", "kv"):
                behind = request.getfixturevalue("own_openbao")
                backend = TransitKey if name == "transit" else VaultKvKey
                subjects = [backend(algorithm, behind) for algorithm in ALGORITHMS]
            else:
                behind = request.getfixturevalue("own_ministack")
                backend = KmsKey if name == "kms" else EnvelopeKey
                subjects = [backend(algorithm, behind) for algorithm in ALGORITHMS]
            for subject in subjects:
                stack.enter_context(contextlib.closing(subject))
                for variable, value in subject.environment.items():
                    monkeypatch.setenv(variable, value)
            site = KeySite(name, mail_servers, subjects, behind=behind)
            stack.enter_context(contextlib.closing(site))
            site.start_filter()
            return site

        yield make


@pytest.mark.parametrize("name", REMOTE)
def test_a_backend_that_stops_while_mail_flows(key_site, name):
    """What Postfix cannot hand over it keeps, and sends when the backend is back."""
    site = key_site(name)
    site.send(BEFORE)
    site.wait_for_arrivals(BEFORE // 2)
    site.stop_backend()
    site.send(MESSAGES - BEFORE)
    site.wait_for_refusals(20)
    assert site.submit().code == 451
    left = len(site.sent) - len(site.arrived())
    assert left >= MESSAGES - BEFORE
    site.start_backend()
    site.flush()
    site.demand_all_once_and_signed()


FALSIFIED = {"transit": "wrong key", "kms": "wrong signature", "hsm": "wrong signature"}


@pytest.mark.parametrize("name", REMOTE)
def test_a_wrong_answer_never_leaves(key_site, name):
    """A bit is wrong, or another key signed: the mail waits until that is mended."""
    site = key_site(name)
    site.send(4)
    site.wait_for_arrivals(4)
    with contextlib.ExitStack() as wrong:
        for subject in site.subjects:
            (fault,) = [each for each in subject.signing_faults if each.name == FALSIFIED[name]]
            wrong.enter_context(fault.breaks(subject))
        site.send(20)
        site.wait_for_refusals(20)
        assert site.submit().code == 451
        assert len(site.arrived()) == 4
        assert site.events("signature-refused") > 0
    site.flush()
    site.demand_all_once_and_signed()


@pytest.mark.parametrize("name", FETCHED)
def test_keys_that_were_fetched_need_their_backend_at_the_start_alone(key_site, name):
    site = key_site(name)
    wait_until(lambda: site.events("key-opened") >= 4, "two keys in each of two workers")
    site.stop_backend()
    site.send(MESSAGES)
    site.flush()
    assert site.refusals == 0
    site.demand_all_once_and_signed()

    site.restart_filter()
    site.send(8)
    site.wait_for_refusals(8)
    assert site.submit().code == 451
    assert len(site.arrived()) == MESSAGES
    site.start_backend()
    site.flush()
    site.demand_all_once_and_signed()
