"""Payloads as Azure Container Registry and Azure DevOps send them, for made-up repositories."""

import datetime
import uuid
from typing import Any, NamedTuple

REGISTRY = "kargodemo.azurecr.io"
REPOSITORY = "https://dev.azure.com/kargo-demo/shop/_git/manifests"

# What the senders call themselves; a hint only, since neither documents it.
_ACR = "AzureContainerRegistry/1.0"
_ADO = "VSServices/20.263.37013.1"

_IMAGE = "application/vnd.docker.distribution.manifest.v2+json"
_OCI = "application/vnd.oci.image.manifest.v1+json"  # which `helm push` sends too


class Event(NamedTuple):
    """One delivery: what to call it, who sends it, its body, and which sample Warehouses it must refresh."""

    title: str
    about: str
    user_agent: str
    body: dict[str, Any]
    refreshes: frozenset[str]


def sample_events() -> list[Event]:
    """The events of the demonstration, in order."""
    return [
        Event("ACR ping", "the button Ping", _ACR, ping(), frozenset()),
        Event(
            "ACR push",
            f"docker push {REGISTRY}/guestbook:v1.2.3",
            _ACR,
            acr_push("guestbook", "v1.2.3", _IMAGE),
            frozenset({"guestbook", "storefront"}),
        ),
        Event(
            "Helm push",
            f"helm push storefront-0.4.0.tgz oci://{REGISTRY}/charts",
            _ACR,
            acr_push("charts/storefront", "0.4.0", _OCI),
            frozenset({"storefront"}),
        ),
        Event(
            "ADO push",
            f"git push {REPOSITORY} main",
            _ADO,
            ado_push(REPOSITORY, "main"),
            frozenset({"manifests-https", "manifests-ssh"}),
        ),
    ]


def ping() -> dict[str, Any]:
    """What ACR's button *Ping* sends."""
    return {"id": str(uuid.uuid4()), "timestamp": _now(), "action": "ping"}


def acr_push(repository: str, tag: str, media_type: str = _IMAGE) -> dict[str, Any]:
    """What ACR sends when an image or a chart was pushed."""
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
        "request": {"id": str(uuid.uuid4()), "host": REGISTRY, "method": "PUT", "useragent": "docker/28.0"},
    }


def ado_push(url: str, branch: str) -> dict[str, Any]:
    """What ADO sends for *Code pushed*, with *Resource details to send* set to All."""
    name = url.rpartition("/")[2]
    return {
        "subscriptionId": str(uuid.uuid4()),
        "notificationId": 1,
        "id": str(uuid.uuid4()),
        "eventType": "git.push",
        "publisherId": "tfs",
        "resource": {
            "refUpdates": [
                {"name": f"refs/heads/{branch}", "oldObjectId": "0" * 40, "newObjectId": "1" * 40}
            ],
            "repository": {
                "id": str(uuid.uuid4()),
                "name": name,
                "url": f"https://dev.azure.com/kargo-demo/_apis/git/repositories/{name}",
                "defaultBranch": f"refs/heads/{branch}",
                "remoteUrl": url,
            },
            "pushId": 1,
            "date": _now(),
        },
        "resourceVersion": "1.0",
        "createdDate": _now(),
    }


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat().replace("+00:00", "Z")
