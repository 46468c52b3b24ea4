"""Each alert fires for what it is about, says so in words a person can use, and keeps quiet otherwise."""

import re
from pathlib import Path

import pytest
import yaml

from tests.manifests.alerts import event_cases, upkeep_cases
from tests.manifests.alerts.conftest import rules, run
from tests.manifests.alerts.series import Case
from tests.support.manifests import ROOT

CASES = [*upkeep_cases.CASES, *event_cases.CASES]


@pytest.mark.parametrize("case", CASES)
def test_alert(case: Case, promtool: Path, rules_file: Path) -> None:
    """The alert fires as it should, once for all replicas, with words that are filled in."""
    name = f"KargoAzureReceiver{case.alert}"
    expected = []
    if case.labels is not None:
        annotations = {"summary": case.summary, "description": case.description}
        expected.append({"exp_labels": case.labels, "exp_annotations": annotations})
    test = {
        "interval": case.every,
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "alert_rule_test": [{"eval_time": f"{case.minute}m", "alertname": name, "exp_alerts": expected}],
    }
    file = rules_file.with_name("test.yaml")
    tests = {"rule_files": [rules_file.name], "evaluation_interval": case.every, "tests": [test]}
    file.write_text(yaml.safe_dump(tests))
    passed, output = run(promtool, "test", "rules", str(file))
    assert passed, output


def test_every_alert_is_tested() -> None:
    """No rule without a case in which it fires."""
    fired = {f"KargoAzureReceiver{case.values[0].alert}" for case in CASES if case.values[0].labels}  # type: ignore[union-attr]
    assert fired == {rule["alert"] for rule in rules()}


def test_promtool_finds_nothing_wrong(promtool: Path, rules_file: Path) -> None:
    """The rules are valid for a real Prometheus."""
    passed, output = run(promtool, "check", "rules", str(rules_file))
    assert passed, output


def test_every_alert_has_a_paragraph_in_the_runbook() -> None:
    """Whoever is woken by an alert finds what to look at and do, and there are no stale paragraphs."""
    text = (ROOT.parent / "docs" / "operations.md").read_text("utf-8")
    headings = {
        heading.lower() for heading in re.findall(r"^### (KargoAzureReceiver\w+)$", text, re.MULTILINE)
    }
    assert headings == {rule["alert"].lower() for rule in rules()}
