"""A stand-in for Kargo: its CRDs, what its chart creates, what its management controller does per Project.

The receiver runs as Kargo's ServiceAccount for webhooks, with its rights and no others.
"""

import time
from pathlib import Path

import yaml

from e2e.controlplane import ControlPlane
from e2e.controlplane.api import RequestError

SERVICE_ACCOUNT = "kargo-external-webhooks-server"
SERVICE_ACCOUNT_NAMESPACE = "kargo"
SYSTEM_RESOURCES_NAMESPACE = "kargo-system-resources"
API = "/apis/kargo.akuity.io/v1alpha1"

_ROOT = Path(__file__).parents[2]
_CRDS = _ROOT / "manifests" / "crds"
_ADDED_RIGHTS = _ROOT / "manifests" / "base" / "rbac.yaml"
_CHART = Path(__file__).parent / "chart.yaml"
_SECRETS_READER = "kargo-project-secrets-reader"
_SERVED_LIMIT = 30.0  # seconds


def install(plane: ControlPlane, *, added_rights: bool = True) -> None:
    """Create the CRDs that are missing, what Kargo's chart gives, and the rights that this project adds.

    ``added_rights`` False leaves out the last: the receiver must do its main job without them.
    """
    create_missing_crds(plane)
    plane.apply(_CHART)
    if added_rights:
        plane.apply(_ADDED_RIGHTS)


def create_missing_crds(plane: ControlPlane) -> list[str]:
    """Create the stand-in CRDs that the cluster lacks, wait until they are served, and return their names.

    Existing ones, Kargo's own, are never touched.
    """
    created = []
    lists = []
    for file in sorted(_CRDS.glob("*.yaml")):
        definition = yaml.safe_load(file.read_text("utf-8"))
        try:
            plane.api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
        except RequestError as error:
            if error.status != 409:
                raise
        else:
            created.append(str(definition["metadata"]["name"]))
            lists.append(f"{API}/{definition['spec']['names']['plural']}")
    for path in lists:
        _wait_served(plane, path)
    return created


def _wait_served(plane: ControlPlane, path: str) -> None:
    """Wait until a new CRD's objects can be listed: 404 at first, then 429 while its storage is made."""
    deadline = time.monotonic() + _SERVED_LIMIT
    while True:
        try:
            plane.api.get(path)
        except RequestError as error:
            if error.status not in (404, 429) or time.monotonic() > deadline:
                raise
        else:
            return
        time.sleep(0.05)


def remove_crd(plane: ControlPlane, plural: str) -> None:
    """Delete one CRD and with it its objects, as in a cluster with an older Kargo."""
    plane.kubectl("delete", "crd", f"{plural}.kargo.akuity.io", "--wait=true", "--timeout=60s")


def create_namespace(plane: ControlPlane, name: str) -> None:
    """Create a Project's namespace, without rights for anybody."""
    body = {"metadata": {"name": name, "labels": {"kargo.akuity.io/project": "true"}}}
    plane.api.create("/api/v1/namespaces", body)


def bind_project(
    plane: ControlPlane, namespace: str, account_namespace: str = SERVICE_ACCOUNT_NAMESPACE
) -> None:
    """Let the receiver read the Secrets of one Project, as Kargo's management controller does."""
    binding = {
        "metadata": {"name": _SECRETS_READER},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": _SECRETS_READER},
        "subjects": [{"kind": "ServiceAccount", "name": SERVICE_ACCOUNT, "namespace": account_namespace}],
    }
    plane.api.create(_bindings(namespace), binding)


def unbind_project(plane: ControlPlane, namespace: str) -> None:
    """Take the right back: the state between a Project's creation and Kargo's management controller."""
    plane.api.delete(f"{_bindings(namespace)}/{_SECRETS_READER}")


def receiver_kubeconfig(plane: ControlPlane) -> Path:
    """A kubeconfig of the ServiceAccount that the receiver runs as, with a new token."""
    return plane.kubeconfig_for(SERVICE_ACCOUNT, SERVICE_ACCOUNT_NAMESPACE)


def _bindings(namespace: str) -> str:
    return f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"
