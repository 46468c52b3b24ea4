"""The chart on a real API server: accepted, restricted, upgraded and removed without a trace at Kargo's."""

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e import kargo
from e2e.controlplane import ControlPlane
from e2e.controlplane.waiting import eventually
from e2e.kargo.project import Project
from tests.manifests.parity import CASES, CHART_ONLY, HOST, Case
from tests.support.chart import CHART, POD_BASE_URL, RELEASE, Helm, HelmError, hooks_apart, run_test_pod
from tests.support.manifests import cluster_with_kargo, folder, pod_of, workload
from tests.support.receiver_process import ReceiverFactory

pytestmark = pytest.mark.integration

KARGOS = "kargo"
SWITCHED_OFF = "switched-off"
"""Kargo's namespace where its own server is switched off."""
STANDALONE = "kargo-azure-receiver"
PODS = "pods"
"""Where Pods are tried: it has the ServiceAccount."""
NAMESPACES = (KARGOS, SWITCHED_OFF, STANDALONE, PODS, "elsewhere", "system-secrets")
OURS = "kargo-azure-receiver"
KINDS = (
    "/api/v1/configmaps",
    "/api/v1/namespaces",
    "/api/v1/secrets",
    "/api/v1/serviceaccounts",
    "/api/v1/services",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "/apis/apps/v1/deployments",
    "/apis/apps/v1/statefulsets",
    "/apis/networking.k8s.io/v1/networkpolicies",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "/apis/rbac.authorization.k8s.io/v1/rolebindings",
    "/apis/rbac.authorization.k8s.io/v1/roles",
)
"""Of which Kargo, or anybody else in the cluster, has objects."""


ADDING_KINDS = (
    "gateway",
    "ingress",
    "monitoring",
    "flowschema",
    "admission-warnings",
    "persistent-journal",
    "tls",
    "kubeconfig",
)
"""Cases between which objects come and go."""


@pytest.fixture(scope="module")
def cluster(announce: Callable[[str], None]) -> Iterator[ControlPlane]:
    """A cluster with Kargo's stand-in, and namespaces in which Pod Security `restricted` is enforced."""
    with cluster_with_kargo(announce) as plane:
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        for name in NAMESPACES:
            namespace = {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": name, "labels": labels},
            }
            plane.apply(yaml.safe_dump(namespace))
        settings = {
            "metadata": {"name": "kargo-external-webhooks-server"},
            "data": {"EXTERNAL_WEBHOOK_SERVER_BASE_URL": f"{HOST}/webhooks"},
        }
        plane.api.create(f"/api/v1/namespaces/{KARGOS}/configmaps", settings)
        account = {"metadata": {"name": kargo.SERVICE_ACCOUNT}}
        plane.api.create(f"/api/v1/namespaces/{PODS}/serviceaccounts", account)
        yield plane


@pytest.fixture
def live(helm: Helm, cluster: ControlPlane) -> Iterator[Helm]:
    """Helm on that cluster; what a test leaves installed is removed after it."""
    on_cluster = helm.on(cluster.kubeconfig)
    yield on_cluster
    for release in yaml.safe_load(on_cluster("list", "-A", "-o", "yaml")):
        on_cluster("uninstall", release["name"], "-n", release["namespace"])


def everything(plane: ControlPlane) -> dict[str, tuple[str, str]]:
    """UID and version of each object: what was replaced, or merely changed, differs."""
    found = {}
    for path in KINDS:
        for each in plane.api.get(path)["items"]:
            meta = each["metadata"]
            key = f"{path} {meta.get('namespace', '')}/{meta['name']}"
            found[key] = (meta["uid"], meta["resourceVersion"])
    return found


def version_before(helm: Helm, folder: Path) -> str:
    """The chart as the release before this one."""
    helm("package", str(CHART), "--version=0.0.9", "--app-version=0.0.9", f"--destination={folder}")
    (package,) = folder.glob("*.tgz")
    return str(package)


