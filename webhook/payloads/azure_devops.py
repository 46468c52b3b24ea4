"""Azure DevOps' service hooks: body to event.

https://learn.microsoft.com/azure/devops/service-hooks/events
"""

import msgspec

from webhook.arrival import Subject
from webhook.payloads.event_types import AZURE_DEVOPS, OTHER, Ignored, PullRequest, Push
from webhook.payloads.reading import BadPayload, decode, given, inner, sender_id, text

PUSH = "git.push"
MERGED = "git.pullrequest.merged"
UPDATED = "git.pullrequest.updated"
ENDED = frozenset({"abandoned", "completed"})
"""The status of a pull request that nobody need wait for any more."""

TYPES = frozenset(
    {
        PUSH,
        MERGED,
        UPDATED,
        "git.pullrequest.created",
        "git.pullrequest.approved",
        "ms.vss-code.git-pullrequest-comment-event",
        "git.repo.created",
        "git.repo.deleted",
        "git.repo.forked",
        "git.repo.renamed",
        "git.repo.statuschanged",
        "tfvc.checkin",
        "build.complete",
        "ms.vss-pipelines.run-state-changed-event",
        "ms.vss-pipelines.stage-state-changed-event",
        "ms.vss-pipelines.job-state-changed-event",
        "ms.vss-release.release-created-event",
        "ms.vss-release.deployment-completed-event",
        "workitem.created",
        "workitem.updated",
        "workitem.commented",
        "workitem.deleted",
        "workitem.restored",
    }
)
"""The types of event that are named in answers and metrics."""

SAY_ALL = 'choose "All" for "Resource details to send" in the subscription'
"""Minimal and None leave out everything by which a repository or a pull request could be told."""

_MISSING = msgspec.Raw()


class _Body(msgspec.Struct, rename="camel"):
    id: msgspec.Raw = _MISSING
    notification_id: msgspec.Raw = _MISSING
    event_type: msgspec.Raw = _MISSING
    resource: msgspec.Raw = _MISSING


class _Repository(msgspec.Struct, rename="camel"):
    remote_url: msgspec.Raw = _MISSING


class _Resource(msgspec.Struct, rename={"links": "_links"}):
    repository: msgspec.Raw = _MISSING
    status: msgspec.Raw = _MISSING
    links: msgspec.Raw = _MISSING


class _Links(msgspec.Struct):
    web: msgspec.Raw = _MISSING


class _Link(msgspec.Struct):
    href: msgspec.Raw = _MISSING


_body = msgspec.json.Decoder(_Body)
_resource = msgspec.json.Decoder(_Resource)
_repository = msgspec.json.Decoder(_Repository)
_links = msgspec.json.Decoder(_Links)
_link = msgspec.json.Decoder(_Link)


def parse(body: bytes) -> Push | PullRequest | Ignored:
    """Read a service hook's body. Raises BadPayload."""
    fields = decode(body, _body, "the body must be an object")
    event_type = text(fields.event_type, "eventType")
    event_id = sender_id(fields.id, fields.notification_id)
    if event_type in (PUSH, MERGED, UPDATED):
        resource = inner(fields.resource, _resource, _Resource(), "resource")
        if event_type == PUSH:
            subjects = (Subject("git", _remote_url(resource)),)
            return Push(source=AZURE_DEVOPS, type=PUSH, sender_id=event_id, subjects=subjects)
        if event_type == MERGED or _status(resource) in ENDED:
            subjects = (Subject("pull_request", _page(resource)),)
            return PullRequest(source=AZURE_DEVOPS, type=event_type, sender_id=event_id, subjects=subjects)
    known = event_type if event_type in TYPES else OTHER
    return Ignored(source=AZURE_DEVOPS, type=known, sender_id=event_id)


def _remote_url(resource: _Resource) -> str:
    repository = inner(resource.repository, _repository, _Repository(), "resource.repository")
    return _detail(repository.remote_url, "resource.repository.remoteUrl")


def _status(resource: _Resource) -> str:
    return _detail(resource.status, "resource.status").lower()


def _page(resource: _Resource) -> str:
    links = inner(resource.links, _links, _Links(), "resource._links")
    web = inner(links.web, _link, _Link(), "resource._links.web")
    return _detail(web.href, "resource._links.web.href")


def _detail(raw: msgspec.Raw, field: str) -> str:
    if not given(raw):
        raise BadPayload(f"{field} is missing: {SAY_ALL}")
    return text(raw, field)
