"""``kargo-azure-receiver send`` to a receiver by its name: URL and second factor come from its Secret."""

import json
import subprocess
import sys
from pathlib import Path

from e2e.controlplane import ControlPlane
from e2e.controlplane.waiting import eventually
from e2e.kargo.project import Project, image
from e2e.receiver import ROOT
from tests.support.receiver_process import ReceiverFactory

IMAGE = "contoso.azurecr.io/app"


def send(kubeconfig: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    command = [sys.executable, "-m", "controller", "send", *arguments, f"--kubeconfig={kubeconfig}"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_a_push_to_a_receiver_by_its_name(
    project: Project, control_plane: ControlPlane, start_receiver: ReceiverFactory
) -> None:
    """Straight to a port, or with a base URL, where status has none; with what its Secret demands."""
    project.put_secret(
        {"secret": project.secret, "receiver-username": "user", "receiver-password": "password"}
    )
    project.add_warehouse("app", image(IMAGE))
    receiver = start_receiver("--publish-status=false")
    name = f"--receiver={project.name}/azure"
    eventually(lambda: receiver.post(project.path, {"action": "ping"}).status == 401)
    unpublished = send(control_plane.kubeconfig, "acr", f"{IMAGE}:v1", name)
    assert (unpublished.returncode, unpublished.stdout) == (1, "")
    assert "has no current URL in status: give --base-url, or --to" in unpublished.stderr
    assert project.refresh("app") is None
    for way in (f"--to=127.0.0.1:{receiver.port}", f"--base-url={receiver.base_url}"):
        done = send(control_plane.kubeconfig, "acr", f"{IMAGE}:v1", name, way, "-o=json")
        assert (done.returncode, done.stderr) == (0, "")
        printed = json.loads(done.stdout)
        assert (printed["status"], json.loads(printed["answer"])) == (
            200,
            {"msg": "refreshed 1 warehouse(s)"},
        )
        assert project.path not in done.stdout
    assert project.refresh("app") is not None
    wrong = send(control_plane.kubeconfig, "ping", name, way, "--authorization=Bearer wrong")
    assert wrong.returncode == 1
    assert wrong.stdout.startswith("401 in ")


def test_a_receiver_that_is_not_there_or_not_served_is_one_line(
    project: Project, control_plane: ControlPlane
) -> None:
    """It says why."""
    missing = send(control_plane.kubeconfig, "ping", f"--receiver={project.name}/nobody")
    assert missing.returncode == 2
    assert missing.stderr == f"kargo-azure-receiver send: there is no Azure receiver {project.name}/nobody\n"
    project.delete_secret()
    faulty = send(control_plane.kubeconfig, "ping", f"--receiver={project.name}/azure")
    assert faulty.returncode == 1
    assert "is not served" in faulty.stderr
    assert faulty.stderr.count("\n") == 1
