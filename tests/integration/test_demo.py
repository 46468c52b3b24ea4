"""`make run` as a newcomer sees it: what it prints, what it changes, what it says when something is wrong."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from e2e.controlplane import ControlPlane
from e2e.controlplane.ports import free_ports
from e2e.kargo.project import Project, image, webhook_path
from tests.harness.test_processes import gone

ROOT = Path(__file__).parents[2]


def run_demo(*flags: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    port, admin_port = free_ports(2)
    command = [sys.executable, "-m", "e2e.demo", f"--port={port}", f"--admin-port={admin_port}", *flags]
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def heed_ctrl_c() -> None:
    """Undo what a job in the background and a worker of pytest-xdist inherit: SIGINT is ignored there."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.usefixtures("storage")
def test_the_demonstration_shows_what_each_event_refreshed() -> None:
    """Every way in which events come gets its answer, and exactly the objects that it is about change."""
    done = run_demo()
    assert done.returncode == 0, done.stdout + done.stderr
    answers = re.findall(r"^  \S.*  (\d{3}) +\d+ ms$", done.stdout, re.MULTILINE)
    assert answers == ["200"] * 11 + ["401"] + ["200"] * 2
    for text in (
        "deleted from the queue",
        "webhook is configured correctly",
        "validationResponse",
        "WebHook-Allowed-Origin: eventgrid",
    ):
        assert text in done.stdout
    changed = re.findall(r"^    (?:Warehouse|Promotion) ([\w.-]+) +\d{4}-\d\d-", done.stdout, re.MULTILINE)
    guestbook, manifests = ["guestbook", "storefront"], ["manifests-https", "manifests-ssh"]
    registry = [*guestbook, "storefront", *guestbook]
    promotions = ["prod-eu.01k3zv7q8m5t2r9xwbn4c6d0ef.5f2a9c1", "prod-us.01k3zv9c4h7p1s8yqdm2a5g6kj.5f2a9c1"]
    event_grid = [*guestbook, "storefront"]
    assert changed == [*registry, *manifests, *promotions, *event_grid, *manifests, *guestbook, *guestbook]
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert done.stdout.rstrip().splitlines()[-1].startswith("Stopped;")
    assert "Traceback" not in done.stdout + done.stderr


def test_ctrl_c_stops_everything_that_was_started() -> None:
    """On a terminal it stays up until Ctrl-C, which leaves no process and no folder behind."""
    port, admin_port = free_ports(2)
    leader, follower = os.openpty()
    command = [sys.executable, "-m", "e2e.demo", f"--port={port}", f"--admin-port={admin_port}"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=follower,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,
    ) as demo:
        assert demo.stdout is not None
        shown = ""
        for line in demo.stdout:
            shown += line
            if line.startswith("Ctrl-C"):
                break
        children = Path(f"/proc/{demo.pid}/task/{demo.pid}/children").read_text().split()
        demo.send_signal(signal.SIGINT)
        rest, errors = demo.communicate(timeout=60)
    os.close(leader)
    os.close(follower)
    assert demo.returncode == 0, shown + errors
    assert rest.rstrip().splitlines()[-1].startswith("Stopped;")
    assert len(children) == 3 + ("Azurite at http" in shown)
    assert all(gone(int(pid)) for pid in children)
    folder = re.search(r"KUBECONFIG=(\S+)/admin.kubeconfig", shown)
    assert folder is not None
    assert not Path(folder[1]).exists()
    assert f"http://127.0.0.1:{port}/azure/" in shown
    assert "curl -i $URL" in shown
    assert "kubectl get warehouses,promotions" in shown


def test_on_the_users_cluster_only_annotations_change(control_plane: ControlPlane, project: Project) -> None:
    """CLUSTER=current pings the receivers that it finds, and publishes nothing."""
    project.add_warehouse("w", image("registry.azurecr.io/app"))
    receivers = [
        {"name": name, "azure": {"secretRef": {"name": f"{name}-secret"}}} for name in ("azure", "g")
    ]
    project.put_secret({"secret": "of-the-guarded-one", "receiver-authorization": "x"}, "g-secret")
    project.put_receivers(receivers)
    before = project.config(), project.warehouse("w")
    done = run_demo("--cluster=current", env={"KUBECONFIG": str(control_plane.kubeconfig)})
    assert done.returncode == 0, done.stdout + done.stderr
    for name, path, answer in (
        ("azure", project.path, 200),
        ("g", webhook_path(project.name, "g", "of-the-guarded-one"), 401),
    ):
        assert re.search(
            rf"^{project.name}/{name}\n  URL .*{path}\n  ping +{answer} ", done.stdout, re.MULTILINE
        )
    assert (project.config(), project.warehouse("w")) == before


@pytest.mark.parametrize(
    ("flags", "env", "message"),
    [
        pytest.param(["--cluster=mine"], {}, "CLUSTER must be local or current, not mine", id="cluster"),
        pytest.param(["--port=x"], {}, "PORT must be a number from 1 to 65535, not x", id="port"),
        pytest.param(
            ["--cluster=current"], {"KUBECONFIG": "/no/such/file"}, "/no/such/file", id="no-kubeconfig"
        ),
        pytest.param(
            [], {"KUBEBUILDER_ASSETS": "/no/such/folder"}, "has no etcd, kube-apiserver, kubectl", id="tools"
        ),
    ],
)
def test_what_is_wrong_is_one_clear_line(flags: list[str], env: dict[str, str], message: str) -> None:
    """A mistake is named in one line, without a stack trace."""
    done = run_demo(*flags, env=env)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_busy_port_is_one_clear_line() -> None:
    """Somebody else's server on the port is said at once, with the way out."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        busy = other.getsockname()[1]
        done = run_demo(f"--port={busy}")
    assert done.returncode == 1
    assert re.fullmatch(rf"error: port {busy} for the webhook is not free .* with PORT=…\n", done.stderr)


def test_an_unreachable_cluster_is_one_clear_line(tmp_path: Path, control_plane: ControlPlane) -> None:
    """A kubeconfig of a cluster that is down ends in one line that names it."""
    (port,) = free_ports(1)
    kubeconfig = tmp_path / "kubeconfig"
    text = control_plane.kubeconfig.read_text().replace(f":{control_plane.port}", f":{port}")
    kubeconfig.write_text(text)
    done = run_demo("--cluster=current", env={"KUBECONFIG": str(kubeconfig)})
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "your current cluster can't be used" in done.stderr
    assert str(port) in done.stderr
