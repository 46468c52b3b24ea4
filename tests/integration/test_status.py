"""Users find their URL in status, where Kargo's documentation says, and what is wrong in a condition."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e import kargo
from e2e.controlplane import ControlPlane
from e2e.controlplane.waiting import eventually
from e2e.kargo.project import Project, webhook_path
from tests.support.azure import ping
from tests.support.configs import (
    ClusterSite,
    Site,
    azure,
    condition,
    entries,
    events,
    github,
    url_of,
)
from tests.support.receiver_process import ReceiverFactory, ReceiverProcess

AT_ONCE = 2.0
"""Seconds within which a change must be seen in status."""
GOOD = "a-secret-that-is-long-enough"


@pytest.fixture(scope="module")
def receiver(
    receiver_kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ReceiverProcess]:
    """One receiver for the tests that only watch it publish."""
    with ReceiverFactory(receiver_kubeconfig, tmp_path_factory.mktemp("receiver")) as factory:
        yield factory("--log-level=debug", base_url="https://kargo.example.com/webhooks")


@pytest.fixture
def cluster_site(control_plane: ControlPlane) -> Iterator[ClusterSite]:
    """The ClusterConfig, gone after the test."""
    site = ClusterSite(control_plane)
    yield site
    site.remove()


# -- the URL


@pytest.mark.parametrize("secret_first", [True, False], ids=["Secret first", "ProjectConfig first"])
def test_the_documented_command_prints_a_projects_url(
    new_project: Callable[..., Project], receiver: ReceiverProcess, secret_first: bool
) -> None:
    """``kubectl get … -o=jsonpath`` prints name, path and URL, at once, whatever was created first."""
    project = new_project(secret=GOOD)
    kargo.create_namespace(project.plane, project.name)
    kargo.bind_project(project.plane, project.name)
    _create(project, secret_first)
    _within(AT_ONCE, lambda: entries(project.config()))
    printed = project.plane.kubectl(
        *("get", "projectconfigs", project.name, "-n", project.name),
        "-o=jsonpath={.status.webhookReceivers}",
    )
    path = f"/webhooks{webhook_path(project.name, 'azure', GOOD)}"
    url = f"https://kargo.example.com{path}"
    assert json.loads(printed) == [{"name": "azure", "path": path, "url": url}]
    assert receiver.post(path, ping()).status == 200


@pytest.mark.parametrize("secret_first", [True, False], ids=["Secret first", "ClusterConfig first"])
def test_the_documented_command_prints_the_clusters_url(
    cluster_site: ClusterSite, receiver: ReceiverProcess, secret_first: bool
) -> None:
    """The same for the ClusterConfig, whose Secret is in the system resources' namespace."""
    _create(cluster_site, secret_first)
    _within(AT_ONCE, lambda: entries(cluster_site.config()))
    printed = cluster_site.plane.kubectl(
        "get", "clusterconfigs", "cluster", "-o=jsonpath={.status.webhookReceivers}"
    )
    path = f"/webhooks{cluster_site.path}"
    url = f"https://kargo.example.com{path}"
    assert json.loads(printed) == [{"name": "azure", "path": path, "url": url}]
    assert receiver.post(path, ping()).status == 200


def test_a_removed_receiver_loses_its_entry_only(
    new_project: Callable[..., Project], receiver: ReceiverProcess
) -> None:
    """What is taken out of spec goes from status; a neighbour and an entry of another type stay."""
    project = new_project(secret=GOOD).create()
    project.put_receivers([azure("azure"), github("hub"), azure("second", "azure-secret")])
    _within(AT_ONCE, lambda: len(entries(project.config())) == 2)
    ours = entries(project.config())
    hub = {"name": "hub", "path": "/webhooks/github/x", "url": "https://kargo.example.com/webhooks/github/x"}
    _patch_status(project, {"webhookReceivers": [ours[0], hub, ours[1]]})
    gone = webhook_path(project.name, "second", GOOD)
    assert receiver.post(gone, ping()).status == 200
    project.put_receivers([azure("azure"), github("hub")])
    _within(AT_ONCE, lambda: entries(project.config()) == [ours[0], hub])
    assert receiver.post(gone, ping()).status == 404
    project.put_receivers([github("hub")])
    _within(AT_ONCE, lambda: entries(project.config()) == [hub] and condition(project.config()) == {})


