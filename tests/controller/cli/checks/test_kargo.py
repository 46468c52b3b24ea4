"""What versions, Deployments and Pods are judged to be."""

from typing import Any

import pytest

from controller.cli.checks.findings import Level
from controller.cli.checks.kargo import crds, judge_deployments, judge_pods, judge_version
from controller.runtime.api.client import Client
from controller.runtime.clock import Clock
from tests.support.apiserver import ApiServer, html


@pytest.mark.parametrize(
    ("version", "level"),
    [
        ("v1.10.0", Level.OK),
        ("1.10.0-rc.1", Level.OK),
        ("v2.0.1", Level.OK),
        ("v1.9.5", Level.WARNING),
        ("v1.8.9", Level.ERROR),
        ("v0.9.0", Level.ERROR),
        ("unstable-20261101", Level.WARNING),
        ("sha256:abc", Level.WARNING),
    ],
)
def test_versions_are_compared_as_numbers(version: str, level: Level) -> None:
    """1.10 is newer than 1.9; what is no release is said to be unknown."""
    assert judge_version(version).level is level


def deployment(image: str, ready: int = 1, **labels: str) -> dict[str, Any]:
    marks = {f"app.kubernetes.io/{key}": value for key, value in labels.items()}
    template = {"spec": {"containers": [{"image": image}]}}
    return {
        "metadata": {"name": labels.get("component", "x"), "labels": marks},
        "spec": {"template": template},
        "status": {"readyReplicas": ready},
    }


def test_the_version_is_the_label_or_the_tag() -> None:
    """And a Deployment of somebody else is none of Kargo's."""
    other = deployment("postgres:9.1", name="postgres")
    labelled = deployment("mirror:5000/k@sha256:abc", name="kargo", version="v1.10.1")
    by_tag = deployment("mirror:5000/akuity/kargo:v1.10.1@sha256:abc")
    assert [found.text for found in judge_deployments([other, labelled, by_tag], "kargo")] == [
        "version v1.10.1 is supported"
    ]
    (found,) = judge_deployments([other, {"metadata": None, "spec": []}, "odd"], "kargo")
    assert "no Deployment of Kargo" in found.text


def test_a_controller_that_does_not_run_is_an_error() -> None:
    """Others of Kargo's Deployments are none of our business."""
    api, controller = (
        deployment("kargo", 0, name="kargo", version="v1.10.0", component=component)
        for component in ("api", "controller")
    )
    found = judge_deployments([api, controller], "kargo")
    assert [each.level for each in found] == [Level.OK, Level.ERROR]
    assert "not running: controller:" in found[1].text


def pod(name: str, image: str = "r:1", ready: str = "True", phase: str = "Running") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "kargo-azure-receiver"}},
        "spec": {"containers": [{"image": image}]},
        "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]},
    }


@pytest.mark.parametrize(
    ("pods", "levels"),
    [
        pytest.param([], [Level.ERROR], id="none"),
        pytest.param([pod("a"), pod("b")], [Level.OK], id="two"),
        pytest.param([pod("a"), pod("test", "r:0", phase="Succeeded")], [Level.OK], id="an ended Pod"),
        pytest.param([pod("a"), pod("b", ready="False")], [Level.WARNING], id="one is not ready"),
        pytest.param([pod("a", ready="False")], [Level.ERROR], id="none is ready"),
        pytest.param([pod("a"), pod("b", "r:2")], [Level.WARNING], id="two versions"),
    ],
)
def test_pods(pods: list[dict[str, Any]], levels: list[Level]) -> None:
    """Readiness and one version."""
    assert [found.level for found in judge_pods(pods, "kargo")] == levels


async def test_a_cluster_without_kargo() -> None:
    """One line names every kind that is missing."""
    async with ApiServer(html(404)) as server:
        client = Client(server.configuration(), clock=Clock())
        try:
            found, usable = await crds(client)
        finally:
            await client.close()
    assert not usable
    assert [(each.level, each.text) for each in found] == [
        (
            Level.ERROR,
            "the cluster has no warehouses, projectconfigs, clusterconfigs, promotions of kargo.akuity.io",
        )
    ]
