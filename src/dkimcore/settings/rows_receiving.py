"""The options about received messages: whose they are, how they are judged, what follows."""

from __future__ import annotations

from dkimcore.settings.option import Importance, Kind, honoured

__all__ = ["ACTIONS", "HOSTS", "RESOLVING", "VERIFYING"]

BOOLEAN, INTEGER, STRING, DATA_SET = Kind.BOOLEAN, Kind.INTEGER, Kind.STRING, Kind.DATA_SET
CORE, COMMON, RARE, OURS = Importance.CORE, Importance.COMMON, Importance.RARE, Importance.OURS

HOSTS = (
    honoured(
        *("ExternalIgnoreList", DATA_SET, CORE, "-", "hosts.external_ignore"),
        "Hosts that may send with our domains from outside: no log line about it.",
    ),
    honoured(
        *("InternalHosts", DATA_SET, CORE, "127.0.0.1,::1", "hosts.internal"),
        "Hosts whose mail is signed, not verified. A value replaces the default.",
    ),
    honoured(
        *("MacroList", DATA_SET, COMMON, "-", "hosts.macros"),
        "Macros of the MTA, with or without values, that mark mail to be signed.",
    ),
    honoured(
        *("Mode", STRING, CORE, "sv", "hosts.signs hosts.verifies"),
        "`s` signs, `v` verifies, `sv` does both.",
    ),
    honoured(
        *("MTA", DATA_SET, COMMON, "-", "hosts.mta"),
        "Values of {daemon_name} whose mail is signed; case counts.",
    ),
    honoured(
        *("PeerList", DATA_SET, COMMON, "-", "hosts.peers"),
        "Hosts whose connections are accepted untouched.",
    ),
)

VERIFYING = (
    honoured(
        *("AlwaysAddARHeader", BOOLEAN, COMMON, "no", "verifying.always_add_results"),
        "Add `dkim=none` to unsigned messages.",
    ),
    honoured(
        *("AuthservID", STRING, CORE, "-", "verifying.authserv_id"),
        "Our name in Authentication-Results; not set, the MTA's macro j; `HOSTNAME` means the "
        "host's name.",
    ),
    honoured(
        *("AuthservIDWithJobID", BOOLEAN, RARE, "no", "verifying.authserv_id_with_job_id"),
        "Put / and the queue id behind it.",
    ),
    honoured(
        *("ClockDrift", INTEGER, RARE, "300", "verifying.clock_drift"),
        "Seconds by which clocks may differ, for t= and x=; 0 means 300.",
    ),
    honoured(
        *("DiagnosticDirectory", STRING, RARE, "-", "verifying.diagnostic_directory"),
        "When a signature with z= fails, the old and the new header are written here.",
    ),
    honoured(
        *("DkimcoreAllowBodyLength", BOOLEAN, OURS, "no", "verifying.allow_body_length"),
        "Accept signatures with l=, behind which anything can be added; otherwise the result is "
        "`policy`. OpenDKIM accepts them.",
    ),
    honoured(
        *("DkimcoreAllowSHA1", BOOLEAN, OURS, "no", "verifying.allow_sha1"),
        "Accept signatures with rsa-sha1, for archives. RFC 8301 forbids them.",
    ),
    honoured(
        *("ExemptDomains", DATA_SET, COMMON, "-", "verifying.exempt_domains"),
        "Author domains whose messages are neither signed nor verified.",
    ),
    honoured(
        *("IgnoreMalformedMail", BOOLEAN, RARE, "no", "verifying.ignore_malformed_mail"),
        "Say nothing about malformed messages.",
    ),
    honoured(
        *("KeepAuthResults", BOOLEAN, RARE, "no", "verifying.keep_results"),
        "Never delete Authentication-Results fields.",
    ),
    honoured(
        *("MaximumHeaders", INTEGER, COMMON, "262144", "verifying.maximum_header_octets"),
        "Octets of header at most; On-Security says what becomes of others. 0 means 1048576, "
        "Exim's header_maxsize. OpenDKIM's default is 65536.",
    ),
    honoured(
        *("MaximumSignaturesToVerify", INTEGER, COMMON, "5", "verifying.maximum_signatures"),
        "Signatures to verify, from the top; 0 verifies those of the author's domain and of "
        "TrustSignaturesFrom. OpenDKIM's default is 3.",
    ),
    honoured(
        *("Minimum", STRING, RARE, "-", "verifying.minimum_body"),
        "How much of a body l= must cover: `n` octets, `n%`, or all but `n` octets as `n+`.",
    ),
    honoured(
        *("MinimumKeyBits", INTEGER, COMMON, "1024", "verifying.minimum_key_bits"),
        "Shorter RSA keys neither verify nor sign. RFC 8301 forbids less than 1024.",
    ),
    honoured(
        *("MustBeSigned", DATA_SET, RARE, "-", "verifying.must_be_signed"),
        "Fields that a signature must cover if they are there.",
    ),
    honoured(
        *("NoHeaderB", BOOLEAN, RARE, "no", "verifying.no_header_b"),
        "Leave header.b out of Authentication-Results.",
    ),
    honoured(
        *("RemoveARAll", BOOLEAN, COMMON, "no", "verifying.remove_all_results"),
        "Delete Authentication-Results fields in our name also without a dkim result.",
    ),
    honoured(
        *("RemoveARFrom", DATA_SET, COMMON, "-", "verifying.remove_results_from"),
        "Other names whose Authentication-Results fields are deleted, besides our own.",
    ),
    honoured(
        *("RequiredHeaders", BOOLEAN, COMMON, "no", "verifying.required_headers"),
        "Reject messages in which a field is missing or repeated against RFC 5322.",
    ),
    honoured(
        *("StrictHeaders", BOOLEAN, COMMON, "no", "verifying.strict_headers"),
        "Neither sign nor verify such messages; their result is `permerror`.",
    ),
    honoured(
        *("TrustSignaturesFrom", DATA_SET, RARE, "-", "verifying.trusted_signers"),
        "Signing domains whose signatures are verified first.",
    ),
    honoured(
        *("UnprotectedKey", STRING, RARE, "none", "verifying.unprotected_key"),
        "What a key record without DNSSEC is worth: `none` (it counts), `neutral` or `fail`.",
    ),
)

