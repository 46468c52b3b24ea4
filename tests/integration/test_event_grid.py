"""Event Grid's deliveries through the whole receiver: handshakes, both schemas, batches, redelivery."""

import copy
import json
from typing import Any

import pytest

from e2e.controlplane.waiting import eventually
from e2e.kargo.project import Project, image
from e2e.receiver import Answer
from tests.strategies import PAYLOADS
from tests.support.receiver_process import ReceiverFactory, ReceiverProcess

HELLO = "contoso.azurecr.io/team/hello-world"
MEGABYTE = 1_000_000
"""Bytes of Event Grid's largest batch."""
NOTIFICATION = {"aeg-event-type": "Notification", "aeg-delivery-count": "0"}


def _send(
    receiver: ReceiverProcess, project: Project, name: str, headers: dict[str, str] | None = None
) -> Answer:
    return receiver.post(project.path, PAYLOADS[name], headers)


def test_handshakes_and_notices_of_both_schemas(project: Project, start_receiver: ReceiverFactory) -> None:
    """A subscription is validated by the code or by the origin; a deletion's notice has nothing to do."""
    receiver = start_receiver()
    validation = {"aeg-event-type": "SubscriptionValidation"}
    answer = _send(receiver, project, "event_grid_validation", validation)
    code = json.loads(PAYLOADS["event_grid_validation"])[0]["data"]["validationCode"]
    assert (answer.status, answer.json) == (200, {"validationResponse": code})
    origin = {"WebHook-Request-Origin": "eventgrid.azure.net", "WebHook-Request-Rate": "120"}
    answer = receiver.request("OPTIONS", project.path, None, origin)
    assert answer.status == 200
    headers = {name.lower(): value for name, value in answer.headers.items()}
    assert headers["webhook-allowed-origin"] == "eventgrid.azure.net"
    assert headers["webhook-allowed-rate"] == "*"
    answer = _send(receiver, project, "event_grid_deletion", {"aeg-event-type": "SubscriptionDeletion"})
    assert answer.status == 200
    assert receiver.request("OPTIONS", "/azure/" + "0" * 64, None, origin).status == 404


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        pytest.param("event_grid_image_pushed", "application/json", id="Event Grid"),
        pytest.param("event_grid_image_pushed_old", "application/json", id="old topic and subject"),
        pytest.param("cloud_event_image_pushed", "application/cloudevents+json", id="CloudEvents"),
        pytest.param("cloud_events_batch", "application/cloudevents-batch+json", id="CloudEvents batch"),
    ],
)
def test_a_push_refreshes_in_every_envelope_and_a_redelivery_does_no_harm(
    project: Project, start_receiver: ReceiverFactory, name: str, content_type: str
) -> None:
    """As a webhook's push does; the second delivery's count is in the log, and its refresh is a new one."""
    project.add_warehouse("app", image(HELLO))
    project.add_warehouse("other", image("contoso.azurecr.io/other"))
    receiver = start_receiver()
    values = []
    for count in ("0", "1"):
        headers = {**NOTIFICATION, "aeg-delivery-count": count, "Content-Type": content_type}
        answer = _send(receiver, project, name, headers)
        assert (answer.status, answer.json) == (200, {"msg": "refreshed 1 warehouse(s)"})
        values.append(project.refresh("app"))
    assert None not in values
    assert values[0] != values[1]
    assert project.refresh("other") is None

    def told() -> bool:
        # A line is written a moment after its answer.
        return [line["delivery_count"] for line in receiver.events("delivery")] == [0, 1]

    eventually(told)


def test_a_batch_of_a_megabyte_is_taken_whole(project: Project, start_receiver: ReceiverFactory) -> None:
    """Every repository in it is refreshed before the 200; twice the limit is refused, and read to its end."""
    repositories = [f"team/app-{number}" for number in range(100)]
    for repository in repositories:
        project.add_warehouse(repository.rpartition("/")[2], image(f"contoso.azurecr.io/{repository}"))
    receiver = start_receiver("--refresh-concurrency=16")
    batch = _batch(repositories, MEGABYTE)
    assert MEGABYTE * 0.99 < len(batch) <= MEGABYTE
    answer = receiver.post(project.path, batch, NOTIFICATION)
    assert answer.status in (200, 202)
    if answer.status == 200:
        assert answer.json == {"msg": "refreshed 100 warehouse(s)"}
        assert None not in project.refreshes().values()
    assert receiver.post(project.path, batch * 3, NOTIFICATION).status == 413


def test_types_with_nothing_to_refresh_are_accepted(
    project: Project, start_receiver: ReceiverFactory
) -> None:
    """A refusal would be final for Event Grid: deletions and legacy charts are ignored with 200."""
    receiver = start_receiver()
    for name in ("event_grid_image_deleted", "event_grid_chart_pushed"):
        answer = _send(receiver, project, name, NOTIFICATION)
        assert answer.status == 200
        assert answer.json["msg"].endswith("is ignored")


def _batch(repositories: list[str], size: int) -> bytes:
    """A batch with pushes to all of these repositories, of nearly ``size`` bytes."""
    (event,) = json.loads(PAYLOADS["event_grid_image_pushed"])
    events: list[Any] = []
    for number, repository in enumerate(repositories):
        one = copy.deepcopy(event)
        one["id"] = f"e-{number}"
        one["data"]["target"]["repository"] = repository
        one["data"]["padding"] = ""
        events.append(one)
    spare = size - len(json.dumps(events)) - 100
    for one in events:
        one["data"]["padding"] = "x" * (spare // len(events))
    return json.dumps(events).encode()
