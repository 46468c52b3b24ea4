"""What the manifests promise, without a cluster: what is ours, what is open, that they fit the program."""

import configparser
import re
from pathlib import Path
from typing import Any

import pytest

from controller.application.application import DRAIN_SECONDS
from controller.cli import settings
from tests.support.manifests import (
    COMPONENTS,
    OVERLAYS,
    OWN_SERVICE_ACCOUNT,
    ROOT,
    folder,
    objects,
    of_kind,
    workload,
)
from tests.support.settings import parse
from webhook.journal.file import HistoryLimits
from webhook.journal.schema import WAL_BYTES

ALL = pytest.mark.parametrize("overlay", ["base", *OVERLAYS])
MIB = 1024 * 1024
OURS = "kargo-azure-receiver"
SERVICE_ACCOUNT = "kargo-external-webhooks-server"


def container(overlay: str) -> dict[str, Any]:
    (only,) = workload(objects(folder(overlay)))["spec"]["template"]["spec"]["containers"]
    return dict(only)


def environment(overlay: str) -> dict[str, Any]:
    return {each["name"]: each for each in container(overlay)["env"]}


@pytest.fixture
def own_kustomization(tmp_path: Path) -> Path:
    """A user's kustomization as docs/install.md shows it: everything that can be combined, own values."""
    components = [
        name
        for name in COMPONENTS
        if name not in ("kargo", "standalone", "own-serviceaccount", "kubeconfig", "tls")
    ]
    lines = [f"  - {relative(tmp_path, name)}" for name in [*components, "tls", "kargo"]]
    (tmp_path / "kustomization.yaml").write_text(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
        f"resources:\n  - {relative(tmp_path, '../base')}\ncomponents:\n  - settings\n" + "\n".join(lines)
    )
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings" / "kustomization.yaml").write_text(
        "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\npatches:\n  - patch: |\n"
        "      apiVersion: v1\n      kind: ConfigMap\n      metadata: {name: where-kargo-is}\n"
        "      data: {namespace: elsewhere, release: second, host: hooks.example.org}\n"
    )
    return tmp_path


def relative(start: Path, component: str) -> str:
    target = (ROOT / "components" / component).resolve()
    return "/".join([".."] * len(start.resolve().parts[1:])) + str(target)


@ALL
def test_only_objects_of_ours_are_in_it(overlay: str) -> None:
    """kubectl delete -k takes nothing of Kargo's: every object has our name and label."""
    for each in objects(folder(overlay)):
        assert each["metadata"]["labels"]["app.kubernetes.io/name"] == OURS
        if each["kind"] == "ServiceAccount":
            assert overlay in OWN_SERVICE_ACCOUNT
        else:
            assert each["metadata"]["name"].startswith(OURS), each["kind"]


def test_crds_are_in_no_overlay() -> None:
    """Deleting an overlay never takes a CRD, and with it all Warehouses."""
    for overlay in OVERLAYS:
        assert not of_kind(objects(folder(overlay)), "CustomResourceDefinition")


@ALL
def test_the_pods_run_under_the_service_account_that_kargo_trusts(overlay: str) -> None:
    """Kargo's admission webhook lets exactly this user refresh Promotions."""
    spec = workload(objects(folder(overlay)))["spec"]["template"]["spec"]
    assert spec["serviceAccountName"] == SERVICE_ACCOUNT
    for binding in of_kind(objects(folder(overlay)), "ClusterRoleBinding", "RoleBinding"):
        assert [each["name"] for each in binding["subjects"]] == [SERVICE_ACCOUNT]


@ALL
def test_no_secret_can_be_read_cluster_wide(overlay: str) -> None:
    """A role that reads Secrets is never bound in all namespaces."""
    found = objects(folder(overlay))
    bound = {each["roleRef"]["name"] for each in of_kind(found, "ClusterRoleBinding")}
    for role in of_kind(found, "ClusterRole"):
        if role["metadata"]["name"] in bound:
            assert not any("secrets" in rule["resources"] for rule in role["rules"])


