"""docs/install.md, followed literally: its commands in order, by Helm and kubectl, on a real API server."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from e2e import kargo
from e2e.controlplane import ControlPlane
from tests.manifests.parity import HOST
from tests.support.chart import Helm
from tests.support.manifests import ROOT, cluster_with_kargo

pytestmark = pytest.mark.integration

PAGE = (ROOT.parent / "docs" / "install.md").read_text("utf-8")
PLACEHOLDERS = {
    "REGISTRY": "registry.example.com",
    "BASE-URL": f"{HOST}/webhooks",
    "CONTROL-PLANE": "local",
    "ACCOUNT": "contoso",
    "GROUP": "kargo",
    "CLUSTER": "aks",
}
STAND_INS = {
    # No Azure here: each command of it prints an ID.
    "az": "echo 6f1c2f5e-3f0b-4f5e-9a53-0c1d7a2b9e11",
    # No Docker and no registry here; the target must be there.
    "docker": "exit 0",
    "make": 'exec {make} --dry-run "$@"',
    # No kubelet and no controller: the workload must be there, and what is run in a Pod runs on this machine.
    "kubectl": """case "$1 $2" in
        "rollout status") shift 2; set -- get "$@" ;;
        "exec -n") shift 5; exec "$@" ;;
    esac
    exec {kubectl} "$@" """,
    # Nor a Pod of `helm test` (test_chart_on_api_server.py plays it): the release must have one.
    "helm": """[ "$1" != test ] || set -- get hooks "$2" "$3" "$4"
    exec {helm} "$@" """,
    # Nobody answers under the page's base URL, which `doctor` must say with exit code 1.
    "kargo-azure-receiver": '{python} -m controller "$@" || [ "$1 $?" = "doctor 1" ]',
}
"""What takes the place of a command that needs more than an API server, and why."""

INSTALL = "Installing"


def sections() -> dict[str, str]:
    """The commands of each section, by its heading."""
    found: dict[str, str] = {}
    for part in re.split(r"^#+ (?=[A-Z])", PAGE, flags=re.MULTILINE)[1:]:
        blocks = re.findall(r"^ *```sh\n(.*?)^ *```", part, re.MULTILINE | re.DOTALL)
        if blocks:
            found[part.partition("\n")[0]] = "".join(blocks)
    return found


SECTIONS = sections()


class Shell:
    """Runs the page's commands, as a user in a clone of this repository does."""

    def __init__(self, plane: ControlPlane, helm: Helm, folder: Path) -> None:
        self.folder = folder
        stand_ins = folder / "bin"
        stand_ins.mkdir()
        programs = {
            "kubectl": plane.binaries.kubectl,
            "helm": helm.program,
            "make": shutil.which("make"),
            "python": sys.executable,
        }
        for name, script in STAND_INS.items():
            (stand_ins / name).write_text(f"#!/bin/bash\n{script.format(**programs)}\n")
            (stand_ins / name).chmod(0o755)
        self._environment = {key: value for key, value in os.environ.items() if not key.startswith("HELM_")}
        self._environment |= {
            "PATH": f"{stand_ins}:{os.environ['PATH']}",
            "KUBECONFIG": str(plane.kubeconfig),
            "PYTHONPATH": str(ROOT.parent),
        }
        self._environment |= {f"HELM_{kind}_HOME": str(folder / kind) for kind in ("CACHE", "CONFIG", "DATA")}

    def __call__(self, script: str, cwd: Path = ROOT.parent) -> str:
        """Run a script to its end or its first failure, and return what it prints."""
        for name, value in PLACEHOLDERS.items():
            script = re.sub(rf"(?<![\w$]){name}(?![\w-])", value, script)
        done = subprocess.run(
            ["bash", "-euxo", "pipefail", "-c", script],
            cwd=cwd,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def clean(announce: Callable[[str], None]) -> Iterator[ControlPlane]:
    """An empty cluster."""
    with ControlPlane(say=announce) as plane:
        yield plane


@pytest.fixture(scope="module")
def cluster(announce: Callable[[str], None]) -> Iterator[ControlPlane]:
    """A cluster with Kargo, whose base URL is the page's."""
    with cluster_with_kargo(announce) as plane:
        settings = {
            "metadata": {"name": kargo.SERVICE_ACCOUNT},
            "data": {"EXTERNAL_WEBHOOK_SERVER_BASE_URL": f"{HOST}/webhooks"},
        }
        plane.api.create(f"/api/v1/namespaces/{kargo.SERVICE_ACCOUNT_NAMESPACE}/configmaps", settings)
        yield plane


@pytest.fixture
def shell(cluster: ControlPlane, helm: Helm, tmp_path: Path) -> Iterator[Shell]:
    """A shell on that cluster; what is installed is removed as the page says."""
    shell = Shell(cluster, helm, tmp_path)
    yield shell
    shell("helm uninstall kargo-azure-receiver -n kargo --ignore-not-found")


def test_every_section_is_followed() -> None:
    """A section with commands has a test below."""
    own = Path(__file__).read_text("utf-8")
    assert [name for name in SECTIONS if f'"{name}"' not in own] == []


@pytest.mark.parametrize("name", ["The image", "Beside Kargo", "Queues instead of a way in", "Upgrade"])
def test_a_section_that_goes_on_from_the_installation(shell: Shell, name: str) -> None:
    """Beside Kargo, in the order of the page."""
    assert "STATUS: deployed" in shell(SECTIONS[INSTALL])
    shell(SECTIONS[name])


def test_in_place(cluster: ControlPlane, shell: Shell) -> None:
    """Kargo's server was switched off, which takes its ServiceAccount and ConfigMap away."""
    account = f"serviceaccount/{kargo.SERVICE_ACCOUNT}"
    cluster.kubectl("delete", "-n", "kargo", account)
    try:
        shell(SECTIONS["In place of Kargo's server"])
    finally:
        shell("helm uninstall kargo-azure-receiver -n kargo")
        cluster.kubectl("create", "serviceaccount", "-n", "kargo", kargo.SERVICE_ACCOUNT)


def test_stand_alone(clean: ControlPlane, helm: Helm, tmp_path: Path) -> None:
    """From nothing at all."""
    Shell(clean, helm, tmp_path)(SECTIONS["Stand-alone"])


def test_rights_in_another_cluster(shell: Shell) -> None:
    """Which here is the same one."""
    script = SECTIONS["Kargo's resources in another cluster"]
    assert "clusterrole.rbac.authorization.k8s.io/kargo-azure-receiver created" in shell(script)
    shell(script.replace("apply", "delete"))


def test_from_kustomize_to_helm(shell: Shell) -> None:
    """What kubectl has applied becomes Helm's."""
    assert "`kubectl apply -k manifests/base`" in PAGE
    shell("kubectl apply -k manifests/base")
    script = SECTIONS["From kustomize to Helm"]
    if "v3." in shell("helm version"):
        script = script.replace(" --force-conflicts", "")
    shell(script)


def test_your_kustomization(shell: Shell) -> None:
    """The two files of the page, beside a clone, are accepted by the API server."""
    (shell.folder / "kargo-azure-receiver").symlink_to(ROOT.parent)
    for text in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        name = re.match(r"# (\S+?\.yaml)", text)
        assert name is not None
        file = shell.folder / name[1]
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    made = list(yaml.safe_load_all(shell("kubectl kustomize my-receiver", shell.folder)))
    applied = shell("kubectl apply -k my-receiver --dry-run=server", shell.folder)
    assert applied.count("(server dry run)") == len(made)
