"""Origin: whose mail is signed, verified, or left alone."""

from __future__ import annotations

from dataclasses import replace

from .messages import PLAIN, message, sender, signed, with_macros
from .model import EXTERNAL, INTERNAL, Probe, Setting

__all__ = ["SETTINGS"]

KEY = """\
Canonicalization relaxed/simple
OverSignHeaders From
Domain example.com
Selector s1
KeyFile {folder}/rsa2048.pem
"""


def clients(*who: str | None, host: str = "[client]") -> tuple[Probe, ...]:
    """The same message from each address."""
    return tuple(
        Probe(
            name=f"from {address or 'an unknown address'}",
            message=PLAIN,
            delivery=replace(INTERNAL, host=host, address=address),
        )
        for address in who
    )


def hosts(*names: str) -> tuple[Probe, ...]:
    """The same message from hosts with these names and an address that no list has."""
    return tuple(
        Probe(
            name=f"from {name}",
            message=PLAIN,
            delivery=replace(INTERNAL, host=name, address="203.0.113.200"),
        )
        for name in names
    )


SETTINGS = (
    Setting(
        name="InternalHosts by default",
        conf=KEY.replace("OverSignHeaders From\n", "") + "TestPublicKeys {folder}/records\n"
        "RequireSafeKeys no\nOverSignHeaders From\n",
        base=False,
        probes=(
            *clients("127.0.0.1", "::1", "192.0.2.9", "::ffff:127.0.0.1", "127.0.0.2"),
            *clients(None, host="unknown"),
            *clients("/var/run/socket", host="localhost"),
        ),
    ),
    Setting(
        name="InternalHosts: networks",
        conf=KEY + "InternalHosts file:{folder}/hosts\n",
        files={
            "hosts": "192.0.2.0/24 # ours\n!192.0.2.128/25\n192.0.2.200\n2001:db8::/32\n"
            "!2001:DB8:1::/48\n[203.0.113.7]\n"
        },
        probes=clients(
            *("192.0.2.9", "192.0.2.129", "192.0.2.200", "2001:db8::5", "2001:db8:1::5"),
            *("203.0.113.7", "203.0.113.8"),
        ),
    ),
    Setting(
        name="InternalHosts: networks written by halves",
        conf=KEY + "InternalHosts 192.0.2.5/24,10/8,203.0.113.0/255.255.255.0\n",
        probes=clients("192.0.2.9", "192.0.2.5", "10.1.2.3", "203.0.113.9"),
    ),
    Setting(
        name="InternalHosts: networks among patterns",
        conf=KEY + "InternalHosts refile:{folder}/hosts\n",
        files={"hosts": "192.0.2.5/24\n10/8\n203.0.113.0/24\n198.51.100.*\n2001:db8::/32\n"},
        probes=clients(
            *("192.0.2.9", "10.1.2.3", "203.0.113.9", "198.51.100.7", "2001:db8::5", "192.0.3.1"),
        ),
    ),
    Setting(
        name="InternalHosts: names",
        conf=KEY + "InternalHosts mail.example.org,.inside.example.org,!dmz.inside.example.org\n",
        probes=hosts(
            *("mail.example.org", "MAIL.example.org", "sub.mail.example.org"),
            *("a.inside.example.org", "a.b.inside.example.org", "inside.example.org"),
            *("dmz.inside.example.org", "[203.0.113.200]"),
        ),
    ),
    Setting(
        name="InternalHosts: nobody",
        conf=KEY + "InternalHosts -\n",
        probes=(*clients("127.0.0.1"), *clients(None, host="unknown")),
    ),
    Setting(
        name="InternalHosts: one IPv6 address",
        conf=KEY + "InternalHosts ::1\n",
        probes=clients("::1"),
    ),
    Setting(
        name="authenticated clients",
        conf=KEY,
        probes=(
            Probe(
                name="{auth_type}",
                message=PLAIN,
                delivery=with_macros(EXTERNAL, auth_type="PLAIN"),
            ),
            Probe(
                name="only {auth_authen}",
                message=PLAIN,
                delivery=with_macros(EXTERNAL, auth_authen="joe"),
            ),
            Probe(name="neither", message=PLAIN, delivery=EXTERNAL),
        ),
    ),
    Setting(
        name="MTA",
        conf=KEY + "MTA submission,smtps\n",
        probes=tuple(
            Probe(name=name, message=PLAIN, delivery=with_macros(EXTERNAL, daemon_name=name))
            for name in ("submission", "Submission", "smtp")
        ),
    ),
    Setting(
        name="MacroList",
        conf=KEY + "MacroList file:{folder}/macros\n",
        files={"macros": "customer\nkind trusted|local\n"},
        probes=(
            Probe(
                name="any value",
                message=PLAIN,
                delivery=with_macros(EXTERNAL, customer="x"),
            ),
            Probe(
                name="a listed value",
                message=PLAIN,
                delivery=with_macros(EXTERNAL, kind="local"),
            ),
            Probe(
                name="another value",
                message=PLAIN,
                delivery=with_macros(EXTERNAL, kind="loc"),
            ),
            Probe(
                name="a match, then another value",
                message=PLAIN,
                delivery=with_macros(EXTERNAL, customer="x", kind="other"),
            ),
        ),
    ),
    Setting(
        name="ExemptDomains",
        conf=KEY + "ExemptDomains example.com,example.net\nAlwaysAddARHeader yes\n",
        probes=(
            Probe(name="from inside", message=PLAIN),
            Probe(name="from outside", message=sender("a@Example.NET"), delivery=EXTERNAL),
            Probe(name="a subdomain", message=sender("a@a.example.net"), delivery=EXTERNAL),
        ),
    ),
    Setting(
        name="DontSignMailTo",
        conf=KEY + "DontSignMailTo list@example.net,@example.edu\n",
        probes=tuple(
            Probe(
                name=" ".join(one.decode() for one in to),
                message=PLAIN,
                delivery=replace(INTERNAL, recipients=to),
            )
            for to in (
                (b"<List@example.net>",),
                (b"<a@example.org>", b"<list@example.net>"),
                (b"<a@example.edu>",),
            )
        ),
    ),
    Setting(
        name="PeerList",
        conf=KEY + "PeerList 198.51.100.0/24,.peers.example.org\nAlwaysAddARHeader yes\n",
        probes=(
            Probe(name="by address", message=PLAIN, delivery=EXTERNAL),
            *hosts("a.peers.example.org", "peers.example.org"),
        ),
    ),
    Setting(
        name="ExternalIgnoreList",
        conf=KEY + "ExternalIgnoreList 198.51.100.7\n",
        probes=(Probe(name="our domain from outside", message=PLAIN, delivery=EXTERNAL),),
    ),
    Setting(
        name="Mode s",
        conf=KEY + "Mode s\nAlwaysAddARHeader yes\n",
        probes=(
            Probe(name="ours", message=PLAIN),
            Probe(name="from outside", message=signed(), delivery=EXTERNAL),
        ),
    ),
    Setting(
        name="Mode v",
        conf=KEY + "Mode v\nAlwaysAddARHeader yes\n",
        probes=(
            Probe(name="ours", message=PLAIN),
            Probe(name="signed, from inside", message=signed(sender("a@example.net"))),
            Probe(name="signed, from outside", message=signed(), delivery=EXTERNAL),
            Probe(name="no From", message=message(author=None), delivery=EXTERNAL),
        ),
    ),
    Setting(
        name="SenderHeaders",
        conf=KEY + "SenderHeaders Sender,From\n",
        probes=(
            Probe(
                name="Sender is ours",
                message=message(b"Sender: list@example.com", author=b"a@example.net"),
            ),
            Probe(
                name="Sender is not ours",
                message=message(b"Sender: list@example.net"),
            ),
            Probe(name="no Sender", message=PLAIN),
            Probe(name="Sender only", message=message(b"Sender: list@example.com", author=None)),
        ),
    ),
)
