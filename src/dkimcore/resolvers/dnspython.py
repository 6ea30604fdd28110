"""Key queries over DNS: one resolver for threads, one for asyncio.

What is asked and what the replies mean stands in `dkimcore.resolvers.exchange`; this
sends and waits (RFC 6376 section 3.6.2).  Keeping answers is left to
`dkimcore.resolvers.cache`.  dnspython takes 0.1 s to import, so it is imported with the
first resolver that is made.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dkimcore.errors import SettingsError
from dkimcore.resolvers.nameservers import GivenNameServers, SystemNameServers

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    import dns.message

    from dkimcore.protocol.keyrecord import TxtAnswer
    from dkimcore.resolvers import TimedAnswer
    from dkimcore.resolvers.exchange import Attempt, Outcome

__all__ = ["AsyncDnspythonResolver", "DnspythonResolver"]

QUERY_SECONDS = 5.0
RESOLV_CONF = "/etc/resolv.conf"


class _Configured:
    """What both flavours are made with."""

    def __init__(
        self,
        *,
        nameservers: Sequence[str | tuple[str, int]] | None = None,
        timeout: float = QUERY_SECONDS,
        trust_ad: bool | None = None,
        resolv_conf: str = RESOLV_CONF,
        tcp: bool = False,
    ) -> None:
        """Decide whom to ask, and for how long.

        Args:
            nameservers: IP addresses, each alone or with a port; None means those of
                `resolv_conf`, which is read again whenever it changes.
            timeout: Seconds for one query, all repetitions and name servers included.
            trust_ad: Whether to report the AD bit of the replies as `TxtAnswer.authentic`.
                None means: if all name servers are on loopback (Docker's forwarder excepted),
                or `resolv_conf` has ``options trust-ad``.  RFC 4035 section 4.9.3 wants a
                name server that is trusted, and a path to it that is.
            resolv_conf: The system's configuration.
            tcp: Ask over TCP at once, where UDP does not get through.

        Raises:
            SettingsError: A name server is not an IP address, or the timeout not positive.
        """
        if not 0 < timeout < math.inf:
            raise SettingsError(f"timeout is {timeout}: give a positive number of seconds")
        self._timeout = timeout
        self._tcp = tcp
        self._servers: GivenNameServers | SystemNameServers = (
            SystemNameServers(resolv_conf, trust_ad=trust_ad)
            if nameservers is None
            else GivenNameServers(nameservers, trust_ad=trust_ad)
        )
        # Paid for here, not by the first message.
        import dkimcore.resolvers.exchange
        import dkimcore.resolvers.transport  # noqa: F401

    def _start(
        self, name: str, timeout: float | None = None
    ) -> Generator[Attempt, Outcome, TimedAnswer]:
        from dkimcore.resolvers.exchange import exchange

        servers = self._servers.current()
        if timeout is None or timeout >= self._timeout:
            return exchange(name, servers, seconds=self._timeout, over_tcp=self._tcp)
        # Another asker may have more time: this one's failure is kept for nobody.
        seconds = max(timeout, 0.0)
        return exchange(name, servers, seconds=seconds, ttl=0.0, over_tcp=self._tcp)


class DnspythonResolver(_Configured):
    """Answers key queries over DNS, blocking.

    Safe to share between threads and after a fork: every query has its own socket.
    """

    takes_timeout = True

    def lookup_txt(self, name: str, *, timeout: float | None = None) -> TxtAnswer:
        """Ask for the TXT records at an absolute name; never raises.

        Args:
            name: The name, A-labels.
            timeout: Seconds, where less are left than the resolver would take.
        """
        return self.lookup_txt_with_ttl(name, timeout=timeout).answer

    def lookup_txt_with_ttl(self, name: str, *, timeout: float | None = None) -> TimedAnswer:
        """As `lookup_txt`, with the time that the answer may be kept."""
        try:
            conversation = self._start(name, timeout)
            attempt = next(conversation)
            while True:
                attempt = conversation.send(self._send(attempt))
        except StopIteration as end:
            answer: TimedAnswer = end.value
            return answer
        except Exception as error:  # noqa: BLE001 - a resolver is total
            return _broken(error)

    def _send(self, attempt: Attempt) -> dns.message.Message | Exception:
        from dkimcore.resolvers.transport import over_tcp, over_udp

        carry = over_tcp if attempt.over_tcp else over_udp
        try:
            return carry(attempt.query, attempt.server, attempt.seconds)
        except Exception as error:  # noqa: BLE001 - whatever a stranger's octets cause
            return error


class AsyncDnspythonResolver(_Configured):
    """Answers key queries over DNS, for asyncio.

    Belongs to no event loop: every query has its own socket.
    """

    async def lookup_txt(self, name: str) -> TxtAnswer:
        """Ask for the TXT records at an absolute name (A-labels); never raises."""
        return (await self.lookup_txt_with_ttl(name)).answer

    async def lookup_txt_with_ttl(self, name: str) -> TimedAnswer:
        """As `lookup_txt`, with the time that the answer may be kept."""
        try:
            conversation = self._start(name)
            attempt = next(conversation)
            while True:
                attempt = conversation.send(await self._send(attempt))
        except StopIteration as end:
            answer: TimedAnswer = end.value
            return answer
        except Exception as error:  # noqa: BLE001 - a resolver is total
            return _broken(error)

    async def _send(self, attempt: Attempt) -> dns.message.Message | Exception:
        import dns.asyncbackend
        import dns.asyncquery

        host, port = attempt.server
        # Named, because dnspython would otherwise ask sniffio where that is installed.
        backend = dns.asyncbackend.get_backend("asyncio")
        try:
            if attempt.over_tcp:
                return await dns.asyncquery.tcp(
                    attempt.query, host, timeout=attempt.seconds, port=port, backend=backend
                )
            return await dns.asyncquery.udp(
                attempt.query,
                host,
                timeout=attempt.seconds,
                port=port,
                ignore_unexpected=True,
                ignore_errors=True,
                raise_on_truncation=True,
                backend=backend,
            )
        except Exception as error:  # noqa: BLE001 - whatever a stranger's octets cause
            return error


def _broken(error: Exception) -> TimedAnswer:
    from dkimcore.resolvers.exchange import failed

    return failed(f"the query failed ({type(error).__name__})")
