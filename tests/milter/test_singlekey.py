"""The one key signs for whom Debian's opendkim signs, asked in its test mode (``-t``)."""

from __future__ import annotations

import random
import re
import subprocess

import pytest

from dkimcore.protocol.mailbox import Mailbox
from dkimcore_milter.engine import Origin
from tests.milter.site import SMALL_RSA, Site

DOMAINS = [
    *("example.com", "*", ".example.com", "EXAMPLE.org", "mail.example.com", "com"),
    *("example.com,a.mail.example.com", "*,example.com", "x.example,*", "z,y.z"),
]
HOSTS = ["example.com", "Mail.example.com", "a.mail.example.com", "example.org", "x.y.z", "y.z"]


def theirs(folder, address):
    """d= and i= of the signature; None for those that are not there."""
    (folder / "m").write_text(f"From: x <{address}>\nSubject: x\n\nHello.\n".replace("\n", "\r\n"))
    run = subprocess.run(
        ["opendkim", "-t", folder / "m", "-x", folder / "opendkim.conf", "-b", "s"],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert run.returncode in (0, 70), run.stderr  # 70: accepted as it is
    text = re.sub(r"\s+", "", run.stdout)
    found = (re.search(rf"[;:]{tag}=([^;]*);", text) for tag in "di")
    return tuple(None if match is None else match[1] for match in found)


def ours(engine, address):
    choice = engine.choose(Mailbox.parse(address.encode()), Origin(allowed=True))
    if not choice.planned:
        return None, None
    (planned,) = choice.planned
    return str(planned.domain), None if planned.auid is None else str(planned.auid)


@pytest.mark.server("opendkim")
@pytest.mark.parametrize("subdomains", ["yes", "no"])
@pytest.mark.parametrize("domains", DOMAINS)
def test_the_signing_domain_is_that_of_opendkim(tmp_path, domains, subdomains):
    """Part 4.4; not for a top-level domain, which cannot sign (RFC 6376 section 3.5)."""
    site = Site(tmp_path)
    site.key("k.pem", SMALL_RSA)
    engine = site.engine(
        f"KeyFile {tmp_path}/k.pem\nSelector s\nDomain {domains}\nSubDomains {subdomains}\n"
        "RequireSafeKeys no\nSyslog no"
    )
    for host in random.Random(domains).sample(HOSTS, 4):
        expected = theirs(tmp_path, f"user@{host}")
        assert expected[0] is not None or "*" not in domains  # else nothing was compared
        if expected[0] is not None and "." not in expected[0]:
            continue
        assert ours(engine, f"user@{host}") == expected