_ACTION = "`accept`, `discard`, `quarantine`, `reject` or `tempfail`"

ACTIONS = (
    honoured(
        *("CaptureUnknownErrors", BOOLEAN, RARE, "no", "actions.quarantine_unknown_errors"),
        "Quarantine what meets an internal error.",
    ),
    honoured(
        *("DkimcoreOnKeyFailure", DATA_SET, OURS, "-", "actions.key_failure"),
        "Signing domains, `.` and a domain for all below it, or `*`, each with what becomes of "
        "mail whose key cannot be used: `tempfail` (as On-InternalError says, also for who is not "
        "listed), `unsigned`, `fallback:NAME` of the KeyTable, or `other-algorithm`.",
    ),
    honoured(
        *("On-BadSignature", STRING, COMMON, "accept", "actions.bad_signature"),
        f"What becomes of messages with a failed signature: {_ACTION}.",
    ),
    honoured(
        *("On-Default", STRING, COMMON, "-"),
        "actions.bad_signature actions.dns_error actions.internal_error actions.key_not_found "
        "actions.no_signature actions.security actions.signature_error",
        "All of these at once; the single ones win.",
    ),
    honoured(
        *("On-DNSError", STRING, COMMON, "tempfail", "actions.dns_error"),
        "What becomes of messages whose key could not be asked for.",
    ),
    honoured(
        *("On-InternalError", STRING, COMMON, "tempfail", "actions.internal_error"),
        "What becomes of messages when we fail: a table, a key, a bug.",
    ),
    honoured(
        *("On-KeyNotFound", STRING, COMMON, "accept", "actions.key_not_found"),
        "What becomes of messages whose signature has no key record.",
    ),
    honoured(
        *("On-NoSignature", STRING, COMMON, "accept", "actions.no_signature"),
        "What becomes of unsigned messages.",
    ),
    honoured(
        *("On-Security", STRING, COMMON, "tempfail", "actions.security"),
        "What becomes of messages beyond MaximumHeaders, DkimcoreMaximumHeaderFields or "
        "DkimcoreMaximumRecipients.",
    ),
    honoured(
        *("On-SignatureError", STRING, COMMON, "reject", "actions.signature_error"),
        "What becomes of messages that cannot be signed as they are.",
    ),
    honoured(
        *("Quarantine", BOOLEAN, RARE, "no", "actions.quarantine"),
        "Quarantine messages with a failed signature that would be accepted.",
    ),
    honoured(
        *("RedirectFailuresTo", STRING, RARE, "-", "actions.redirect_failures_to"),
        "Messages with a failed signature go to this address instead; Original-Recipient "
        "fields keep the recipients.",
    ),
)

RESOLVING = (
    honoured(
        *("DkimcoreMessageTimeout", INTEGER, OURS, "10", "resolving.message_timeout"),
        "Seconds for all key queries of a message.",
    ),
    honoured(*("DNSConnect", BOOLEAN, RARE, "no", "resolving.tcp"), "Ask over TCP at once."),
    honoured(
        *("DNSTimeout", INTEGER, COMMON, "5", "resolving.timeout"),
        "Seconds for one key query; 0 means as long as DkimcoreMessageTimeout.",
    ),
    honoured(
        *("Nameservers", STRING, COMMON, "-", "resolving.nameservers"),
        "IP addresses of the name servers to ask, with commas; not set, the system's. A port may "
        "follow: 192.0.2.1:5353, [2001:db8::1]:5353.",
    ),
    honoured(
        *("TestDNSData", DATA_SET, RARE, "-", "resolving.test_dns_data"),
        "A data set of TXT records to use instead of the DNS.",
    ),
    honoured(
        *("TestPublicKeys", STRING, RARE, "-", "resolving.test_public_keys"),
        "A file of key records to use instead of the DNS.",
    ),
)
