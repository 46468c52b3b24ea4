"""One Project as a user makes it: namespace, Secret, ProjectConfig and Warehouses, with plain requests."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from e2e import kargo
from e2e.controlplane import ControlPlane
from e2e.controlplane.api import RequestError

REFRESH_ANNOTATION = "kargo.akuity.io/refresh"
API_VERSION = "kargo.akuity.io/v1alpha1"
REPLACE_TRIES = 5


def image(url: object) -> dict[str, object]:
    """A subscription to an image repository."""
    return {"image": {"repoURL": url}}


def chart(url: object) -> dict[str, object]:
    """A subscription to a chart repository."""
    return {"chart": {"repoURL": url}}


def git(url: object) -> dict[str, object]:
    """A subscription to a Git repository."""
    return {"git": {"repoURL": url}}


def webhook_path(project: str, receiver: str, secret: str) -> str:
    """The path that Kargo computes for an Azure receiver; ``project`` is empty for ClusterConfig."""
    return f"/azure/{hashlib.sha256(f'{project}{receiver}{secret}'.encode()).hexdigest()}"


class Project:
    """A Project called ``name``, with one Azure receiver whose Secret is ``{receiver}-secret``."""

    def __init__(
        self,
        plane: ControlPlane,
        name: str,
        *,
        receiver: str = "azure",
        secret: str = "a-secret-that-nobody-guesses",
        account_namespace: str = kargo.SERVICE_ACCOUNT_NAMESPACE,
    ) -> None:
        """Take ``account_namespace``: of the ServiceAccount that may read its Secrets."""
        self.plane = plane
        self.name = name
        self.receiver = receiver
        self.secret = secret
        self.account_namespace = account_namespace

    def create(self, *, with_secret: bool = True, bound: bool = True) -> "Project":
        """Create namespace, RoleBinding, Secret and ProjectConfig; each of the middle two may come later."""
        kargo.create_namespace(self.plane, self.name)
        if bound:
            kargo.bind_project(self.plane, self.name, self.account_namespace)
        if with_secret:
            self.put_secret({"secret": self.secret})
        self.put_receivers([{"name": self.receiver, "azure": {"secretRef": {"name": self.secret_name}}}])
        return self

    @property
    def path(self) -> str:
        """The webhook's path."""
        return webhook_path(self.name, self.receiver, self.secret)

    @property
    def secret_name(self) -> str:
        """The name of the Secret that the receiver refers to."""
        return f"{self.receiver}-secret"

    # -- Secret and ProjectConfig

    def put_secret(self, data: Mapping[str, str], name: str | None = None) -> None:
        """Create or replace the receiver's Secret (or another one); ``data`` is plain text by key."""
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        body = {"metadata": {"name": name or self.secret_name}, "data": encoded}
        self._put(f"/api/v1/namespaces/{self.name}/secrets", body)

    def delete_secret(self) -> None:
        """Delete the receiver's Secret."""
        self.plane.api.delete(f"/api/v1/namespaces/{self.name}/secrets/{self.secret_name}")

    def put_receivers(self, receivers: object) -> None:
        """Create or replace the ProjectConfig's list of receivers."""
        spec = {"webhookReceivers": receivers}
        path = self._path("projectconfigs")
        self._put(path, {**_head("ProjectConfig", self.name), "spec": spec})

    def config(self) -> Any:
        """The ProjectConfig as it is in the API server."""
        return self.plane.api.get(self._path("projectconfigs", self.name))

    # -- Warehouses

    def add_warehouse(
        self, name: str, *subscriptions: object, annotations: Mapping[str, str] | None = None
    ) -> None:
        """Create a Warehouse with these subscriptions."""
        body = _head("Warehouse", name)
        body["metadata"]["annotations"] = dict(annotations or {})
        body["spec"] = {"subscriptions": list(subscriptions)}
        self.plane.api.create(self._path("warehouses"), body)

    def set_subscriptions(self, name: str, subscriptions: Sequence[object] | object) -> None:
        """Replace a Warehouse's subscriptions, with nonsense too."""
        self.plane.api.patch(self._path("warehouses", name), {"spec": {"subscriptions": subscriptions}})

    def delete_warehouse(self, name: str) -> None:
        """Delete a Warehouse."""
        self.plane.api.delete(self._path("warehouses", name))

    def warehouse(self, name: str) -> Any:
        """A Warehouse as it is in the API server."""
        return self.plane.api.get(self._path("warehouses", name))

    def set_handled(self, name: str, token: str) -> None:
        """Write ``status.lastHandledRefresh``, as Kargo's controller does after discovery."""
        path = f"{self._path('warehouses', name)}/status"
        self.plane.api.patch(path, {"status": {"lastHandledRefresh": token}})

    def refresh(self, name: str) -> str | None:
        """The value of a Warehouse's refresh annotation, None without one."""
        return _refresh(self.warehouse(name))

    def refreshes(self, plural: str = "warehouses") -> dict[str, str | None]:
        """The refresh annotation of each Warehouse (or other object) by name."""
        items = self.plane.api.get(self._path(plural))["items"]
        return {item["metadata"]["name"]: _refresh(item) for item in items}

    # -- Promotions

    def add_promotion(self, name: str, spec: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        """Create a Promotion with this status."""
        self.plane.api.create(self._path("promotions"), {**_head("Promotion", name), "spec": dict(spec)})
        self.plane.api.patch(f"{self._path('promotions', name)}/status", {"status": dict(status)})

    def promotion_refresh(self, name: str) -> str | None:
        """The value of a Promotion's refresh annotation, None without one."""
        return _refresh(self.plane.api.get(self._path("promotions", name)))

    # -- inside

    def _path(self, plural: str, name: str | None = None) -> str:
        collection = f"{kargo.API}/namespaces/{self.name}/{plural}"
        return collection if name is None else f"{collection}/{quote(name)}"

    def _put(self, collection: str, body: dict[str, Any]) -> None:
        try:
            self.plane.api.create(collection, body)
        except RequestError as error:
            if error.status != 409:
                raise
            self._replace(f"{collection}/{quote(body['metadata']['name'])}", body)

    def _replace(self, path: str, body: dict[str, Any]) -> None:
        for left in reversed(range(REPLACE_TRIES)):
            version = self.plane.api.get(path)["metadata"]["resourceVersion"]  # custom resources need it
            metadata = {**body["metadata"], "resourceVersion": version}
            try:
                self.plane.api.request("PUT", path, {**body, "metadata": metadata})
                return
            except RequestError as error:  # the receiver may write the status between the two requests
                if error.status != 409 or not left:
                    raise


def _head(kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}}


def _refresh(item: Mapping[str, Any]) -> str | None:
    value = item["metadata"].get("annotations", {}).get(REFRESH_ANNOTATION)
    return None if value is None else str(value)
