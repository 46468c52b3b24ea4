"""The control plane itself: what every other integration test relies on."""

import json
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import yaml

from e2e import kargo
from e2e.controlplane import CommandError, ControlPlane, ControlPlaneError
from e2e.controlplane.api import Api, RequestError
from e2e.controlplane.waiting import eventually
from e2e.kargo.project import Project, git
from tests.harness.test_processes import gone

ROOT = Path(__file__).parents[2]
WAREHOUSES = f"{kargo.API}/warehouses"


def as_receiver(plane: ControlPlane) -> Api:
    token = plane.token(kargo.SERVICE_ACCOUNT, kargo.SERVICE_ACCOUNT_NAMESPACE)
    return Api(plane.port, plane.ca, token)


def test_its_certificate_is_verified(control_plane: ControlPlane) -> None:
    """A client that knows only the machine's own authorities refuses the API server."""
    with pytest.raises(urllib.error.URLError) as caught:
        urllib.request.urlopen(f"{control_plane.url}/readyz", context=ssl.create_default_context())
    assert isinstance(caught.value.reason, ssl.SSLCertVerificationError)


def test_kubectl_errors_are_kubectls_own(control_plane: ControlPlane) -> None:
    """A refused command says what kubectl said."""
    with pytest.raises(CommandError, match=r"namespaces \"nowhere\" not found"):
        control_plane.kubectl("get", "namespace", "nowhere")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        pytest.param("GET", WAREHOUSES, True, id="list-warehouses"),
        pytest.param("GET", f"{kargo.API}/projectconfigs", True, id="list-projectconfigs"),
        pytest.param("GET", f"{kargo.API}/clusterconfigs", True, id="list-clusterconfigs"),
        pytest.param("GET", f"{kargo.API}/promotions", True, id="list-promotions"),
        pytest.param("GET", "/api/v1/namespaces/{project}/secrets/azure-secret", True, id="project-secret"),
        pytest.param("GET", "/api/v1/secrets", False, id="secrets-of-all-namespaces"),
        pytest.param("GET", "/api/v1/namespaces/default/secrets", False, id="secrets-elsewhere"),
        pytest.param("GET", "/api/v1/namespaces/kargo-system-resources/secrets", True, id="system-resources"),
        pytest.param(
            "DELETE", f"{kargo.API}/namespaces/{{project}}/warehouses/w", False, id="delete-warehouse"
        ),
    ],
)
def test_the_service_account_has_kargos_rights_only(
    control_plane: ControlPlane, project: Project, method: str, path: str, *, allowed: bool
) -> None:
    """The receiver is tested with the rights that it will have."""
    api = as_receiver(control_plane)
    try:
        api.request(method, path.format(project=project.name))
        status = 200
    except RequestError as error:
        status = error.status
    finally:
        api.close()
    assert status == (200 if allowed else 403)


def test_a_project_can_be_made_before_its_role_binding(control_plane: ControlPlane, project: Project) -> None:
    """The moment before Kargo's management controller has bound a new Project can be played."""
    api = as_receiver(control_plane)
    path = f"/api/v1/namespaces/{project.name}/secrets/azure-secret"

    def status() -> int:
        try:
            api.get(path)
        except RequestError as error:
            return error.status
        return 200

    assert eventually(lambda: status() == 200)
    kargo.unbind_project(control_plane, project.name)
    assert eventually(lambda: status() == 403)
    kargo.bind_project(control_plane, project.name)
    assert eventually(lambda: status() == 200)
    api.close()


@pytest.mark.parametrize(
    "subscriptions",
    [
        pytest.param(None, id="null"),
        pytest.param("text", id="text"),
        pytest.param([1, None, "text", [], {"git": {"repoURL": 5}}, {"git": 7}], id="wrong-types"),
    ],
)
def test_nonsense_subscriptions_are_stored_as_given(project: Project, subscriptions: object) -> None:
    """The stand-in CRD lets tests put into a Warehouse what a strange version of Kargo might."""
    project.add_warehouse("strange", git("https://example.com/a"))
    project.set_subscriptions("strange", subscriptions)
    assert project.warehouse("strange")["spec"].get("subscriptions") == subscriptions


def test_existing_crds_are_never_touched(control_plane: ControlPlane) -> None:
    """In a cluster with Kargo its own definitions stay as they are."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/promotions.kargo.akuity.io"
    control_plane.api.patch(path, {"metadata": {"annotations": {"owner": "Kargo"}}})
    before = control_plane.api.get(path)
    assert kargo.create_missing_crds(control_plane) == []
    assert control_plane.api.get(path) == before


def test_manifests_are_accepted_by_the_api_server(control_plane: ControlPlane) -> None:
    """Every CRD and our rights pass the API server's strict validation."""
    for file in [*(ROOT / "manifests" / "crds").glob("*.yaml"), ROOT / "manifests" / "base" / "rbac.yaml"]:
        control_plane.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", str(file))
        assert all(yaml.safe_load_all(file.read_text("utf-8")))


@pytest.fixture(scope="module")
def own_plane() -> object:
    """A control plane of this module's own, to be killed and paused."""
    with ControlPlane() as plane:
        yield plane


def test_a_killed_api_server_comes_back_with_port_and_data(own_plane: ControlPlane) -> None:
    """Clients find the API server again where it was, with what it knew."""
    own_plane.kubectl("create", "namespace", "kept")
    port = own_plane.port
    own_plane.kill_apiserver()
    with pytest.raises(OSError, match="refused"):
        own_plane.api.get("/readyz")
    own_plane.start_apiserver()
    assert own_plane.port == port
    assert own_plane.api.get("/api/v1/namespaces/kept")["metadata"]["name"] == "kept"


def test_a_paused_api_server_does_not_answer_until_resumed(own_plane: ControlPlane) -> None:
    """Connections to a frozen API server hang, and are answered when it goes on."""
    own_plane.pause()
    with pytest.raises(CommandError, match="no end within"):
        own_plane.kubectl("get", "namespaces", limit=0.5)
    own_plane.resume()
    assert "kube-system" in own_plane.kubectl("get", "namespaces")


def test_a_failed_start_shows_the_end_of_the_log() -> None:
    """What the API server said before it gave up is what a person needs to see."""
    plane = ControlPlane(apiserver_flags=["--no-such-flag"])
    with pytest.raises(ControlPlaneError, match=r"^kube-apiserver ended with 1:(?s:.*)no-such-flag"):
        plane.start()
    assert not plane.folder.exists()


def test_everything_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """kill -9 of the program that started a control plane leaves no process behind."""
    program = (
        "import json, pathlib, sys\nfrom e2e.controlplane import ControlPlane\n"
        "plane = ControlPlane(folder=pathlib.Path(sys.argv[1])).start()\n"
        "print(json.dumps([plane.etcd.pid, plane.apiserver.pid]), flush=True)\nsys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "plane")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as parent:
        assert parent.stdout is not None
        pids = json.loads(parent.stdout.readline())
        parent.kill()
    assert all(gone(pid) for pid in pids)
