"""Event Grid's deliveries: both schemas, batches, and the notices about the subscription itself."""

import json
from typing import Any

import pytest

from tests.strategies import PAYLOADS
from webhook.arrival import Subject
from webhook.payloads.event_grid import delivery_count
from webhook.payloads.event_types import Event, Handshake, Ignored, Push
from webhook.payloads.parse import parse as parse_any
from webhook.payloads.reading import BadPayload


def parse(body: bytes, header: str = "", count: int | None = None) -> Event:
    return parse_any("application/json", header, body, None if count is None else str(count))


HELLO = Subject("image", "contoso.azurecr.io/team/hello-world")


@pytest.mark.parametrize(
    "name",
    [
        "event_grid_image_pushed",
        "event_grid_image_pushed_old",
        "cloud_event_image_pushed",
        "cloud_events_batch",
    ],
)
def test_a_push_names_its_repository(name: str) -> None:
    """An image push is the webhook's push in any of the envelopes."""
    event = parse(PAYLOADS[name], "Notification", 0)
    assert isinstance(event, Push)
    assert event.subjects == (HELLO,)
    assert event.type == "Microsoft.ContainerRegistry.ImagePushed"
    assert event.sender_id == "831e1650-001e-001b-66ab-eeb76e069631"


def test_a_batch_is_all_of_its_pushes() -> None:
    """A mixed batch names each repository once; what is no push is left out."""
    event = parse(PAYLOADS["event_grid_batch"], "Notification", 3)
    assert isinstance(event, Push)
    assert event.subjects == (HELLO, Subject("image", "contoso.azurecr.io/helm/app"))
    assert event.delivery_count == 3
    assert event.unreadable == 0


def test_one_bad_event_does_not_cost_the_others_their_refresh() -> None:
    """A refused batch is never sent again, so the readable pushes of a batch count."""
    batch = json.loads(PAYLOADS["event_grid_batch"])
    del batch[3]["data"]["request"]
    event = parse(json.dumps(batch).encode(), "", None)
    assert isinstance(event, Push)
    assert event.subjects == (HELLO,)
    assert event.unreadable == 1


@pytest.mark.parametrize(
    "repository",
    [pytest.param("a" * 321, id="long"), pytest.param("\u200b" * 100, id="not ASCII")],
)
def test_what_no_registry_has_costs_a_batch_nothing(repository: str) -> None:
    """Its normalization would take a second of the event loop for a whole batch; the others count."""
    batch = json.loads(PAYLOADS["event_grid_batch"])
    batch[3]["data"]["target"]["repository"] = repository
    event = parse(json.dumps(batch).encode(), "", None)
    assert isinstance(event, Push)
    assert event.subjects == (HELLO,)
    assert event.unreadable == 1


@pytest.mark.parametrize("key", ["connectedRegistry", "connectedregistry"])
def test_a_connected_registrys_push_has_nothing_to_refresh(key: str) -> None:
    """It names no host; alone it is ignored, and in a batch it does not make the others wait or a warning."""
    batch = json.loads(PAYLOADS["event_grid_batch"])
    alone = json.loads(PAYLOADS["event_grid_image_pushed"])
    for event in (batch[3], alone[0]):
        del event["data"]["request"]
        event["data"][key] = {"name": "edge1"}
    parsed = parse(json.dumps(alone).encode(), "Notification", 0)
    assert isinstance(parsed, Ignored)
    assert parsed.type == "Microsoft.ContainerRegistry.ImagePushed"
    mixed = parse(json.dumps(batch).encode())
    assert isinstance(mixed, Push)
    assert (mixed.subjects, mixed.unreadable) == ((HELLO,), 0)


def test_a_connected_registrys_push_with_a_host_is_a_push() -> None:
    """Where the host is there, the registry is known."""
    batch = json.loads(PAYLOADS["event_grid_image_pushed"])
    batch[0]["data"]["connectedRegistry"] = {"name": "edge1"}
    event = parse(json.dumps(batch).encode())
    assert isinstance(event, Push)
    assert event.subjects == (HELLO,)


