"""What alerts and dashboard ask for exists: names and labels, compared with what the program declares."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
import yaml
from prometheus_client import CollectorRegistry

from controller.observability.metrics import Metrics
from tests.manifests.alerts.conftest import RULES, rules, run
from tests.support.manifests import ROOT
from tests.support.prometheus import DASHBOARD

PROGRAM = ROOT / "components" / "monitoring" / "dashboard.py"
SUFFIXES = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_sum", "_count"),
    "gauge": ("",),
    "info": ("_info",),
}
SCRAPE = {"job", "namespace", "exported_namespace", "pod", "instance", "le"}
"""Labels that Prometheus adds, or gives another name since it adds them, and that of buckets."""


def declared() -> dict[str, set[str]]:
    """Every series that the receiver may expose, with its labels."""
    registry = CollectorRegistry()
    prometheus_client.ProcessCollector(registry=registry)
    metrics = Metrics(registry, version="1")
    found = {"up": set[str]()}
    for family in registry.collect():
        collector = registry._names_to_collectors.get(family.name)
        labels = set(getattr(collector, "_labelnames", ()))
        for suffix in SUFFIXES[family.type]:
            found[family.name + suffix] = labels
    assert metrics.registry is registry
    return found


def panels() -> list[dict[str, Any]]:
    board = json.loads(DASHBOARD.read_text("utf-8"))
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def expressions() -> list[Any]:
    """Every query, with Grafana's variables filled in."""
    found = [pytest.param(rule["expr"], id=rule["alert"]) for rule in rules()]
    for panel in panels():
        for target in panel["targets"]:
            text = target["expr"].replace("$__rate_interval", "5m").replace("$namespace", "kargo")
            found.append(pytest.param(text, id=f"{panel['title']}-{target['refId']}".replace(" ", "-")))
    return found


@pytest.mark.parametrize("expression", expressions())
def test_every_query_is_of_metrics_that_exist(expression: str) -> None:
    """No panel stays empty and no alert silent because of a name or label that was changed."""
    known = declared()
    text = re.sub(r"[\"'][^\"']*[\"']", "''", expression)
    names = re.findall(r"\b(?:kargo_azure_receiver|workqueue|rest_client|process)_\w+|\bup\b", text)
    assert names
    labels = set(SCRAPE)
    for name in names:
        assert name in known
        labels |= known[name]
    for name, selector in re.findall(r"(\w+)\{([^}]*)\}", text):
        assert set(re.findall(r"(\w+)\s*[=!]", selector)) <= known[name] | SCRAPE
    for grouping in re.findall(r"by \(([^)]*)\)", text):
        assert {label.strip() for label in grouping.split(",")} <= labels


def test_every_query_is_valid(promtool: Path, tmp_path: Path) -> None:
    """Prometheus can parse what the dashboard asks."""
    records = [
        {"record": f"query:{number}", "expr": parameter.values[0]}
        for number, parameter in enumerate(expressions())
    ]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": records}]}))
    passed, output = run(promtool, "check", "rules", str(file))
    assert passed, output


def test_every_metric_of_ours_is_looked_at() -> None:
    """A metric that is in no alert and no panel helps nobody, except those named here."""
    unused = {"kargo_azure_receiver_build_info"}  # the dashboard's variable lists namespaces by it
    text = DASHBOARD.read_text("utf-8") + "".join(file.read_text("utf-8") for file in RULES)
    for name in declared():
        if name.startswith("kargo_azure_receiver_") and not name.endswith(("_sum", "_count")):
            assert name in text or name in unused, name


def test_the_dashboard_is_what_its_program_builds() -> None:
    """dashboard.json was not edited by hand, and not forgotten after a change."""
    pytest.importorskip("grafana_foundation_sdk", reason="the extra 'dashboard' is not installed")
    done = subprocess.run([sys.executable, PROGRAM, "--check"], check=False)
    assert done.returncode == 0, "run: make dashboard"


def test_panels_say_what_they_mean() -> None:
    """Each panel has a description, a unit, and a place of its own."""
    places = set()
    for panel in panels():
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        places.add((panel["gridPos"]["x"], panel["gridPos"]["y"]))
    assert len(places) == len(panels())
