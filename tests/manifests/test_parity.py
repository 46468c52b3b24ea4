"""One truth: chart and kustomize make the same objects from values that mean the same."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.manifests.parity import CASES, OVERLAYS, Case
from tests.support import manifests
from tests.support.chart import Helm, hooks_apart, kustomization
from tests.support.manifests import Object


def by_name(found: Sequence[Object]) -> dict[str, Object]:
    """The objects by kind and place, without what may differ."""
    return {
        place(each): alike(each) for each in found if each["kind"] != "Namespace"
    }  # helm --create-namespace


def place(each: Object) -> str:
    """Kind, namespace and name."""
    return f"{each['kind']} {each['metadata'].get('namespace', '')}/{each['metadata']['name']}"


def alike(each: Object) -> Object:
    """One object, in the form in which both must be equal. Every permitted difference is here."""
    if each["kind"] in ("Deployment", "StatefulSet"):
        pod = each["spec"]["template"]
        # The chart's: a change of its settings restarts the Pods.
        pod["metadata"].get("annotations", {}).pop("checksum/settings", None)
        if not pod["metadata"].get("annotations", True):
            del pod["metadata"]["annotations"]
        (container,) = pod["spec"]["containers"]
        for named in (container["env"], container["volumeMounts"], pod["spec"]["volumes"]):
            named.sort(key=lambda entry: entry["name"])  # the order means nothing
    if each["metadata"]["name"].endswith("-dashboard"):
        board = json.loads(each["data"]["kargo-azure-receiver.json"])
        board.pop("links", None)  # kustomize can't write into JSON; see test_alerts_lead_to_the_runbook
        each["data"] = {"kargo-azure-receiver.json": board}
    return each


def kustomized(name: str, case: Case, tmp_path: Path) -> list[Object]:
    """What kustomize makes for a case."""
    if case.components:
        return manifests.objects(kustomization(tmp_path, case.components, case.settings))
    return manifests.objects(manifests.folder(name))


@pytest.mark.parametrize("name", CASES)
def test_chart_and_kustomize_make_the_same_objects(name: str, helm: Helm, tmp_path: Path) -> None:
    """Object by object, field by field."""
    chart, _ = hooks_apart(helm.render(CASES[name].values, CASES[name].namespace))
    ours, theirs = by_name(chart), by_name(kustomized(name, CASES[name], tmp_path))
    assert sorted(ours) == sorted(theirs)
    for key in ours:
        assert ours[key] == theirs[key], key


def test_every_overlay_is_compared() -> None:
    """A new overlay needs values of the chart that mean the same."""
    assert sorted(OVERLAYS) == sorted(["base", *manifests.OVERLAYS])


def test_every_component_is_combined_with_others() -> None:
    """What a component does alone may be wrong in company."""
    combined = {component for case in CASES.values() for component in case.components}
    assert combined | {"base-path", "kargo"} == set(manifests.COMPONENTS)


def test_a_difference_would_be_seen(helm: Helm, tmp_path: Path) -> None:
    """The comparison is one that can fail: one more replica is found."""
    chart, _ = hooks_apart(helm.render({"replicas": 3}))
    found = by_name(kustomized("base", CASES["base"], tmp_path))
    assert [key for key, each in by_name(chart).items() if each != found[key]] == [
        "Deployment kargo/kargo-azure-receiver"
    ]
