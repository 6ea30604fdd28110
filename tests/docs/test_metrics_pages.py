"""The page of metrics, the dashboard and the alerts name what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dkimcore_milter.metrics import BUCKETS, FAMILIES, PREFIX, Count, Gauge, Timer
from tests.docs.metricsreference import table

ROOT = Path(__file__).resolve().parent.parent.parent
DASHBOARD = json.loads((ROOT / "contrib/grafana/dkimcore-milter.json").read_text("utf-8"))
ALERTS = (ROOT / "contrib/prometheus/alerts.yml").read_text("utf-8")
EXPRESSIONS = re.findall(r"\bexpr: (?:>-\n)?(.*?)\n *(?:for|labels):", ALERTS, re.DOTALL)
MEMBERS = [*Count, *Gauge, *Timer]
TARGETS = [
    pytest.param(target, id=f"{panel['title']}-{target['refId']}")
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", ())
]
BUILD_INFO = {"version", "python", "cryptography", "accelerator"}
EVERYWHERE = {"job", "instance"}  # Prometheus' own
SELECTOR = re.compile(r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?P<matchers>[^}]*)\})?")
MATCHER = re.compile(r'\s*(?P<label>\w+)\s*(?:=~|!~|!=|=)\s*"(?P<value>[^"]*)"\s*')
WORDS = {
    "last_over_time",
    "unless",
    "sum",
    "by",
    "rate",
    "increase",
    "histogram_quantile",
    "time",
    "min",
    "max",
}
WORDS |= {"absent", "or", "and", "on", "le"}


def series():
    """All names that a query may use, with their family's labels."""
    found = {f"{PREFIX}build_info": BUILD_INFO}
    for name, family in FAMILIES.items():
        kind = next(type(member) for member in MEMBERS if member.family == name)
        own = set(family.labels)
        if kind is Timer:
            found[f"{PREFIX}{name}_bucket"] = own | {"le"}
            found[f"{PREFIX}{name}_count"] = found[f"{PREFIX}{name}_sum"] = own
        else:
            found[f"{PREFIX}{name}{'_total' if kind is Count else ''}"] = own
    return found


SERIES = series()


def values(name, label):
    """The values that a label of a series can have; None: any."""
    for family, members in ((f, [m for m in MEMBERS if m.family == f]) for f in FAMILIES):
        if re.fullmatch(rf"{PREFIX}{family}(_total|_bucket|_count|_sum)?", name):
            labels = FAMILIES[family].labels
            if label in labels and not FAMILIES[family].per_worker:
                return {member.labels[labels.index(label)] for member in members}
    return None


def demand_query(text):
    """Demands that a query's parentheses match and that its names and labels exist."""
    text = re.sub(r"\[(\$__rate_interval|\d+[mh])\]", "", text)
    used = set()
    for match in SELECTOR.finditer(re.sub(r"\b(by|on) \([^)]*\)", "", text)):
        name = match["name"]
        if name in WORDS:
            continue
        assert name in SERIES, name
        used |= SERIES[name]
        matchers = (match["matchers"] or "").strip()
        for part in matchers.split(",") if matchers else ():
            found = MATCHER.fullmatch(part)
            assert found, part
            assert found["label"] in SERIES[name] | EVERYWHERE, part
            allowed = values(name, found["label"])
            if allowed is not None:
                assert set(found["value"].split("|")) <= allowed, part
    for group in re.findall(r"\bby \(([^)]*)\)", text):
        assert set(re.split(r",\s*", group)) <= used | EVERYWHERE, group
    depth = 0
    for char in text:
        depth += {"(": 1, ")": -1}.get(char, 0)
        assert depth >= 0, text
    assert depth == 0, text
    assert used or "start_time" in text or re.search(PREFIX, text), text
    return used


@pytest.mark.parametrize("target", TARGETS)
def test_each_panel_asks_for_what_there_is(target):
    used = demand_query(target["expr"])
    shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
    assert shown <= used | EVERYWHERE
    groups = re.findall(r"sum by \(([^)]*)\)", target["expr"])
    if groups:  # other labels are gone
        assert shown <= set(re.split(r",\s*", groups[0]))


def test_the_dashboard_shows_every_metric():
    text = json.dumps(DASHBOARD)
    for name in SERIES:
        base = re.sub(r"_(count|sum|bucket)$", "", name)
        assert base in text, name


def test_the_dashboard_can_be_imported():
    assert DASHBOARD["schemaVersion"] >= 38
    assert DASHBOARD["uid"]
    assert "id" not in DASHBOARD
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    names = [variable["name"] for variable in DASHBOARD["templating"]["list"]]
    assert names == ["datasource", "job", "instance"]
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == "${datasource}"
            assert '{job=~"$job", instance=~"$instance"' in target["expr"]


def test_the_alerts_ask_for_what_there_is():
    assert len(EXPRESSIONS) == ALERTS.count("- alert: ") >= 10
    for text in EXPRESSIONS:
        demand_query(text)
    shown = set(re.findall(r"\{\{ \$labels\.(\w+) \}\}", ALERTS))
    assert shown == {"backend", "kind", "limit", "worker"}


def test_each_alert_has_its_row_in_the_guide():
    guide = (ROOT / "docs/howto/monitor.md").read_text("utf-8")
    alerts = re.findall(r"- alert: (\w+)", ALERTS)
    assert re.findall(r"(?m)^\| (Dkimcore\w+) \|", guide) == alerts


def test_the_page_has_each_metric_as_it_is():
    page = (ROOT / "docs/reference/metrics.md").read_text("utf-8")
    rows = [line for line in page.splitlines() if line.startswith(f"| `{PREFIX}")]
    assert rows[1:] == table()
    assert rows[0].startswith(f"| `{PREFIX}build_info` |")
    bounds = re.search(r"Bounds in seconds: (.*)\.$", page, re.MULTILINE)[1]
    assert [float(bound) for bound in bounds.split(", ")] == list(BUCKETS)
