"""What Azure sends, for a made-up registry and repository."""

from typing import Any

from webhook.payloads import samples
from webhook.payloads.samples import ping

__all__ = ["PULL_REQUESTS", "REGISTRY", "REPOSITORY", "acr_push", "ado_push", "ping"]

REGISTRY = "kargodemo.azurecr.io"
REPOSITORY = "https://dev.azure.com/kargo-demo/shop/_git/manifests"
PULL_REQUESTS = f"{REPOSITORY}/pullrequest"


def acr_push(repository: str, tag: str) -> dict[str, Any]:
    """What ACR sends when an image was pushed to the registry."""
    return samples.image_push(f"{REGISTRY}/{repository}:{tag}")


ado_push = samples.git_push
