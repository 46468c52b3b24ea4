"""A push that matches nothing, on a real API server: what its operator is shown, and its sender is not."""

import json
from collections.abc import Callable
from typing import Any

from e2e.controlplane.waiting import eventually
from e2e.kargo.project import Project, image
from tests.support.azure import REGISTRY, image_push
from tests.support.receiver_process import ReceiverFactory


def test_near_misses_are_in_history_and_on_the_page(
    project: Project, new_project: Callable[..., Project], start_receiver: ReceiverFactory
) -> None:
    """Each kind that a cluster can hold, the best first; and the process ends well."""
    other = new_project().create()
    repository = f"of-{project.name}"  # nothing of other tests nearly matches it
    other.add_warehouse("elsewhere", image(f"{REGISTRY}/{repository}"))
    project.add_warehouse("other-registry", image(f"fabrikam.azurecr.io/{repository}"))
    project.add_warehouse("odd", {"image": {"semverConstraint": "^1"}})
    receiver = start_receiver()
    answer = receiver.post(project.path, image_push(repository))
    assert (answer.status, answer.json) == (200, {"msg": "refreshed 0 warehouse(s)"})
    delivery = answer.headers["X-Delivery-Id"]

    def kept() -> dict[str, Any] | None:
        found = json.loads(receiver.admin(f"/api/deliveries/{delivery}").text).get("delivery")
        return found if found and found["outcome"] == "unmatched" else None

    shown = eventually(kept, what="the delivery's end")
    assert [(each["namespace"], each["name"]) for each in shown["nearMisses"]] == [
        (other.name, "elsewhere"),
        (project.name, "other-registry"),
        (project.name, "odd"),
    ]
    page = receiver.admin(f"/deliveries/{delivery}").text
    assert "elsewhere" in page
    assert "a Project that this receiver does not cover" in page
    line = next(
        each
        for each in map(json.loads, receiver.process.log.read_text("utf-8").splitlines())
        if each.get("id") == delivery
    )
    assert line["near_misses"][0].startswith(f"{other.name}/elsewhere: ")
    assert receiver.stop() == 0
