"""A user of Kargo who goes by the documentation: kubectl for the cluster, and what Azure then sends."""

import contextlib
import http.client
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from e2e.clusters.cluster import SERVICE_ACCOUNT, SYSTEM_NAMESPACE, Cluster
from e2e.kargo.project import API_VERSION, REFRESH_ANNOTATION
from e2e.receiver import Answer

REQUEST_LIMIT = 15.0
"""Seconds that a delivery may hang: far above the 5 s after which ACR gives up."""

_READER = "kargo-project-secrets-reader"


def deliver(url: str, body: object, headers: Mapping[str, str] | None = None) -> Answer:
    """POST ``body`` as JSON, as Azure does; raises OSError without an answer."""
    target = urlsplit(url)
    assert target.hostname is not None
    began = time.monotonic()
    connection = http.client.HTTPConnection(target.hostname, target.port, timeout=REQUEST_LIMIT)
    with contextlib.closing(connection):
        return exchange(connection, target.path, body, headers, began)


def exchange(
    connection: http.client.HTTPConnection,
    path: str,
    body: object,
    headers: Mapping[str, str] | None = None,
    began: float | None = None,
) -> Answer:
    """The same over a connection that is there, and may be kept."""
    start = time.monotonic() if began is None else began
    try:
        connection.request(
            "POST", path, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})}
        )
        response = connection.getresponse()
        text = response.read().decode("utf-8", "replace")
    except http.client.HTTPException as error:
        raise ConnectionError(repr(error)) from error
    return Answer(response.status, dict(response.getheaders()), text, time.monotonic() - start)


class User:
    """Somebody with the Project ``project``; all its Azure receivers' Secrets are ``{receiver}-secret``."""

    def __init__(self, cluster: Cluster, project: str) -> None:
        self.cluster = cluster
        self.project = project

    # -- what users create

    def namespace(self, *, bound: bool = True) -> None:
        """The Project's namespace, and (``bound``) Kargo's RoleBinding in it."""
        labels = {"kargo.akuity.io/project": "true"}
        objects = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.project, "labels": labels}}
        ]
        if bound:
            objects.append(_secrets_binding(self.project))
        self.cluster.apply(*objects)

    def set_up(self, *warehouses: dict[str, Any], receiver: str = "azure", secret: str) -> None:
        """A whole Project: namespace, Secret, ProjectConfig and Warehouses."""
        self.namespace()
        self.cluster.apply(self.secret(receiver, secret), self.config(receiver), *warehouses)

    def secret(self, receiver: str, value: str) -> dict[str, Any]:
        """The Secret of a receiver."""
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": f"{receiver}-secret",
                "namespace": self.project,
                "labels": {"kargo.akuity.io/cred-type": "generic"},
            },
            "stringData": {"secret": value},
        }

    def config(self, *receivers: str) -> dict[str, Any]:
        """The ProjectConfig with these Azure receivers."""
        return {
            "apiVersion": API_VERSION,
            "kind": "ProjectConfig",
            "metadata": {"name": self.project, "namespace": self.project},
            "spec": {"webhookReceivers": [_azure(name) for name in receivers]},
        }

    def warehouse(self, name: str, *subscriptions: dict[str, object]) -> dict[str, Any]:
        """A Warehouse with these subscriptions."""
        return {
            "apiVersion": API_VERSION,
            "kind": "Warehouse",
            "metadata": {"name": name, "namespace": self.project},
            "spec": {"subscriptions": list(subscriptions)},
        }

    # -- what users see

    def url(self, receiver: str = "azure") -> str | None:
        """The URL in the ProjectConfig's status, by the documentation's command; None before it is there."""
        printed = self.cluster.kubectl(
            "get",
            "projectconfigs",
            self.project,
            "-n",
            self.project,
            "-o=jsonpath={.status.webhookReceivers}",
        )
        return _url_of(receiver, printed)

    def refreshes(self) -> dict[str, str | None]:
        """The refresh annotation of each Warehouse by name."""
        items = self.cluster.get("warehouses", "-n", self.project)["items"]
        return {each["metadata"]["name"]: _refresh(each) for each in items}


class Operator(User):
    """Somebody who runs Kargo: the ClusterConfig, whose Secrets are in the system resources' namespace."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster, SYSTEM_NAMESPACE)

    def config(self, *receivers: str) -> dict[str, Any]:
        """The ClusterConfig with these Azure receivers."""
        found = super().config(*receivers)
        return {**found, "kind": "ClusterConfig", "metadata": {"name": "cluster"}}

    def url(self, receiver: str = "azure") -> str | None:
        """The URL in the ClusterConfig's status."""
        command = ("get", "clusterconfigs", "cluster", "-o=jsonpath={.status.webhookReceivers}")
        return _url_of(receiver, self.cluster.kubectl(*command))


def _azure(name: str) -> dict[str, Any]:
    return {"name": name, "azure": {"secretRef": {"name": f"{name}-secret"}}}


def _url_of(receiver: str, printed: str) -> str | None:
    entries = json.loads(printed) if printed.strip() else []
    return next((str(entry["url"]) for entry in entries if entry["name"] == receiver), None)


def _refresh(item: Mapping[str, Any]) -> str | None:
    value = item["metadata"].get("annotations", {}).get(REFRESH_ANNOTATION)
    return None if value is None else str(value)


def _secrets_binding(namespace: str) -> dict[str, Any]:
    """What Kargo's management controller creates in each Project."""
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": _READER, "namespace": namespace},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": _READER},
        "subjects": [{"kind": "ServiceAccount", "name": SERVICE_ACCOUNT, "namespace": "kargo"}],
    }
