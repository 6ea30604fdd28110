"""What a stranger sends costs the session no more than its length (two doublings, as in
tests/lineartime.py): many fields, many recipients, comments that never end."""

import pytest

from dkimcore.protocol.authres import holds_dkim_result
from dkimcore.settings.model import Source
from dkimcore_milter.engine import Engine
from dkimcore_milter.session import Session
from tests.lineartime import is_linear
from tests.milter.sessions import BODY, INSIDE, MACROS, NOW, OUTSIDE, SIMPLE, site
from tests.milter.test_verifying import FORGED, signatures

pytestmark = pytest.mark.alone

RESULTS = b"Authentication-Results"
SIGNATURE = (b"DKIM-Signature", signatures(("s1", "list.example")).partition(b"\r\nFrom")[0][15:])

HOSTILE = {
    "forged fields": lambda size: [FORGED] * size,
    "fields of others": lambda size: [(RESULTS, b" a.example; dkim=pass")] * size,
    "dots in a name": lambda size: [(RESULTS, b" " + b"a." * size + b"; dkim=pass")],
    "dots apart": lambda size: [(RESULTS, b" " + b"a . " * size + b"; dkim=pass")],
    "a name in many pieces": lambda size: [(RESULTS, b' "a".(x) b\\' * size + b"; dkim=pass")],
    "many names in pieces": lambda size: [(RESULTS, b" a . (x) b . c 1; dkim=pass")] * size,
    "a long comment": lambda size: [(RESULTS, b" mx.example.net; (" + b"x=;" * size + b")")],
    "open comments": lambda size: [(RESULTS, b" mx.example.net; " + b"(" * size)],
    "comments in comments": lambda size: [
        (RESULTS, b" mx.example.net; " + b"(" * size + b")" * size)
    ],
    "many comments": lambda size: [(RESULTS, b" mx.example.net; spf=pass " + b"(dkim) " * size)],
    "an open quotation": lambda size: [(RESULTS, b' mx.example.net; "' + b"\\x" * size)],
    "results": lambda size: [(RESULTS, b" mx.example.net" + b"; spf=pass" * size)],
    "mentions": lambda size: [(RESULTS, b" mx.example.net; spf=pass " + b"dkim" * size)],
    "mentions with space": lambda size: [(RESULTS, b" mx.example.net; x=y " + b"dkim  " * size)],
    "methods": lambda size: [(RESULTS, b" mx.example.net; " + b"dki" * size + b"=")],
    "signatures": lambda size: [SIGNATURE] * size,
    "malformed signatures": lambda size: [(b"DKIM-Signature", b" x")] * size,
    "other fields": lambda size: [(b"X-%d" % number, b" y") for number in range(size)],
    "semicolons in names": lambda size: [(b";" * size, b" y")],
    "white space": lambda size: [(b"X", b" \t" * size + b"y"), (b"Y", b"\r\n " * size)],
    "addresses": lambda size: [(b"Reply-To", b"a@b, " * size)],
}


def run(engine, fields, *, recipients=(), peer=OUTSIDE):
    session = Session(engine, log=str, macros=MACROS.get)
    session.connect(peer)
    session.envelope_sender(b"<>")
    for address in recipients:
        session.envelope_recipient(address)
    for field in (*fields, *SIMPLE):
        session.field(*field)
    session.end_of_header()
    session.body(BODY)
    session.end_of_message()
    session.close()


@pytest.fixture(params=["usual", "choosing"])
def engine(request, tmp_path):
    """Two sites: one as most are, one that looks at each signature and each name."""
    verifying = {"maximum_header_octets": 1 << 30}
    if request.param == "choosing":
        verifying |= {
            "maximum_signatures": 0,
            "trusted_signers": Source("x.example"),
            "remove_results_from": Source("x.example,.y.example"),
        }
    return Engine.load(site(tmp_path, verifying=verifying), clock=lambda: float(NOW))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_header_costs_its_length(engine, name):
    assert is_linear(HOSTILE[name], lambda fields: run(engine, fields))


def test_a_header_that_is_signed_costs_its_length(tmp_path):
    signing = {
        "remove_old_signatures": True,
        "identity_header": "Reply-To",
        "identity_header_remove": True,
    }
    settings = site(tmp_path, signing=signing, verifying={"maximum_header_octets": 1 << 30})
    engine = Engine.load(settings, clock=lambda: float(NOW))
    for make in (HOSTILE["signatures"], lambda size: [(b"Reply-To", b" a@b")] * size):
        assert is_linear(make, lambda fields: run(engine, fields, peer=INSIDE))


def test_recipients_cost_their_number(tmp_path):
    signing = {
        "exempt_recipients": Source("x@example.org"),
        "body_length_db": Source("x@example.org"),
        "resign_recipients": Source("x@example.org=main"),
    }
    settings = site(tmp_path, signing=signing, actions={"redirect_failures_to": "x@example.org"})
    engine = Engine.load(settings, clock=lambda: float(NOW))

    def make(size):
        return [b"<%d@a.b.c.example>" % number for number in range(size)]

    fields = [(b"DKIM-Signature", b" x")]
    for peer in (INSIDE, OUTSIDE):
        assert is_linear(make, lambda to, p=peer: run(engine, fields, recipients=to, peer=p))


@pytest.mark.parametrize(
    "piece", [b"dkim", b"dkim=", b"dkim =", b"(dkim)", b'"dkim"', b"\\d", b";", b"=", b"dkim\r\n "]
)
def test_looking_for_a_dkim_result_costs_a_fields_length(piece):
    assert is_linear(lambda size: b"mx; spf=pass " + piece * size, holds_dkim_result)
    assert is_linear(lambda size: b"mx; (" + piece * size, holds_dkim_result)
    assert is_linear(lambda size: b'mx; spf=pass reason="' + piece * size, holds_dkim_result)
