"""What Azure sends, for a registry of the tests."""

from typing import Any

from webhook.payloads import samples
from webhook.payloads.samples import git_push, ping

__all__ = ["REGISTRY", "git_push", "image_push", "ping"]

REGISTRY = "contoso.azurecr.io"


def image_push(repository: str, *, host: str = REGISTRY, tag: str = "1.0") -> dict[str, Any]:
    """ACR's webhook for a pushed image or chart."""
    return samples.image_push(f"{host}/{repository}:{tag}")
