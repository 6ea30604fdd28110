"""A connection carries many messages, and none leaves anything to the next.

Each message has the same fate behind others as on a connection of its own, in OpenDKIM and
in our milter; also where the MTA gives a message up half-way.
"""

from __future__ import annotations

import pytest

from tests.servers.dkimcoremilter import DkimcoreMilter
from tests.servers.milterclient import MilterClient, converse, deliver
from tests.servers.opendkim import OpenDkimServer

from .keys import BASE, key_files, records
from .messages import PLAIN, arriving, message, sender, signed
from .model import EXTERNAL, INTERNAL
from .observe import observe

CONF = (
    BASE
    + """\
KeyTable csl:k=%:s1:{folder}/rsa2048.pem
SigningTable refile:{folder}/rows
AlwaysAddARHeader yes
On-BadSignature reject
"""
)
MESSAGES = [
    PLAIN,
    signed(sender("joe@example.org")),
    message(author=None),
    arriving(b"mx.example.net; dkim=pass"),
    signed(sender("joe@example.org"), s=b"other"),
    b"DKIM-Signature: junk\r\n" + sender("joe@example.org"),
    message(body=b"x" * 200_000),
    sender("joe@example.org"),
    signed(),
]


@pytest.mark.server("opendkim")
@pytest.mark.parametrize("program", [OpenDkimServer, DkimcoreMilter])
@pytest.mark.parametrize("delivery", [INTERNAL, EXTERNAL])
def test_messages_behind_each_other(program, delivery):
    lines = "".join(f"{name} {record.decode()}\n" for name, record in records().items())
    files = {**key_files(), "records": lines, "rows": "*@example.com k\n"}
    with program(CONF, files=files) as running:
        alone = [observe(deliver(running.address, one, delivery)) for one in MESSAGES]
        with MilterClient(running.address) as client:
            client.negotiate()
            together = []
            for one in MESSAGES:
                if together:  # begun and given up: a field and half a body
                    client.mail(b"<>")
                    client.rcpt(b"<a@example.net>")
                    client.header(b"From", b" a@example.com")
                    client.header(b"DKIM-Signature", b" v=1; d=example.com")
                    if not client.eoh().final:
                        client.body(b"half of ")
                    client.abort()
                together.append(observe(converse(client, one, delivery, greeted=bool(together))))
    assert together == alone
    assert len({str(aspects) for aspects in alone}) > 3  # else little was compared
