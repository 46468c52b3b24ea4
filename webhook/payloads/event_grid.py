"""Azure Event Grid's deliveries of Container Registry events: body to event, in both of its schemas.

The Event Grid schema is an array of events with ``eventType``; CloudEvents 1.0 are one event or an array,
with ``specversion`` and ``type``. Every event's ``data`` has the shape of a webhook's body.

https://learn.microsoft.com/azure/event-grid/event-schema-container-registry
https://learn.microsoft.com/azure/event-grid/end-point-validation-event-grid-events-schema
"""

from collections.abc import Sequence

import msgspec

from webhook.arrival import Subject
from webhook.payloads import acr
from webhook.payloads.event_types import EVENT_GRID, OTHER, Handshake, Ignored, Push
from webhook.payloads.reading import (
    MISSING,
    BadPayload,
    Body,
    decode_body,
    given,
    inner,
    refs,
    sender_id,
    text,
)

_REGISTRY = "Microsoft.ContainerRegistry."
IMAGE_PUSHED = _REGISTRY + "ImagePushed"
CHART_PUSHED = _REGISTRY + "ChartPushed"
VALIDATION = "Microsoft.EventGrid.SubscriptionValidationEvent"
DELETION = "Microsoft.EventGrid.SubscriptionDeletedEvent"
TYPES = frozenset(
    {
        IMAGE_PUSHED,
        CHART_PUSHED,
        _REGISTRY + "ImageDeleted",
        _REGISTRY + "ChartDeleted",
        VALIDATION,
        DELETION,
    }
)
"""The types of event. Older deliveries leave out ``Microsoft.ContainerRegistry.``."""

_OF_HEADER = {"subscriptionvalidation": VALIDATION, "subscriptiondeletion": DELETION}
_CODE_CHARACTERS = 1024
"""A validation code is a GUID; it is echoed, so what is longer is refused."""
_MOST_RETRIES = 1000
"""A delivery count is at most 30 (Event Grid's largest number of attempts); what is larger is no count."""

MOST_EVENTS = 1500
"""Events of a batch at the most. Event Grid's largest batch is 1 MB, a registry's event some 700 bytes."""
_REPOSITORY_CHARACTERS = 320
"""A registry's host has up to 64 characters, its repository up to 255, all of them ASCII. Others would cost a
batch a second of the event loop: their normalization goes character by character."""
_MOST_OBJECTS = 10 * MOST_EVENTS
"""JSON objects of a batch at the most, counted before any is built: an event holds six, ``data`` included."""


class _Validation(msgspec.Struct, rename="camel"):
    validation_code: msgspec.Raw = MISSING


_batch = msgspec.json.Decoder(list[Body])
_data = msgspec.json.Decoder(Body)
_validation = msgspec.json.Decoder(_Validation)


def parse_batch(body: bytes, header: str, count: int | None) -> Handshake | Push | Ignored:
    """Read a delivery of several events. Raises BadPayload."""
    objects = body.count(b"{")
    events = (
        decode_body(body, _batch, "each event of the batch must be an object")
        if objects <= _MOST_OBJECTS
        else []
    )
    if objects > _MOST_OBJECTS or len(events) > MOST_EVENTS:
        raise BadPayload(f"the batch holds more than {MOST_EVENTS} events")
    if not events:
        raise BadPayload("the batch of events is empty")
    return parse(events, header, count)


def parse(events: Sequence[Body], header: str, count: int | None) -> Handshake | Push | Ignored:
    """Read the events of a delivery (at least one). Raises BadPayload.

    ``header`` is ``aeg-event-type``, ``count`` the parsed ``aeg-delivery-count``. A batch is refused only if
    no push in it can be read: a refused batch is never sent again, so that one bad event would cost the
    others their refresh.
    """
    event_id = sender_id(events[0].id)
    special = _OF_HEADER.get(header.strip().lower())
    types = [special or _type(event) for event in events]
    if types[0] == VALIDATION:
        code = _code(events[0])
        return Handshake(
            source=EVENT_GRID, type=VALIDATION, sender_id=event_id, delivery_count=count, code=code
        )
    subjects, versions, fault, unreadable = _pushed(types, events)
    if subjects:
        return Push(
            source=EVENT_GRID,
            type=IMAGE_PUSHED if IMAGE_PUSHED in types else CHART_PUSHED,
            sender_id=event_id,
            delivery_count=count,
            subjects=subjects,
            refs=refs(versions),
            unreadable=unreadable,
        )
    if fault is not None:
        raise fault
    known = next((name for name in types if name != OTHER), OTHER)
    return Ignored(source=EVENT_GRID, type=known, sender_id=event_id, delivery_count=count)


def delivery_count(header: str | None) -> int | None:
    """Read ``aeg-delivery-count``: how often this delivery was tried before. None if it is no such number."""
    if header is None or len(header) > len(str(_MOST_RETRIES)) or not (header.isascii() and header.isdigit()):
        return None
    return min(int(header), _MOST_RETRIES)


def _type(event: Body) -> str:
    raw = event.event_type if given(event.event_type) else event.type
    name = text(raw, "eventType (Event Grid) or type (CloudEvents)")
    if name in TYPES:
        return name
    return _REGISTRY + name if _REGISTRY + name in TYPES else OTHER


def _code(event: Body) -> str:
    data = inner(event.data, _validation, "data", "validation_code")
    code = text(data.validation_code, "data.validationCode")
    if len(code) > _CODE_CHARACTERS:
        raise BadPayload("data.validationCode is too long")
    return code


def _pushed(
    types: list[str], events: Sequence[Body]
) -> tuple[tuple[Subject, ...], list[msgspec.Raw], BadPayload | None, int]:
    """Return the distinct repositories pushed to, the tags, the first fault met, and the number of faults."""
    versions = []
    subjects: dict[Subject, None] = {}
    fault, faults = None, 0
    for name, event in zip(types, events, strict=True):
        if name not in (IMAGE_PUSHED, CHART_PUSHED):
            continue
        try:
            data = inner(event.data, _data, "data", "request", "target")
            subject = acr.pushed(data, "data.")
            if len(subject.url) > _REPOSITORY_CHARACTERS or not subject.url.isascii():
                raise BadPayload("data.request.host and data.target.repository name no registry's repository")
            subjects[subject] = None
            versions.append(acr.version(data))
        except BadPayload as error:
            if name == IMAGE_PUSHED and not _without_host(event):
                fault, faults = fault or error, faults + 1
    return tuple(subjects), versions, fault, faults


def _without_host(event: Body) -> bool:
    """Whether a push is a connected registry's, which names the registry nowhere."""
    try:
        data = inner(event.data, _data, "data", "request")
    except BadPayload:
        return False
    return given(data.connected_registry) and not given(data.request)
