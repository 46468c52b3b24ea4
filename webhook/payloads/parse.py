"""What a payload means: finds out which sender a body is from, by its shape, and has it read.

Neither ACR nor Azure DevOps documents its ``User-Agent``, and a registry's webhook may set any
``Content-Type``, so the body decides; the ``User-Agent`` does where a body has the fields of two senders.
"""

import msgspec

from webhook.payloads import acr, azure_devops, event_grid
from webhook.payloads.event_types import ACR, AZURE_DEVOPS, EVENT_GRID, Event
from webhook.payloads.reading import BadPayload, Body, decode_body, folded, given

_CLOUD_EVENTS = "application/cloudevents"
_NO_SENDER = "the body is no event of Azure Container Registry, Azure DevOps or Event Grid"
_ACR_AGENT, _AZURE_DEVOPS_AGENT = "AzureContainerRegistry", "VSServices"
"""What the senders' User-Agents begin with; Kargo's own server goes by them."""
_PING = b'"ping"'

_body = msgspec.json.Decoder(Body)


def parse(
    content_type: str,
    aeg_event_type: str | None,
    body: bytes,
    aeg_delivery_count: str | None = None,
    user_agent: str = "",
) -> Event:
    """Return what a delivery means.

    The ``aeg_*`` arguments are Event Grid's headers of these names. Raises BadPayload, and nothing else, for
    a body that is no sender's or lacks what is needed; its message can be shown to the sender.
    """
    count = event_grid.delivery_count(aeg_delivery_count)
    header = aeg_event_type or ""
    if body.lstrip(b" \t\r\n").startswith(b"["):
        return event_grid.parse_batch(body, header, count)
    fields = decode_body(body, _body, _NO_SENDER)
    if not _complete(fields):
        fields = folded(body, _body, fields)
    cloud_event = content_type.lower().lstrip().startswith(_CLOUD_EVENTS) or given(fields.specversion)
    sender = _sender(fields, user_agent, from_event_grid=bool(header) or cloud_event)
    if sender == ACR:
        return acr.parse(fields)
    if sender == AZURE_DEVOPS:
        return azure_devops.parse(fields)
    if sender == EVENT_GRID:
        return event_grid.parse([fields], header, count)
    raise BadPayload(_NO_SENDER)


def _complete(fields: Body) -> bool:
    """Whether a sender's usual fields are there; if not, they may be there in another case."""
    if given(fields.action):
        return bytes(fields.action) == _PING or (given(fields.target) and given(fields.request))
    return (given(fields.event_type) or given(fields.type)) and (given(fields.resource) or given(fields.data))


def _sender(fields: Body, user_agent: str, *, from_event_grid: bool) -> str | None:
    """Return whose event it is: by its fields, and where it has those of several, by its User-Agent.

    ``from_event_grid`` is whether anything around the body says so; a registry's webhook may set any header.
    """
    azure_devops_shaped = given(fields.event_type) and (
        given(fields.resource) or given(fields.subscription_id)
    )
    if user_agent.startswith(_AZURE_DEVOPS_AGENT) and given(fields.event_type):
        return AZURE_DEVOPS
    if given(fields.action):
        if user_agent.startswith(_ACR_AGENT) or not azure_devops_shaped:
            return ACR
        if given(fields.target) or bytes(fields.action) == _PING:
            return ACR
    if azure_devops_shaped:
        return AZURE_DEVOPS
    if from_event_grid or (given(fields.event_type) and (given(fields.topic) or given(fields.data))):
        return EVENT_GRID
    return AZURE_DEVOPS if given(fields.event_type) else None
