"""Payloads as Azure Container Registry, Azure DevOps and Event Grid send them, for made-up repositories."""

import datetime
import uuid
from typing import Any

REGISTRY = "kargodemo.azurecr.io"
REPOSITORY = "https://dev.azure.com/kargo-demo/shop/_git/manifests"

PULL_REQUESTS = f"{REPOSITORY}/pullrequest"

IMAGE = "application/vnd.docker.distribution.manifest.v2+json"
OCI = "application/vnd.oci.image.manifest.v1+json"
"""Which `helm push` sends too."""

_TOPIC = (
    "/subscriptions/9b1f4a52-3c1d-4f0e-8a57-2f6d0c7e1b34/resourceGroups/kargo-demo"
    "/providers/Microsoft.ContainerRegistry/registries/kargodemo"
)


def ping() -> dict[str, Any]:
    """What ACR's button *Ping* sends."""
    return {"id": str(uuid.uuid4()), "timestamp": _now(), "action": "ping"}


def acr_push(repository: str, tag: str, media_type: str = IMAGE, *, host: str = REGISTRY) -> dict[str, Any]:
    """What ACR sends when an image or a chart was pushed to the registry, or to a regional endpoint of it."""
    return {
        "id": str(uuid.uuid4()),
        "timestamp": _now(),
        "action": "push",
        "target": {
            "mediaType": media_type,
            "size": 1024,
            "digest": f"sha256:{'0' * 63}1",
            "length": 1024,
            "repository": repository,
            "tag": tag,
        },
        "request": {"id": str(uuid.uuid4()), "host": host, "method": "PUT", "useragent": "docker/28.0"},
    }


def ado_push(url: str, branch: str) -> dict[str, Any]:
    """What ADO sends for *Code pushed*, with *Resource details to send* set to All."""
    resource = {
        "refUpdates": [{"name": f"refs/heads/{branch}", "oldObjectId": "0" * 40, "newObjectId": "1" * 40}],
        "repository": _repository(url, branch),
        "pushId": 1,
        "date": _now(),
    }
    return _service_hook("git.push", resource)


def pull_request(number: int, *, status: str) -> dict[str, Any]:
    """What ADO sends when a pull request of the sample repository is ``completed`` or ``abandoned``.

    These are its events *Pull request merged* and *Pull request updated*.
    """
    resource = {
        "repository": _repository(REPOSITORY, "main"),
        "pullRequestId": number,
        "status": status,
        "creationDate": _now(),
        "closedDate": _now(),
        "title": "Promote to prod",
        "sourceRefName": f"refs/heads/kargo/promotion/{number}",
        "targetRefName": "refs/heads/main",
        "mergeStatus": "succeeded",
        "_links": {"web": {"href": f"{PULL_REQUESTS}/{number}"}},
    }
    kind = "git.pullrequest.merged" if status == "completed" else "git.pullrequest.updated"
    return _service_hook(kind, resource)


def event_grid_validation(code: str) -> list[dict[str, Any]]:
    """What Event Grid sends before it sends anything else, in its own schema."""
    return [
        {
            "id": str(uuid.uuid4()),
            "topic": _TOPIC,
            "subject": "",
            "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
            "eventTime": _now(),
            "data": {"validationCode": code},
            "metadataVersion": "1",
            "dataVersion": "1",
        }
    ]


def event_grid_push(repository: str, tag: str) -> list[dict[str, Any]]:
    """What Event Grid sends for *Image pushed*, in its own schema."""
    return [
        {
            "id": str(uuid.uuid4()),
            "topic": _TOPIC,
            "subject": f"{repository}:{tag}",
            "eventType": "Microsoft.ContainerRegistry.ImagePushed",
            "eventTime": _now(),
            "data": acr_push(repository, tag),
            "metadataVersion": "1",
            "dataVersion": "1.0",
        }
    ]


def cloud_event_push(repository: str, tag: str) -> dict[str, Any]:
    """What Event Grid sends for *Image pushed*, as a CloudEvent."""
    return {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": _TOPIC,
        "subject": f"{repository}:{tag}",
        "type": "Microsoft.ContainerRegistry.ImagePushed",
        "time": _now(),
        "data": acr_push(repository, tag),
    }


def _service_hook(event_type: str, resource: dict[str, Any]) -> dict[str, Any]:
    return {
        "subscriptionId": str(uuid.uuid4()),
        "notificationId": 1,
        "id": str(uuid.uuid4()),
        "eventType": event_type,
        "publisherId": "tfs",
        "resource": resource,
        "resourceVersion": "1.0",
        "createdDate": _now(),
    }


def _repository(url: str, branch: str) -> dict[str, Any]:
    name = url.rpartition("/")[2]
    return {
        "id": str(uuid.uuid4()),
        "name": name,
        "url": f"https://dev.azure.com/kargo-demo/_apis/git/repositories/{name}",
        "defaultBranch": f"refs/heads/{branch}",
        "remoteUrl": url,
    }


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat().replace("+00:00", "Z")