# -- faults and their healing


def _secret(data: dict[str, str] | None) -> Callable[[Project], None]:
    def put(project: Project) -> None:
        if data is None:
            project.delete_secret()
        else:
            project.put_secret(data)

    return put


def _clash(project: Project) -> None:
    """Another receiver whose name and secret, concatenated, are the same."""
    project.put_secret({"secret": f"re{GOOD}"}, name="azu-secret")
    receivers = project.config()["spec"]["webhookReceivers"]
    project.put_receivers([*receivers, azure("azu")])


@pytest.mark.parametrize(
    ("spoil", "reason", "says"),
    [
        pytest.param(
            _secret(None),
            "SecretMissing",
            'Secret "azure-secret" in namespace "{}" does not exist',
            id="no Secret",
        ),
        pytest.param(
            _secret({"other": "x"}),
            "SecretEmpty",
            'Secret "azure-secret" in namespace "{}": key "secret" is missing or empty',
            id="no key",
        ),
        pytest.param(
            _secret({"secret": ""}),
            "SecretEmpty",
            'Secret "azure-secret" in namespace "{}": key "secret" is missing or empty',
            id="empty key",
        ),
        pytest.param(
            _secret({"secret": GOOD, "receiver-username": "me"}),
            "SecretInvalid",
            'Secret "azure-secret" in namespace "{}": key "receiver-password" is missing or empty',
            id="half a pair",
        ),
        pytest.param(
            _clash,
            "PathConflict",
            "receivers {0}/azu, {0}/azure come to one path: give one of them another secret",
            id="one path",
        ),
    ],
)
def test_a_fault_is_reported_and_heals(
    new_project: Callable[..., Project],
    receiver: ReceiverProcess,
    spoil: Callable[[Project], None],
    reason: str,
    says: str,
) -> None:
    """Condition, Event and metric name what to fix; that receiver alone stops, until it is fixed."""
    project = new_project(secret=GOOD).create()
    project.put_secret({"secret": GOOD}, name="good-secret")
    project.put_receivers([azure("azure"), azure("good")])
    _within(AT_ONCE, lambda: len(entries(project.config())) == 2)
    metric = "kargo_azure_receiver_receivers"
    faulty = receiver.metric(metric, state="faulty")
    spoil(project)

    def reported() -> dict[str, Any] | None:
        found = condition(project.config())
        return found if found.get("status") == "False" else None

    found = _within(AT_ONCE, reported)
    assert found["reason"] == reason
    assert says.format(project.name) in found["message"]
    config = project.config()
    assert url_of(config, "azure") is None
    assert url_of(config, "good") is not None
    assert receiver.metric(metric, state="faulty") > faulty
    assert receiver.post(project.path, ping()).status == 404
    assert receiver.post(webhook_path(project.name, "good", GOOD), ping()).status == 200
    (event,) = eventually(lambda: events(project.plane, project.name, reason))
    assert (event["type"], event["message"]) == ("Warning", found["message"])
    assert event["involvedObject"]["kind"] == "ProjectConfig"
    assert event["involvedObject"]["uid"] == config["metadata"]["uid"]

    project.put_secret({"secret": GOOD})
    project.put_receivers([azure("azure"), azure("good")])
    _within(AT_ONCE, lambda: condition(project.config())["status"] == "True")
    _within(AT_ONCE, lambda: url_of(project.config(), "azure"))
    assert receiver.post(project.path, ping()).status == 200
    assert receiver.metric(metric, state="faulty") == faulty
    eventually(lambda: len(events(project.plane, project.name, "ReceiversServed")) == 2)
    assert len(events(project.plane, project.name, reason)) == 1


