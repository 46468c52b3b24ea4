"""``kargo-azure-receiver doctor`` on a real API server: a healthy installation, and broken ones."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e import kargo
from e2e.controlplane import ControlPlane
from e2e.controlplane.ports import free_ports
from e2e.controlplane.waiting import eventually
from e2e.kargo.project import Project, git, image
from e2e.receiver import ROOT
from tests.support.configs import azure, condition, entries
from tests.support.receiver_process import ReceiverFactory

GOOD = "a-secret-that-is-long-enough"
LONG_AGO = "2026-01-01T00:00:00Z"
NAMESPACE = kargo.SERVICE_ACCOUNT_NAMESPACE


def doctor(kubeconfig: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    command = [sys.executable, "-m", "controller", "doctor", f"--kubeconfig={kubeconfig}", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def findings(done: subprocess.CompletedProcess[str]) -> dict[str, list[tuple[str, str]]]:
    """(level, text) by subject."""
    found: dict[str, list[tuple[str, str]]] = {}
    for each in json.loads(done.stdout)["findings"]:
        found.setdefault(each["subject"], []).append((each["level"], each["text"]))
        assert each["level"] == "ok" or each["do"], "what is wrong says what to do"
    return found


def workload(name: str, application: str, version: str, ready: int = 1, **labels: str) -> dict[str, Any]:
    """A Deployment as Kargo's chart makes it."""
    pod = {"app": name}
    return {
        "metadata": {
            "name": name,
            "labels": {
                "app.kubernetes.io/name": application,
                "app.kubernetes.io/version": version,
                **{f"app.kubernetes.io/{key}": value for key, value in labels.items()},
            },
        },
        "spec": {
            "selector": {"matchLabels": pod},
            "template": {
                "metadata": {"labels": pod},
                "spec": {"containers": [{"name": "c", "image": f"ghcr.io/akuity/kargo:{version}"}]},
            },
        },
        "status": {"replicas": 1, "readyReplicas": ready},
    }


