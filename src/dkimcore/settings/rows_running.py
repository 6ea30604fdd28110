"""The options about the program itself: its processes, its limits, its socket, its log."""

from __future__ import annotations

from dkimcore.settings.option import Importance, Kind, honoured

__all__ = ["LIMITS", "LOGGING", "PROCESS"]

BOOLEAN, INTEGER, STRING, INCLUDE = Kind.BOOLEAN, Kind.INTEGER, Kind.STRING, Kind.INCLUDE
CORE, COMMON, RARE, OURS = Importance.CORE, Importance.COMMON, Importance.RARE, Importance.OURS

LOGGING = (
    honoured(
        *("DkimcoreLogFormat", STRING, OURS, "syslog", "logging.format"),
        "`syslog`, or `json` for lines of JSON on standard output.",
    ),
    honoured(
        *("LogResults", BOOLEAN, COMMON, "no", "logging.results"),
        "One line with all signatures of a verified message.",
    ),
    honoured(
        *("LogWhy", BOOLEAN, CORE, "no", "logging.why"),
        "Lines that say why a message was not signed.",
    ),
    honoured(
        *("ResolverTracing", BOOLEAN, RARE, "no", "logging.resolver_tracing"),
        "Log each key query.",
    ),
    honoured(
        *("SoftwareHeader", BOOLEAN, COMMON, "no", "logging.software_header"),
        "Add a DKIM-Filter field with our name and version.",
    ),
    honoured(*("Syslog", BOOLEAN, CORE, "no", "logging.enabled"), "Log to syslog."),
    honoured(
        *("SyslogFacility", STRING, COMMON, "mail", "logging.facility"), "The facility of syslog."
    ),
    honoured(
        *("SyslogName", STRING, COMMON, "-", "logging.name"),
        "The name in syslog; not set, the program's.",
    ),
    honoured(
        *("SyslogSuccess", BOOLEAN, CORE, "no", "logging.success"),
        "Log also what was signed or verified well.",
    ),
    honoured(
        *("X-Header", BOOLEAN, Importance.OBSOLETE, "no", "logging.software_header"),
        "The old name of SoftwareHeader, which wins.",
    ),
)

PROCESS = (
    honoured(
        *("AutoRestart", BOOLEAN, COMMON, "yes", "process.auto_restart"),
        "Start a worker process again when it dies; without it the milter ends, and so it is not "
        "OpenDKIM's default.",
    ),
    honoured(
        *("AutoRestartCount", INTEGER, COMMON, "0", "process.auto_restart_count"),
        "Give up after so many restarts; 0 means never.",
    ),
    honoured(
        *("AutoRestartRate", STRING, COMMON, "-", "process.auto_restart_rate"),
        "`n/t` with s, m, h or d behind it: give up after more than n restarts within t.",
    ),
    honoured(*("Background", BOOLEAN, CORE, "yes", "process.background"), "Leave the terminal."),
    honoured(
        *("BaseDirectory", STRING, COMMON, "-", "process.base_directory"),
        "Relative paths count from here.",
    ),
    honoured(
        *("ChangeRootDirectory", STRING, RARE, "-", "process.root_directory"),
        "chroot() here once settings and tables are read.",
    ),
    honoured(
        *("DkimcoreMetrics", STRING, OURS, "-", "process.metrics"),
        "Where `/metrics` (for Prometheus) and `/healthz` are served over HTTP, written as Socket, "
        "such as `inet:9115@127.0.0.1`; not set, nowhere.",
    ),
    honoured(
        *("DkimcoreWorkers", INTEGER, OURS, "0", "process.workers"),
        "Worker processes; 0 means one per processor.",
    ),
    honoured(
        *("EnableCoredumps", BOOLEAN, RARE, "no", "process.core_dumps"),
        "Allow core dumps, which may hold keys.",
    ),
    honoured(
        *("Include", INCLUDE, COMMON, "-", ""),
        "Read another file at this place, at most 5 deep. The TOML form has none.",
    ),
    honoured(
        *("PidFile", STRING, CORE, "-", "process.pid_file"), "Where the process id is written."
    ),
    honoured(
        *("Socket", STRING, CORE, "-", "process.socket"),
        "Where to listen: `inet:port@host`, `inet6:port@host`, `local:path`, `unix:path` or a "
        "path.",
    ),
    honoured(
        *("StrictTestMode", BOOLEAN, RARE, "no", "process.strict_test_mode"),
        "Test mode wants messages with CRLF.",
    ),
    honoured(
        *("UMask", INTEGER, CORE, "-", "process.umask"),
        "The umask while the socket is made; a 0 in front makes it octal.",
    ),
    honoured(
        *("UserID", STRING, CORE, "-", "process.user"),
        "The user, and behind a colon the group, to become.",
    ),
)

LIMITS = (
    honoured(
        *("DkimcoreMaximumConnections", INTEGER, OURS, "1000", "limits.connections"),
        "Open connections of one worker; more wait in the socket's queue. Dovecot's "
        "default_client_limit is 1000; 1 to 60000.",
    ),
    honoured(
        *("DkimcoreMaximumHeaderFields", INTEGER, OURS, "1000", "limits.header_fields"),
        "Header fields of a message; On-Security says what becomes of others. Mail has 20 to 60; "
        "MTAs limit only octets, rspamd takes 1000 names in h=; at least 10.",
    ),
    honoured(
        *("DkimcoreMaximumMemory", INTEGER, OURS, "256", "limits.memory"),
        "MiB by which a worker may grow; then it finishes what it has, and another takes its "
        "place. 0 means no limit, the least is 16. Dovecot's default_vsz_limit is 256.",
    ),
    honoured(
        *("DkimcoreMaximumQueries", INTEGER, OURS, "-", "limits.queries"),
        "Different key queries for one message; not set, as many as MaximumSignaturesToVerify, at "
        "least 5. rspamd verifies 5 signatures; 1 to 1000.",
    ),
    honoured(
        *("DkimcoreMaximumRecipients", INTEGER, OURS, "20000", "limits.recipients"),
        "Recipients of a message; On-Security says what becomes of others. Postfix's "
        "qmgr_message_recipient_limit is 20000; at least 100.",
    ),
    honoured(
        *("DkimcoreMaximumThreads", INTEGER, OURS, "512", "limits.threads"),
        "Messages of one worker that wait for the DNS at once, at most a quarter of them for the "
        "name servers of one domain; as many may wait until keys kept elsewhere are open. More "
        "queue. OpenDKIM has a thread for each connection; 1 to 1024.",
    ),
)