def test_every_rendering_is_accepted(cluster: ControlPlane, helm: Helm) -> None:
    """Each object of each case passes the API server's strict validation, or that of its own CRD."""
    found = {}
    for case in [*CASES.values(), Case(CHART_ONLY)]:
        for each in hooks_apart(helm.render(case.values, case.namespace))[0]:
            found[yaml.safe_dump(each)] = each  # most cases share most objects
    listed = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": list(found.values())})
    flags = ("--dry-run=server", "--validate=strict")
    printed = cluster.kubectl("apply", *flags, "-f", "-", stdin=listed, limit=240)
    assert printed.count("(server dry run)") == len(found)


@pytest.mark.parametrize("name", CASES)
def test_pods_pass_pod_security_restricted(cluster: ControlPlane, helm: Helm, name: str) -> None:
    """The receiver's Pod and that of `helm test` are accepted where `restricted` is enforced."""
    objects, (test,) = hooks_apart(helm.render(CASES[name].values, PODS))
    for pod in (pod_of(workload(objects), "receiver"), test):
        made = cluster.api.create(f"/api/v1/namespaces/{PODS}/pods?dryRun=All", pod)
        assert made["metadata"]["name"] == pod["metadata"]["name"]


def test_beside_kargo(cluster: ControlPlane, live: Helm, tmp_path: Path) -> None:
    """Installed, upgraded from the version before, changed in every way, removed: Kargo's stays as it is."""
    before = everything(cluster)
    assert f"/api/v1/serviceaccounts {KARGOS}/{kargo.SERVICE_ACCOUNT}" in before
    live("install", RELEASE, version_before(live, tmp_path), "-n", KARGOS)
    assert before.items() < everything(cluster).items()
    for values in (*(CASES[name].values for name in ADDING_KINDS), CHART_ONLY, {}):
        live("upgrade", RELEASE, str(CHART), "-n", KARGOS, values=values)
        assert before.items() < everything(cluster).items()
    live("uninstall", RELEASE, "-n", KARGOS)
    assert everything(cluster) == before


@pytest.mark.parametrize(
    ("mode", "namespace"),
    [
        pytest.param("in-place", SWITCHED_OFF, id="in-place"),
        pytest.param("standalone", STANDALONE, id="standalone"),
    ],
)
def test_with_a_service_account_of_its_own(
    cluster: ControlPlane, live: Helm, tmp_path: Path, mode: str, namespace: str
) -> None:
    """The other modes come and go in the same way."""
    before = everything(cluster)
    values = {"mode": mode, "baseUrl": HOST}
    live("install", RELEASE, version_before(live, tmp_path), "-n", namespace, values=values)
    values["settings"] = {"LOG_LEVEL": "debug"}  # type: ignore[assignment]
    live("upgrade", RELEASE, str(CHART), "-n", namespace, values=values)
    settings = cluster.api.get(f"/api/v1/namespaces/{namespace}/configmaps/{OURS}")["data"]
    assert settings["LOG_LEVEL"] == "debug"
    assert settings["EXTERNAL_WEBHOOK_SERVER_BASE_URL"] == HOST
    with pytest.raises(HelmError, match="mode beside would delete it"):
        live("upgrade", RELEASE, str(CHART), "-n", namespace, values={"mode": "beside"})
    live("uninstall", RELEASE, "-n", namespace)
    assert everything(cluster) == before


@pytest.mark.parametrize("flags", [(), ("--take-ownership",)], ids=["plain", "take-ownership"])
def test_kargos_service_account_is_never_taken_over(
    cluster: ControlPlane, live: Helm, flags: tuple[str, ...]
) -> None:
    """In place of a Kargo whose server is on: one line, since uninstalling would take its ServiceAccount."""
    before = everything(cluster)
    values = {"mode": "in-place", "baseUrl": HOST}
    with pytest.raises(
        HelmError, match=r"set externalWebhooksServer\.enabled=false in Kargo's chart first"
    ) as caught:
        live("install", RELEASE, str(CHART), "-n", KARGOS, *flags, values=values)
    assert "\n" not in str(caught.value)
    assert everything(cluster) == before


