"""What the tests with a real Postfix need."""

from __future__ import annotations

import pytest

from tests.servers import requires_server, servers_required
from tests.servers.postfix import postfix_unusable


@pytest.fixture(scope="session")
def postfix_works() -> None:
    """Ends tests where no Postfix can be started, saying why."""
    requires_server("postfix")
    reason = postfix_unusable()
    if reason is not None:
        (pytest.fail if servers_required() else pytest.skip)(reason)