@ALL
def test_the_admin_port_has_no_way_out(overlay: str) -> None:
    """Services that routes can reach have the public port only; the metrics' one has no address."""
    for service in of_kind(objects(folder(overlay)), "Service"):
        spec = service["spec"]
        assert spec.get("type", "ClusterIP") == "ClusterIP"
        targets = [port["targetPort"] for port in spec["ports"]]
        assert targets == (["admin"] if spec.get("clusterIP") == "None" else ["public"])


@ALL
def test_ports_and_variables_are_those_of_the_program(overlay: str) -> None:
    """What the manifests set is what the program reads."""
    ports = {port["name"]: port["containerPort"] for port in container(overlay)["ports"]}
    defaults = parse([], {"PUBLISH_STATUS": "false"})
    assert ports == {"public": defaults.port, "admin": defaults.admin_port}
    given = {name: "false" if name == "TLS_ENABLED" else "/x" for name in environment(overlay)}
    given["EXTERNAL_WEBHOOK_SERVER_BASE_URL"] = "https://example.com"
    given |= dict.fromkeys(("SYSTEM_RESOURCES_NAMESPACE", "POD_NAME", "POD_NAMESPACE"), "somewhere")
    given["PEERS"] = environment(overlay)["PEERS"]["value"]
    read = parse(container(overlay)["args"][1:], given)
    assert read.data_dir == Path("/x")
    assert set(given) <= {"TLS_ENABLED", *settings_variables()}


@ALL
def test_replicas_find_each_other(overlay: str) -> None:
    """PEERS names a headless Service of all Pods, and the NetworkPolicy lets them through both ways."""
    found = objects(folder(overlay))
    host, _, port = environment(overlay)["PEERS"]["value"].partition(":")
    (service,) = [each for each in of_kind(found, "Service") if each["metadata"]["name"] == host]
    spec = service["spec"]
    assert (spec["clusterIP"], spec["publishNotReadyAddresses"]) == ("None", True)
    # No port is mapped where there is no address: it must be the Pods' own.
    assert [each["port"] for each in spec["ports"]] == [int(port)]
    assert {each["name"]: each["containerPort"] for each in container(overlay)["ports"]}["admin"] == int(port)
    (policy,) = of_kind(found, "NetworkPolicy")
    pods = {"podSelector": {"matchLabels": spec["selector"]}}
    admin = [{"port": "admin"}]
    assert any(pods in each.get("from", ()) and each["ports"] == admin for each in policy["spec"]["ingress"])
    assert {"to": [pods], "ports": admin} in policy["spec"]["egress"]


def settings_variables() -> set[str]:
    help_text = settings.OneLineParser(prog="run")
    settings.add_arguments(help_text)
    return set(re.findall(r"\[([A-Z_]+)[;\]]", help_text.format_help().replace("\n", " ")))


@ALL
def test_the_pod_is_given_time_to_stop(overlay: str) -> None:
    """The kubelet kills later than the program needs at most: drain, shutdown timeout, and a rest."""
    spec = workload(objects(folder(overlay)))["spec"]["template"]["spec"]
    timeout = parse([], {"PUBLISH_STATUS": "false"}).shutdown_timeout
    assert spec["terminationGracePeriodSeconds"] >= DRAIN_SECONDS + timeout + 5


def test_the_journal_fits_its_volume() -> None:
    """A Pod is never evicted because the journal grew to its own limits."""
    volumes = workload(objects(folder("base")))["spec"]["template"]["spec"]["volumes"]
    (limit,) = [each["emptyDir"]["sizeLimit"] for each in volumes if each["name"] == "journal"]
    assert int(limit.removesuffix("Mi")) * MIB >= HistoryLimits().bytes + 4 * WAL_BYTES


