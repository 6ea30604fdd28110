"""Results: every cause has one status; a message's status (RFC 8601 section 2.7.1)."""

import pytest

from dkimcore.protocol.result import Cause, SignatureResult, Status, Unusable, Usage, VerifyResults

rfc = pytest.mark.rfc


def result(status, position=0):
    cause = next((cause for cause in Cause if cause.status is status), None)
    return SignatureResult(status=status, cause=cause, detail="", position=position)


@rfc("8601", "2.7.1")
def test_statuses_are_the_words_of_rfc_8601():
    """Statement 108."""
    words = {"none", "pass", "fail", "policy", "neutral", "temperror", "permerror"}
    assert {str(status) for status in Status} == words


@rfc("6376", "3.9")
@rfc("8601", "2.7.1")
@pytest.mark.parametrize("cause", Cause)
def test_a_cause_means_that_the_signature_did_not_pass(cause):
    """Statements 83, 108: only what was computed and did not match is `fail`."""
    assert cause.status not in (Status.PASS, Status.NONE)
    assert (cause.status is Status.FAIL) == (cause in (Cause.BODY_HASH, Cause.SIGNATURE))
    assert (cause.status is Status.TEMPERROR) == (cause is Cause.KEY_UNAVAILABLE)
    assert cause.phrase.isascii()
    assert not set('"\\\r\n') & set(cause.phrase)  # it goes into a quoted-string as it is


@rfc("6376", "6.1.1")
@rfc("6376", "6.1.2")
@pytest.mark.parametrize(
    ("cause", "phrase"),
    [
        (Cause.SIGNATURE_SYNTAX_ERROR, "signature syntax error"),
        (Cause.MISSING_REQUIRED_TAG, "signature missing required tag"),
        (Cause.DOMAIN_MISMATCH, "domain mismatch"),
        (Cause.FROM_NOT_SIGNED, "From field not signed"),
        (Cause.SIGNATURE_EXPIRED, "signature expired"),
        (Cause.UNACCEPTABLE_SIGNATURE, "unacceptable signature header"),
        (Cause.KEY_UNAVAILABLE, "key unavailable"),
        (Cause.NO_KEY, "no key for signature"),
        (Cause.KEY_SYNTAX_ERROR, "key syntax error"),
        (Cause.INAPPROPRIATE_HASH_ALGORITHM, "inappropriate hash algorithm"),
        (Cause.KEY_REVOKED, "key revoked"),
        (Cause.INAPPROPRIATE_KEY_ALGORITHM, "inappropriate key algorithm"),
        (Cause.BODY_HASH, "body hash did not verify"),
        (Cause.SIGNATURE, "signature did not verify"),
    ],
)
def test_causes_are_told_in_the_words_of_rfc_6376(cause, phrase):
    """Statement 49."""
    assert cause.phrase == phrase


def test_a_parser_says_why_a_signature_is_unusable():
    unusable = Unusable(Cause.NO_KEY, "nothing there")
    assert (unusable.cause, unusable.detail) == (Cause.NO_KEY, "nothing there")


@rfc("8601", "2.7.1")
def test_an_unsigned_message_has_the_status_none():
    """Statement 146."""
    results = VerifyResults()
    assert results == ()
    assert (results.status, results.cause, results.best) == (Status.NONE, None, None)
    assert not results.passed
    assert results.usage == Usage()


@rfc("6376", "6.1")
@pytest.mark.parametrize("first", [Status.FAIL, Status.PERMERROR, Status.TEMPERROR, Status.POLICY])
def test_one_good_signature_is_enough_wherever_it_stands(first):
    """Statements 103, 105."""
    for order in ((first, Status.PASS), (Status.PASS, first)):
        results = VerifyResults(result(status, place) for place, status in enumerate(order))
        assert results.passed
        assert results.status is Status.PASS
        assert results.cause is None
        assert results[0].passed is (order[0] is Status.PASS)


@rfc("6376", "6.3")
@pytest.mark.parametrize(
    ("statuses", "best"),
    [
        ((Status.PERMERROR, Status.TEMPERROR), Status.TEMPERROR),
        ((Status.FAIL, Status.TEMPERROR), Status.TEMPERROR),
        ((Status.PERMERROR, Status.FAIL), Status.FAIL),
        ((Status.PERMERROR, Status.POLICY), Status.POLICY),
        ((Status.POLICY, Status.FAIL), Status.FAIL),
        ((Status.PERMERROR, Status.NEUTRAL), Status.NEUTRAL),
    ],
)
def test_without_a_pass_the_most_telling_result_speaks(statuses, best):
    """Statement 107."""
    results = VerifyResults(map(result, statuses))
    assert results.status is best
    assert results.best in results
    assert results.cause is results.best.cause
    assert not results.passed


def test_of_equal_results_the_upper_one_speaks():
    results = VerifyResults([result(Status.FAIL, 0), result(Status.FAIL, 1)])
    assert results.best is results[0]


def test_what_a_message_cost_goes_with_its_results():
    usage = Usage(signatures=7, evaluated=5, queries=2, body_octets=9, body_hashes=1)
    assert VerifyResults([], usage=usage).usage is usage