class Installation:
    """What stands in Kargo's namespace: nothing runs it, so its status is as the test has it."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self.made: list[str] = []

    def create(self, path: str, body: dict[str, Any]) -> None:
        """Create an object with its status."""
        self.plane.api.create(path, body)
        name = f"{path}/{body['metadata']['name']}"
        self.made.append(name)
        if "status" in body:
            self.plane.api.patch(f"{name}/status", {"status": body["status"]})

    def kargo(self, version: str, *, ready: int = 1) -> None:
        """Kargo's controller."""
        body = workload("kargo-controller", "kargo", version, ready, component="controller")
        self.create(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments", body)

    def pod(self, name: str, version: str, *, ready: bool = True) -> None:
        """One of the receiver's replicas."""
        state = {"phase": "Running", "conditions": [{"type": "Ready", "status": str(ready)}]}
        body = {
            "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "kargo-azure-receiver"}},
            "spec": {
                "serviceAccountName": kargo.SERVICE_ACCOUNT,
                "containers": [{"name": "receiver", "image": f"registry:5000/receiver:{version}"}],
            },
            "status": state,
        }
        self.create(f"/api/v1/namespaces/{NAMESPACE}/pods", body)

    def config_map(self, base_url: str) -> None:
        """What Kargo's server goes by."""
        body = {
            "metadata": {"name": "kargo-external-webhooks-server"},
            "data": {"EXTERNAL_WEBHOOK_SERVER_BASE_URL": base_url},
        }
        self.create(f"/api/v1/namespaces/{NAMESPACE}/configmaps", body)

    def remove(self) -> None:
        """Delete all of it."""
        for path in reversed(self.made):
            self.plane.api.delete(f"{path}?gracePeriodSeconds=0")


@pytest.fixture
def installation(control_plane: ControlPlane, no_other_configs: None) -> Iterator[Installation]:
    """Kargo's namespace, to be filled; without the objects of other tests."""
    control_plane.kubectl("delete", "warehouses", "--all", "--all-namespaces", "--wait=false")
    made = Installation(control_plane)
    yield made
    made.remove()


def test_a_healthy_installation(
    installation: Installation,
    new_project: Callable[..., Project],
    control_plane: ControlPlane,
    start_receiver: ReceiverFactory,
    receiver_kubeconfig: Path,
) -> None:
    """Every check is made, and all that is said besides ok is that the test's base URL is no https."""
    project = new_project(secret=GOOD).create()
    project.put_secret({"secret": GOOD, "receiver-authorization": "Bearer hidden-token"})
    project.add_warehouse("app", image("contoso.azurecr.io/app"), git("https://dev.azure.com/o/p/_git/r"))
    receiver = start_receiver(f"--data-dir={start_receiver.folder}")
    installation.kargo("v1.10.2")
    installation.pod("one", "0.1.0")
    installation.pod("two", "0.1.0")
    installation.config_map(receiver.base_url)
    eventually(lambda: entries(project.config()) and condition(project.config()).get("status") == "True")
    receiver.post(project.path, {"action": "ping"})

    def asked() -> subprocess.CompletedProcess[str] | None:
        """Ask until the history has the ping: such rows are written up to a second later."""
        done = doctor(control_plane.kubeconfig, "-o=json", f"--data-dir={start_receiver.folder}")
        return done if "last delivery " in done.stdout else None

    done = eventually(asked, limit=20.0)
    found = findings(done)
    wrong = {subject for subject, lines in found.items() if any(level != "ok" for level, _ in lines)}
    assert (done.returncode, done.stderr, wrong) == (0, "", {"certificate"})
    assert ("ok", "version v1.10.2 is supported") in found["Kargo"]
    assert found["receiver's Pods"] == [("ok", "2 ready, version 0.1.0")]
    assert found["CRDs"] == [
        ("ok", "warehouses, projectconfigs, clusterconfigs, promotions of kargo.akuity.io")
    ]
    assert "leads to the receiver" in found["route"][0][1]
    name = f"{project.name}/azure"
    assert found[name][0] == ("ok", "served, demands Authorization header, status is right")
    assert found[name][1][1].startswith("last delivery ")
    assert found["Warehouses"] == [("ok", "1 with Azure subscriptions, all of them covered")]
    assert ("ok", f"may get, list, watch secrets in namespace {project.name}") in found["rights"]
    assert not any(hidden in done.stdout for hidden in (project.path, GOOD, "hidden-token"))

    # The same from within, where there are no rights to the rest, and with a base URL found in status.
    within = doctor(receiver_kubeconfig, "-o=json", "--in-cluster")
    assert (within.returncode, within.stderr) == (0, "")
    levels = {level for lines in findings(within).values() for level, _ in lines}
    assert levels == {"ok", "warning", "skipped"}
    assert [level for level, _ in findings(within)["installation"]] == ["skipped"]
    assert findings(within)["rights"] == found["rights"]
    assert "leads to the receiver" in findings(within)["route"][0][1]


def test_a_broken_installation(
    installation: Installation, new_project: Callable[..., Project], control_plane: ControlPlane
) -> None:
    """Each fault is a line of its own that says what to do, and the exit code is 1."""
    project = new_project(secret=GOOD).create(bound=False)
    project.put_receivers([azure("azure"), azure("lost")])
    project.add_warehouse("web", image("https://contoso.azurecr.io"), git("https://dev.azure.com/o/p/r"))
    project.add_warehouse("late", image("nginx"), annotations={"kargo.akuity.io/refresh": LONG_AGO})
    alone = new_project().create(with_secret=False)
    alone.put_receivers([])
    alone.add_warehouse("app", image("contoso.azurecr.io/app"))
    installation.kargo("v1.8.3", ready=0)
    installation.pod("one", "0.1.0")
    installation.pod("two", "0.2.0", ready=False)
    (port,) = free_ports(1)
    installation.config_map(f"http://127.0.0.1:{port}")
    done = doctor(control_plane.kubeconfig, "-o=json", "--service-account=somebody")
    found = findings(done)
    assert (done.returncode, done.stderr) == (1, "")
    assert [level for level, _ in found["Kargo"]] == ["error", "error"]
    assert "v1.8.3 is not supported" in found["Kargo"][0][1]
    assert "not running: kargo-controller" in found["Kargo"][1][1]
    assert found["receiver's Pods"] == [
        ("warning", "not ready: two"),
        ("warning", "they run several versions: 0.1.0, 0.2.0"),
    ]
    assert ("error", "may not patch warehouses: no push refreshes anything") in found["rights"]
    lacking = f"may not get, list, watch secrets in namespace {project.name}: receivers there are not served"
    assert ("error", lacking) in found["rights"]
    assert found[f"{project.name}/azure"] == [("warning", "served, no second factor; status has no URL")]
    level, text = found[f"{project.name}/lost"][0]
    assert level == "error"
    assert "does not exist" in text
    assert found["Warehouses"] == [
        ("warning", "1 subscription can never match an event"),
        ("warning", "1 subscription can never match an event"),
        ("warning", "no receiver covers 1 Warehouse with Azure subscriptions in 1 Project"),
    ]
    assert "has not picked up the refresh of 1 Warehouse" in found["refreshes"][0][1]
    named = [name for each in json.loads(done.stdout)["findings"] for name in each["names"]]
    assert named == [
        f"{project.name}/web git https://dev.azure.com/o/p/r",
        f"{project.name}/web image https://contoso.azurecr.io",
        f"{alone.name}/app",
        f"{project.name}/late",
    ]
    assert found["route"] == [("error", f"127.0.0.1:{port} does not answer: Connection refused")]

    table = doctor(control_plane.kubeconfig)
    assert table.returncode == 1
    assert table.stdout.splitlines()[0].split() == ["LEVEL", "SUBJECT", "FINDING"]
    assert re.search(r"\n\d+ errors?, \d+ warnings?\n$", table.stdout), table.stdout[-40:]
    assert project.path not in table.stdout


def test_who_may_read_nothing_is_told_so(
    new_project: Callable[..., Project], control_plane: ControlPlane
) -> None:
    """Everything that could not be looked at is named, and it is no success."""
    project = new_project().create()
    control_plane.kubectl("create", "serviceaccount", "nobody", "-n", project.name)
    done = doctor(control_plane.kubeconfig_for("nobody", project.name), "-o=json")
    found = findings(done)
    assert (done.returncode, done.stderr) == (1, "")
    assert (
        found["Kargo"][0][1] == "not checked: you lack the right to list deployments.apps in namespace kargo"
    )
    assert found["Warehouses"][0][0] == found["receivers"][0][0] == "error"
    assert all(level != "ok" for lines in found.values() for level, _ in lines)


def test_no_cluster_is_one_line(tmp_path: Path, control_plane: ControlPlane) -> None:
    """A kubeconfig that is not there is wrong use; an API server that does not answer is not."""
    missing = doctor(tmp_path / "none")
    assert (missing.returncode, missing.stdout, missing.stderr.count("\n")) == (2, "", 1)
    (port,) = free_ports(1)
    config = control_plane.kubeconfig.read_text("utf-8").replace(
        control_plane.url, f"https://127.0.0.1:{port}"
    )
    (tmp_path / "config").write_text(config, "utf-8")
    silent = doctor(tmp_path / "config")
    assert (silent.returncode, silent.stdout, silent.stderr.count("\n")) == (1, "", 1)
    assert silent.stderr.startswith("kargo-azure-receiver doctor: ")
    assert doctor(tmp_path / "config", "--timeout=soon").returncode == 2


def test_credentials_that_are_not_accepted_are_one_line(tmp_path: Path, control_plane: ControlPlane) -> None:
    """Nothing else would be answered either."""
    config = json.loads(control_plane.kubectl("config", "view", "--raw", "-o=json"))
    config["users"][0]["user"] = {"token": "expired"}
    (tmp_path / "config").write_text(json.dumps(config), "utf-8")
    done = doctor(tmp_path / "config")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "doctor: the cluster does not accept your credentials: " in done.stderr


@pytest.mark.parametrize(
    ("base_url", "said"),
    [
        pytest.param("kargo.example.com", "is no absolute URL", id="no URL"),
        pytest.param("https://user:hush@kargo.example.com", "must not hold a user name", id="a password"),
        pytest.param("https://kargo\x1b[31m\n.example.com", "is no URL that Kargo takes", id="colours"),
    ],
)
def test_a_base_url_that_nobody_can_use(
    installation: Installation, control_plane: ControlPlane, base_url: str, said: str
) -> None:
    """It is an error, is not called, and is not repeated."""
    installation.config_map(base_url)
    done = doctor(control_plane.kubeconfig, "-o=json")
    ((level, text),) = findings(done)["ConfigMap"]
    assert (done.returncode, level) == (1, "error")
    assert said in text
    assert "not checked" in findings(done)["route"][0][1]
    assert "hush" not in done.stdout


def test_hostile_objects_are_a_few_short_lines(
    installation: Installation, new_project: Callable[..., Project], control_plane: ControlPlane
) -> None:
    """No traceback, no control characters, no page of text, and no path of a receiver, whatever they hold."""
    project = new_project().create()
    digest = "ab" * 32
    project.put_receivers(
        [{"name": "\x1b[31mred\n", "azure": {"secretRef": {"name": "../x"}}}, 1, {"azure": 1}]
    )
    long = [git(f"https://dev.azure.com/{number}/azure/{digest}" + "a" * 3000) for number in range(200)]
    for number, subscriptions in enumerate(
        (None, "x", [1, None, {"image": 1}, {"git": {"repoURL": 5}}], long)
    ):
        project.add_warehouse(f"w{number}", annotations={"kargo.akuity.io/refresh": "\x1b[2J" + "z" * 500})
        project.set_subscriptions(f"w{number}", subscriptions)
    installation.kargo("v1.x")
    installation.config_map(f"https://{'a' * 5000}.invalid")
    done = doctor(control_plane.kubeconfig)
    assert (done.returncode, done.stderr) == (1, "")
    assert all(line.isprintable() and len(line) < 500 for line in done.stdout.splitlines())
    assert len(done.stdout.splitlines()) < 60
    assert digest not in done.stdout
    first = f"{project.name}/w3 git https://dev.azure.com/0/"
    assert f"200 subscriptions can never match an event: {first}" in done.stdout
