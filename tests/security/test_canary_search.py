"""The search for secrets finds them, in any form and anywhere: without that, it proves nothing."""

from __future__ import annotations

import base64
import json
import logging
import pickle
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat

from dkimcore.errors import KeyUnusable
from dkimcore.testing import EphemeralKey
from tests.security.canaries import Canaries, listening, shown_by, told_by
from tests.security.canaryfixtures import search

__all__ = ["search"]  # a fixture

RSA, SEED = EphemeralKey.rsa(), EphemeralKey.ed25519()


def leaks():
    """Secrets, and what a careless program makes of them."""
    numbers = RSA._private_key.private_numbers()
    seed = SEED._private_key.private_bytes_raw()
    for key in (RSA, SEED):
        pem = key.private_pem().decode()
        yield from (pem, pem.replace("\n", "\\n"), repr(pem.splitlines()[-2]))
        der = key._private_key.private_bytes(
            Encoding.DER, PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        yield from (repr(der), der.hex(), base64.b64encode(der).decode(), der.decode("latin-1"))
    yield from (str(numbers.d), f"{numbers.p:#x}", repr(numbers.q))
    yield from (repr(seed), seed.hex(), base64.b64encode(b"x" + seed).decode(), str(list(seed)))
    token = "s.canary/token+of nobody"
    yield from (token, quote(token, safe=""), json.dumps({"token": token}), token.encode().hex())
    for before in ("", "x", "xy"):
        yield base64.b64encode(f"{before}{token}:and so on".encode()).decode()


@pytest.mark.parametrize("number", range(len(list(leaks()))))
def test_a_leak_in_any_form_is_found(number):
    canaries = Canaries()
    canaries.add_key("rsa", RSA._private_key)
    canaries.add_key("ed25519", SEED._private_key)
    canaries.add("token", "s.canary/token+of nobody")
    assert canaries.found_in(list(leaks())[number])
    assert not canaries.found_in(f"{RSA.public_key.encode()!r} {SEED.key_record()!r} {RSA!r}")


def test_quotes_in_what_is_printed_hide_nothing():
    canaries = Canaries()
    secret = b"it's a secret"
    canaries.add("secret", secret)
    for octets in (secret, secret + b'"', b'"' + secret):
        assert canaries.found_in(repr(octets)) == {"secret"}


SECRET = "canary-self-test-0123"


class Careless:
    """Prints what it holds."""

    def __repr__(self):
        return f"<Careless {SECRET}>"


def careless_exception():
    """An exception whose text is clean, of a library whose variables are not."""
    code = "def ask(token):\n    raise ValueError('refused')\n"
    namespace = {}
    exec(compile(code, "/usr/lib/some_client.py", "exec"), namespace)
    try:
        namespace["ask"](SECRET)
    except ValueError as exc:
        return exc


@pytest.mark.parametrize(
    "leak",
    [
        lambda: logging.getLogger("some.client").debug("token %s", SECRET),
        lambda: logging.getLogger("some.client").debug("asked", extra={"headers": {"x": SECRET}}),
        lambda: logging.getLogger("some.client").debug("no", exc_info=careless_exception()),
        lambda: print(SECRET),
        lambda: print(SECRET, file=sys.stderr),
        lambda: Path("left-behind").write_text(SECRET),
    ],
    ids=["message", "record", "variables", "stdout", "stderr", "file"],
)
def test_a_leak_anywhere_is_found(search, capfd, leak):
    search.canaries.add("the secret", SECRET)
    with listening() as heard:
        leak()
    with pytest.raises(AssertionError, match=r"the secret"):
        search.demand_nothing(heard.text, *capfd.readouterr())


def test_a_leak_in_an_exception_or_an_object_is_found():
    canaries = Canaries()
    canaries.add("the secret", SECRET)
    told = "".join(told_by(careless_exception()))
    assert canaries.found_in(told)
    error = KeyUnusable("clean", uri="acme:k")
    error.__cause__ = RuntimeError(SECRET)
    assert canaries.found_in("".join(told_by(error)))
    error = KeyUnusable("clean", uri="acme:k", request_id=SECRET)
    assert canaries.found_in(pickle.dumps(error))
    kept = Careless()
    assert canaries.found_in("".join(shown_by(Careless.__module__)))
    del kept