def test_a_secret_that_may_not_be_read_is_reported_and_a_right_given_later_heals(
    new_project: Callable[..., Project], receiver: ReceiverProcess
) -> None:
    """The condition names Secret and cause; within 6 s of the RoleBinding the URL is there."""
    project = new_project(secret=GOOD).create(bound=False)

    def reported() -> bool:
        found = condition(project.config())
        says = f'Secret "azure-secret" in namespace "{project.name}" can\'t be read'
        return found.get("reason") == "SecretUnreadable" and says in found["message"]

    _within(AT_ONCE, reported)
    assert receiver.metric("kargo_azure_receiver_receivers", state="pending") >= 1
    eventually(lambda: events(project.plane, project.name, "SecretUnreadable"))
    (line,) = (line for line in receiver.events("right_missing") if line.get("namespace") == project.name)
    assert (line["verb"], line["resource"]) == ("list", "secrets")
    kargo.bind_project(project.plane, project.name)
    _within(6.0, lambda: url_of(project.config(), "azure"))
    assert condition(project.config())["status"] == "True"
    assert receiver.post(project.path, ping()).status == 200
    assert "Traceback" not in receiver.process.output()


def test_a_short_secret_is_served_with_a_warning(
    new_project: Callable[..., Project], receiver: ReceiverProcess
) -> None:
    """Under 16 bytes the URL can be guessed: the condition stays True and says so, without the secret."""
    project = new_project(secret="zq9!").create()
    _within(AT_ONCE, lambda: url_of(project.config(), "azure"))
    found = condition(project.config())
    assert found["status"] == "True"
    assert 'key "secret" is shorter than 16 bytes' in found["message"]
    assert project.secret not in found["message"]
    assert receiver.post(project.path, ping()).status == 200


def test_a_condition_that_changes_back_and_forth_is_told_of_each_time(
    new_project: Callable[..., Project], receiver: ReceiverProcess
) -> None:
    """One Event for each change, though the words are the same; the time of transition moves with it."""
    project = new_project(secret=GOOD).create()
    for _ in range(3):
        _within(AT_ONCE, lambda: condition(project.config()).get("status") == "True")
        project.delete_secret()
        _within(AT_ONCE, lambda: condition(project.config()).get("status") == "False")
        project.put_secret({"secret": GOOD})
    _within(AT_ONCE, lambda: condition(project.config()).get("status") == "True")
    eventually(lambda: len(events(project.plane, project.name, "ReceiversServed")) == 4)
    assert len(events(project.plane, project.name, "SecretMissing")) == 3
    assert receiver.metric("kargo_azure_receiver_status_writes_total", result="disputed") == 0


def test_no_secret_path_or_url_is_ever_logged(
    new_project: Callable[..., Project], receiver: ReceiverProcess
) -> None:
    """The path is the credential: at debug level too, the log names receivers only."""
    project = new_project(secret=GOOD).create()
    _within(AT_ONCE, lambda: url_of(project.config(), "azure"))
    receiver.post(project.path, ping())
    eventually(lambda: f"{project.name}/azure" in receiver.process.output())
    output = receiver.process.output()
    assert GOOD not in output
    assert project.path.removeprefix("/azure/") not in output


# -- inside


def _create(site: Site, secret_first: bool) -> None:
    steps: list[Callable[[], None]] = [
        lambda: site.put_secret({"secret": site.secret}),
        lambda: site.put_receivers([azure(site.receiver, site.secret_name)]),
    ]
    for step in steps if secret_first else reversed(steps):
        step()


def _within(seconds: float, condition: Callable[[], Any]) -> Any:
    return eventually(condition, limit=seconds)


def _patch_status(project: Project, changes: dict[str, Any]) -> None:
    path = f"{kargo.API}/namespaces/{project.name}/projectconfigs/{project.name}/status"
    project.plane.api.patch(path, {"status": changes})