def test_a_persistent_journal_is_at_the_same_place() -> None:
    """The StatefulSet's volume is mounted where DATA_DIR points to, and no emptyDir hides it."""
    found = workload(objects(folder("persistent-journal")))
    assert found["kind"] == "StatefulSet"
    (claim,) = found["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == "journal"
    pod = found["spec"]["template"]["spec"]
    assert "journal" not in [each["name"] for each in pod["volumes"]]
    mounts = {each["name"]: each["mountPath"] for each in container("persistent-journal")["volumeMounts"]}
    assert mounts["journal"] == environment("persistent-journal")["DATA_DIR"]["value"]


@pytest.mark.parametrize(
    ("overlay", "path"),
    [
        pytest.param("ingress", "/azure", id="ingress"),
        pytest.param("ingress-base-path", "/webhooks/azure", id="ingress-base-path"),
        pytest.param("gateway", "/azure", id="gateway"),
        pytest.param("gateway-base-path", "/webhooks/azure", id="gateway-base-path"),
    ],
)
def test_routes_take_azures_path_and_nothing_else(overlay: str, path: str) -> None:
    """Everything but …/azure/ stays with Kargo's own routes."""
    (route,) = of_kind(objects(folder(overlay)), "Ingress", "HTTPRoute")
    (rule,) = route["spec"]["rules"]
    if route["kind"] == "Ingress":
        (only,) = rule["http"]["paths"]
        assert (only["path"], only["pathType"]) == (path, "Prefix")
        assert only["backend"]["service"] == {"name": OURS, "port": {"name": "public"}}
    else:
        assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": path}}]
        assert rule["backendRefs"] == [{"name": OURS, "port": 80}]


def test_namespace_and_release_are_changed_in_one_place(own_kustomization: Path) -> None:
    """All components together, with own values: every object moves, and every reference with it."""
    found = objects(own_kustomization)
    for each in found:
        assert each["metadata"].get("namespace", "elsewhere") == "elsewhere"
        assert each["metadata"]["labels"]["app.kubernetes.io/instance"] == "second"
    for binding in of_kind(found, "ClusterRoleBinding"):
        assert [each["namespace"] for each in binding["subjects"]] == ["elsewhere"]
    (schema,) = of_kind(found, "FlowSchema")
    (subject,) = schema["spec"]["rules"][0]["subjects"]
    assert subject["serviceAccount"] == {"name": SERVICE_ACCOUNT, "namespace": "elsewhere"}
    (certificate,) = of_kind(found, "Certificate")
    assert certificate["spec"]["dnsNames"][0] == f"{OURS}.elsewhere.svc"
    (route,) = of_kind(found, "HTTPRoute")
    assert route["spec"]["hostnames"] == ["hooks.example.org"]
    assert route["spec"]["rules"][0]["backendRefs"][0]["port"] == 443
    assert workload(found)["kind"] == "StatefulSet"


def test_standalone_never_lives_in_kargos_namespace() -> None:
    """Deleting the trial in a cluster that has Kargo after all leaves Kargo alone."""
    found = objects(folder("standalone"))
    (namespace,) = of_kind(found, "Namespace")
    assert namespace["metadata"]["name"] == OURS
    assert {each["metadata"].get("namespace", OURS) for each in found} == {OURS}


def test_the_image_runs_as_the_user_of_the_manifests() -> None:
    """runAsNonRoot needs a numeric user in the image, and volumes are for this one."""
    pod = workload(objects(folder("base")))["spec"]["template"]["spec"]
    (user,) = re.findall(r"^USER (\S+)$", (ROOT.parent / "Dockerfile").read_text(), re.MULTILINE)
    assert user == f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"


def test_the_images_requirements_are_locked() -> None:
    """Each dependency of the package is pinned with hashes in requirements.lock, and satisfies setup.cfg."""
    from packaging.requirements import Requirement
    from packaging.version import Version

    text = (ROOT.parent / "requirements.lock").read_text()
    pinned = dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)[^\n]*\\\n +--hash=sha256:", text, re.MULTILINE))
    assert len(pinned) == len(re.findall(r"^[a-z0-9-]+==", text, re.MULTILINE))
    package = configparser.ConfigParser()
    package.read(ROOT.parent / "setup.cfg")
    for line in package["options"]["install_requires"].split():
        wanted = Requirement(line)
        assert Version(pinned[wanted.name]) in wanted.specifier
