"""What a payload means: finds out which sender a body is from, by its shape, and has it read.

Neither ACR nor Azure DevOps documents its ``User-Agent``, and a registry's webhook may set any
``Content-Type``, so the body decides.
"""

import msgspec

from webhook.payloads import acr, azure_devops, event_grid
from webhook.payloads.event_types import (
    ACR,
    AZURE_DEVOPS,
    EVENT_GRID,
    OTHER,
    SOURCES,
    Event,
    Handshake,
    Ignored,
    Ping,
    PullRequest,
    Push,
)
from webhook.payloads.reading import BadPayload, decode, given, readable

__all__ = [
    "ACR",
    "AZURE_DEVOPS",
    "EVENT_GRID",
    "OTHER",
    "SOURCES",
    "TYPES",
    "BadPayload",
    "Event",
    "Handshake",
    "Ignored",
    "Ping",
    "PullRequest",
    "Push",
    "parse",
]

TYPES = {
    ACR: acr.ACTIONS,
    AZURE_DEVOPS: azure_devops.TYPES,
    EVENT_GRID: event_grid.TYPES,
}
"""The known types of each source: with ``other``, all values of ``type``."""

_CLOUD_EVENTS = "application/cloudevents"
_NO_SENDER = "the body is no event of Azure Container Registry, Azure DevOps or Event Grid"
_MISSING = msgspec.Raw()


class _Shape(msgspec.Struct, rename="camel"):
    action: msgspec.Raw = _MISSING
    event_type: msgspec.Raw = _MISSING
    resource: msgspec.Raw = _MISSING
    subscription_id: msgspec.Raw = _MISSING
    specversion: msgspec.Raw = _MISSING
    topic: msgspec.Raw = _MISSING
    data: msgspec.Raw = _MISSING


_shape = msgspec.json.Decoder(_Shape)


def parse(
    content_type: str, aeg_event_type: str | None, body: bytes, aeg_delivery_count: str | None = None
) -> Event:
    """Return what a delivery means.

    The ``aeg_*`` arguments are Event Grid's headers of these names. Raises BadPayload, and nothing else, for
    a body that is no sender's or lacks what is needed; its message can be shown to the sender.
    """
    body = readable(body)
    header = aeg_event_type or ""
    if body.lstrip(b" \t\r\n").startswith(b"["):
        return event_grid.parse(body, header, event_grid.delivery_count(aeg_delivery_count))
    shape = decode(body, _shape, _NO_SENDER)
    if given(shape.action):
        return acr.parse(body)
    if _is_event_grid(shape, content_type, header):
        return event_grid.parse(body, header, event_grid.delivery_count(aeg_delivery_count))
    if given(shape.event_type):
        return azure_devops.parse(body)
    raise BadPayload(_NO_SENDER)


def _is_event_grid(shape: _Shape, content_type: str, header: str) -> bool:
    """Whether a lone object is a CloudEvent, or one event in the Event Grid schema."""
    if given(shape.specversion) or header or content_type.lower().lstrip().startswith(_CLOUD_EVENTS):
        return True
    from_azure_devops = given(shape.resource) or given(shape.subscription_id)
    return given(shape.event_type) and not from_azure_devops and (given(shape.topic) or given(shape.data))
