"""What Azure sends, made up: for ``kargo-azure-receiver send``, the demonstration and the tests.

Each function returns the JSON of a body with the fields that Microsoft documents and new ids:
https://learn.microsoft.com/azure/container-registry/container-registry-webhook-reference
https://learn.microsoft.com/azure/devops/service-hooks/events
https://learn.microsoft.com/azure/event-grid/event-schema-container-registry
"""

import datetime
import secrets
import uuid
from typing import Any
from urllib.parse import unquote

from webhook.payloads.azure_devops import MERGED, PUSH, UPDATED
from webhook.payloads.event_grid import IMAGE_PUSHED, VALIDATION

JSON = {"Content-Type": "application/json; charset=utf-8"}
ACR_HEADERS = {**JSON, "User-Agent": "AzureContainerRegistry/1.0"}
ADO_HEADERS = {**JSON, "User-Agent": "VSServices/20.263.37013.1"}
EVENT_GRID_HEADERS = {**JSON, "aeg-event-type": "Notification"}
VALIDATION_HEADERS = {**JSON, "aeg-event-type": "SubscriptionValidation"}
CLOUD_EVENT_HEADERS = {
    "Content-Type": "application/cloudevents+json; charset=utf-8",
    "aeg-event-type": "Notification",
}
ORIGIN_HEADERS = {"WebHook-Request-Origin": "eventgrid.azure.net"}
"""Of the ``OPTIONS`` request that asks whether a URL wants CloudEvents; it has no body."""

_DOCKER = ("application/vnd.docker.distribution.manifest.v2+json", "docker/28.0.1 go/go1.23.6 os/linux")
_HELM = ("application/vnd.oci.image.manifest.v1+json", "Helm/3.17.1")
_NOWHERE = "0" * 40


def ping() -> dict[str, Any]:
    """ACR's button *Ping*."""
    return {"id": _id(), "timestamp": _now(), "action": "ping"}


def image_push(reference: str, *, chart: bool = False) -> dict[str, Any]:
    """ACR's webhook for a pushed image, or for a chart that ``helm push`` brought.

    ``reference`` is ``host/repository``, with ``:tag``, ``@digest`` or both; without a tag it is a push by
    digest, which has none.
    """
    media_type, agent = _HELM if chart else _DOCKER
    name, _, digest = reference.partition("@")
    host, _, path = name.partition("/")
    folder, slash, last = path.rpartition("/")
    last, _, tag = last.partition(":")
    target = {
        "mediaType": media_type,
        "size": 524,
        "digest": digest or f"sha256:{secrets.token_hex(32)}",
        "length": 524,
        "repository": f"{folder}{slash}{last}",
    }
    if tag:
        target["tag"] = tag
    return {
        "id": _id(),
        "timestamp": _now(),
        "action": "push",
        "target": target,
        "request": {"id": _id(), "host": host, "method": "PUT", "useragent": agent},
    }


def git_push(url: str, *refs: str) -> dict[str, Any]:
    """Azure DevOps' *Code pushed*, with *Resource details to send* set to All.

    ``refs`` are names such as ``refs/tags/v1``, or of branches; ``main`` if there are none.
    """
    names = [ref if ref.startswith("refs/") else f"refs/heads/{ref}" for ref in refs or ("main",)]
    repository = _repository(url)
    resource = {
        "refUpdates": [
            {"name": name, "oldObjectId": _NOWHERE, "newObjectId": secrets.token_hex(20)} for name in names
        ],
        "repository": repository,
        "pushedBy": _PERSON,
        "pushId": 14,
        "date": _now(),
        "url": f"{repository['url']}/pushes/14",
    }
    return _service_hook(PUSH, f"Somebody pushed updates to {repository['name']}.", resource)


def pull_request(url: str, status: str = "completed", event: str = "") -> dict[str, Any]:
    """Azure DevOps' *Pull request merged*, or *updated* for any status but ``completed``.

    ``url`` is that of its page, ``{repository}/pullrequest/{number}``; ``event`` is one of the two types
    where the status shall not decide. Raises ValueError for a URL that ends in no number.
    """
    repository, number = url.rstrip("/").rsplit("/pullrequest/", 1)
    resource = {
        "repository": _repository(repository),
        "pullRequestId": int(number),
        "status": status,
        "createdBy": _PERSON,
        "creationDate": _now(),
        "title": "Promote to prod",
        "description": " ",
        "sourceRefName": f"refs/heads/kargo/promotion/{number}",
        "targetRefName": "refs/heads/main",
        "mergeStatus": "succeeded",
        "reviewers": [],
        "_links": {"web": {"href": url}},
    }
    if status != "active":
        resource["closedDate"] = _now()
    kind = event or (MERGED if status == "completed" else UPDATED)
    return _service_hook(kind, f"Somebody changed pull request {number}.", resource)


def event_grid_push(*references: str) -> list[dict[str, Any]]:
    """Event Grid's *Image pushed*, in its own schema: a batch of one event for each reference."""
    return [
        _event(IMAGE_PUSHED, reference.partition("/")[2], image_push(reference), _host(reference))
        for reference in references
    ]


def event_grid_validation(code: str) -> list[dict[str, Any]]:
    """What Event Grid sends before it sends anything else, in its own schema: ``code`` must be answered."""
    return [_event(VALIDATION, "", {"validationCode": code}, "registry")]


def cloud_event_push(reference: str) -> dict[str, Any]:
    """Event Grid's *Image pushed*, as a CloudEvent."""
    return {
        "specversion": "1.0",
        "id": _id(),
        "source": _topic(_host(reference)),
        "subject": reference.partition("/")[2],
        "type": IMAGE_PUSHED,
        "time": _now(),
        "data": image_push(reference),
    }


_PERSON = {"displayName": "Somebody", "id": "00067FFED5C7AF52@Live.com", "uniqueName": "somebody@example.com"}


def _service_hook(event_type: str, text: str, resource: dict[str, Any]) -> dict[str, Any]:
    message = {"text": text, "html": text, "markdown": text}
    return {
        "subscriptionId": _id(),
        "notificationId": 1,
        "id": _id(),
        "eventType": event_type,
        "publisherId": "tfs",
        "message": message,
        "detailedMessage": message,
        "resource": resource,
        "resourceVersion": "1.0",
        "resourceContainers": {kind: {"id": _id()} for kind in ("collection", "account", "project")},
        "createdDate": _now(),
    }


def _repository(url: str) -> dict[str, Any]:
    above, _, name = url.rstrip("/").rpartition("/")
    organization = above.removesuffix("/_git").rpartition("/")[0]
    identity = _id()
    return {
        "id": identity,
        "name": unquote(name),
        "url": f"{organization}/_apis/git/repositories/{identity}",
        "defaultBranch": "refs/heads/main",
        "remoteUrl": url,
    }


def _event(event_type: str, subject: str, data: dict[str, Any], registry: str) -> dict[str, Any]:
    return {
        "id": _id(),
        "topic": _topic(registry),
        "subject": subject,
        "eventType": event_type,
        "eventTime": _now(),
        "data": data,
        "metadataVersion": "1",
        "dataVersion": "1.0",
    }


def _host(reference: str) -> str:
    return reference.partition(".")[0]


def _topic(registry: str) -> str:
    group = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/registries"
    return f"{group}/providers/Microsoft.ContainerRegistry/registries/{registry}"


def _id() -> str:
    return str(uuid.uuid4())


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat().replace("+00:00", "Z")
