"""Refreshing on a real API server: values, coalescing, fairness, refusals."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from e2e.controlplane import ControlPlane
from e2e.controlplane.waiting import eventually
from e2e.kargo.project import Project, git, image
from tests.support.aio import run
from tests.support.azure import REGISTRY, git_push, image_push
from tests.support.load import Reply, flood, post_many
from tests.support.receiver_process import ReceiverFactory, ReceiverProcess

FAN_OUT = 2_000

POLICY = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: refuse-frozen}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - apiGroups: [kargo.akuity.io]
      apiVersions: [v1alpha1]
      operations: [UPDATE]
      resources: [warehouses]
  validations:
  - expression: "!object.metadata.name.startsWith('frozen')"
    message: this Warehouse is frozen
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: refuse-frozen}
spec: {policyName: refuse-frozen, validationActions: [Deny]}
"""


def test_two_pushes_within_a_second_give_two_values(
    project: Project, start_receiver: ReceiverFactory
) -> None:
    """Kargo acts on a changed value only, so the second push must write another."""
    project.add_warehouse("app", image(f"{REGISTRY}/app"))
    receiver = start_receiver()
    values = []
    began = time.monotonic()
    for _ in range(2):
        answer = receiver.post(project.path, image_push("app"))
        assert (answer.status, answer.json) == (200, {"msg": "refreshed 1 warehouse(s)"})
        values.append(project.refresh("app"))
    assert time.monotonic() - began < 1.0
    assert None not in values
    assert values[0] != values[1]


def test_a_thousand_concurrent_events_for_one_warehouse_share_a_few_patches(
    project: Project, start_receiver: ReceiverFactory
) -> None:
    """Every sender gets 200 after persistence, and the API server is spared."""
    project.add_warehouse("app", git("https://dev.azure.com/contoso/shop/_git/app"))
    receiver = start_receiver()
    body = git_push("https://dev.azure.com/contoso/shop/_git/app")
    replies = flood(_url(receiver, project), [body] * 1_000, at_once=1_000)
    assert {(reply.status, reply.text) for reply in replies} == {(200, '{"msg":"refreshed 1 warehouse(s)"}')}
    patches = receiver.metric("kargo_azure_receiver_refresh_total", kind="Warehouse", result="persisted")
    assert 1 <= patches <= 50


def test_one_warehouse_is_refreshed_while_a_fan_out_is_under_way(
    project: Project, start_receiver: ReceiverFactory
) -> None:
    """A fan-out to 2,000 is answered in time and completed; a single event meanwhile takes under a second."""
    for number in range(FAN_OUT):
        project.add_warehouse(f"w-{number}", image(f"{REGISTRY}/base"))
    project.add_warehouse("single", image(f"{REGISTRY}/single"))
    receiver = start_receiver()
    assert receiver.metric("kargo_azure_receiver_cache_objects", kind="Warehouse") >= FAN_OUT

    async def both() -> tuple[Reply, list[Reply]]:
        url = _url(receiver, project)
        big = asyncio.ensure_future(post_many(url, [image_push("base")], at_once=1))
        await asyncio.sleep(0.2)  # the fan-out is to be under way, not to be over
        small = [(await post_many(url, [image_push("single")], at_once=1))[0] for _ in range(5)]
        return (await big)[0], small

    big, small = run(both())
    assert big.status in (200, 202)
    assert big.seconds < 4.5
    assert {reply.status for reply in small} == {200}
    assert max(reply.seconds for reply in small) < 1.0
    assert small[0].began < big.began + big.seconds

    def all_refreshed() -> bool:
        values = project.refreshes()
        return len(values) == FAN_OUT + 1 and None not in values.values()

    eventually(all_refreshed, limit=60)
    if big.status == 202:
        said = json.loads(big.text)["msg"]
        assert said.endswith(f"of {FAN_OUT} warehouse(s); the rest will follow")
        (line,) = eventually(lambda: receiver.events("delivery_completed"))
        assert (line["matched"], line["refreshed"]) == (FAN_OUT, FAN_OUT)


@pytest.fixture
def frozen(control_plane: ControlPlane) -> Any:
    """A validating admission policy that refuses changes of Warehouses called frozen…"""
    control_plane.apply(POLICY)
    yield
    control_plane.kubectl("delete", "validatingadmissionpolicybinding", "refuse-frozen")
    control_plane.kubectl("delete", "validatingadmissionpolicy", "refuse-frozen")


@pytest.mark.usefixtures("frozen")
def test_a_refused_warehouse_is_rejected_and_holds_up_nobody(
    new_project: Callable[..., Project], start_receiver: ReceiverFactory, control_plane: ControlPlane
) -> None:
    """The policy's refusal is final: counted, logged with its words, an Event; the neighbour is refreshed."""
    project = new_project().create()
    project.add_warehouse("frozen-app", image(f"{REGISTRY}/app"))
    project.add_warehouse("app", image(f"{REGISTRY}/app"))
    receiver = start_receiver()

    def refused() -> bool:
        # A policy takes effect a moment after it is created.
        answer = receiver.post(project.path, image_push("app"))
        assert answer.status == 200
        wanted = "refreshed 1 of 2 warehouse(s); 1 were rejected by the Kubernetes API"
        return bool(answer.json["msg"] == wanted)

    eventually(refused)
    assert project.refresh("app") is not None
    assert receiver.metric("kargo_azure_receiver_refresh_total", kind="Warehouse", result="rejected") >= 1
    line = eventually(lambda: receiver.events("refresh_rejected"))[0]
    assert line["name"] == "frozen-app"
    assert "this Warehouse is frozen" in line["message"]

    def event_seen() -> bool:
        items = control_plane.api.get(f"/api/v1/namespaces/{project.name}/events")["items"]
        return any(
            item["involvedObject"]["name"] == "frozen-app" and "frozen" in item["message"] for item in items
        )

    eventually(event_seen)


def _url(receiver: ReceiverProcess, project: Project) -> str:
    return f"http://127.0.0.1:{receiver.port}{project.path}"


def test_row_25_our_own_patch_comes_back_and_is_never_acted_on(
    project: Project, start_receiver: ReceiverFactory
) -> None:
    """The watch brings each patch back as an update: acting on it would go round for ever."""
    project.add_warehouse("app", image(f"{REGISTRY}/app"))
    receiver = start_receiver()
    unhandled = receiver.metric("kargo_azure_receiver_unhandled_refreshes")
    assert receiver.post(project.path, image_push("app")).status == 200
    eventually(lambda: receiver.metric("kargo_azure_receiver_unhandled_refreshes") > unhandled)
    value = project.refresh("app")
    project.set_handled("app", str(value))
    eventually(lambda: receiver.metric("kargo_azure_receiver_unhandled_refreshes") == unhandled)
    assert receiver.metric("kargo_azure_receiver_refresh_total", kind="Warehouse", result="persisted") == 1
    assert receiver.metric("kargo_azure_receiver_handled_lag_seconds_count") == 1
    assert project.refresh("app") == value
