"""What a private Postfix is told: a main.cf and a master.cf like Debian's, in one folder."""

from __future__ import annotations

import pwd
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.servers.nsd import HOST

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["BOX_OWNER", "MAIL_OWNER", "Entrance", "configure"]

MAIL_OWNER = "postfix"
BOX_OWNER = "nobody"

# What differs from Debian's main.cf: where things are, no network, one box for all mail.
MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/maillog
maillog_file_prefixes = {folder}
mail_owner = {mail_owner}
myhostname = mx.recipient.example
myorigin = recipient.example
mydestination =
alias_maps =
inet_protocols = ipv4
mynetworks = 127.0.0.1/32
smtpd_peername_lookup = no
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination
smtpd_authorized_xclient_hosts = 127.0.0.0/8
smtpd_client_connection_count_limit = 0
enable_long_queue_ids = yes
smtp_dns_support_level = disabled
default_transport = error:this Postfix has no network
virtual_mailbox_domains = static:all
virtual_mailbox_maps = static:inbox/
virtual_mailbox_base = {folder}/mail
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_mailbox_limit = 0
message_size_limit = 104857600
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = sasl/socket
append_dot_mydomain = no
biff = no
milter_default_action = tempfail
"""

# Debian's master.cf without what sends to the network; {smtpd} are the entrances.
MASTER_CF = """\
{smtpd}
pickup     unix  n       -       {chroot}       60      1       pickup
cleanup    unix  n       -       {chroot}       -       0       cleanup
qmgr       unix  n       -       n       300     1       qmgr
tlsmgr     unix  -       -       y       1000?   1       tlsmgr
rewrite    unix  -       -       y       -       -       trivial-rewrite
bounce     unix  -       -       y       -       0       bounce
defer      unix  -       -       y       -       0       bounce
trace      unix  -       -       y       -       0       bounce
verify     unix  -       -       y       -       1       verify
flush      unix  n       -       y       1000?   0       flush
proxymap   unix  -       -       n       -       -       proxymap
showq      unix  n       -       y       -       -       showq
error      unix  -       -       y       -       -       error
retry      unix  -       -       y       -       -       error
discard    unix  -       -       y       -       -       discard
virtual    unix  -       n       n       -       -       virtual
anvil      unix  -       -       y       -       1       anvil
postlog    unix-dgram n  -       n       -       1       postlogd
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """One smtpd.

    Attributes:
        milters: Its ``smtpd_milters``; None leaves both to main.cf.
        protocol: Its ``milter_protocol``.
        chroot: Whether it runs inside the queue directory, as Debian's does; the path of a
            unix socket is then one inside it.
    """

    milters: str | None = None
    protocol: int = 6
    chroot: bool = True


def configure(
    folder: Path,
    entrances: Mapping[str, tuple[int, Entrance]],
    *,
    settings: Mapping[str, str],
    chroot: bool,
) -> None:
    """Writes main.cf and master.cf.

    Args:
        folder: Where the instance is; the files go to ``etc`` in it.
        entrances: Name to port and smtpd.
        settings: More lines of main.cf; they win.
        chroot: Whether cleanup and pickup are chrooted.
    """
    box = pwd.getpwnam(BOX_OWNER)
    main = MAIN_CF.format(folder=folder, mail_owner=MAIL_OWNER, uid=box.pw_uid, gid=box.pw_gid)
    lines = dict(line.split(" =", 1) for line in main.splitlines()) | dict(settings)
    services = []
    for port, entrance in entrances.values():
        services.append(f"{HOST}:{port} inet n - {_yes(entrance.chroot)} - - smtpd")
        if entrance.milters is not None:
            services.append(f"  -o {{ smtpd_milters = {entrance.milters} }}")
            services.append(f"  -o {{ milter_protocol = {entrance.protocol} }}")
    master = MASTER_CF.format(smtpd="\n".join(services), chroot=_yes(chroot))
    main = "".join(f"{name} = {value.strip()}\n" for name, value in lines.items())
    (folder / "etc" / "main.cf").write_text(main, "ascii")
    (folder / "etc" / "master.cf").write_text(master, "ascii")


def _yes(chroot: bool) -> str:  # noqa: FBT001 - as master.cf has it
    return "y" if chroot else "n"
