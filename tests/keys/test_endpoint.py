"""An endpoint bounds, joins, repeats, gives up, fails fast, and mixes nothing up."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections import Counter
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dkimcore.errors import KeyBackendError, KeyDenied, KeyUnavailable, KeyUnusable
from dkimcore.keys.endpoint import Endpoint
from dkimcore.keys.limits import EndpointLimits
from dkimcore.keys.resources import Resources
from dkimcore.testing import EphemeralKey
from tests.keys.remotes import GOOD, Gate, Heard, Service, eventually, threads_named
from tests.keys.test_forking import in_child

DIGEST = bytes(range(32))
OTHER = EphemeralKey.ed25519(bytes([1]) * 32)

forks = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


def soon(seconds=30.0):
    return time.monotonic() + seconds


def digests(number, name=b""):
    return [sha256(b"%s %d" % (name, each)).digest() for each in range(number)]


def down(text="down", **known):
    return KeyUnavailable(text, uri="acme:k", **known)


def raising(exc):
    def behave(_):
        raise exc

    return behave


class Script:
    """Does one thing after another; after the last one, what is right."""

    def __init__(self, *steps):
        self.steps = list(steps)

    def __call__(self, wanted):
        step = self.steps.pop(0) if self.steps else None
        if isinstance(step, BaseException):
            raise step
        return step(wanted) if callable(step) else step


def test_a_signature_comes_and_is_counted(make_endpoint, heard):
    service = Service(make_endpoint(connect_timeout=0.5, read_timeout=1.0))
    assert service.line().start(DIGEST, soon()).result() == GOOD.sign_digest(DIGEST)
    assert service.calls == [[DIGEST]]
    assert service.timeouts == [1.5]
    assert heard.trips == [(service.endpoint.name, 1, None)]
    assert heard.names() == []


# Batches


def test_what_waits_for_one_key_is_joined_in_order_and_keys_are_not_mixed(make_endpoint):
    endpoint, gate = make_endpoint(threads=1), Gate()
    first = Service(endpoint, batch=4, behave=gate)
    second = Service(endpoint, batch=4, key=OTHER)
    held = first.line()
    blocker = held.start(DIGEST, soon())
    gate.await_calls()
    mine, yours = digests(6, b"mine"), digests(3, b"yours")
    line = second.line()
    pending = [(GOOD, each, held.start(each, soon())) for each in mine]
    pending += [(OTHER, each, line.start(each, soon())) for each in yours]
    gate.open()
    for key, digest, each in pending:
        assert each.result() == key.sign_digest(digest)
    assert blocker.result() == GOOD.sign_digest(DIGEST)
    assert first.calls == [[DIGEST], mine[:4], mine[4:]]
    assert second.calls == [yours]


def test_keys_take_turns(make_endpoint):
    """A key with much mail does not keep another waiting behind all of it."""
    endpoint, gate = make_endpoint(threads=1), Gate()
    order = []

    def service(name, behave=None):
        def note(wanted):
            order.append(name)
            return behave(wanted) if behave else None

        return Service(endpoint, behave=note).line()

    blocker, busy, quiet = service("blocker", gate), service("busy"), service("quiet")
    waiting = [blocker.start(DIGEST, soon())]
    gate.await_calls()
    waiting += [busy.start(each, soon()) for each in digests(20)]
    waiting += [quiet.start(each, soon()) for each in digests(2)]
    gate.open()
    for each in waiting:
        each.result()
    assert order[:5] == ["blocker", "busy", "quiet", "busy", "quiet"]
    assert order[5:] == ["busy"] * 18


def test_errors_of_single_digests_are_theirs_alone(make_endpoint, heard):
    denied = KeyDenied("not this one", uri="acme:k")

    def behave(wanted):
        return [denied if each == DIGEST else GOOD.sign_digest(each) for each in wanted]

    endpoint, gate = make_endpoint(threads=1), Gate()
    service = Service(endpoint, batch=8, behave=lambda wanted: gate(wanted) or behave(wanted))
    line = service.line()
    waiting = [line.start(each, soon()) for each in digests(1)]
    gate.await_calls()
    bad, good = line.start(DIGEST, soon()), line.start(bytes(32), soon())
    gate.open()
    assert good.result() == GOOD.sign_digest(bytes(32))
    with pytest.raises(KeyDenied, match="not this one"):
        bad.result()
    assert waiting[0].result()
    assert [error for _, _, error in heard.trips] == [None, None]


def test_one_whose_time_is_up_does_not_take_the_others_of_its_call_along(make_endpoint):
    endpoint, gate = make_endpoint(threads=1), Gate()
    service = Service(endpoint, batch=8, behave=gate)
    line = service.line()
    first = line.start(DIGEST, soon())
    gate.await_calls()
    hasty, patient = line.start(digests(1)[0], soon(0.1)), line.start(bytes(32), soon())
    eventually(lambda: hasty.deadline - time.monotonic() < 0.02)
    gate.open()
    assert patient.result() == GOOD.sign_digest(bytes(32))
    assert first.result()
    assert service.timeouts[-1] == 2.5
    with pytest.raises(KeyUnavailable):
        hasty.result()


# Threads


def test_as_many_calls_are_under_way_as_there_are_threads_and_no_more(make_endpoint):
    endpoint, gate = make_endpoint(threads=3), Gate()
    services = [Service(endpoint, behave=gate) for _ in range(5)]
    waiting = [service.line().start(DIGEST, soon()) for service in services]
    gate.await_calls(3)
    assert not gate.entered.acquire(timeout=0.05)
    assert endpoint.waiting == 2
    gate.open()
    for each in waiting:
        each.result()
    assert len(threads_named(f"{endpoint.name}-")) == 3


def test_a_thread_that_was_called_is_not_counted_on_by_the_next(make_endpoint):
    """Two keys at once get two calls at once, also where one thread is idle already."""
    endpoint = make_endpoint(threads=4)
    Service(endpoint).line().start(DIGEST, soon()).result()
    for _ in range(50):
        gate = Gate()
        waiting = [Service(endpoint, behave=gate).line().start(DIGEST, soon()) for _ in range(3)]
        gate.await_calls(3)
        gate.open()
        for each in waiting:
            each.result()


def test_one_key_uses_all_threads(make_endpoint):
    endpoint, gate = make_endpoint(threads=4), Gate()
    line = Service(endpoint, batch=1, behave=gate).line()
    waiting = [line.start(each, soon()) for each in digests(4)]
    gate.await_calls(4)
    gate.open()
    for each in waiting:
        each.result()


def held_back(endpoint):
    """Four calls under way that hang, and one signature behind them."""
    gate = Gate()
    service = Service(endpoint, batch=200, behave=gate)
    line = service.line()
    waiting = []
    for _ in range(4):
        waiting.append(line.start(DIGEST, soon(60)))
        gate.await_calls()
    waiting.append(line.start(DIGEST, soon(60)))
    return service, line, gate, waiting


def test_a_lone_signature_does_not_wait_for_calls_that_hang(make_endpoint):
    """Nothing comes behind it, no call ends, and there are threads with nothing to do."""
    _, _, gate, waiting = held_back(make_endpoint(threads=8))
    gate.await_calls()
    gate.open()
    for each in waiting:
        assert each.result()


def test_many_that_are_held_back_are_watched_once(make_endpoint):
    endpoint = make_endpoint(threads=4)
    _, line, gate, waiting = held_back(endpoint)
    waiting += [line.start(each, soon(60)) for each in digests(150)]
    assert len(endpoint._resources.expiry._due) <= 4
    gate.open()
    for each in waiting:
        assert each.result()


def test_what_was_held_back_when_it_was_closed_is_not_asked_for(make_endpoint):
    endpoint = make_endpoint(threads=8)
    service, line, gate, waiting = held_back(endpoint)
    endpoint.close()
    eventually(lambda: not line.is_watched)
    gate.open()
    eventually(lambda: not threads_named(f"{endpoint.name}-"))
    assert all(each.done for each in waiting)
    assert len(service.calls) <= 5  # the fifth, if this process was that slow before it closed


def test_no_thread_is_started_before_a_signature_is_wanted(make_endpoint):
    endpoint = make_endpoint()
    Service(endpoint).line()
    assert threads_named(f"{endpoint.name}-") == []


def test_where_the_system_has_no_thread_it_fails_at_once_and_recovers(make_endpoint, monkeypatch):
    endpoint = make_endpoint()
    line = Service(endpoint).line()

    def start(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        for _ in range(3):
            with pytest.raises(KeyUnavailable, match="no thread for acme"):
                line.start(DIGEST, soon()).result()
    assert line.start(DIGEST, soon()).result()
    eventually(lambda: endpoint.waiting == 0)


def test_eight_threads_sign_a_thousand_each(make_endpoint):
    endpoint = make_endpoint(threads=4, queue=10_000)
    services = [Service(endpoint, batch=16), Service(endpoint, key=OTHER, batch=1)]
    lines = [service.line() for service in services]
    start, wrong = threading.Barrier(8), []

    def work(number):
        start.wait()
        key, line = services[number % 2].key, lines[number % 2]
        for begin in range(0, 1000, 50):
            wanted = digests(50, b"%d %d" % (number, begin))
            pending = [line.start(each, soon(100)) for each in wanted]
            for digest, each in zip(wanted, pending, strict=True):
                if each.result() != key.sign_digest(digest):
                    wrong.append(digest)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    for service in services:
        counted = Counter(each for call in service.calls for each in call)
        assert len(counted) == 4000
        assert set(counted.values()) == {1}
    assert endpoint.waiting == 0
    assert len(threads_named(f"{endpoint.name}-")) <= 4


# Time


def test_nobody_waits_beyond_the_deadline_though_the_backend_hangs(make_endpoint):
    gate = Gate()
    line = Service(make_endpoint(threads=1), behave=gate).line()
    begun = time.monotonic()
    waiting = [line.start(each, soon(0.1)) for each in digests(3)]
    told = threading.Event()
    waiting[-1].when_done(told.set)
    for each in waiting:
        with pytest.raises(KeyUnavailable, match="before the deadline"):
            each.result()
    assert told.wait(5)
    assert time.monotonic() - begun < 5
    gate.open()


def test_who_is_told_is_told_at_his_own_deadline(make_endpoint):
    gate = Gate()
    line = Service(make_endpoint(threads=1), behave=gate).line()
    line.start(DIGEST, soon(60))
    hasty, told = line.start(DIGEST, soon(0.05)), threading.Event()
    hasty.when_done(told.set)
    assert told.wait(5)
    gate.open()


def test_a_call_gets_no_more_time_than_is_left(make_endpoint):
    service = Service(make_endpoint())
    service.line().start(DIGEST, soon(0.5)).result()
    assert 0 < service.timeouts[0] <= 0.5


def test_calls_that_begin_late_are_not_cut_short_and_do_not_open_the_breaker(make_endpoint, heard):
    """Under overload all begin with hardly as much time left as they need."""
    endpoint = make_endpoint(attempts=1)
    service = Service(endpoint)

    def behave(_):
        if service.timeouts[-1] < 0.1:
            time.sleep(service.timeouts[-1])
            raise down("did not answer in time")
        time.sleep(0.1)

    service.behave = behave
    line = service.line()
    line.start(DIGEST, soon()).result()
    while len(heard.trips) < 9:
        with pytest.raises(KeyUnavailable, match="before the deadline"):
            line.start(DIGEST, soon(0.07)).result()
        eventually(lambda: len(heard.trips) == len(service.timeouts))
    assert {error for _, _, error in heard.trips} == {None}
    assert not endpoint.is_down


@pytest.mark.parametrize("answers", [0, 3])
def test_a_backend_that_hangs_longer_than_anybody_waits_opens_it(make_endpoint, answers):
    endpoint, hung = make_endpoint(attempts=1), threading.Event()
    service = Service(endpoint)
    line = service.line()
    for _ in range(answers):
        line.start(DIGEST, soon()).result()

    def behave(_):
        hung.wait(service.timeouts[-1])
        raise down("did not answer in time")

    service.behave = behave

    def is_down():
        with contextlib.suppress(KeyUnavailable):
            line.start(DIGEST, soon(0.05)).result()
        return endpoint.is_down

    eventually(is_down)


def test_what_is_too_late_is_not_asked_for(make_endpoint):
    service = Service(make_endpoint())
    with pytest.raises(KeyUnavailable):
        service.line().start(DIGEST, soon(0.001)).result()
    service.line().start(DIGEST, soon()).result()
    assert len(service.calls) == 1


def test_a_full_queue_fails_at_once(make_endpoint, heard):
    endpoint, gate = make_endpoint(threads=1, queue=5), Gate()
    line = Service(endpoint, behave=gate).line()
    waiting = [line.start(DIGEST, soon())]
    gate.await_calls()
    waiting += [line.start(each, soon()) for each in digests(5)]
    begun = time.monotonic()
    for _ in range(100):
        with pytest.raises(KeyUnavailable, match=r"5 signatures wait for .* queue= too short"):
            line.start(bytes(32), soon()).result()
    assert time.monotonic() - begun < 5
    assert heard.names() == ["endpoint-overloaded"]  # said once, not a hundred times
    gate.open()
    for each in waiting:
        each.result()


def test_a_backend_slower_than_its_demand_refuses_what_would_be_too_late(make_endpoint):
    """What it takes in, it signs in time; the rest learns at once that it has to come back."""
    endpoint = make_endpoint(threads=2)
    line = Service(endpoint, behave=lambda _: time.sleep(0.05)).line()
    for each in digests(4):
        line.start(each, soon()).result()
    waiting = [line.start(each, soon(1.0)) for each in digests(400)]
    refused = [each for each in waiting if each.done]
    assert 300 < len(refused) < 395
    with pytest.raises(KeyUnavailable, match="too slow for this much mail"):
        refused[0].result()
    signed = 0
    for each in waiting:
        with contextlib.suppress(KeyUnavailable):
            signed += each not in refused and bool(each.result())
    assert signed >= 0.6 * (400 - len(refused))


def test_a_backend_that_hangs_for_ever_fails_fast_after_a_round(make_endpoint):
    endpoint, gate = make_endpoint(threads=2, queue=10_000), Gate()
    line = Service(endpoint, behave=gate).line()
    held = [line.start(each, soon(0.2)) for each in digests(20)]
    gate.await_calls(2)
    for each in held:
        with pytest.raises(KeyUnavailable):
            each.result()
    late = line.start(DIGEST, soon(0.2))
    assert late.done
    with pytest.raises(KeyUnavailable, match="too slow"):
        late.result()
    gate.open()


# Retries


def test_what_may_pass_is_asked_for_again(make_endpoint, heard):
    service = Service(make_endpoint(), behave=Script(down(), None))
    assert service.line().start(DIGEST, soon()).result() == GOOD.sign_digest(DIGEST)
    assert service.calls == [[DIGEST], [DIGEST]]
    assert heard.retries == [service.endpoint.name]
    assert [type(error) for _, _, error in heard.trips] == [KeyUnavailable, type(None)]


@pytest.mark.parametrize(
    "error",
    [
        KeyDenied("no", uri="acme:k"),
        KeyUnusable("no", uri="acme:k"),
        KeyBackendError("no", uri="acme:k"),
    ],
)
def test_what_is_final_is_not_asked_for_again(make_endpoint, heard, error):
    service = Service(make_endpoint(attempts=5), behave=raising(error))
    with pytest.raises(type(error), match="acme:k: no"):
        service.line().start(DIGEST, soon()).result()
    assert len(service.calls) == 1
    assert heard.retries == []


def test_a_wrong_signature_is_not_asked_for_again_and_does_not_leave(make_endpoint, heard):
    service = Service(make_endpoint(), behave=lambda _: [OTHER.sign_digest(DIGEST)])
    with pytest.raises(KeyUnusable, match="thrown away"):
        service.line().start(DIGEST, soon()).result()
    assert len(service.calls) == 1
    assert heard.names() == ["signature-refused"]


def test_after_its_attempts_the_last_failure_is_the_outcome(make_endpoint):
    service = Service(make_endpoint(attempts=3), behave=Script(down("1"), down("2"), down("3")))
    with pytest.raises(KeyUnavailable, match="acme:k: 3"):
        service.line().start(DIGEST, soon()).result()
    assert len(service.calls) == 3


def test_what_would_come_after_the_deadline_is_not_waited_for(make_endpoint):
    service = Service(make_endpoint(), behave=raising(down(retry_after=10.0)))
    begun = time.monotonic()
    with pytest.raises(KeyUnavailable, match="down"):
        service.line().start(DIGEST, soon(5.0)).result()
    assert time.monotonic() - begun < 4
    assert len(service.calls) == 1


def test_it_waits_as_long_as_the_backend_wants(make_endpoint):
    times = []
    script = Script(down(retry_after=0.3), None)

    def behave(wanted):
        times.append(time.monotonic())
        return script(wanted)

    assert Service(make_endpoint(), behave=behave).line().start(DIGEST, soon()).result()
    assert times[1] - times[0] >= 0.3


def test_only_what_failed_of_a_batch_is_asked_for_again(make_endpoint):
    endpoint, gate = make_endpoint(threads=1), Gate()

    def once(wanted):
        return [down() if each == DIGEST else GOOD.sign_digest(each) for each in wanted]

    script = Script(gate, once)
    service = Service(endpoint, batch=8, behave=script)
    line = service.line()
    waiting = [line.start(bytes(32), soon())]
    gate.await_calls()
    waiting += [line.start(each, soon()) for each in (DIGEST, *digests(2))]
    gate.open()
    for each in waiting:
        assert each.result() == GOOD.sign_digest(each.digest)
    assert service.calls == [[bytes(32)], [DIGEST, *digests(2)], [DIGEST]]


# Breaker


def open_breaker(service):
    line = service.line()
    for _ in range(5):
        with pytest.raises(KeyUnavailable):
            line.start(DIGEST, soon()).result()
    return line


def test_five_failures_open_the_breaker_and_then_failing_is_quick(make_endpoint, heard):
    endpoint = make_endpoint(attempts=1)
    service = Service(endpoint, behave=raising(down("no route to host")))
    line = open_breaker(service)
    assert endpoint.is_down
    begun = time.monotonic()
    for _ in range(1000):
        one = line.start(DIGEST, soon())
        assert one.done
    assert time.monotonic() - begun < 1
    with pytest.raises(KeyUnavailable, match=r"is down, .*: no route to host") as caught:
        one.result()
    assert 0 < caught.value.retry_after <= 1
    assert len(service.calls) == 5
    assert heard.names() == ["breaker-opened"]
    assert "no route to host" in heard.events[0].text


def test_a_probe_closes_the_breaker_again(make_endpoint, heard):
    endpoint = make_endpoint(attempts=1)
    service = Service(endpoint, behave=raising(down()))
    line = open_breaker(service)
    service.behave = None
    eventually(lambda: not line.start(DIGEST, soon()).done)
    eventually(lambda: not endpoint.is_down)
    assert line.start(DIGEST, soon()).result()
    assert heard.names() == ["breaker-opened", "breaker-closed"]


def test_a_probe_that_hangs_does_not_keep_it_open_for_ever(make_endpoint):
    endpoint, gate = make_endpoint(attempts=1), Gate()
    service = Service(endpoint, behave=raising(down()))
    line = open_breaker(service)
    service.behave = gate
    probe = line.start(DIGEST, soon())
    while probe.done:
        time.sleep(0.01)
        probe = line.start(DIGEST, soon())
    gate.await_calls()
    service.behave = None

    def signs():
        one = line.start(DIGEST, soon())
        return not one.done and one.result()

    eventually(signs)
    assert not endpoint.is_down
    assert not probe.done
    gate.open()


def test_refusals_are_answers_and_do_not_open_it(make_endpoint):
    service = Service(make_endpoint(), behave=raising(KeyDenied("no", uri="acme:k")))
    line = service.line()
    for _ in range(20):
        with pytest.raises(KeyDenied):
            line.start(DIGEST, soon()).result()
    assert not service.endpoint.is_down


def test_one_key_that_fails_with_the_backend_up_fails_alone(make_endpoint):
    endpoint = make_endpoint()
    bad = Service(endpoint, behave=lambda _: [b""]).line()
    good = Service(endpoint).line()
    for _ in range(10):
        with pytest.raises(KeyUnusable):
            bad.start(DIGEST, soon()).result()
        assert good.start(DIGEST, soon()).result()


# Other calls


def test_a_call_is_repeated_and_its_answer_returned(make_endpoint, heard):
    endpoint, steps = make_endpoint(connect_timeout=1.0, read_timeout=2.0), Script(down(), None)
    timeouts = []

    def step(timeout):
        timeouts.append(timeout)
        return steps(timeout) or "answer"

    assert endpoint.call(step, uri="acme:k") == "answer"
    assert timeouts == [3.0, 3.0]
    assert heard.retries == [endpoint.name]


def test_a_call_that_fails_for_good_or_too_often(make_endpoint):
    endpoint = make_endpoint()
    calls = []

    def step(exc):
        def ask(_):
            calls.append(exc)
            raise exc

        return ask

    for exc, times in (
        (KeyDenied("no", uri="acme:k"), 1),
        (down(), 2),
        (down(retry_after=60.0), 1),
        (ValueError("a bug"), 1),
    ):
        calls.clear()
        with pytest.raises(type(exc)):
            endpoint.call(step(exc), uri="acme:k")
        assert len(calls) == times


def test_a_call_to_a_backend_that_is_down_is_not_made(make_endpoint):
    endpoint = make_endpoint(attempts=1)
    open_breaker(Service(endpoint, behave=raising(down("no route"))))
    with pytest.raises(KeyUnavailable, match=r"acme:other: .*no route"):
        endpoint.call(lambda _: pytest.fail("called"), uri="acme:other")


def test_calls_that_fail_open_the_breaker_for_signatures(make_endpoint):
    endpoint = make_endpoint(attempts=1)
    for _ in range(5):
        with pytest.raises(KeyUnavailable):
            endpoint.call(lambda _: raising(down())(None), uri="acme:k")
    assert Service(endpoint).line().start(DIGEST, soon()).done


def test_what_a_backend_said_last_is_quoted_without_secrets():
    heard, resources = Heard(), Resources()
    endpoint = Endpoint(
        "acme:eu",
        limits=EndpointLimits(attempts=1),
        observer=heard,
        resources=resources,
        withhold=lambda text: text.replace("s3-CANARY", "..."),
    )
    for _ in range(5):
        with pytest.raises(KeyUnavailable):
            endpoint.call(lambda _: raising(down("login with s3-CANARY"))(None), uri="acme:k")
    with pytest.raises(KeyUnavailable, match=r"login with \.\.\."):
        endpoint.call(lambda _: None, uri="acme:k")
    assert "login with ..." in heard.events[0].text
    resources.close()


# Ends


def test_closing_gives_up_what_waits_and_what_is_under_way_and_ends_the_threads(make_endpoint):
    endpoint, gate = make_endpoint(threads=2), Gate()
    line = Service(endpoint, behave=gate).line()
    waiting = [line.start(each, soon(600)) for each in digests(5)]
    gate.await_calls(2)
    endpoint.close()
    for each in waiting:
        with pytest.raises(KeyUnavailable, match="closed before"):
            each.result()
    with pytest.raises(KeyUnavailable, match="closed"):
        line.start(DIGEST, soon()).result()
    gate.open()
    eventually(lambda: not threads_named(f"{endpoint.name}-"))


def test_closing_gives_up_what_waits_for_its_next_attempt(make_endpoint):
    """Its clock is closed too: whoever is to be told would wait for ever."""
    endpoint, failed = make_endpoint(), threading.Event()

    def behave(_):
        failed.set()
        raise down(retry_after=30.0)

    one, told = Service(endpoint, behave=behave).line().start(DIGEST, soon(600)), threading.Event()
    one.when_done(told.set)
    assert failed.wait(30)
    endpoint.close()
    assert told.wait(30)


def test_closing_while_eight_threads_sign_leaves_none_behind(make_endpoint):
    endpoint = make_endpoint(threads=4)
    line = Service(endpoint, batch=4).line()
    start, unsettled = threading.Barrier(9), []

    def work(number):
        start.wait()
        for digest in digests(200, b"%d" % number):
            one = line.start(digest, soon(60))
            begun = time.monotonic()
            with contextlib.suppress(KeyUnavailable):
                one.result()
            if time.monotonic() - begun > 30:
                unsettled.append(one)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    start.wait()
    endpoint.close()
    for thread in threads:
        thread.join()
    assert unsettled == []


def test_an_observer_that_raises_costs_no_thread_and_no_signature(heard, make_endpoint):
    endpoint = make_endpoint(threads=1)
    line = Service(endpoint).line()
    heard.round_trip = raising(RuntimeError("CANARY"))
    for _ in range(3):
        with pytest.raises(KeyBackendError, match="TypeError"):  # called with other arguments
            line.start(DIGEST, soon()).result()
    del heard.round_trip
    assert line.start(DIGEST, soon()).result()
    assert len(threads_named(f"{endpoint.name}-")) == 1


def test_a_backend_that_ends_its_thread_ends_none_of_ours(make_endpoint):
    service = Service(make_endpoint(threads=1), behave=Script(SystemExit(), KeyboardInterrupt()))
    line = service.line()
    for _ in range(2):
        with pytest.raises(KeyBackendError, match=r"SystemExit|KeyboardInterrupt"):
            line.start(DIGEST, soon()).result()
    assert line.start(DIGEST, soon()).result()


def test_a_backend_that_is_dead_for_long_costs_no_memory(make_endpoint):
    endpoint, gate = make_endpoint(threads=1, queue=64), Gate()
    line = Service(endpoint, behave=gate).line()
    line.start(DIGEST, soon(60))
    gate.await_calls()
    for _ in range(20_000):
        line.start(DIGEST, soon(60))
    assert endpoint.waiting <= 64
    assert line.waiting <= 64
    assert len(endpoint._patience) < 1000
    endpoint.close()
    gate.open()


# Forks


@forks
def test_a_child_signs_with_threads_of_its_own_and_the_parent_goes_on(make_endpoint):
    endpoint = make_endpoint(threads=2)
    line = Service(endpoint, batch=4).line()
    line.start(DIGEST, soon()).result()

    def check():
        ours = threads_named(f"{endpoint.name}-")
        signature_data = line.start(DIGEST, soon()).result()
        endpoint.close()
        return ours == [] and signature_data == GOOD.sign_digest(DIGEST)

    assert in_child(check)
    assert line.start(DIGEST, soon()).result()


@forks
def test_a_fork_in_the_middle_leaves_both_usable(make_endpoint):
    """Queued, under way, due for another attempt and with all locks in use, at once."""
    endpoint = make_endpoint(threads=2, queue=10_000)
    lines = [Service(endpoint, batch=4).line() for _ in range(3)]
    stop, wrong = threading.Event(), []

    def work(number):
        for digest in (sha256(b"%d %d" % (number, each)).digest() for each in range(10**9)):
            if stop.is_set():
                return
            pending = [line.start(digest, soon()) for line in lines]
            if {each.result() for each in pending} != {GOOD.sign_digest(digest)}:
                wrong.append(digest)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            assert in_child(
                lambda: (
                    all(line.start(DIGEST, soon(20)).result() for line in lines)
                    and endpoint.waiting == 0
                )
            )
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []


@forks
def test_a_child_does_not_rely_on_what_the_parent_watches(make_endpoint):
    endpoint = make_endpoint(threads=8)
    service, line, gate, waiting = held_back(endpoint)

    def check():
        service.behave = ours = Gate()
        for _ in range(5):
            line.start(DIGEST, soon(60))
            ours.await_calls()
        ours.open()
        return True

    assert in_child(check)
    gate.open()
    for each in waiting:
        assert each.result()


@forks
def test_the_breaker_of_a_child_begins_closed(make_endpoint):
    endpoint = make_endpoint(attempts=1)
    service = Service(endpoint, behave=raising(down()))
    line = open_breaker(service)

    def check():
        service.behave = None
        return not endpoint.is_down and line.start(DIGEST, soon()).result()

    assert in_child(check)
    assert endpoint.is_down


# Whatever happens

_NUMBERS = itertools.count()
_STEPS = st.lists(
    st.sampled_from(["right", "right", "down", "denied", "partly", "wrong", "short", "broken"]),
    max_size=30,
)


@settings(max_examples=60)
@given(
    steps=_STEPS,
    starts=st.lists(st.tuples(st.integers(0, 1), st.booleans()), min_size=1, max_size=40),
    batch=st.integers(1, 5),
    threads=st.integers(1, 3),
    data=st.data(),
)
def test_each_is_settled_once_with_its_own_signature_or_an_error(
    steps, starts, batch, threads, data
):
    resources, lock = Resources(), threading.Lock()
    limits = EndpointLimits(threads=threads, attempts=data.draw(st.integers(1, 3)))
    name = f"acme:any{next(_NUMBERS)}"
    endpoint = Endpoint(name, limits=limits, observer=Heard(), resources=resources)

    def behaviour(key):
        def behave(wanted):
            with lock:
                step = steps.pop() if steps else "right"
            right = [key.sign_digest(each) for each in wanted]
            if step == "down":
                raise down()
            if step == "denied":
                raise KeyDenied("no", uri="acme:k")
            if step == "broken":
                raise ZeroDivisionError
            return {
                "right": right,
                "partly": [down() if number % 2 else each for number, each in enumerate(right)],
                "wrong": [OTHER.sign_digest(bytes(32)) for _ in wanted],
                "short": right[1:],
            }[step]

        return behave

    services = [
        Service(endpoint, key=key, batch=batch, behave=behaviour(key)) for key in (GOOD, OTHER)
    ]
    lines = [
        endpoint.line(
            each,
            uri="acme:k",
            contain=lambda exc: (
                exc
                if isinstance(exc, KeyBackendError)
                else KeyBackendError("contained", uri="acme:k")
            ),
        )
        for each in services
    ]
    settled, pending = Counter(), []
    for number, (which, waits) in enumerate(starts):
        digest = sha256(b"%d" % number).digest()
        one = lines[which].start(digest, soon(20))
        one.when_done(lambda number=number: settled.update([number]))
        pending.append((services[which].key, digest, one))
        if waits:
            outcome(one)
    for key, digest, one in pending:
        assert outcome(one) in (key.sign_digest(digest), None)
    # Who waits is woken before others are told.
    eventually(lambda: sum(settled.values()) >= len(starts))
    waiting = endpoint.waiting
    endpoint.close()
    resources.close()
    eventually(lambda: not threads_named(f"{endpoint.name}-"))
    assert settled == Counter(range(len(starts)))
    assert waiting == 0


def outcome(one):
    try:
        return one.result()
    except KeyBackendError:
        return None
