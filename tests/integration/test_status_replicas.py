"""Replicas without a leader publish 200 Projects' URLs: right and once, also when one lags and one dies."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e import kargo
from e2e.controlplane import ControlPlane
from e2e.controlplane.waiting import eventually
from e2e.kargo.project import Project
from tests.support.api_faults import Late, fault
from tests.support.azure import ping
from tests.support.config_watch import ConfigWatch
from tests.support.configs import condition, events, url_of
from tests.support.fault_proxy import FaultProxy
from tests.support.receiver_process import ReceiverFactory

BASE_URL = "https://kargo.example.com"
PROJECTS = 200
LAG = 3.0
"""Seconds by which one replica's watches lag."""


@pytest.fixture
def lagging(proxy: FaultProxy) -> Iterator[FaultProxy]:
    """A proxy whose watches lag."""
    with proxy.going_wrong(fault(Late(LAG), "watch")):
        yield proxy


@pytest.mark.usefixtures("no_other_configs")
def test_three_replicas_agree_and_write_each_change_once(
    control_plane: ControlPlane,
    new_project: Callable[..., Project],
    receiver_kubeconfig: Path,
    start_receiver: ReceiverFactory,
    lagging: FaultProxy,
) -> None:
    """200 are created at once and rotated; one replica is killed, one lags: no write too many or too old."""
    projects = [new_project(secret=f"a-long-first-secret-{number}") for number in range(PROJECTS)]
    for project in projects:
        kargo.create_namespace(control_plane, project.name)
        kargo.bind_project(control_plane, project.name)
    replicas = [start_receiver(base_url=BASE_URL) for _ in range(2)]
    replicas.append(start_receiver(base_url=BASE_URL, kubeconfig=lagging.kubeconfig(receiver_kubeconfig)))
    before = _status_patches(control_plane)

    def all_right() -> bool:
        return all(_urls(watch, project)[-1:] == [f"{BASE_URL}{project.path}"] for project in projects)

    with ConfigWatch(control_plane) as watch:
        for project in projects:
            project.put_secret({"secret": project.secret})
            project.put_receivers([{"name": "azure", "azure": {"secretRef": {"name": "azure-secret"}}}])
        eventually(all_right, limit=30.0)
        eventually(lambda: _told(control_plane, projects) == {1}, limit=60.0)
        first = {project.name: f"{BASE_URL}{project.path}" for project in projects}

        # Worse than lagging evenly: it sees the others' new URLs while it still holds the old Secrets.
        lagging.faults = (fault(Late(LAG), "watch", resources=("secrets",)),)
        for number, project in enumerate(projects):
            project.secret = f"a-long-second-secret-{number}"
            project.put_secret({"secret": project.secret})
            if number == PROJECTS // 2:
                replicas.pop(0).kill()
        eventually(all_right, limit=30.0)
        eventually(lambda: watch.quiet > LAG + 1.0, limit=60.0)

        for project in projects:
            # Never an old one after a new one, and nothing between.
            assert _distinct(_urls(watch, project)) == [first[project.name], f"{BASE_URL}{project.path}"]
            assert condition(project.config())["status"] == "True"
        # Besides their creation, each ProjectConfig changed twice: as often as was needed.
        changes = {name: len(versions) - 1 for name, versions in watch.versions.items()}
        assert changes == dict.fromkeys(first, 2)
    after = _status_patches(control_plane)
    assert after["200"] - before["200"] == 2 * PROJECTS
    conflicts = after["409"] - before["409"]
    print(f"{2 * PROJECTS} writes, {conflicts} conflicts")  # noqa: T201
    assert {code for code, count in after.items() if count != before.get(code, 0)} <= {"200", "409"}
    assert _told(control_plane, projects) == {1}
    for replica in replicas:
        assert replica.metric("kargo_azure_receiver_status_writes_total", result="disputed") == 0
        for project in projects[:: PROJECTS // 10]:
            old = first[project.name].removeprefix(BASE_URL)
            assert replica.post(old, ping()).status == 404
            assert replica.post(project.path, ping()).status == 200


def test_a_rotation_takes_effect_on_every_replica(
    new_project: Callable[..., Project], start_receiver: ReceiverFactory
) -> None:
    """Within 2 s the new URL is in status, and on each replica the new path answers, the old one 404."""
    project = new_project(secret="the-first-of-the-secrets").create()
    replicas = [start_receiver(base_url=BASE_URL) for _ in range(2)]
    for number in range(3):
        old = project.path
        project.secret = f"the-next-of-the-secrets-{number}"
        project.put_secret({"secret": project.secret})
        url = f"{BASE_URL}{project.path}"
        eventually(lambda url=url: url_of(project.config(), "azure") == url, limit=2.0)  # type: ignore[misc]

        def rotated(old: str = old) -> bool:
            return all(
                replica.post(old, ping()).status == 404 and replica.post(project.path, ping()).status == 200
                for replica in replicas
            )

        eventually(rotated, limit=2.0)


def _urls(watch: ConfigWatch, project: Project) -> list[str]:
    """All values that the URL in status has had, in order."""
    return [url for version in tuple(watch.versions[project.name]) if (url := url_of(version, "azure"))]


def _distinct(values: list[str]) -> list[str]:
    return [value for number, value in enumerate(values) if number == 0 or values[number - 1] != value]


def _told(plane: ControlPlane, projects: list[Project]) -> set[int]:
    """How many Events about their condition the Projects have got."""
    return {len(events(plane, project.name, "ReceiversServed")) for project in projects}


def _status_patches(plane: ControlPlane) -> dict[str, int]:
    """Patches of ProjectConfigs' status by HTTP status, as the API server itself counts them."""
    found = {"200": 0, "409": 0}
    for line in str(plane.api.get("/metrics")).splitlines():
        if line.startswith("apiserver_request_total{") and 'resource="projectconfigs"' in line:
            labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
            if (labels["verb"], labels["subresource"]) == ("PATCH", "status"):
                code = labels["code"]
                found[code] = found.get(code, 0) + int(float(line.rpartition(" ")[2]))
    return found
