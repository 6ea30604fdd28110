"""Our milter does what Debian's opendkim does, but for differences that have a reason."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from .catalogue import TOPICS
from .compare import compare
from .declared import DECLARED
from .model import Probe, Setting
from .rules import RULES
from .run import observe_both

SETTINGS = [
    pytest.param(setting, id=f"{topic}: {setting.name}")
    for topic, settings in TOPICS.items()
    for setting in settings
]


AT_ONCE = 3  # most of the time is our milter's start


@pytest.fixture(scope="module")
def observations(request):
    """What came out for each configuration that is tested: they run side by side."""
    wanted = {
        item.callspec.params["setting"].name: item.callspec.params["setting"]
        for item in request.session.items
        if item.path == request.path and "setting" in getattr(item, "fixturenames", ())
    }
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {name: pool.submit(observe_both, setting) for name, setting in wanted.items()}
        pool.shutdown(cancel_futures=True)


@pytest.mark.server("opendkim")
@pytest.mark.parametrize("setting", SETTINGS)
def test_the_same_mail_has_the_same_fate(setting, observations):
    theirs, ours, said = observations[setting.name].result()
    problems = {
        probe.name: compare(
            setting, probe, theirs=theirs[probe.name], ours=ours[probe.name]
        ).problems
        for probe in setting.probes
    }
    problems = {name: list(found) for name, found in problems.items() if found}
    assert not problems, f"{problems}\n{said}"


def test_names_are_unique():
    """Or a result would hide another."""
    names = [param.id for param in SETTINGS]
    assert len(names) == len(set(names))
    for param in SETTINGS:
        probes = [probe.name for probe in param.values[0].probes]
        assert len(probes) == len(set(probes)), param.id


def test_every_declared_difference_names_mail_that_is_sent():
    known = {
        (param.values[0].name, probe.name) for param in SETTINGS for probe in param.values[0].probes
    }
    named = [(case.setting, case.probe) for one in DECLARED for case in one.cases]
    assert {*named, *(rule.shown_by for rule in RULES)} <= known
    assert len(SETTINGS) >= 60


def test_a_difference_must_be_declared_and_occur():
    setting = Setting(name="MacroList", conf="", probes=())
    probe = Probe(name="a match, then another value", message=b"")
    (case,) = [
        case
        for one in DECLARED
        for case in one.cases
        if (case.setting, case.probe) == (setting.name, probe.name)
    ]
    accepted, signed = (
        {"reply": "eom: accept"},
        {
            "reply": "eom: accept",
            "signature 1 a": "rsa-sha256",
            "signature 1 d": "example.com",
            "signature 1 s": "s1",
            "signature 1 verifies": "yes",
        },
    )
    as_declared = compare(setting, probe, theirs=accepted, ours=signed)
    assert not as_declared.problems
    alike = compare(setting, probe, theirs=accepted, ours=accepted)
    assert alike.problems == (f"{case.aspect}: declared, but alike",)
    other = compare(setting, probe, theirs=accepted, ours=signed | {"signature 1 d": "a.test"})
    assert other.problems[0].startswith("outcome: not as declared")
    undeclared = compare(setting, Probe(name="another", message=b""), theirs=accepted, ours=signed)
    assert "signature 1 d: theirs '', ours 'example.com'" in undeclared.problems
    dead = compare(setting, Probe(name="another", message=b""), theirs=accepted, ours={"dead": "x"})
    assert dead.problems == ("outcome: theirs 'eom: accept', ours 'x'",)
