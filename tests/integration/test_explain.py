"""``kargo-azure-receiver explain`` on a real API server: exit codes, rights, and what an operator reads."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.controlplane import ControlPlane
from e2e.kargo.project import Project, git
from e2e.receiver import ROOT

SECRET = "a-secret-that-is-long-enough"
GIT = "https://dev.azure.com/contoso/shop/_git/manifests"


def explain(kubeconfig: Path, *arguments: str, payload: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    command = [sys.executable, "-m", "controller", "explain", f"--kubeconfig={kubeconfig}", *arguments]
    return subprocess.run(
        command, cwd=ROOT, input=payload, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.fixture
def project(new_project: Callable[..., Project]) -> Project:
    """A Project with a receiver and a Warehouse."""
    project = new_project(secret=SECRET).create()
    project.add_warehouse("main", git(GIT))
    return project


def test_a_hit_a_miss_and_a_warehouse(project: Project, control_plane: ControlPlane) -> None:
    """Exit code 0 where something matches, 3 where nothing does; no receiver has to run."""
    hit = explain(control_plane.kubeconfig, GIT, "-n", project.name)
    assert (hit.returncode, hit.stderr) == (0, "")
    assert f"{project.name}/azure: served, refreshes 1" in hit.stdout
    assert f"{project.name}/main git {GIT}" in hit.stdout
    miss = explain(control_plane.kubeconfig, f"{GIT}2", "-n", project.name, "-o", "json")
    assert miss.returncode == 3
    assert json.loads(miss.stdout)["refreshed"] == []
    reached = explain(control_plane.kubeconfig, "main", "-n", project.name)
    assert (reached.returncode, "Reached by events of" in reached.stdout) == (0, True)
    event = {"eventType": "git.push", "resource": {"repository": {"remoteUrl": GIT}}}
    sent = explain(
        control_plane.kubeconfig, "-", "--receiver", f"{project.name}/azure", payload=json.dumps(event)
    )
    assert sent.returncode == 0


def publish(project: Project, control_plane: ControlPlane) -> None:
    """Write status as the running receiver does."""
    entry = {"name": "azure", "path": project.path, "url": f"https://kargo.example{project.path}"}
    control_plane.kubectl(
        *("patch", "projectconfig", project.name, "-n", project.name, "--subresource=status"),
        *("--type=merge", "-p", json.dumps({"status": {"webhookReceivers": [entry]}})),
    )


def test_the_base_url_in_status_does_not_matter(project: Project, control_plane: ControlPlane) -> None:
    """A receiver whose URL is published is served, whatever that URL's host."""
    publish(project, control_plane)
    hit = explain(control_plane.kubeconfig, GIT, "-n", project.name)
    assert (hit.returncode, hit.stderr) == (0, "")
    assert f"{project.name}/azure: served, refreshes 1" in hit.stdout


def test_a_user_of_one_project_without_its_secrets(project: Project, control_plane: ControlPlane) -> None:
    """Status says whether the receiver is served; what could not be looked at is named."""
    publish(project, control_plane)
    own = ("-n", project.name)
    control_plane.kubectl("create", "serviceaccount", "tenant", *own)
    kinds = "projectconfigs.kargo.akuity.io,warehouses.kargo.akuity.io"
    control_plane.kubectl("create", "role", "tenant", *own, "--verb=list", f"--resource={kinds}")
    account = f"--serviceaccount={project.name}:tenant"
    control_plane.kubectl("create", "rolebinding", "tenant", *own, "--role=tenant", account)
    done = explain(control_plane.kubeconfig_for("tenant", project.name), GIT, *own)
    assert done.returncode == 0
    assert f"{project.name}/azure: served, refreshes 1 (going by its status: Secret" in done.stdout
    assert done.stderr == (
        "ClusterConfig's receivers are left out: you lack the right to list clusterconfigs.kargo.akuity.io "
        "in all namespaces\n"
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param([], "give a URL, a Warehouse, or a payload", id="nothing"),
        pytest.param(["nonsense"], "neither a repository's URL nor the name of a Warehouse", id="nonsense"),
        pytest.param(["--payload", "/no/such/file"], "/no/such/file: No such file or directory", id="file"),
        pytest.param(["--payload", "/"], "/: Is a directory", id="folder"),
        pytest.param(["-"], "the payload is refused: the body is empty", id="empty payload"),
        pytest.param([GIT, "--receiver", "nobody/az"], "there is no Azure receiver nobody/az", id="receiver"),
    ],
)
def test_wrong_use_is_one_line(arguments: list[str], says: str, control_plane: ControlPlane) -> None:
    """Exit code 2."""
    done = explain(control_plane.kubeconfig, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("kargo-azure-receiver explain: ")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_missing_right_is_one_line(project: Project, control_plane: ControlPlane) -> None:
    """It names verb, resource and namespace; exit code 1."""
    control_plane.kubectl("create", "serviceaccount", "nobody", "-n", project.name)
    done = explain(control_plane.kubeconfig_for("nobody", project.name), GIT, "-n", project.name)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "kargo-azure-receiver explain: you lack the right to list projectconfigs.kargo.akuity.io "
        f"in namespace {project.name}\n"
    )
