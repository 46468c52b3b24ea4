"""What the scenarios know of a cluster: kubectl, a URL, and Pods that can be counted, killed and upgraded.

Both kinds are installed alike: a stand-in for Kargo, then this project's own manifests, as docs/install.md
tells users to do.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from e2e.controlplane.waiting import eventually

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"
NAMESPACE = "kargo"
DEPLOYMENT = "kargo-azure-receiver"
SERVICE_ACCOUNT = "kargo-external-webhooks-server"
SYSTEM_NAMESPACE = "kargo-system-resources"

SERVED_LIMIT = 30.0
"""Seconds until new CRDs must be served."""

_CRDS = MANIFESTS / "crds"
_CHART = ROOT / "e2e" / "kargo" / "chart.yaml"
_CUSTOM_RESOURCES = "warehouses,projectconfigs,clusterconfigs,promotions"


class Cluster(ABC):
    """A cluster with the receiver deployed in it."""

    kind: str
    """What people call this kind of cluster."""
    base_url: str
    """Where Azure would reach the receiver's Service; known once the cluster is started."""

    # -- to be had from each kind

    @abstractmethod
    def start(self) -> None:
        """Bring the cluster up, empty."""

    @abstractmethod
    def stop(self) -> None:
        """Take down whatever ``start`` brought up."""

    @abstractmethod
    def kubectl(self, *arguments: str, stdin: str | None = None, limit: float = 60.0) -> str:
        """Run kubectl as the administrator and return what it prints; raises CommandError if it fails."""

    @abstractmethod
    def rolled_out(self) -> None:
        """Wait until the Deployment's Pods are as it wants them and ready, and Pods of before are gone."""

    @abstractmethod
    def pods(self) -> list[str]:
        """The names of the Pods that are meant to stay, oldest first."""

    @abstractmethod
    def kill(self, pod: str) -> None:
        """End a Pod without warning, as a node that fails does; another takes its place in a while."""

    @abstractmethod
    def logs(self) -> str:
        """What the present Pods have logged."""

    # -- the same for all

    def install(self) -> None:
        """Create what Kargo would have created, apply our manifests, and wait until the Pods are ready."""
        self.kubectl("create", "-f", str(_CRDS))
        self.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
        eventually(lambda: self.kubectl("get", _CUSTOM_RESOURCES, "-A") is not None, SERVED_LIMIT)
        self.kubectl("apply", "-f", str(_CHART))
        self.apply(_settings_of_kargo(self.base_url))
        self.kubectl("apply", "-k", str(MANIFESTS / "base"))
        self.rolled_out()

    def apply(self, *objects: dict[str, Any]) -> None:
        """``kubectl apply`` some objects."""
        self.kubectl("apply", "-f", "-", stdin=_as_list(objects))

    def create(self, *objects: dict[str, Any]) -> None:
        """``kubectl create`` some objects: quicker than ``apply`` for many."""
        self.kubectl("create", "-f", "-", stdin=_as_list(objects))

    def get(self, *arguments: str) -> Any:
        """``kubectl get`` as JSON."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def scale(self, replicas: int) -> None:
        """Have so many Pods, and wait for them."""
        self.kubectl("scale", f"deployment/{DEPLOYMENT}", "-n", NAMESPACE, f"--replicas={replicas}")
        self.rolled_out()

    def upgrade(self) -> None:
        """Replace all Pods as an upgrade does, and wait for the end."""
        self.kubectl("rollout", "restart", f"deployment/{DEPLOYMENT}", "-n", NAMESPACE)
        self.rolled_out()

    def service_account_kubeconfig(self, folder: Path) -> Path:
        """Write a kubeconfig with a new token of the Deployment's ServiceAccount, and return its path."""
        config = json.loads(self.kubectl("config", "view", "--raw", "--minify", "-o", "json"))
        template = self.get("deployment", DEPLOYMENT, "-n", NAMESPACE)["spec"]["template"]
        account = template["spec"]["serviceAccountName"]
        token = self.kubectl("create", "token", account, "-n", NAMESPACE, "--duration=2h").strip()
        config["users"] = [{"name": account, "user": {"token": token}}]
        context = {"cluster": config["clusters"][0]["name"], "user": account, "namespace": NAMESPACE}
        config["contexts"] = [{"name": account, "context": context}]
        config["current-context"] = account
        path = folder / f"{account}.kubeconfig"
        path.touch(0o600)
        path.write_text(json.dumps(config), "utf-8")
        return path


def _as_list(objects: Sequence[dict[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})


def _settings_of_kargo(base_url: str) -> dict[str, Any]:
    """The ConfigMap that Kargo's chart makes for its own server, which our Deployment reads."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": SERVICE_ACCOUNT, "namespace": NAMESPACE},
        "data": {
            "EXTERNAL_WEBHOOK_SERVER_BASE_URL": base_url,
            "SYSTEM_RESOURCES_NAMESPACE": SYSTEM_NAMESPACE,
        },
    }
