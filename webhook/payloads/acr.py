"""Azure Container Registry's webhooks: body to event.

https://learn.microsoft.com/azure/container-registry/container-registry-webhook-reference
"""

import msgspec

from webhook.arrival import Subject
from webhook.payloads.event_types import ACR, OTHER, Ignored, Ping, Push
from webhook.payloads.reading import MISSING, Body, given, inner, refs, sender_id, text

ACTIONS = frozenset({"ping", "push", "delete", "chart_push", "chart_delete", "quarantine"})
"""The types of event. ``chart_*`` concern the legacy charts, and carry no host; ``helm push`` is a push."""


class _Target(msgspec.Struct):
    repository: msgspec.Raw = MISSING
    tag: msgspec.Raw = MISSING
    digest: msgspec.Raw = MISSING


class _Request(msgspec.Struct):
    host: msgspec.Raw = MISSING


_target = msgspec.json.Decoder(_Target)
_request = msgspec.json.Decoder(_Request)


def parse(body: Body) -> Ping | Push | Ignored:
    """Read a webhook's body. Raises BadPayload."""
    action = text(body.action, "action")
    event_id = sender_id(body.id)
    if action == "ping":
        return Ping(source=ACR, type=action, sender_id=event_id)
    if action == "push":
        subjects = (pushed(body),)
        return Push(
            source=ACR, type=action, sender_id=event_id, subjects=subjects, refs=refs([version(body)])
        )
    return Ignored(source=ACR, type=action if action in ACTIONS else OTHER, sender_id=event_id)


def pushed(body: Body, prefix: str = "") -> Subject:
    """Return the repository that was pushed to, image or chart (nothing says reliably which).

    Raises BadPayload that names the missing or wrong field, ``prefix`` before it.
    """
    host = text(inner(body.request, _request, f"{prefix}request", "host").host, f"{prefix}request.host")
    target = inner(body.target, _target, f"{prefix}target", "repository")
    return Subject("image", f"{host}/{text(target.repository, f'{prefix}target.repository')}")


def version(body: Body) -> msgspec.Raw:
    """Return the tag of a push whose ``target`` has been read, or its digest where it has no tag."""
    target = inner(body.target, _target, "target", "repository")
    return target.tag if given(target.tag) else target.digest
