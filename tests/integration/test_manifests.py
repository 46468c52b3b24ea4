"""The manifests on a real API server: accepted, restricted, removable, and with rights that suffice."""

import ssl
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from e2e import kargo
from e2e.controlplane import ControlPlane
from e2e.controlplane.api import RequestError
from e2e.controlplane.waiting import eventually
from e2e.kargo.project import Project, image
from tests.support.manifests import (
    OVERLAYS,
    OWN_SERVICE_ACCOUNT,
    Object,
    cluster_with_kargo,
    folder,
    objects,
    pod_of,
    workload,
)
from tests.support.receiver_process import ReceiverFactory

ALL = ["base", *OVERLAYS]
STANDALONE = "kargo-azure-receiver"
PUSH = {
    "action": "push",
    "target": {"repository": "app", "tag": "1", "mediaType": "x", "size": 1, "digest": "sha256:0"},
    "request": {"host": "demo.azurecr.io"},
}


@pytest.fixture(scope="module")
def cluster(announce: Callable[[str], None]) -> Iterator[ControlPlane]:
    """A cluster of this module's own, with Kargo's stand-in and the CRDs of others, but nothing of ours."""
    with cluster_with_kargo(announce) as plane:
        yield plane


def test_every_object_is_accepted(cluster: ControlPlane) -> None:
    """Each object of each overlay passes the API server's strict validation, or that of its own CRD."""
    cluster.kubectl("create", "namespace", STANDALONE)  # a dry run does not make it
    for overlay in ALL:
        printed = cluster.kubectl(
            "apply", "--dry-run=server", "--validate=strict", "-k", str(folder(overlay)), limit=120
        )
        assert printed.count("(server dry run)") == len(objects(folder(overlay)))


@pytest.fixture(scope="module")
def restricted(cluster: ControlPlane) -> str:
    """A namespace in which Pod Security `restricted` is enforced."""
    name = "restricted"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.api.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
    account = {"metadata": {"name": kargo.SERVICE_ACCOUNT}}
    cluster.api.create(f"/api/v1/namespaces/{name}/serviceaccounts", account)
    return name


def pod(overlay: str) -> Object:
    """The Pod that the workload's controller would make."""
    return pod_of(workload(objects(folder(overlay))), overlay)


@pytest.mark.parametrize("overlay", ALL)
def test_pods_pass_pod_security_restricted(cluster: ControlPlane, restricted: str, overlay: str) -> None:
    """The Pods themselves are created where `restricted` is enforced."""
    made = cluster.api.create(f"/api/v1/namespaces/{restricted}/pods", pod(overlay))
    assert made["metadata"]["name"] == overlay


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"runAsNonRoot": False}, id="root"),
        pytest.param({"allowPrivilegeEscalation": True}, id="privilege-escalation"),
        pytest.param({"capabilities": {}}, id="capabilities"),
    ],
)
def test_pod_security_is_enforced_there(
    cluster: ControlPlane, restricted: str, change: dict[str, Any]
) -> None:
    """The test above is one that can fail: a Pod that asks for more is refused."""
    asking = pod("base")
    asking["metadata"]["name"] = "asking"
    asking["spec"]["containers"][0]["securityContext"].update(change)
    with pytest.raises(RequestError, match="violates PodSecurity") as caught:
        cluster.api.create(f"/api/v1/namespaces/{restricted}/pods", asking)
    assert caught.value.status == 403


def kargos_objects(plane: ControlPlane) -> dict[str, str]:
    """UID by place and name of everything that is Kargo's, and of all CRDs; none is being deleted."""
    found = {}
    for path in (
        "/api/v1/namespaces",
        "/api/v1/serviceaccounts",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        "/apis/rbac.authorization.k8s.io/v1/roles",
        "/apis/rbac.authorization.k8s.io/v1/rolebindings",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    ):
        for each in plane.api.get(path)["items"]:
            meta = each["metadata"]
            ours = STANDALONE in (meta["name"], meta.get("namespace"), meta["name"].rpartition("-")[0])
            if not ours and ("kargo" in meta["name"] or path.endswith("definitions")):
                assert "deletionTimestamp" not in meta
                found[f"{path} {meta.get('namespace', '')}/{meta['name']}"] = meta["uid"]
    return found


