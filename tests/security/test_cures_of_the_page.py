"""What the security review tells an operator to do does what it says, with a real Postfix."""

import pytest

from dkimcore.testing import EphemeralKey
from tests.servers import servers_required
from tests.servers.dkimcoremilter import DkimcoreMilter
from tests.servers.nsd import HOST, free_port
from tests.servers.postfix import Entrance, Postfix, postfix_unusable

CONF = "KeyFile {folder}/key\nDomain example.com\nSelector s1\nSyslogSuccess yes\n"
FILES = {"key": EphemeralKey.ed25519().private_pem()}
MESSAGE = (
    b"Authentication-Results: mx.example.net; dkim=pass header.d=bank.example\r\n"
    b"From: Alice <alice@example.com>\r\nTo: box@recipient.example\r\nSubject: hi\r\n\r\nhello\r\n"
)


@pytest.mark.server("postfix")
@pytest.mark.parametrize("cured", [True, False], ids=["with header_checks", "without"])
def test_header_checks_take_a_customers_results_out_and_the_rest_is_signed(tmp_path, cured):
    reason = postfix_unusable()
    if reason is not None:
        (pytest.fail if servers_required() else pytest.skip)(reason)
    checks = tmp_path / "checks"
    checks.write_text("/^Authentication-Results:/ IGNORE\n")
    for folder in (tmp_path, *tmp_path.parents):
        if "pytest" in folder.name:  # Postfix reads it as its own user; /tmp stays as it is
            folder.chmod(0o755)
    settings = {"header_checks": f"regexp:{checks}"} if cured else {}
    address = f"inet:{free_port()}@{HOST}"
    with DkimcoreMilter(CONF, files=FILES, socket_name=address) as milter:
        port, _, host = address.removeprefix("inet:").partition("@")
        entrance = Entrance(milters=f"inet:{host}:{port}")
        with Postfix({"in": entrance}, settings=settings) as postfix:
            arrived = postfix.arrival(postfix.submit("in", MESSAGE).queue_id)
        milter.wait_for("DKIM-Signature field added (s=s1, d=example.com)")
    assert b"DKIM-Signature:" in arrived
    assert (b"bank.example" in arrived) is not cured
