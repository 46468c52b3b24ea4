"""``kargo-azure-receiver urls``: what an operator gets to see, with which rights."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e import kargo
from e2e.controlplane import ControlPlane
from e2e.controlplane.waiting import eventually
from e2e.kargo.project import Project
from e2e.receiver import ROOT
from tests.support.configs import ClusterSite, azure, condition, entries, github
from tests.support.receiver_process import ReceiverFactory

BASE_URL = "https://kargo.example.com/webhooks"
GOOD = "a-secret-that-is-long-enough"


def urls(kubeconfig: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    command = [sys.executable, "-m", "controller", "urls", f"--kubeconfig={kubeconfig}", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def mixed(new_project: Callable[..., Project]) -> Project:
    """A Project with a good receiver, one without a Secret, and one of another type."""
    project = new_project(secret=GOOD).create()
    project.put_receivers([azure("azure"), github("hub"), azure("lost")])
    return project


def test_a_table_shows_urls_and_problems(
    mixed: Project, control_plane: ControlPlane, start_receiver: ReceiverFactory
) -> None:
    """With the base URL found in status; a problem makes the exit code 1."""
    receiver = start_receiver(base_url=BASE_URL)
    eventually(lambda: entries(mixed.config()))
    assert receiver.post(mixed.path, b"{}").status == 400
    peers = f"--peers=127.0.0.1:{receiver.admin_port}"

    def answered() -> list[list[str]] | None:
        done = urls(control_plane.kubeconfig, "-n", mixed.name, peers)
        assert (done.returncode, done.stderr) == (1, "")
        found = [re.split("  +", line) for line in done.stdout.splitlines()]
        return found if "ago: 400" in done.stdout else None  # the history writes it within a second

    header, good, lost = eventually(answered, 10) or []
    assert header == ["NAMESPACE", "RECEIVER", "URL", "LAST DELIVERY", "PROBLEM"]
    assert good[:3] == [mixed.name, "azure", f"{BASE_URL}{mixed.path}"]
    assert lost == [
        mixed.name,
        "lost",
        "none kept",
        f'Secret "lost-secret" in namespace "{mixed.name}" does not exist',
    ]


def test_json_holds_the_same_and_needs_no_receiver_with_a_base_url(
    mixed: Project, control_plane: ControlPlane
) -> None:
    """For scripts; nothing has to run, and all Projects are listed without ``-n``."""
    site = ClusterSite(control_plane, GOOD)
    site.put_secret({"secret": GOOD})
    site.put_receivers([azure("azure", site.secret_name)])
    try:
        done = urls(control_plane.kubeconfig, "-o", "json", f"--base-url={BASE_URL}/")
    finally:
        site.remove()
    rows = {(row["namespace"], row["receiver"]): row for row in json.loads(done.stdout)}
    assert rows[mixed.name, "azure"] == {
        "namespace": mixed.name,
        "receiver": "azure",
        "url": f"{BASE_URL}{mixed.path}",
        "problem": "",
        "lastDelivery": None,
        "lastDeliveryKnownBy": [],
    }
    assert rows[mixed.name, "lost"]["url"] == ""
    assert "does not exist" in rows[mixed.name, "lost"]["problem"]
    assert rows["cluster", "azure"]["url"] == f"{BASE_URL}{site.path}"
    assert (mixed.name, "hub") not in rows


def test_a_receiver_with_an_impossible_secret_name_hides_nobody(
    mixed: Project, control_plane: ControlPlane, start_receiver: ReceiverFactory
) -> None:
    """Neither from the listing of the whole cluster nor from status; the condition names it."""
    names = ("50%", "..", "a,b", "a/b")
    mixed.put_receivers([azure("azure"), *(azure(f"bad-{n}", name) for n, name in enumerate(names))])
    start_receiver(base_url=BASE_URL)
    eventually(lambda: [entry["name"] for entry in entries(mixed.config())] == ["azure"])
    eventually(lambda: condition(mixed.config()).get("reason") == "SecretNameInvalid")
    assert all(repr(name) in condition(mixed.config())["message"] for name in names)
    done = urls(control_plane.kubeconfig, "-o", "json")
    assert done.returncode == 1
    rows = {row["receiver"]: row for row in json.loads(done.stdout) if row["namespace"] == mixed.name}
    assert rows["azure"]["url"] == f"{BASE_URL}{mixed.path}"
    assert all("is no name of a Secret" in rows[f"bad-{n}"]["problem"] for n in range(len(names)))


def test_a_missing_right_to_secrets_is_said_beside_the_receiver(
    new_project: Callable[..., Project], receiver_kubeconfig: Path
) -> None:
    """Who may read the configs but not a Project's Secrets gets a listing that says so."""
    project = new_project(secret=GOOD).create(bound=False)
    done = urls(receiver_kubeconfig, "-n", project.name, f"--base-url={BASE_URL}")
    assert done.returncode == 1
    assert done.stderr.startswith("last deliveries are not known: run this in a receiver's Pod")
    *row, problem = re.split("  +", done.stdout.splitlines()[1])
    assert row == [project.name, "azure", "not known"]
    where = f'Secret "azure-secret" in namespace "{project.name}"'
    assert problem == f"{where} can't be read: you lack the right to get secrets there"


def test_a_missing_right_to_configs_is_one_line(
    new_project: Callable[..., Project], control_plane: ControlPlane
) -> None:
    """Who may read nothing is told which verb and resource are missing; exit code 1."""
    project = new_project().create()
    control_plane.kubectl("create", "serviceaccount", "nobody", "-n", project.name)
    done = urls(control_plane.kubeconfig_for("nobody", project.name), "-n", project.name)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "kargo-azure-receiver urls: you lack the right to list projectconfigs.kargo.akuity.io "
        f"in namespace {project.name}\n"
    )


def test_two_receivers_with_one_path_and_a_stale_status_are_shown_as_problems(
    new_project: Callable[..., Project], control_plane: ControlPlane
) -> None:
    """A listing must not show a URL that does not answer."""
    project = new_project(secret=GOOD).create()
    path = f"{kargo.API}/namespaces/{project.name}/projectconfigs/{project.name}/status"
    stale = {"name": "azure", "path": f"/azure/{'0' * 64}", "url": f"{BASE_URL}/azure/{'0' * 64}"}
    control_plane.api.patch(path, {"status": {"webhookReceivers": [stale]}})
    (row,) = json.loads(urls(control_plane.kubeconfig, "-n", project.name, "-o", "json").stdout)
    assert row["url"] == ""
    assert "status has no current URL" in row["problem"]
    project.put_secret({"secret": f"re{GOOD}"}, name="azu-secret")
    project.put_receivers([azure("azure"), azure("azu")])
    rows = json.loads(urls(control_plane.kubeconfig, "-n", project.name, "-o", "json").stdout)
    assert {row["url"] for row in rows} == {""}
    assert all("come to one path" in row["problem"] for row in rows)