def test_beside_needs_a_kargo(live: Helm) -> None:
    """The wrong namespace is one line, and not Pods that never start."""
    with pytest.raises(HelmError, match="no Kargo in namespace default") as caught:
        live("install", RELEASE, str(CHART), "-n", "default")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("overlay", "values", "namespace"),
    [
        pytest.param("base", {}, KARGOS, id="beside"),
        pytest.param("standalone", {"mode": "standalone", "baseUrl": HOST}, STANDALONE, id="standalone"),
    ],
)
def test_an_installation_by_kustomize_is_taken_over(
    cluster: ControlPlane, live: Helm, overlay: str, values: dict[str, Any], namespace: str
) -> None:
    """Helm adopts what kubectl applied, object by object; nothing is deleted and made anew."""
    before = everything(cluster)
    cluster.kubectl("apply", "-k", str(folder(overlay)), limit=120)
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{OURS}"
    applied = cluster.api.get(path)["metadata"]["uid"]
    force = [] if "v3." in live("version") else ["--force-conflicts"]
    live("install", RELEASE, str(CHART), "-n", namespace, "--take-ownership", *force, values=values)
    assert cluster.api.get(path)["metadata"]["uid"] == applied
    live("uninstall", RELEASE, "-n", namespace)
    changed = {key for key, _ in everything(cluster).items() ^ before.items()}
    assert changed <= {f"/api/v1/namespaces /{STANDALONE}"}  # kubectl's, and kept by Helm


def test_a_deployment_can_stay_until_the_stateful_set_is_ready(cluster: ControlPlane, live: Helm) -> None:
    """docs/install.md: changing to disks without a moment in which nobody answers."""
    live("install", RELEASE, str(CHART), "-n", KARGOS)
    cluster.kubectl("annotate", "deployment", OURS, "-n", KARGOS, "helm.sh/resource-policy=keep")
    live("upgrade", RELEASE, str(CHART), "-n", KARGOS, values={"persistence": {"enabled": True}})
    found = cluster.kubectl("get", "deployment,statefulset", "-n", KARGOS, "-o", "name").split()
    assert found == [f"deployment.apps/{OURS}", f"statefulset.apps/{OURS}"]
    cluster.kubectl("delete", "deployment", OURS, "-n", KARGOS)


def test_the_notes_know_the_cluster(live: Helm) -> None:
    """Next steps with the names that are there: also Kargo's base URL, which nobody has given."""
    printed = live("install", "my-release", str(CHART), "-n", KARGOS)
    assert f"--set ingress.enabled=true --set baseUrl={HOST}/webhooks" in printed
    values = {"baseUrl": "https://other.example.com", "ingress": {"enabled": True}}
    printed = live("upgrade", "my-release", str(CHART), "-n", KARGOS, values=values)
    assert f"WARNING: baseUrl is https://other.example.com, Kargo's is {HOST}/webhooks" in printed


def test_helm_test(cluster: ControlPlane, live: Helm, start_receiver: ReceiverFactory) -> None:
    """Helm makes the Pod and waits for its verdict; the test plays kubelet and Service.

    Pod and receiver have one base URL, as they do when installed: once the receiver, whose rights came with
    the release, has published another one in status, the Pod would find no receiver to send its ping to.
    """
    project = Project(cluster, "pinged").create()
    kubeconfig = kargo.receiver_kubeconfig(cluster)
    receiver = start_receiver(kubeconfig=kubeconfig, base_url=POD_BASE_URL)
    live("install", RELEASE, str(CHART), "-n", KARGOS)
    get = ("get", "pod", f"{OURS}-test", "-n", KARGOS, "--ignore-not-found", "-o", "json")
    with ThreadPoolExecutor() as pool:
        tested = pool.submit(live, "test", RELEASE, "-n", KARGOS, "--timeout=60s")
        pod = eventually(lambda: json.loads(cluster.kubectl(*get) or "null"))
        code, printed = run_test_pod(pod, f"http://127.0.0.1:{receiver.port}", kubeconfig)
        status = {"status": {"phase": "Failed" if code else "Succeeded"}}
        cluster.kubectl(
            "patch", "pod", f"{OURS}-test", "-n", KARGOS, "--subresource=status", "--type=merge",
            f"--patch={json.dumps(status)}",
        )  # fmt: skip
        assert re.search(r"Phase: +Succeeded", tested.result())
    assert f"receiver {project.name}/azure answers 200" in printed