@pytest.mark.parametrize(
    ("count", "refused"), [pytest.param(1500, False, id="at"), pytest.param(1501, True, id="past")]
)
def test_a_batch_is_bounded(count: int, refused: bool) -> None:
    """More events than Event Grid can put into a delivery are refused, before any is looked at."""
    body = b"[" + b",".join([b'{"type":"x","data":{"a":{},"b":{}}}'] * count) + b"]"
    if refused:
        with pytest.raises(BadPayload, match=r"^the batch holds more than 1500 events$"):
            parse(body)
    else:
        assert isinstance(parse(body), Ignored)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(None, "data.request.host is missing", id="no data"),
        pytest.param([], "data must be an object", id="data of another type"),
        pytest.param(
            {"request": {"host": "r.azurecr.io"}}, "data.target.repository is missing", id="no target"
        ),
        pytest.param({"target": {"repository": "x"}}, "data.request.host is missing", id="no host"),
        pytest.param({"request": {"host": 1}}, "data.request.host must be a string", id="host"),
    ],
)
def test_a_push_that_names_no_repository_is_refused(data: Any, says: str) -> None:
    """With no push that can be read, the refusal names the field to look at."""
    batch = json.loads(PAYLOADS["event_grid_image_pushed"])
    batch[0]["data"] = data
    with pytest.raises(BadPayload, match=f"^{says}$"):
        parse(json.dumps(batch).encode(), "Notification", 0)


def test_a_chart_push_needs_a_host() -> None:
    """A legacy chart's push carries none and is ignored; with one it refreshes."""
    event = parse(PAYLOADS["event_grid_chart_pushed"], "Notification", 0)
    assert isinstance(event, Ignored)
    assert event.type == "Microsoft.ContainerRegistry.ChartPushed"
    batch = json.loads(PAYLOADS["event_grid_chart_pushed"])
    batch[0]["data"]["request"] = {"host": "contoso.azurecr.io"}
    event = parse(json.dumps(batch).encode(), "Notification", 0)
    assert isinstance(event, Push)
    assert event.subjects == (Subject("image", "contoso.azurecr.io/repo"),)


@pytest.mark.parametrize("header", ["SubscriptionValidation", "subscriptionvalidation", "", "Notification"])
def test_a_validation_returns_its_code(header: str) -> None:
    """The handshake is told by the header or by the event's type."""
    event = parse(PAYLOADS["event_grid_validation"], header, None)
    assert isinstance(event, Handshake)
    assert event.code == "512d38b6-c7b8-40c8-89fe-f46f9e9622b6"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(None, "data.validationCode is missing", id="no data"),
        pytest.param({}, "data.validationCode is missing", id="no code"),
        pytest.param(
            {"validationCode": 5}, "data.validationCode must be a string", id="code of another type"
        ),
        pytest.param({"validationCode": "x" * 1025}, "data.validationCode is too long", id="long code"),
    ],
)
def test_a_validation_without_a_code_is_refused(data: Any, says: str) -> None:
    """There is nothing to answer then."""
    batch = json.loads(PAYLOADS["event_grid_validation"])
    batch[0]["data"] = data
    with pytest.raises(BadPayload, match=f"^{says}$"):
        parse(json.dumps(batch).encode(), "SubscriptionValidation", None)


@pytest.mark.parametrize("header", ["SubscriptionDeletion", ""])
def test_a_deletion_notice_is_ignored(header: str) -> None:
    """The subscription is gone: nothing to refresh."""
    event = parse(PAYLOADS["event_grid_deletion"], header, None)
    assert isinstance(event, Ignored)
    assert event.known


def test_other_events_have_nothing_to_refresh() -> None:
    """A deleted image is known and ignored; an event of another service is ignored and not named."""
    deleted = parse(PAYLOADS["event_grid_image_deleted"], "Notification", 0)
    assert isinstance(deleted, Ignored)
    assert deleted.type == "Microsoft.ContainerRegistry.ImageDeleted"
    foreign = parse(b'[{"eventType":"Microsoft.Storage.BlobCreated","data":{}}]', "Notification", 0)
    assert isinstance(foreign, Ignored)
    assert foreign.type == "other"


@pytest.mark.parametrize(
    ("header", "count"),
    [
        pytest.param("0", 0, id="first"),
        pytest.param("12", 12, id="later"),
        pytest.param(None, None, id="none"),
        pytest.param("", None, id="empty"),
        pytest.param("-1", None, id="negative"),
        pytest.param("1.5", None, id="fraction"),
        pytest.param("²", None, id="another digit"),
        pytest.param("9999", 1000, id="more than there can be"),
        pytest.param("9" * 10_000, None, id="huge"),
    ],
)
def test_the_delivery_count_is_read_or_left_out(header: str | None, count: int | None) -> None:
    """A header that is no small number never does harm."""
    assert delivery_count(header) == count
    assert parse_any("", None, PAYLOADS["event_grid_image_pushed"], header).delivery_count == count
