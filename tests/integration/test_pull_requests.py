"""Pull requests that end wake the running Promotions that wait on them, on a real API server."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from e2e import kargo
from e2e.controlplane import ControlPlane
from e2e.controlplane.waiting import eventually
from e2e.kargo.project import Project
from tests.strategies import PAYLOADS
from tests.support.configs import ClusterSite, azure
from tests.support.receiver_process import ReceiverFactory, ReceiverProcess

GOOD = "a-secret-that-is-long-enough"
FINISHED = 300
"""Finished Promotions beside the running ones; a cluster has thousands."""
STEPS = [
    {"uses": "git-clone"},
    {"uses": "git-open-pr", "as": "open"},
    {"uses": "git-wait-for-pr", "as": "wait"},
]


def pull_request(number: int, name: str = "ado_pull_request_merged") -> dict[str, Any]:
    """Azure DevOps' event for the end of one pull request."""
    body: dict[str, Any] = json.loads(PAYLOADS[name])
    body["resource"]["_links"]["web"]["href"] = _url(number)
    return body


def running(number: int, step: int = 2) -> dict[str, Any]:
    """The status of a Promotion that waits on one pull request."""
    state = {"open": {"pr": {"url": _url(number)}}, "wait": {"pr": {"url": _url(number)}}}
    return {"phase": "Running", "currentStep": step, "state": state}


def test_a_promotion_is_woken_while_it_waits_and_only_then(
    new_project: Callable[..., Project], start_receiver: ReceiverFactory
) -> None:
    """Its status changes as it runs: before the step, in it, at another pull request, finished."""
    project = new_project(secret=GOOD).create()
    for number in range(FINISHED):
        project.add_promotion(f"done-{number}", {"steps": STEPS}, {**running(1), "phase": "Succeeded"})
    project.add_promotion("promotion", {"steps": STEPS}, running(1, step=1))
    receiver = start_receiver()
    assert _post(receiver, project, 1) == 0
    assert receiver.metric("kargo_azure_receiver_cache_objects", kind="Promotion") == 0

    _set_status(project, "promotion", running(1))
    eventually(lambda: _post(receiver, project, 1) == 1, limit=2.0)
    first = project.promotion_refresh("promotion")
    assert first is not None
    assert _post(receiver, project, 1) == 1
    assert project.promotion_refresh("promotion") not in (None, first)
    assert receiver.metric("kargo_azure_receiver_refresh_total", kind="Promotion", result="persisted") == 2
    assert receiver.metric("kargo_azure_receiver_cache_objects", kind="Promotion") == 1

    _set_status(project, "promotion", running(2))
    eventually(lambda: _post(receiver, project, 2) == 1, limit=2.0)
    assert _post(receiver, project, 1) == 0
    _set_status(project, "promotion", {"phase": "Succeeded"})
    eventually(lambda: _post(receiver, project, 2) == 0, limit=2.0)
    assert receiver.metric("kargo_azure_receiver_cache_objects", kind="Promotion") == 0
    assert project.promotion_refresh("done-0") is None


@pytest.mark.parametrize(
    ("payload", "status", "wakes"),
    [
        pytest.param("ado_pull_request_merged", "completed", True, id="merged"),
        pytest.param("ado_pull_request_completed", "completed", True, id="completed"),
        pytest.param("ado_pull_request_abandoned", "abandoned", True, id="abandoned"),
        pytest.param("ado_pull_request_updated", "active", False, id="still open"),
    ],
)
def test_what_ends_a_pull_request_wakes(
    project: Project, start_receiver: ReceiverFactory, payload: str, status: str, wakes: bool
) -> None:
    """``merged``, and ``updated`` to completed or abandoned; an update of an open one has nothing to do."""
    project.add_promotion("promotion", {"steps": STEPS}, running(1))
    receiver = start_receiver()
    body = pull_request(1, payload)
    assert body["resource"]["status"] == status
    answer = receiver.post(project.path, body)
    assert answer.status == 200
    if wakes:
        assert answer.json == {"msg": "refreshed 1 promotion(s)"}
    else:
        assert answer.json == {"msg": "event type git.pullrequest.updated is ignored"}
    assert (project.promotion_refresh("promotion") is not None) == wakes


def test_a_projects_receiver_wakes_its_own_and_the_clusters_all(
    new_project: Callable[..., Project], control_plane: ControlPlane, start_receiver: ReceiverFactory
) -> None:
    """Two Projects wait on one pull request."""
    one, two = new_project(secret=GOOD).create(), new_project(secret=GOOD).create()
    for project in (one, two):
        project.add_promotion("promotion", {"steps": STEPS}, running(3))
    receiver = start_receiver()
    assert _post(receiver, one, 3) == 1
    assert two.promotion_refresh("promotion") is None
    site = ClusterSite(control_plane)
    try:
        site.put_secret({"secret": site.secret})
        site.put_receivers([azure(site.receiver, site.secret_name)])
        eventually(lambda: receiver.post(site.path, b"{}").status != 404, limit=2.0)
        answer = receiver.post(site.path, pull_request(3))
    finally:
        site.remove()
    assert answer.json == {"msg": "refreshed 2 promotion(s)"}
    assert two.promotion_refresh("promotion") is not None


def test_without_promotions_crd_the_rest_works(
    project: Project, control_plane: ControlPlane, start_receiver: ReceiverFactory
) -> None:
    """An older Kargo: pull requests find nobody, and nothing waits for the kind."""
    kargo.remove_crd(control_plane, "promotions")
    try:
        receiver = start_receiver()
        assert _post(receiver, project, 1) == 0
    finally:
        kargo.create_missing_crds(control_plane)


def _url(number: int) -> str:
    return f"https://dev.azure.com/contoso/My%20Proj/_git/My%20Repo/pullrequest/{number}"


def _post(receiver: ReceiverProcess, project: Project, number: int) -> int:
    """Send the end of a pull request and return how many Promotions were refreshed."""
    answer = receiver.post(project.path, pull_request(number))
    assert answer.status == 200
    said, count, unit = str(answer.json["msg"]).split()
    assert (said, unit) == ("refreshed", "promotion(s)")
    return int(count)


def _set_status(project: Project, name: str, status: dict[str, Any]) -> None:
    path = f"{kargo.API}/namespaces/{project.name}/promotions/{name}/status"
    project.plane.api.patch(path, {"status": status})
