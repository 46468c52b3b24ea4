"""With which rights what works: Kargo's alone, ours added, one missing, a thousand missing."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e import kargo
from e2e.controlplane import ControlPlane
from e2e.controlplane.waiting import eventually
from e2e.kargo.project import Project, image
from tests.support.api_traffic import Seen, most_within
from tests.support.azure import REGISTRY, image_push, ping
from tests.support.configs import azure, condition, entries, url_of
from tests.support.fault_proxy import FaultProxy
from tests.support.receiver_process import ReceiverFactory

GOOD = "a-secret-that-is-long-enough"
CONFIGS = 50
SECRETS = 1_000
"""All in ``CONFIGS`` ProjectConfigs, none readable."""
RATE = 40
WINDOW = 3.0
"""Seconds over which the rate is taken: a process that was not run for a moment catches up."""
"""Requests a second that they may cost."""
WATCHED = 12.0
"""Seconds of which each is looked at."""
ADDED_RIGHTS = Path("manifests/base/rbac.yaml")


@pytest.fixture
def kargos_rights_alone(control_plane: ControlPlane) -> Iterator[None]:
    """Without this project's own ClusterRole."""
    control_plane.kubectl("delete", "-f", str(ADDED_RIGHTS))
    yield
    control_plane.apply(ADDED_RIGHTS)


@pytest.mark.usefixtures("no_other_configs", "kargos_rights_alone")
def test_with_kargos_rights_alone_all_but_status_and_events_works(
    new_project: Callable[..., Project], start_receiver: ReceiverFactory
) -> None:
    """Pushes refresh, Secrets rotate; what is missing is one line naming verb and resource, and heals."""
    project, other = (new_project(secret=GOOD).create() for _ in range(2))
    project.add_warehouse("app", image(f"{REGISTRY}/app"))
    receiver = start_receiver()
    assert receiver.post(other.path, ping()).status == 200
    assert receiver.post(project.path, image_push("app")).json == {"msg": "refreshed 1 warehouse(s)"}
    assert project.refresh("app") is not None
    project.secret = f"{GOOD}-2"
    project.put_secret({"secret": project.secret})
    eventually(lambda: receiver.post(project.path, ping()).status == 200, limit=2.0)
    lines = eventually(lambda: receiver.events("right_missing"))
    assert [(line["verb"], line["resource"], line["namespace"]) for line in lines] == [
        ("patch", "projectconfigs.kargo.akuity.io/status", "all namespaces")
    ]
    assert lines[0]["level"] == "error"
    assert entries(project.config()) == []
    assert "Traceback" not in receiver.process.output()
    assert receiver.process.running


def test_a_right_missing_for_one_project_is_one_line_and_concerns_it_alone(
    new_project: Callable[..., Project], start_receiver: ReceiverFactory
) -> None:
    """A Project whose RoleBinding comes later heals within 6 s; its neighbours never notice."""
    late, good = new_project(secret=GOOD).create(bound=False), new_project(secret=GOOD).create()
    receiver = start_receiver()
    assert receiver.post(good.path, ping()).status == 200
    assert receiver.post(late.path, ping()).status == 404

    def told() -> list[dict[str, Any]]:
        return [line for line in receiver.events("right_missing") if line["namespace"] == late.name]

    (line,) = eventually(told)
    assert (line["verb"], line["resource"]) == ("list", "secrets")
    # More attempts, no more lines.
    eventually(lambda: receiver.metric("rest_client_requests_total", code="403", method="GET") >= 2, limit=7)
    assert len(told()) == 1
    kargo.bind_project(late.plane, late.name)
    eventually(lambda: receiver.post(late.path, ping()).status == 200, limit=6.0)
    eventually(lambda: url_of(late.config(), "azure"), limit=2.0)
    assert len(told()) == 1
    assert "Traceback" not in receiver.process.output()


def test_a_published_url_whose_secret_may_not_be_read_yet_is_not_called_unknown(
    new_project: Callable[..., Project], start_receiver: ReceiverFactory
) -> None:
    """A receiver that starts before it may read the Secret says 503, come again: 404 would be final."""
    project = new_project(secret=GOOD).create()
    first = start_receiver()
    eventually(lambda: url_of(project.config(), "azure"))
    first.kill()
    kargo.unbind_project(project.plane, project.name)
    second = start_receiver()
    answer = second.post(project.path, ping())
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    eventually(lambda: condition(project.config()).get("reason") == "SecretUnreadable")
    assert url_of(project.config(), "azure") is not None
    kargo.bind_project(project.plane, project.name)
    eventually(lambda: second.post(project.path, ping()).status == 200, limit=6.0)


@pytest.mark.usefixtures("no_other_configs")
def test_a_thousand_secrets_that_may_not_be_read_cost_at_most_40_requests_a_second(
    new_project: Callable[..., Project],
    control_plane: ControlPlane,
    proxy: FaultProxy,
    receiver_kubeconfig: Path,
    start_receiver: ReceiverFactory,
) -> None:
    """In every second from the start, status and Events included; a new Project is served at once."""
    forbidden = [new_project() for _ in range(CONFIGS)]
    for project in forbidden:
        kargo.create_namespace(control_plane, project.name)
        project.put_receivers([azure(f"r-{number}") for number in range(SECRETS // CONFIGS)])
    began = time.monotonic()
    receiver = start_receiver(kubeconfig=proxy.kubeconfig(receiver_kubeconfig))
    eventually(lambda: _of(proxy, forbidden) and time.monotonic() - began > WATCHED, limit=60.0)
    seen = _of(proxy, forbidden)
    rate = most_within([each.at for each in seen], WINDOW) / WINDOW
    print(f"{len(seen)} requests, at most {rate} a second")  # noqa: T201
    assert rate <= RATE
    assert len(seen) > RATE * WATCHED / 4

    project = new_project(secret=GOOD).create()
    eventually(lambda: url_of(project.config(), "azure"), limit=2.0)
    assert receiver.post(project.path, ping()).status == 200
    late = new_project(secret=GOOD).create(bound=False)
    eventually(lambda: [line for line in receiver.events("right_missing") if line["namespace"] == late.name])
    kargo.bind_project(control_plane, late.name)
    eventually(lambda: receiver.post(late.path, ping()).status == 200, limit=30.0)
    assert most_within([each.at for each in _of(proxy, forbidden)], WINDOW) <= RATE * WINDOW


def _of(proxy: FaultProxy, projects: list[Project]) -> list[Seen]:
    """The requests that concern these Projects."""
    names = {project.name for project in projects}
    return [seen for seen in proxy.traffic.select() if seen.call.namespace in names]
