"""One Postfix and its filters for all of these tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.postfix.site import Site, open_site
from tests.servers import requires_server, servers_required
from tests.servers.postfix import postfix_unusable

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def postfix_works() -> None:
    """Ends tests where no Postfix can be started, saying why."""
    for name in ("postfix", "nsd"):
        requires_server(name)
    reason = postfix_unusable()
    if reason is not None:
        (pytest.fail if servers_required() else pytest.skip)(reason)


@pytest.fixture(scope="session")
def site(postfix_works: None) -> Iterator[Site]:
    """As `open_site` starts it."""
    with open_site() as running:
        yield running
