"""Azure DevOps' service hooks: body to event.

https://learn.microsoft.com/azure/devops/service-hooks/events
"""

import msgspec

from webhook.arrival import Subject
from webhook.payloads.event_types import AZURE_DEVOPS, OTHER, Ignored, PullRequest, Push
from webhook.payloads.reading import MISSING, BadPayload, Body, given, inner, refs, sender_id, text

PUSH = "git.push"
MERGED = "git.pullrequest.merged"
UPDATED = "git.pullrequest.updated"
ENDED = frozenset({"abandoned", "completed"})
"""The status of a pull request that nobody has to wait for any more."""

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
"""Minimal and None leave out everything that names a repository or a pull request."""
_REFS_BYTES = 64 * 1024
"""The longest list of refs that is read: it is for people, and one longer costs milliseconds."""
MOST_UPDATES = 100
_LONGEST_NUMBER = 18
"""Digits of a pull request's number; it is a 32-bit integer."""


class _Repository(msgspec.Struct, rename="camel"):
    remote_url: msgspec.Raw = MISSING


class _Resource(
    msgspec.Struct,
    rename={"links": "_links", "pull_request_id": "pullRequestId", "ref_updates": "refUpdates"},
):
    repository: msgspec.Raw = MISSING
    status: msgspec.Raw = MISSING
    ref_updates: msgspec.Raw = MISSING
    pull_request_id: msgspec.Raw = MISSING
    links: msgspec.Raw = MISSING


class _Update(msgspec.Struct):
    name: msgspec.Raw = MISSING


class _Links(msgspec.Struct):
    web: msgspec.Raw = MISSING


class _Link(msgspec.Struct):
    href: msgspec.Raw = MISSING


_resource = msgspec.json.Decoder(_Resource)
_repository = msgspec.json.Decoder(_Repository)
_updates = msgspec.json.Decoder(list[msgspec.Raw])
_update = msgspec.json.Decoder(_Update)
_links = msgspec.json.Decoder(_Links)
_link = msgspec.json.Decoder(_Link)


def parse(body: Body) -> Push | PullRequest | Ignored:
    """Read a service hook's body. Raises BadPayload."""
    event_type = text(body.event_type, "eventType")
    event_id = sender_id(body.id, body.notification_id)
    if event_type == PUSH:
        resource = inner(body.resource, _resource, "resource", "repository", "ref_updates")
        subjects = (Subject("git", _remote_url(resource)),)
        return Push(
            source=AZURE_DEVOPS, type=PUSH, sender_id=event_id, subjects=subjects, refs=_refs(resource)
        )
    if event_type == MERGED or (event_type == UPDATED and _ended(body)):
        subjects = (Subject("pull_request", _page(body)),)
        return PullRequest(source=AZURE_DEVOPS, type=event_type, sender_id=event_id, subjects=subjects)
    known = event_type if event_type in TYPES else OTHER
    return Ignored(source=AZURE_DEVOPS, type=known, sender_id=event_id)


def _refs(resource: _Resource) -> tuple[str, ...]:
    """Return the names of the refs that were pushed: none where they can't be read."""
    if len(bytes(resource.ref_updates)) > _REFS_BYTES:
        return ()
    try:
        updates = _updates.decode(resource.ref_updates)
        return refs(inner(update, _update, "refUpdates", "name").name for update in updates[:MOST_UPDATES])
    except (msgspec.DecodeError, BadPayload):
        return ()


def _pull_request(body: Body) -> _Resource:
    return inner(body.resource, _resource, "resource", "repository", "status", "pull_request_id")


def _ended(body: Body) -> bool:
    """Whether an updated pull request was completed or abandoned; False where nothing says so."""
    try:
        return text(_pull_request(body).status, "resource.status").lower() in ENDED
    except BadPayload:
        return False


def _page(body: Body) -> str:
    """Return the URL of a pull request's page: its link, or one made of repository and number.

    Microsoft's own samples have no link.
    """
    resource = _pull_request(body)
    try:
        links = inner(resource.links, _links, "resource._links", "web")
        return text(inner(links.web, _link, "resource._links.web", "href").href, "resource._links.web.href")
    except BadPayload:
        url = _remote_url(resource)
    number = bytes(resource.pull_request_id)
    if not number.isdigit() or len(number) > _LONGEST_NUMBER:
        raise BadPayload("resource.pullRequestId must be a number")
    return f"{url.rstrip('/')}/pullrequest/{number.decode()}"


def _remote_url(resource: _Resource) -> str:
    repository = inner(resource.repository, _repository, "resource.repository", "remote_url")
    if not given(repository.remote_url):
        raise BadPayload(f"resource.repository.remoteUrl is missing: {SAY_ALL}")
    return text(repository.remote_url, "resource.repository.remoteUrl")
