"""Azure Container Registry's webhooks: body to event.

https://learn.microsoft.com/azure/container-registry/container-registry-webhook-reference
"""

import msgspec

from webhook.arrival import Subject
from webhook.payloads.event_types import ACR, OTHER, Ignored, Ping, Push
from webhook.payloads.reading import BadPayload, decode, given, inner, sender_id, text

ACTIONS = frozenset({"ping", "push", "delete", "chart_push", "chart_delete", "quarantine"})
"""The types of event. ``chart_*`` concern the legacy charts, and carry no host; ``helm push`` is a push."""

_MISSING = msgspec.Raw()


class _Target(msgspec.Struct):
    repository: msgspec.Raw = _MISSING


class _Request(msgspec.Struct):
    host: msgspec.Raw = _MISSING


class Body(msgspec.Struct):
    """The wanted fields of a webhook's body; Event Grid's ``data`` has the same shape."""

    id: msgspec.Raw = _MISSING
    action: msgspec.Raw = _MISSING
    target: msgspec.Raw = _MISSING
    request: msgspec.Raw = _MISSING

    def pushed(self, prefix: str = "") -> Subject:
        """Return the repository that was pushed to, image or chart (nothing says reliably which).

        Raises BadPayload that names the missing or wrong field, ``prefix`` before it.
        """
        request = inner(self.request, _request, _Request(), f"{prefix}request")
        host = text(request.host, f"{prefix}request.host")
        target = inner(self.target, _target, _Target(), f"{prefix}target")
        repository = text(target.repository, f"{prefix}target.repository")
        return Subject("image", f"{host}/{repository}")


decoder = msgspec.json.Decoder(Body)
_target = msgspec.json.Decoder(_Target)
_request = msgspec.json.Decoder(_Request)


def parse(body: bytes) -> Ping | Push | Ignored:
    """Read a webhook's body. Raises BadPayload."""
    fields = decode(body, decoder, "the body must be an object")
    action = text(fields.action, "action")
    event_id = sender_id(fields.id)
    if action == "ping":
        return Ping(source=ACR, type=action, sender_id=event_id)
    if action == "push":
        return Push(source=ACR, type=action, sender_id=event_id, subjects=(fields.pushed(),))
    return Ignored(source=ACR, type=action if action in ACTIONS else OTHER, sender_id=event_id)


def pushed_if_host(data: msgspec.Raw, prefix: str) -> Subject | None:
    """Return the repository in a body that need not name one, or None."""
    if not given(data):
        return None
    try:
        return decode(data, decoder, f"{prefix} must be an object").pushed(prefix)
    except BadPayload:
        return None
