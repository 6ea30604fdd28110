"""The case set against the peers, with the figures printed; only dkimcore's own are asserted.

The peers' figures are evidence for docs, not a requirement: their next versions may do better.
"""

import importlib.util

import pytest

from tests.servers import requires_server

from .compare_peers import HEADING, compare


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["dkimcore", "dkimpy", "Mail::DKIM", "OpenDKIM"])
def test_figures(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    if name in ("Mail::DKIM", "OpenDKIM"):
        requires_server(name if "::" in name else "opendkim")
    elif importlib.util.find_spec("dkim") is None:
        pytest.skip("dkimpy is not installed: pip install dkimpy")
    score = compare(name, light=True)
    with capsys.disabled():
        print(f"\n{HEADING}\n{score.row(name)}")
    assert score.asked >= 300
    if name == "dkimcore":
        assert score.right == score.asked, score
