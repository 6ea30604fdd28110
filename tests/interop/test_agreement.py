"""What we sign passes dkimpy, Mail::DKIM and OpenDKIM; what they sign passes ours.

Every message of the corpus, all four pairs of canonicalizations, both algorithms where the
peer has them.  `known` says where a peer is wrong; nothing is left out silently.
"""

import importlib.util
from collections.abc import Callable

import pytest

import dkimcore
from dkimcore.testing import EphemeralKey
from tests.cases.judging import ZoneResolver
from tests.corpus.generate import FOLDER
from tests.servers import requires_server, servers_required

from .known import Round, reason
from .peers.job import Peer, SignJob, VerifyJob
from .peers.mail_dkim import MailDkim
from .peers.opendkim import OpenDkim

MESSAGES = {path.stem: path.read_bytes() for path in sorted(FOLDER.glob("*.eml"))}
DOMAIN = "example.com"
KEYS = {
    "rsa-sha256": EphemeralKey.rsa(2048),
    "ed25519-sha256": EphemeralKey.ed25519(bytes(range(32))),
}
SELECTORS = {"rsa-sha256": "rsa", "ed25519-sha256": "ed"}
ZONE = {
    f"{SELECTORS[algorithm]}._domainkey.{DOMAIN}.": (key.key_record(),)
    for algorithm, key in KEYS.items()
}
PAIRS = [(header, body) for header in ("simple", "relaxed") for body in ("simple", "relaxed")]


def _dkimpy() -> Peer:
    for module, package in (("dkim", "dkimpy"), ("nacl", "pynacl")):
        if importlib.util.find_spec(module) is None:
            told = f"{package} is not installed: pip install {package}"
            if servers_required():
                pytest.fail(told, pytrace=False)
            pytest.skip(told)
    from .peers.dkimpy import Dkimpy

    return Dkimpy()


def _mail_dkim() -> Peer:
    requires_server("Mail::DKIM")
    return MailDkim()


def _opendkim() -> Peer:
    requires_server("opendkim")
    return OpenDkim()


ROUNDS = [
    pytest.param(make, algorithm, pair, id=f"{name}-{algorithm}-{pair[0]}-{pair[1]}")
    for name, make, algorithms in (
        ("dkimpy", _dkimpy, KEYS),
        ("Mail::DKIM", _mail_dkim, ("rsa-sha256",)),
        ("OpenDKIM", _opendkim, KEYS),
    )
    for algorithm in algorithms
    for pair in PAIRS
]


def _signer(algorithm: str, pair: tuple[str, str]) -> dkimcore.Signer:
    return dkimcore.Signer(
        domain=dkimcore.DomainName.parse(DOMAIN),
        selector=dkimcore.Selector.parse(SELECTORS[algorithm]),
        key=KEYS[algorithm],
        profile=dkimcore.SigningProfile(
            header_canonicalization=dkimcore.Canonicalization(pair[0]),
            body_canonicalization=dkimcore.Canonicalization(pair[1]),
        ),
    )


def _wrong(played: Round, words: dict[str, str]) -> dict[str, str]:
    """The messages that did not pass and that no known fault explains."""
    return {
        name: word
        for name, word in words.items()
        if word != "pass" and reason(played, name) is None
    }


@pytest.mark.parametrize(("make", "algorithm", "pair"), ROUNDS)
def test_what_we_sign_passes_the_peer(
    make: Callable[[], Peer], algorithm: str, pair: tuple[str, str]
) -> None:
    peer, signer = make(), _signer(algorithm, pair)
    assert algorithm in peer.algorithms
    jobs = []
    for message in MESSAGES.values():
        (field,) = dkimcore.sign(message, [signer])
        jobs.append(VerifyJob(message=field.raw + b"\r\n" + message, zone=ZONE))
    answers = peer.verify(jobs)
    words = {
        name: words[0] if words else "none" for name, words in zip(MESSAGES, answers, strict=True)
    }
    played = Round(
        peer=peer.name, header=pair[0], body=pair[1], algorithm=algorithm, peer_signs=False
    )
    assert _wrong(played, words) == {}
    assert sum(word == "pass" for word in words.values()) >= 40


@pytest.mark.parametrize(("make", "algorithm", "pair"), ROUNDS)
def test_what_the_peer_signs_passes_ours(
    make: Callable[[], Peer], algorithm: str, pair: tuple[str, str]
) -> None:
    peer = make()
    fields = peer.sign(
        [
            SignJob(
                message=message,
                domain=DOMAIN,
                selector=SELECTORS[algorithm],
                pem=KEYS[algorithm].private_pem(),
                canonicalization=pair,
                algorithm=algorithm,
            )
            for message in MESSAGES.values()
        ]
    )
    words = {}
    for (name, message), field in zip(MESSAGES.items(), fields, strict=True):
        # Peers stamp t= with the machine's clock, so this verification uses it too.
        results = dkimcore.verify(field + message, resolver=ZoneResolver(ZONE))
        words[name] = str(results[0].status) if field else "refused"
    played = Round(
        peer=peer.name, header=pair[0], body=pair[1], algorithm=algorithm, peer_signs=True
    )
    assert _wrong(played, words) == {}


@pytest.mark.parametrize("make", [_dkimpy, _opendkim], ids=["dkimpy", "OpenDKIM"])
def test_two_signatures_made_in_one_pass_pass_the_peer(make: Callable[[], Peer]) -> None:
    signers = [_signer(algorithm, ("relaxed", "relaxed")) for algorithm in KEYS]
    message = MESSAGES["list-mail"]
    fields = dkimcore.sign(message, signers)
    signed = b"".join(field.raw + b"\r\n" for field in fields) + message
    assert make().verify([VerifyJob(message=signed, zone=ZONE)]) == [["pass", "pass"]]


@pytest.mark.parametrize(
    "make", [_dkimpy, _mail_dkim, _opendkim], ids=["dkimpy", "Mail::DKIM", "OpenDKIM"]
)
def test_the_peers_do_refuse_what_was_changed(make: Callable[[], Peer]) -> None:
    """Without this, a driver that says pass to everything would show perfect agreement."""
    message = MESSAGES["plain-ascii"]
    (field,) = dkimcore.sign(message, [_signer("rsa-sha256", ("relaxed", "relaxed"))])
    changed = field.raw + b"\r\n" + message.replace(b"07:42", b"07:43")
    unsigned = VerifyJob(message=message, zone=ZONE)
    answers = make().verify([VerifyJob(message=changed, zone=ZONE), unsigned])
    assert answers == [["fail"], []]


def test_every_message_is_in_the_corpus() -> None:
    assert len(MESSAGES) >= 34
