"""What one message and one worker may cost: the group ``limits`` of the settings.

Limits of OpenDKIM's own options (MaximumHeaders, MaximumSignaturesToVerify, DNSTimeout) stand
in the groups of what they are about.  The page "Limits and defaults" lists all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MilterLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MilterLimits:
    """What one message and one worker may cost.

    Attributes:
        header_fields: Header fields of a message; more gets On-Security
            [DkimcoreMaximumHeaderFields].
        recipients: Envelope recipients of a message; more gets On-Security
            [DkimcoreMaximumRecipients].
        queries: Distinct key queries for a message; None means as many as signatures are
            verified, at least 5 [DkimcoreMaximumQueries].
        connections: Open connections of one worker; more wait in the queue of the socket
            [DkimcoreMaximumConnections].
        threads: Messages of one worker that wait for the DNS at once, a quarter of them for one
            domain's name servers, and as many to open keys elsewhere; more queue
            [DkimcoreMaximumThreads].
        memory: Resident memory, in MiB, by which a worker may grow before another takes its
            place; 0 means any [DkimcoreMaximumMemory].
    """

    # Mail has 20 to 60 fields and rarely 200; MTAs limit octets only (Exim's header_maxsize).
    # rspamd looks at 1000 names of h= at most.
    header_fields: int = 1000
    # Postfix's qmgr_message_recipient_limit: what it holds in memory for one message.
    recipients: int = 20_000
    queries: int | None = None
    # Dovecot's default_client_limit; Postfix has 100 smtpd processes unless told otherwise.
    connections: int = 1000
    # What waits has 50 KiB, its message and connection included; a dead name server keeps one
    # for 10 s.  opendkim has a thread for each connection.
    threads: int = 512
    # Dovecot's default_vsz_limit, which is there for the same reason: leaks.
    memory: int = 256