def test_delete_takes_nothing_of_kargos(cluster: ControlPlane) -> None:
    """After apply -k and delete -k the cluster has what it had, the same objects and not copies."""
    before = kargos_objects(cluster)
    assert "/api/v1/serviceaccounts kargo/kargo-external-webhooks-server" in before
    assert "/api/v1/namespaces /kargo" in before
    for overlay in (name for name in ALL if name not in OWN_SERVICE_ACCOUNT):
        printed = cluster.kubectl("apply", "-k", str(folder(overlay)), limit=120)
        gone = cluster.kubectl("delete", "-k", str(folder(overlay)), "--wait=false", limit=120)
        assert gone.count(" deleted") == len(printed.splitlines())
        assert kargos_objects(cluster) == before


def test_the_standalone_rights_suffice(cluster: ControlPlane, start_receiver: ReceiverFactory) -> None:
    """A receiver under the trial's ServiceAccount does all its work; deleting it leaves Kargo alone."""
    before = kargos_objects(cluster)
    cluster.kubectl("apply", "-k", str(folder("standalone")), limit=120)
    project = Project(cluster, "trial").create(bound=False)
    account = f"{STANDALONE}:{kargo.SERVICE_ACCOUNT}"
    role = "kargo-azure-receiver-project-secrets"
    cluster.kubectl(
        "create", "rolebinding", STANDALONE, "-n", project.name, f"--clusterrole={role}",
        f"--serviceaccount={account}",
    )  # fmt: skip
    project.add_warehouse("w", image("demo.azurecr.io/app"))
    receiver = start_receiver(
        f"--system-resources-namespace={STANDALONE}",
        kubeconfig=cluster.kubeconfig_for(kargo.SERVICE_ACCOUNT, STANDALONE),
    )
    assert eventually(lambda: receiver.post(project.path, PUSH).json == {"msg": "refreshed 1 warehouse(s)"})
    assert project.refresh("w")
    assert eventually(lambda: project.config().get("status", {}).get("webhookReceivers"))
    assert "right_missing" not in receiver.process.output()
    cluster.kubectl("delete", "-k", str(folder("standalone")), "--wait=false", limit=120)
    assert kargos_objects(cluster) == before
    with pytest.raises(RequestError, match="not found"):
        cluster.api.get(f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{role}")


def test_the_flow_schema_takes_effect(cluster: ControlPlane) -> None:
    """The API server serves the receiver's ServiceAccount by our schema, at our priority level."""
    cluster.kubectl("apply", "-k", str(folder("flowschema")))
    path = "/apis/flowcontrol.apiserver.k8s.io/v1"
    schema = cluster.api.get(f"{path}/flowschemas/kargo-azure-receiver")["metadata"]["uid"]
    level = cluster.api.get(f"{path}/prioritylevelconfigurations/kargo-azure-receiver")["metadata"]["uid"]
    token = cluster.token(kargo.SERVICE_ACCOUNT, kargo.SERVICE_ACCOUNT_NAMESPACE)
    trust = ssl.create_default_context(cafile=str(cluster.ca))
    request = urllib.request.Request(
        f"{cluster.url}{kargo.API}/warehouses?limit=1", headers={"Authorization": f"Bearer {token}"}
    )

    def served_by() -> tuple[str | None, str | None]:
        with urllib.request.urlopen(request, context=trust) as answer:
            headers = answer.headers
        return headers["X-Kubernetes-PF-FlowSchema-UID"], headers["X-Kubernetes-PF-PriorityLevel-UID"]

    assert eventually(lambda: served_by() == (schema, level))
