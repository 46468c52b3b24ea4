"""What users and other controllers see of a ProjectConfig or the ClusterConfig: URLs, condition, Events."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from e2e import kargo
from e2e.controlplane import ControlPlane
from e2e.controlplane.api import Api, RequestError
from e2e.kargo.project import API_VERSION, Project, webhook_path

CONDITION = "AzureReceiversReady"


def azure(name: str, secret: str | None = None) -> dict[str, Any]:
    """An Azure receiver in spec; its Secret is ``{name}-secret`` unless given."""
    return {"name": name, "azure": {"secretRef": {"name": secret or f"{name}-secret"}}}


def github(name: str) -> dict[str, Any]:
    """A receiver of a type that is not ours."""
    return {"name": name, "github": {"secretRef": {"name": f"{name}-secret"}}}


def entries(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """``status.webhookReceivers``; empty if missing."""
    return list(config.get("status", {}).get("webhookReceivers") or [])


def url_of(config: Mapping[str, Any], receiver: str) -> str | None:
    """The URL in status of one receiver, None without."""
    return next((entry.get("url") for entry in entries(config) if entry.get("name") == receiver), None)


def condition(config: Mapping[str, Any], name: str = CONDITION) -> dict[str, Any]:
    """One condition in status; empty if it is not there."""
    found = [each for each in config.get("status", {}).get("conditions") or [] if each["type"] == name]
    assert len(found) <= 1
    return dict(found[0]) if found else {}


def events(plane: ControlPlane, namespace: str, reason: str) -> list[dict[str, Any]]:
    """The Kubernetes Events of one reason in a namespace."""
    items = plane.api.get(f"/api/v1/namespaces/{namespace}/events")["items"]
    return [item for item in items if item["reason"] == reason]


def admin_api(plane: ControlPlane) -> Api:
    """Another connection as the administrator, for use in another thread."""
    user = json.loads(plane.kubeconfig.read_text("utf-8"))["users"][0]["user"]
    return Api(plane.port, plane.ca, str(user["token"]))


class ClusterSite:
    """The ClusterConfig with one Azure receiver, as ``Project`` is for a ProjectConfig."""

    name = "cluster"
    receiver = "azure"
    secret_name = "cluster-azure-secret"
    _secrets = f"/api/v1/namespaces/{kargo.SYSTEM_RESOURCES_NAMESPACE}/secrets"
    _configs = f"{kargo.API}/clusterconfigs"

    def __init__(self, plane: ControlPlane, secret: str = "s3cret-of-the-cluster") -> None:
        self.plane = plane
        self.secret = secret

    @property
    def path(self) -> str:
        """The webhook's path."""
        return webhook_path("", self.receiver, self.secret)

    def put_secret(self, data: Mapping[str, str]) -> None:
        """Create the receiver's Secret."""
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        self.plane.api.create(self._secrets, {"metadata": {"name": self.secret_name}, "data": encoded})

    def put_receivers(self, receivers: list[dict[str, Any]]) -> None:
        """Create the ClusterConfig."""
        spec = {"webhookReceivers": receivers}
        body = {"apiVersion": API_VERSION, "kind": "ClusterConfig", "metadata": {"name": self.name}}
        self.plane.api.create(self._configs, {**body, "spec": spec})

    def config(self) -> Any:
        """The ClusterConfig as it is in the API server."""
        return self.plane.api.get(f"{self._configs}/{self.name}")

    def remove(self) -> None:
        """Delete both, if they are there."""
        for path in (f"{self._configs}/{self.name}", f"{self._secrets}/{self.secret_name}"):
            try:
                self.plane.api.delete(path)
            except RequestError as error:
                if error.status != 404:
                    raise


Site = Project | ClusterSite
