"""What Azure sends, as small as the shapes allow."""

from typing import Any

REGISTRY = "contoso.azurecr.io"


def image_push(repository: str, *, host: str = REGISTRY, tag: str = "1.0") -> dict[str, Any]:
    """ACR's webhook for a pushed image or chart."""
    return {
        "id": "7d1b4a2c-0001-4f53-9d2e-000000000001",
        "timestamp": "2026-08-01T10:00:00.000000000Z",
        "action": "push",
        "target": {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "size": 524,
            "digest": "sha256:" + "0" * 64,
            "repository": repository,
            "tag": tag,
        },
        "request": {
            "id": "7d1b4a2c-0001-4f53-9d2e-000000000002",
            "host": host,
            "method": "PUT",
            "useragent": "docker/27.0",
        },
    }


def ping() -> dict[str, Any]:
    """ACR's ping."""
    return {
        "id": "7d1b4a2c-0001-4f53-9d2e-000000000003",
        "timestamp": "2026-08-01T10:00:00Z",
        "action": "ping",
    }


def git_push(url: str) -> dict[str, Any]:
    """Azure DevOps' service hook for pushed code."""
    return {
        "subscriptionId": "7d1b4a2c-0001-4f53-9d2e-000000000004",
        "notificationId": 1,
        "id": "7d1b4a2c-0001-4f53-9d2e-000000000005",
        "eventType": "git.push",
        "resource": {"repository": {"remoteUrl": url}, "refUpdates": [{"name": "refs/heads/main"}]},
        "resourceVersion": "1.0",
    }
