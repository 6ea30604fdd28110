"""Whatever an MTA calls, in whatever order: nothing raises, and each message has one verdict."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dkimcore_milter.action import CONTINUE, SKIP, Conclusion, DeleteField
from tests.milter.mad import ADDRESSES, FIELDS, HEADERS, NAMES, PEERS, WAITING, MadMta, check, load

octets = strategies.binary(max_size=60)
names = strategies.sampled_from(NAMES)
fields = strategies.one_of(
    strategies.sampled_from(FIELDS),
    strategies.tuples(names, octets),
    strategies.tuples(octets, octets),
)
addresses = strategies.one_of(octets, strategies.sampled_from(ADDRESSES))
macros = strategies.dictionaries(
    strategies.sampled_from(["i", "j", "{auth_type}", "{daemon_name}"]),
    strategies.sampled_from(["", "mx.example.net", "x\r\nY: z", "PLAIN", "\udcff"]),
)


class Callbacks(RuleBasedStateMachine):
    """An MTA gone mad."""

    @initialize(number=strategies.integers(0, WAITING), macros=macros)
    def begin(self, number, macros):
        self.folder = tempfile.TemporaryDirectory()
        self.mta = MadMta(load(Path(self.folder.name), number), macros)

    def teardown(self):
        if hasattr(self, "mta"):
            self.mta.close()
            self.folder.cleanup()

    @rule(peer=strategies.sampled_from(PEERS))
    def connect(self, peer):
        self.mta.connect(peer)

    @rule(address=addresses)
    def mail(self, address):
        self.mta.mail(address)

    @rule(address=addresses)
    def rcpt(self, address):
        self.mta.rcpt(address)

    @rule(field=fields)
    def header(self, field):
        self.mta.header([field])

    @rule(fields=strategies.sampled_from(HEADERS))
    def whole_header(self, fields):
        self.mta.header(fields)

    @rule(patient=strategies.booleans())
    def eoh(self, patient):
        self.mta.eoh(patient=patient)

    @rule(chunk=strategies.one_of(octets, strategies.just(b"Are you hungry?\r\n")))
    def body(self, chunk):
        self.mta.body(chunk)

    @rule()
    def eom(self):
        self.mta.eom()

    @rule()
    def abort(self):
        self.mta.abort()

    @invariant()
    def log_lines_are_lines(self):
        if hasattr(self, "mta"):
            self.mta.check_log()


TestCallbacks = Callbacks.TestCase
TestCallbacks.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@pytest.mark.parametrize("reply", [CONTINUE, SKIP])
def test_the_check_of_the_check(reply):
    with pytest.raises(AssertionError):
        check(Conclusion((DeleteField(b"A", 1), DeleteField(b"A", 2)), reply))
