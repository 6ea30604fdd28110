"""What is counted, measured and shown, with its Prometheus name, unit, labels and help.

Names and units follow Prometheus' conventions: base units, ``_total`` for what only grows.
Every label value is written here: nothing that a stranger sends becomes one.  Where the numbers
are kept is `dkimcore_milter.meter`'s, how they are served `dkimcore_milter.exporter`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = [
    "BUCKETS",
    "CELLS",
    "FAMILIES",
    "PREFIX",
    "Count",
    "Family",
    "Gauge",
    "Timer",
    "cells_of",
]

PREFIX = "dkimcore_milter_"
"""What every metric's name begins with."""

BUCKETS: tuple[float, ...] = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
"""Upper bounds of the histograms, in seconds: an Ed25519 signature takes 0.1 ms, a name server
that is dead the 10 s of DNSTimeout."""

_TIMER_CELLS = len(BUCKETS) + 2  # one for what is above the last bound, and the sum


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A metric.

    Attributes:
        help: What it counts, for ``# HELP``.
        labels: The names of its labels.
        per_worker: Whether each worker's value is shown, instead of their sum.
    """

    help: str
    labels: tuple[str, ...] = ()
    per_worker: bool = False


FAMILIES: dict[str, Family] = {
    "messages": Family(
        help="Messages answered, by what was done with them and the final answer.",
        labels=("mode", "verdict"),
    ),
    "messages_abandoned": Family(
        help="Messages that the MTA gave up before they were answered.",
    ),
    "signatures_verified": Family(
        help="Signatures verified, by RFC 8601 result; none: messages without a signature.",
        labels=("result",),
    ),
    "signatures_made": Family(help="Signatures made, by type of key.", labels=("key_type",)),
    "dns_queries": Family(
        help="Questions sent to name servers, by what came of them; the cache answers the others.",
        labels=("outcome",),
    ),
    "dns_cache_hits": Family(help="Questions that the cache of DNS answers answered."),
    "dns_cache_misses": Family(help="Questions that the cache of DNS answers had to pass on."),
    "key_errors": Family(
        help="Failures to open a private key or to sign with it, by where it is kept and why.",
        labels=("backend", "kind"),
    ),
    "key_round_trips": Family(
        help="Calls of key backends for signatures, by where the keys are kept and what came of "
        "them.",
        labels=("backend", "outcome"),
    ),
    "key_round_trip_signatures": Family(
        help="Signatures asked for in these calls.", labels=("backend",)
    ),
    "key_retries": Family(help="Calls of key backends that were made again.", labels=("backend",)),
    "key_breaker_openings": Family(
        help="Times that a key backend was taken for down.", labels=("backend",)
    ),
    "key_failure_actions": Family(
        help="Messages whose keys failed, by what became of them (DkimcoreOnKeyFailure).",
        labels=("action",),
    ),
    "reloads": Family(help="Reloads of the configuration.", labels=("result",)),
    "worker_starts": Family(help="Workers started."),
    "worker_restarts": Family(help="Workers started in the place of one that died."),
    "worker_deaths": Family(help="Workers that ended unasked.", labels=("cause",)),
    "exporter_deaths": Family(help="Ends of the process that serves these metrics."),
    "connections_accepted": Family(help="Connections of MTAs accepted."),
    "limits_hit": Family(help="Times that a limit was reached.", labels=("limit",)),
    "internal_errors": Family(help="Exceptions contained: On-InternalError said what became."),
    "log_lines_lost": Family(help="Log lines that could not be written."),
    "connections": Family(help="Connections of MTAs that are open."),
    "messages_in_flight": Family(help="Messages whose end has not come yet."),
    "dns_cache_entries": Family(help="Answers in the caches of DNS answers."),
    "key_breakers_open": Family(
        help="Key backends that are taken for down, counted in each worker.", labels=("backend",)
    ),
    "key_signatures_waiting": Family(
        help="Signatures that wait for a call of a key backend.", labels=("backend",)
    ),
    "key_confirmation_age_seconds": Family(
        help="Time since its backend confirmed the fetched key of each worker that waits longest.",
        labels=("worker",),
        per_worker=True,
    ),
    "workers_accepting": Family(
        help="Workers that are not about to end; at their limit of connections, too."
    ),
    "last_reload_success": Family(help="Whether the last reload was good (1) or failed (0)."),
    "last_reload_timestamp_seconds": Family(
        help="When the configuration in use was loaded, in seconds since 1970.",
    ),
    "start_time_seconds": Family(help="When the filter started, in seconds since 1970."),
    "worker_resident_memory_bytes": Family(
        help="Resident memory of each worker.", labels=("worker",), per_worker=True
    ),
    "worker_open_descriptors": Family(
        help="Open file descriptors of each worker.", labels=("worker",), per_worker=True
    ),
    "worker_silent_seconds": Family(
        help="Time since each worker's loop last said that it turns, which it does every 5 s.",
        labels=("worker",),
        per_worker=True,
    ),
    "message_seconds": Family(
        help="Time spent on a message, waiting for the MTA excluded.", labels=("mode",)
    ),
    "dns_query_seconds": Family(help="Time until a name server's answer, or the end of patience."),
    "key_operation_seconds": Family(
        help="Time a private key took to sign or to fail, by where it is kept.",
        labels=("backend",),
    ),
    "key_round_trip_seconds": Family(
        help="Time of a call of a key backend for signatures.", labels=("backend",)
    ),
}
"""Every metric, by its name without ``dkimcore_milter_`` and ``_total``."""

_taken = [0]


def _take(cells: int) -> int:
    first = _taken[0]
    _taken[0] += cells
    return first


class _Cell(Enum):
    """A member names its family and the values of its labels; `cell` is its number in a row."""

    def __init__(self, family: str, *labels: str) -> None:
        self.family = family
        self.labels = labels
        self.cell = _take(1)


class Count(_Cell):
    """What only grows."""

    MESSAGES_SIGN_ACCEPT = ("messages", "sign", "accept")
    MESSAGES_SIGN_REJECT = ("messages", "sign", "reject")
    MESSAGES_SIGN_TEMPFAIL = ("messages", "sign", "tempfail")
    MESSAGES_SIGN_DISCARD = ("messages", "sign", "discard")
    MESSAGES_SIGN_QUARANTINE = ("messages", "sign", "quarantine")
    MESSAGES_VERIFY_ACCEPT = ("messages", "verify", "accept")
    MESSAGES_VERIFY_REJECT = ("messages", "verify", "reject")
    MESSAGES_VERIFY_TEMPFAIL = ("messages", "verify", "tempfail")
    MESSAGES_VERIFY_DISCARD = ("messages", "verify", "discard")
    MESSAGES_VERIFY_QUARANTINE = ("messages", "verify", "quarantine")
    MESSAGES_RESIGN_ACCEPT = ("messages", "resign", "accept")
    MESSAGES_RESIGN_REJECT = ("messages", "resign", "reject")
    MESSAGES_RESIGN_TEMPFAIL = ("messages", "resign", "tempfail")
    MESSAGES_RESIGN_DISCARD = ("messages", "resign", "discard")
    MESSAGES_RESIGN_QUARANTINE = ("messages", "resign", "quarantine")
    MESSAGES_NONE_ACCEPT = ("messages", "none", "accept")
    MESSAGES_NONE_REJECT = ("messages", "none", "reject")
    MESSAGES_NONE_TEMPFAIL = ("messages", "none", "tempfail")
    MESSAGES_NONE_DISCARD = ("messages", "none", "discard")
    MESSAGES_NONE_QUARANTINE = ("messages", "none", "quarantine")
    MESSAGES_ABANDONED = ("messages_abandoned",)

    VERIFIED_NONE = ("signatures_verified", "none")
    VERIFIED_PASS = ("signatures_verified", "pass")
    VERIFIED_FAIL = ("signatures_verified", "fail")
    VERIFIED_POLICY = ("signatures_verified", "policy")
    VERIFIED_NEUTRAL = ("signatures_verified", "neutral")
    VERIFIED_TEMPERROR = ("signatures_verified", "temperror")
    VERIFIED_PERMERROR = ("signatures_verified", "permerror")

    SIGNED_RSA = ("signatures_made", "rsa")
    SIGNED_ED25519 = ("signatures_made", "ed25519")

    QUERIES_FOUND = ("dns_queries", "found")
    QUERIES_NO_RECORD = ("dns_queries", "no_record")
    QUERIES_FAILED = ("dns_queries", "failed")
    DNS_CACHE_HITS = ("dns_cache_hits",)
    DNS_CACHE_MISSES = ("dns_cache_misses",)

    KEY_ERRORS_FILE_NOT_FOUND = ("key_errors", "file", "not_found")
    KEY_ERRORS_FILE_DENIED = ("key_errors", "file", "denied")
    KEY_ERRORS_FILE_UNUSABLE = ("key_errors", "file", "unusable")
    KEY_ERRORS_FILE_UNAVAILABLE = ("key_errors", "file", "unavailable")
    KEY_ERRORS_VAULT_NOT_FOUND = ("key_errors", "vault", "not_found")
    KEY_ERRORS_VAULT_DENIED = ("key_errors", "vault", "denied")
    KEY_ERRORS_VAULT_UNUSABLE = ("key_errors", "vault", "unusable")
    KEY_ERRORS_VAULT_UNAVAILABLE = ("key_errors", "vault", "unavailable")
    KEY_ERRORS_AWS_KMS_NOT_FOUND = ("key_errors", "aws-kms", "not_found")
    KEY_ERRORS_AWS_KMS_DENIED = ("key_errors", "aws-kms", "denied")
    KEY_ERRORS_AWS_KMS_UNUSABLE = ("key_errors", "aws-kms", "unusable")
    KEY_ERRORS_AWS_KMS_UNAVAILABLE = ("key_errors", "aws-kms", "unavailable")
    KEY_ERRORS_PKCS11_NOT_FOUND = ("key_errors", "pkcs11", "not_found")
    KEY_ERRORS_PKCS11_DENIED = ("key_errors", "pkcs11", "denied")
    KEY_ERRORS_PKCS11_UNUSABLE = ("key_errors", "pkcs11", "unusable")
    KEY_ERRORS_PKCS11_UNAVAILABLE = ("key_errors", "pkcs11", "unavailable")
    KEY_ERRORS_OTHER_NOT_FOUND = ("key_errors", "other", "not_found")
    KEY_ERRORS_OTHER_DENIED = ("key_errors", "other", "denied")
    KEY_ERRORS_OTHER_UNUSABLE = ("key_errors", "other", "unusable")
    KEY_ERRORS_OTHER_UNAVAILABLE = ("key_errors", "other", "unavailable")

    KEY_ROUND_TRIPS_VAULT_SUCCESS = ("key_round_trips", "vault", "success")
    KEY_ROUND_TRIPS_VAULT_UNAVAILABLE = ("key_round_trips", "vault", "unavailable")
    KEY_ROUND_TRIPS_VAULT_REFUSED = ("key_round_trips", "vault", "refused")
    KEY_ROUND_TRIPS_AWS_KMS_SUCCESS = ("key_round_trips", "aws-kms", "success")
    KEY_ROUND_TRIPS_AWS_KMS_UNAVAILABLE = ("key_round_trips", "aws-kms", "unavailable")
    KEY_ROUND_TRIPS_AWS_KMS_REFUSED = ("key_round_trips", "aws-kms", "refused")
    KEY_ROUND_TRIPS_PKCS11_SUCCESS = ("key_round_trips", "pkcs11", "success")
    KEY_ROUND_TRIPS_PKCS11_UNAVAILABLE = ("key_round_trips", "pkcs11", "unavailable")
    KEY_ROUND_TRIPS_PKCS11_REFUSED = ("key_round_trips", "pkcs11", "refused")
    KEY_ROUND_TRIPS_OTHER_SUCCESS = ("key_round_trips", "other", "success")
    KEY_ROUND_TRIPS_OTHER_UNAVAILABLE = ("key_round_trips", "other", "unavailable")
    KEY_ROUND_TRIPS_OTHER_REFUSED = ("key_round_trips", "other", "refused")
    KEY_ROUND_TRIP_SIGNATURES_VAULT = ("key_round_trip_signatures", "vault")
    KEY_ROUND_TRIP_SIGNATURES_AWS_KMS = ("key_round_trip_signatures", "aws-kms")
    KEY_ROUND_TRIP_SIGNATURES_PKCS11 = ("key_round_trip_signatures", "pkcs11")
    KEY_ROUND_TRIP_SIGNATURES_OTHER = ("key_round_trip_signatures", "other")
    KEY_RETRIES_VAULT = ("key_retries", "vault")
    KEY_RETRIES_AWS_KMS = ("key_retries", "aws-kms")
    KEY_RETRIES_PKCS11 = ("key_retries", "pkcs11")
    KEY_RETRIES_OTHER = ("key_retries", "other")
    KEY_BREAKER_OPENINGS_VAULT = ("key_breaker_openings", "vault")
    KEY_BREAKER_OPENINGS_AWS_KMS = ("key_breaker_openings", "aws-kms")
    KEY_BREAKER_OPENINGS_PKCS11 = ("key_breaker_openings", "pkcs11")
    KEY_BREAKER_OPENINGS_OTHER = ("key_breaker_openings", "other")
    KEY_FAILURE_TEMPFAIL = ("key_failure_actions", "tempfail")
    KEY_FAILURE_UNSIGNED = ("key_failure_actions", "unsigned")
    KEY_FAILURE_FALLBACK = ("key_failure_actions", "fallback")
    KEY_FAILURE_OTHER_ALGORITHM = ("key_failure_actions", "other-algorithm")

    RELOADS_GOOD = ("reloads", "success")
    RELOADS_BAD = ("reloads", "failure")
    WORKER_STARTS = ("worker_starts",)
    WORKER_RESTARTS = ("worker_restarts",)
    WORKER_DEATHS_EXIT = ("worker_deaths", "exit")
    WORKER_DEATHS_SIGNAL = ("worker_deaths", "signal")
    EXPORTER_DEATHS = ("exporter_deaths",)

    CONNECTIONS_ACCEPTED = ("connections_accepted",)
    LIMIT_CONNECTIONS = ("limits_hit", "connections")
    LIMIT_DESCRIPTORS = ("limits_hit", "descriptors")
    LIMIT_DRAINING = ("limits_hit", "draining")
    LIMIT_HEADER_FIELDS = ("limits_hit", "header_fields")
    LIMIT_HEADER_OCTETS = ("limits_hit", "header_octets")
    LIMIT_KEY_RECORDS = ("limits_hit", "key_records")
    LIMIT_MEMORY = ("limits_hit", "memory")
    LIMIT_MESSAGE_DNS_TIME = ("limits_hit", "message_dns_time")
    LIMIT_PACKET_LENGTH = ("limits_hit", "packet_length")
    LIMIT_QUERIES = ("limits_hit", "queries")
    LIMIT_RECIPIENTS = ("limits_hit", "recipients")
    LIMIT_SIGNATURES = ("limits_hit", "signatures")
    LIMIT_SIGNATURE_OCTETS = ("limits_hit", "signature_octets")
    LIMIT_SIGNED_FIELDS = ("limits_hit", "signed_fields")
    LIMIT_THREADS = ("limits_hit", "threads")
    INTERNAL_ERRORS = ("internal_errors",)
    LOG_LINES_LOST = ("log_lines_lost",)


class Gauge(_Cell):
    """What goes up and down; cleared when its process is gone."""

    ACCEPTING = ("workers_accepting",)
    """1 while the worker accepts connections: set when it starts, 0 as soon as it drains."""
    CONNECTIONS = ("connections",)
    MESSAGES = ("messages_in_flight",)
    DNS_CACHE_ENTRIES = ("dns_cache_entries",)
    KEY_BREAKERS_OPEN_VAULT = ("key_breakers_open", "vault")
    KEY_BREAKERS_OPEN_AWS_KMS = ("key_breakers_open", "aws-kms")
    KEY_BREAKERS_OPEN_PKCS11 = ("key_breakers_open", "pkcs11")
    KEY_BREAKERS_OPEN_OTHER = ("key_breakers_open", "other")
    KEY_SIGNATURES_WAITING_VAULT = ("key_signatures_waiting", "vault")
    KEY_SIGNATURES_WAITING_AWS_KMS = ("key_signatures_waiting", "aws-kms")
    KEY_SIGNATURES_WAITING_PKCS11 = ("key_signatures_waiting", "pkcs11")
    KEY_SIGNATURES_WAITING_OTHER = ("key_signatures_waiting", "other")
    KEY_CONFIRMATION_AGE = ("key_confirmation_age_seconds",)
    """How long ago the backend confirmed the fetched key that waits longest for it."""
    LAST_RELOAD_SUCCESS = ("last_reload_success",)
    LAST_RELOAD_TIME = ("last_reload_timestamp_seconds",)
    START_TIME = ("start_time_seconds",)
    HEARTBEAT = ("worker_silent_seconds",)
    """When the worker's loop turned, on the monotonic clock; shown is how long ago that is."""
    RESIDENT_MEMORY = ("worker_resident_memory_bytes",)
    OPEN_DESCRIPTORS = ("worker_open_descriptors",)


