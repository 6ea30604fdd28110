"""The settings of a site, frozen: what opendkim.conf and the TOML form both become.

Grouped by what they are about.  A field's docstring line names the OpenDKIM option in
brackets; `dkimcore.settings.options` says how each is read.  Data sets stay as they were
written, in a `Source`: whoever uses them loads them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from dkimcore.protocol.algorithm import Algorithm
from dkimcore.protocol.canonical import Canonicalization
from dkimcore.settings.limits import MilterLimits

__all__ = [
    "Action",
    "Actions",
    "Hosts",
    "KeyTrust",
    "LogFormat",
    "Logging",
    "Process",
    "Resolving",
    "Settings",
    "Signing",
    "Source",
    "Verifying",
]


class Action(StrEnum):
    """What happens to a message (the On-* options)."""

    ACCEPT = "accept"
    DISCARD = "discard"
    QUARANTINE = "quarantine"
    REJECT = "reject"
    TEMPFAIL = "tempfail"


class KeyTrust(StrEnum):
    """What a key record without DNSSEC is worth (UnprotectedKey)."""

    NONE = "none"
    NEUTRAL = "neutral"
    FAIL = "fail"


class LogFormat(StrEnum):
    """Where log lines go, and in what form."""

    SYSLOG = "syslog"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Source:
    """A value that names something to load, and where it stands.

    Attributes:
        text: The value as written, such as ``refile:/etc/opendkim/SigningTable``.
        file: The settings file; None for a flag of a command.
        line: Its line.
    """

    text: str
    file: str | None = None
    line: int | None = None

    def __repr__(self) -> str:
        # Rows written in place may hold private keys, behind their first "=".
        text, equals, _ = self.text.partition("=")
        return f"<Source {text + equals + '...' * bool(equals)!r} in {self.file}:{self.line}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """Who is signed for, and how.

    Attributes:
        signing_table: Which keys sign for whom [SigningTable].
        key_table: What the keys' names stand for [KeyTable].
        multiple_signatures: All rows that apply, not only the first [MultipleSignatures].
        domains: Domains to sign for with one key [Domain].
        selector: That key's selector [Selector].
        key_file: That key: a path or a key URI [KeyFile].
        subdomains: Subdomains of `domains`, too [SubDomains].
        header_canonicalization: The first half of c= [Canonicalization].
        body_canonicalization: The second half of c= [Canonicalization].
        algorithm: What the keys are said to be; each key's own type decides
            [SignatureAlgorithm].
        sign_headers: Fields to sign [SignHeaders].
        omit_headers: Fields not to sign [OmitHeaders].
        oversign_headers: Fields to name once more than present [OverSignHeaders].
        lifetime: Seconds from t= to x=; None sets no x= [SignatureTTL].
        body_length_db: Recipients for whom l= is set [BodyLengthDB].
        maximum_signed_bytes: Body octets to sign at most, with l= [MaximumSignedBytes].
        copied_fields: Write z= [Diagnostics].
        remove_old_signatures: Delete the DKIM-Signature fields that are there
            [RemoveOldSignatures].
        fix_crlf: Hash a bare CR or LF as a CRLF [FixCRLF].
        require_safe_keys: Refuse key files that others may read or replace [RequireSafeKeys].
        sender_headers: Fields that may name the author, in order [SenderHeaders].
        sender_macro: A macro that names the author, preferred [SenderMacro].
        default_sender: The author where none is found [DefaultSender].
        exempt_recipients: Recipients whose mail is not signed [DontSignMailTo].
        identity_header: A field whose address becomes i= [IdentityHeader].
        identity_header_remove: Delete that field after signing [IdentityHeaderRemove].
        canonicalization_header: A field that chooses c= [SelectCanonicalizationHeader].
        resign_recipients: Recipients for whom verified mail is signed again [ResignMailTo].
        resign_all: Sign it even if it did not verify [ResignAll].
        replace_rules: A file of rules ``PATTERN TAB TEXT`` that change values of fields before
            they are used [ReplaceRules].
        replace_headers: The fields that the rules are for; None means all [ReplaceHeaders].
        key_backends: A file that says where key backends are, and how to log in there
            [DkimcoreKeyBackends].
    """

    signing_table: Source | None = None
    key_table: Source | None = None
    multiple_signatures: bool = False
    domains: Source | None = None
    selector: str | None = None
    key_file: Source | None = None
    subdomains: bool = False
    header_canonicalization: Canonicalization = Canonicalization.RELAXED
    body_canonicalization: Canonicalization = Canonicalization.RELAXED
    algorithm: Algorithm | None = None
    sign_headers: Source | None = None
    omit_headers: Source | None = None
    oversign_headers: Source | None = None
    lifetime: int | None = None
    body_length_db: Source | None = None
    maximum_signed_bytes: int | None = None
    copied_fields: bool = False
    remove_old_signatures: bool = False
    fix_crlf: bool = False
    require_safe_keys: bool = True
    sender_headers: Source | None = None
    sender_macro: str | None = None
    default_sender: str | None = None
    exempt_recipients: Source | None = None
    identity_header: str | None = None
    identity_header_remove: bool = False
    canonicalization_header: str | None = None
    resign_recipients: Source | None = None
    resign_all: bool = False
    replace_rules: Source | None = None
    replace_headers: Source | None = None
    key_backends: Source | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifying:
    """How received mail is judged, and what is written about it.

    Attributes:
        authserv_id: Who says so in Authentication-Results; None means the MTA's name (macro
            ``j``), and HOSTNAME the host's [AuthservID].
        authserv_id_with_job_id: Put ``/`` and the queue id behind it [AuthservIDWithJobID].
        always_add_results: Say ``dkim=none`` about unsigned mail [AlwaysAddARHeader].
        keep_results: Never delete Authentication-Results fields [KeepAuthResults].
        remove_all_results: Delete ours even without a dkim result [RemoveARAll].
        remove_results_from: Other authserv-ids whose fields are deleted [RemoveARFrom].
        no_header_b: Leave header.b out [NoHeaderB].
        maximum_signatures: Signatures to verify; 0 verifies those of the author's domain and
            of `trusted_signers` [MaximumSignaturesToVerify].
        trusted_signers: Signing domains that are verified first [TrustSignaturesFrom].
        must_be_signed: Fields that must be signed if present [MustBeSigned].
        minimum_key_bits: Shorter RSA keys are not accepted, and do not sign [MinimumKeyBits].
        clock_drift: Seconds that clocks may differ [ClockDrift].
        minimum_body: How much of the body l= must cover: ``n``, ``n%`` or ``n+`` [Minimum].
        allow_body_length: Accept l= at all [DkimcoreAllowBodyLength].
        allow_sha1: Verify rsa-sha1, for archives [DkimcoreAllowSHA1].
        unprotected_key: What a key without DNSSEC is worth [UnprotectedKey].
        strict_headers: Refuse to judge messages with wrong counts of fields [StrictHeaders].
        required_headers: Reject messages with wrong counts of fields [RequiredHeaders].
        ignore_malformed_mail: Say nothing about malformed mail [IgnoreMalformedMail].
        exempt_domains: Author domains to leave alone [ExemptDomains].
        maximum_header_octets: Header octets at most [MaximumHeaders].
        diagnostic_directory: Where comparisons of z= are written [DiagnosticDirectory].
    """

    authserv_id: str | None = None
    authserv_id_with_job_id: bool = False
    always_add_results: bool = False
    keep_results: bool = False
    remove_all_results: bool = False
    remove_results_from: Source | None = None
    no_header_b: bool = False
    maximum_signatures: int = 5
    trusted_signers: Source | None = None
    must_be_signed: Source | None = None
    minimum_key_bits: int = 1024
    clock_drift: int = 300
    minimum_body: str | None = None
    allow_body_length: bool = False
    allow_sha1: bool = False
    unprotected_key: KeyTrust = KeyTrust.NONE
    strict_headers: bool = False
    required_headers: bool = False
    ignore_malformed_mail: bool = False
    exempt_domains: Source | None = None
    maximum_header_octets: int = 262_144
    diagnostic_directory: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """Whose mail is signed, verified, or left alone.

    Attributes:
        signs: Whether mail is signed at all (``s``) [Mode].
        verifies: Whether mail is verified at all (``v``) [Mode].
        internal: Hosts whose mail is signed [InternalHosts].
        external_ignore: Hosts that may use our domains from outside [ExternalIgnoreList].
        peers: Hosts whose connections are left alone [PeerList].
        mta: Values of {daemon_name} whose mail is signed [MTA].
        macros: Macros that mark mail to be signed [MacroList].
    """

    signs: bool = True
    verifies: bool = True
    internal: Source = Source("127.0.0.1,::1")
    external_ignore: Source | None = None
    peers: Source | None = None
    mta: Source | None = None
    macros: Source | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Actions:
    """What happens to a message when something is not as it should be.

    Attributes:
        bad_signature: A signature failed, is malformed, or its key is revoked
            [On-BadSignature].
        dns_error: A key query failed for now [On-DNSError].
        internal_error: We failed: a table, a key, a bug [On-InternalError].
        key_not_found: There is no key record [On-KeyNotFound].
        no_signature: The message is not signed [On-NoSignature].
        security: The message exceeds a limit [On-Security].
        signature_error: The message cannot be signed as it is [On-SignatureError].
        quarantine_unknown_errors: Quarantine what hits an internal error
            [CaptureUnknownErrors].
        quarantine: Quarantine what an action would have accepted with a failure [Quarantine].
        redirect_failures_to: Where mail with a failed signature goes [RedirectFailuresTo].
        key_failure: Signing domains, and what becomes of mail whose key cannot be used
            [DkimcoreOnKeyFailure].
    """

    bad_signature: Action = Action.ACCEPT
    dns_error: Action = Action.TEMPFAIL
    internal_error: Action = Action.TEMPFAIL
    key_not_found: Action = Action.ACCEPT
    no_signature: Action = Action.ACCEPT
    security: Action = Action.TEMPFAIL
    signature_error: Action = Action.REJECT
    quarantine_unknown_errors: bool = False
    quarantine: bool = False
    redirect_failures_to: str | None = None
    key_failure: Source | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolving:
    """How key queries are answered.

    Attributes:
        timeout: Seconds for one query; 0 means as long as `message_timeout` [DNSTimeout].
        message_timeout: Seconds for all queries of a message [DkimcoreMessageTimeout].
        nameservers: Addresses to ask; () means those of the system [Nameservers].
        tcp: Ask over TCP at once [DNSConnect].
        test_public_keys: A file of key records, instead of the DNS [TestPublicKeys].
        test_dns_data: A data set of TXT records, instead of the DNS [TestDNSData].
    """

    timeout: int = 5
    message_timeout: int = 10
    nameservers: tuple[str, ...] = ()
    tcp: bool = False
    test_public_keys: Source | None = None
    test_dns_data: Source | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Logging:
    """What is logged, and where.

    Attributes:
        format: Syslog, or JSON lines on standard output [DkimcoreLogFormat].
        enabled: Log at all to syslog [Syslog].
        facility: Its facility [SyslogFacility].
        name: Its ident; None means the program's name [SyslogName].
        success: Say also what went well [SyslogSuccess].
        why: Say why mail was not signed [LogWhy].
        results: One line about all signatures of a message [LogResults].
        software_header: Add a DKIM-Filter field [SoftwareHeader].
        resolver_tracing: Log each key query [ResolverTracing].
    """

    format: LogFormat = LogFormat.SYSLOG
    enabled: bool = False
    facility: str = "mail"
    name: str | None = None
    success: bool = False
    why: bool = False
    results: bool = False
    software_header: bool = False
    resolver_tracing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """How the milter runs.

    Attributes:
        socket: Where it listens [Socket].
        umask: The umask while the socket is made; None keeps the inherited one [UMask].
        user: ``user[:group]`` to become [UserID].
        pid_file: Where its process id is written [PidFile].
        background: Leave the terminal [Background].
        root_directory: chroot() there [ChangeRootDirectory].
        base_directory: Relative paths count from there [BaseDirectory].
        auto_restart: Start a worker again when it dies [AutoRestart].
        auto_restart_count: Give up after so many; 0 means never [AutoRestartCount].
        auto_restart_rate: ``(n, seconds)``: give up after more than n within that time
            [AutoRestartRate].
        core_dumps: Allow core dumps; they may hold keys [EnableCoredumps].
        workers: Worker processes; 0 means one per core [DkimcoreWorkers].
        metrics: Where metrics are served over HTTP; None: nowhere [DkimcoreMetrics].
        strict_test_mode: The test mode wants lines that end in CRLF [StrictTestMode].
    """

    socket: str | None = None
    umask: int | None = None
    user: str | None = None
    pid_file: str | None = None
    background: bool = True
    root_directory: str | None = None
    base_directory: str | None = None
    auto_restart: bool = True
    auto_restart_count: int = 0
    auto_restart_rate: tuple[int, int] | None = None
    core_dumps: bool = False
    workers: int = 0
    metrics: str | None = None
    strict_test_mode: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of a site.

    Attributes:
        signing: Who is signed for, and how.
        verifying: How received mail is judged.
        hosts: Whose mail is signed, verified, or left alone.
        actions: What happens when something is not as it should be.
        resolving: How key queries are answered.
        logging: What is logged, and where.
        process: How the milter runs.
        limits: What one message and one worker may cost.
        files: The files that were read, in order.
        notices: What to log once at start: options that have no effect, and why; each with
            file and line.
        origins: Where each option that was set stands: lower-case name to (file, line), for
            errors found later.
    """

    signing: Signing = field(default_factory=Signing)
    verifying: Verifying = field(default_factory=Verifying)
    hosts: Hosts = field(default_factory=Hosts)
    actions: Actions = field(default_factory=Actions)
    resolving: Resolving = field(default_factory=Resolving)
    logging: Logging = field(default_factory=Logging)
    process: Process = field(default_factory=Process)
    limits: MilterLimits = field(default_factory=MilterLimits)
    files: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    origins: tuple[tuple[str, tuple[str, int]], ...] = ()

    def origin(self, option: str) -> tuple[str | None, int | None]:
        """Return the file and the line where an option stands; None, None if it is not set.

        Args:
            option: Its name, in any case.
        """
        return dict(self.origins).get(option.lower(), (None, None))
