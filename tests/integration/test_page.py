"""The page of real receivers on a real API server: two replicas, one page."""

import json
from typing import Any

from e2e.controlplane.ports import HOST, free_ports
from e2e.controlplane.waiting import eventually
from e2e.kargo.project import Project, image
from tests.support.azure import REGISTRY, image_push
from tests.support.receiver_process import ReceiverFactory


def test_every_replica_shows_what_all_received(project: Project, start_receiver: ReceiverFactory) -> None:
    """A push to one is on the other's page, with its Warehouse; the receiver's path is on none."""
    project.add_warehouse("app", image(f"{REGISTRY}/app"))
    ports = free_ports(2)
    # Two replicas in one network share no port, so here each names the other.
    one, two = (
        start_receiver(f"--peers={HOST}:{other}", admin_port=own) for own, other in (ports, ports[::-1])
    )
    answer = one.post(project.path, image_push("app"))
    delivery = answer.headers["X-Delivery-Id"]
    name = f"{project.name}/azure"

    def kept() -> dict[str, Any] | None:
        """The delivery as JSON, once the journal has its end."""
        found = json.loads(one.admin(f"/api/deliveries/{delivery}").text).get("delivery")
        return found if found and found["outcome"] == "refreshed" else None

    shown = eventually(kept, what="the delivery's end")
    assert (shown["matched"], shown["refreshed"]) == (1, 1)
    assert [(each["namespace"], each["name"]) for each in shown["targets"]] == [(project.name, "app")]
    for replica in (one, two):
        for path in ("/", "/deliveries", f"/deliveries/{delivery}", f"/receivers/{name}", "/api/"):
            page = replica.admin(path)
            assert page.status == 200
            assert "Not everything is shown" not in page.text
            assert project.path.rpartition("/")[2] not in page.text
            assert project.secret not in page.text
        assert f"deliveries/{delivery}" in replica.admin("/").text
        assert "waits for Kargo" in replica.admin(f"/deliveries/{delivery}").text
        assert "served" in replica.admin(f"/receivers/{name}").text
    two.kill()
    page = one.admin("/")
    assert page.status == 200
    assert f"{HOST}:{ports[1]}" in page.text
    assert "no connection" in page.text