class Timer(Enum):
    """What takes time; `cell` is the first of its buckets, the last one is the sum."""

    SIGN = ("message_seconds", "sign")
    VERIFY = ("message_seconds", "verify")
    RESIGN = ("message_seconds", "resign")
    NONE = ("message_seconds", "none")
    DNS = ("dns_query_seconds",)
    KEYS_FILE = ("key_operation_seconds", "file")
    KEYS_VAULT = ("key_operation_seconds", "vault")
    KEYS_AWS_KMS = ("key_operation_seconds", "aws-kms")
    KEYS_PKCS11 = ("key_operation_seconds", "pkcs11")
    KEYS_OTHER = ("key_operation_seconds", "other")
    KEY_ROUND_TRIP_VAULT = ("key_round_trip_seconds", "vault")
    KEY_ROUND_TRIP_AWS_KMS = ("key_round_trip_seconds", "aws-kms")
    KEY_ROUND_TRIP_PKCS11 = ("key_round_trip_seconds", "pkcs11")
    KEY_ROUND_TRIP_OTHER = ("key_round_trip_seconds", "other")

    def __init__(self, family: str, *labels: str) -> None:
        self.family = family
        self.labels = labels
        self.cell = _take(_TIMER_CELLS)
        self.sum_cell = self.cell + _TIMER_CELLS - 1


CELLS = _taken[0]
"""How many numbers a process has."""


def cells_of(timer: Timer) -> range:
    """Return the cells of a histogram's buckets."""
    return range(timer.cell, timer.sum_cell)
