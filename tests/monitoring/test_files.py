"""The dashboard and the alerts ask for what is emitted, and say what they should."""

import json
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.control.metrics.exposition import written
from reconciler.control.metrics.figures import Spread
from reconciler.control.metrics.moment import Moment
from tests.documents import ROOT
from tests.prometheus import Prometheus, promtool

ALERTS = ROOT / "docs" / "monitoring" / "alerts.yml"
DASHBOARD = ROOT / "docs" / "monitoring" / "grafana.json"
TESTS = Path(__file__).parent / "alerts_test.yml"
ROWS = re.findall(r"^\| `(\w+)` \|([^|]*)\|", (ROOT / "docs" / "monitoring.md").read_text(), re.M)
LABELS = {name: {label.strip() for label in labels.split(",")} for name, labels in ROWS}
OF_HISTOGRAMS = re.compile(r"_(bucket|sum|count)$")
SELECTOR = re.compile(r"\b(reconciler_\w+)(?:\{([^}]*)\})?")
GROUPED = re.compile(r"\bby \(([^)]*)\)")


def emitted() -> set[str]:
    """Every family is told by name at any time, also where nothing has happened."""
    nothing = Moment(
        version="1",
        python="3",
        started_at=datetime.now(UTC),
        ready=True,
        source_reachable=True,
        last_sync=None,
        stations={},
        figures={},
        labours=(),
        gateway=None,
        syncs={},
        phases={},
        steps={},
        suites=Spread((1.0,)),
        builds={},
        webhooks={},
        dropped={},
        spooled={},
    )
    return set(re.findall(r"^# TYPE (\w+) ", written(nothing).decode(), re.M))


def panels() -> Iterator[dict[str, Any]]:
    yield from json.loads(DASHBOARD.read_text())["panels"]


def queries() -> list[str]:
    dashboard = json.loads(DASHBOARD.read_text())
    rules = [rule["expr"] for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    shown = [target["expr"] for panel in panels() for target in panel.get("targets", ())]
    marks = [one["expr"] for one in dashboard["annotations"]["list"]]
    asked = [one["query"]["query"] for one in dashboard["templating"]["list"] if one["type"] == "query"]
    return [*rules, *shown, *marks, *asked]


@pytest.mark.parametrize("query", queries())
def test_a_query_asks_for_what_is_emitted_by_labels_that_it_has(query: str) -> None:
    names = {
        OF_HISTOGRAMS.sub("", name): set(re.findall(r"(\w+)\s*[=!]~?", had)) for name, had in SELECTOR.findall(query)
    }
    assert names.keys() <= emitted()
    for name, labels in names.items():
        assert labels <= LABELS[name], name
    grouped = {label.strip() for labels in GROUPED.findall(query) for label in labels.split(",")}
    assert grouped <= {"le", *(label for name in names for label in LABELS[name])}


def test_what_stands_in_the_docs_is_what_is_emitted() -> None:
    assert LABELS.keys() == emitted()


def test_every_metric_is_drawn_or_has_a_reason_not_to_be() -> None:
    drawn = {OF_HISTOGRAMS.sub("", name) for query in queries() for name, _ in SELECTOR.findall(query)}
    told_elsewhere = {"build_info", "start_time_seconds", "ready", "notices_dropped_total", "cron_missed_total"}
    assert emitted() - drawn == {f"reconciler_{name}" for name in told_elsewhere}


def test_promtool_accepts_the_rules() -> None:
    checked = promtool("check", "rules", str(ALERTS))
    assert checked.returncode == 0, checked


def test_each_alert_speaks_up_when_it_should_and_none_when_all_is_well(tmp_path: Path) -> None:
    for file in (ALERTS, TESTS):
        shutil.copy(file, tmp_path)
    tested = promtool("test", "rules", str(tmp_path / TESTS.name))
    assert tested.returncode == 0, tested.stdout.decode() + tested.stderr.decode()
    alerts = {rule["alert"] for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]}
    assert all(f'alertname="{alert}"' in TESTS.read_text() for alert in alerts)


def test_prometheus_understands_every_query_of_the_dashboard() -> None:
    with Prometheus("127.0.0.1:9", "nobody") as prometheus:
        for panel in panels():
            for target in panel.get("targets", ()):
                query = target["expr"].replace("$__rate_interval", "5m").replace("$__interval", "5m")
                prometheus.ask(query.replace("$service", ".*"))


def test_panels_do_not_lie_upon_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken and place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells
