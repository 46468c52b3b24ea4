"""A real Prometheus scrapes two receivers at work: targets, rules, and everything that the dashboard asks."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controller.application.last_deliveries import UPDATE_SECONDS
from e2e.controlplane import ControlPlane, ControlPlaneError
from e2e.controlplane.waiting import eventually
from e2e.kargo.project import Project, git, image
from e2e.tools import prometheus as programs
from tests.support.azure import REGISTRY, git_push, image_push, ping
from tests.support.prometheus import Prometheus, filled_in, metric_names, panels, rule_groups
from tests.support.receiver_process import ReceiverFactory, ReceiverProcess

REPOSITORY = "https://dev.azure.com/contoso/shop/_git/manifests"
LAST_DELIVERY = "kargo_azure_receiver_receiver_last_delivery_timestamp_seconds"
SCRAPED = 4
"""Scrapes, a second apart, after which rates and quantiles have values."""


@pytest.fixture(scope="module")
def program(announce: Callable[[str], None]) -> Path:
    """Prometheus; where it can't be had the tests are skipped with the reason, in CI they fail."""
    try:
        return programs.ensure(announce).prometheus
    except ControlPlaneError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def receivers(
    control_plane: ControlPlane, receiver_kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[ReceiverProcess]]:
    """Two replicas."""
    with ReceiverFactory(receiver_kubeconfig, tmp_path_factory.mktemp("receivers")) as start:
        yield [start(), start()]


@pytest.fixture(scope="module")
def prometheus(
    control_plane: ControlPlane,
    receivers: list[ReceiverProcess],
    program: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Prometheus]:
    """Prometheus, some scrapes after both replicas have handled events of every kind."""
    project = Project(control_plane, "prometheus").create()
    project.add_warehouse("app", image(f"{REGISTRY}/scraped"), git(REPOSITORY))
    with Prometheus(program, tmp_path_factory.mktemp("prometheus"), receivers) as server:
        eventually(lambda: all(_handle(each, project) for each in receivers))
        value = eventually(lambda: project.refresh("app")) or ""
        project.set_handled("app", value)
        seen = "count_over_time(up[1m])"
        eventually(lambda: any(float(each["value"][1]) >= SCRAPED for each in server.query(seen)), 30)
        for receiver in receivers:
            _handle(receiver, project)  # so that rates are above 0
        last = f"sum(kargo_azure_receiver_webhook_requests_total) >= {5 * 2 * len(receivers)}"
        eventually(lambda: server.query(last), 10)
        eventually(lambda: len(server.query(f"{LAST_DELIVERY} > 0")) == len(receivers), UPDATE_SECONDS + 15)
        yield server


def _handle(receiver: ReceiverProcess, project: Project) -> bool:
    """Send every kind of event; whether the receiver knows the Project by now."""
    answers = [
        receiver.post(project.path, body).status
        for body in (ping(), image_push("scraped"), git_push(REPOSITORY), b"no JSON")
    ]
    answers.append(receiver.post(f"/azure/{'0' * 64}", ping()).status)
    return answers == [200, 200, 200, 400, 404]


def test_both_replicas_are_scraped(prometheus: Prometheus, receivers: list[ReceiverProcess]) -> None:
    """Each target is up, under the job's name that rules and dashboard ask for."""
    targets = prometheus.ask("targets")["activeTargets"]
    assert len(targets) == len(receivers)
    for target in targets:
        assert (target["health"], target["lastError"]) == ("up", "")
        assert target["labels"]["job"] == "kargo-azure-receiver"
    assert len(prometheus.query('up{job="kargo-azure-receiver", namespace="kargo"} == 1')) == len(receivers)


def test_rules_are_evaluated_and_none_fires(prometheus: Prometheus) -> None:
    """Every rule of the PrometheusRule is healthy, and receivers at work give no alarm."""

    def evaluated() -> bool:
        groups = prometheus.ask("rules")["groups"]
        return all(rule["health"] != "unknown" for group in groups for rule in group["rules"])

    eventually(evaluated, 20)
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert len(rules) == sum(len(group["rules"]) for group in rule_groups())
    for rule in rules:
        assert (rule["health"], rule.get("lastError", "")) == ("ok", ""), rule["name"]
        assert rule["state"] != "firing", rule["name"]


def test_every_metric_of_dashboard_and_rules_is_in_the_scrape(prometheus: Prometheus) -> None:
    """No panel and no alert asks for what a receiver that has handled events does not expose."""
    expressions = [rule["expr"] for group in rule_groups() for rule in group["rules"]]
    expressions += [target["expr"] for panel in panels() for target in panel["targets"]]
    asked = set().union(*map(metric_names, expressions))
    assert len(asked) > 20
    exposed = set(prometheus.ask("label/__name__/values"))
    assert {name for name in asked if not name.startswith(OF_QUEUES)} <= exposed


def test_the_last_delivery_has_the_projects_name_beside_the_pods(prometheus: Prometheus) -> None:
    """As the alert and the panel ask for it: our label ``namespace`` is renamed, the Pod's stays."""
    asked = f'{LAST_DELIVERY}{{namespace="kargo", exported_namespace="prometheus", receiver="azure"}}'
    assert len(prometheus.query(f"{asked} > time() - 600")) == 2


OF_QUEUES = "kargo_azure_receiver_queue_"
"""Metrics that have no series before a queue is set."""

QUIET = {
    "Certificate expires in": "no TLS here",
    "Not synced": "all caches are",
}
"""Panels that show nothing while all is well, and why."""


@pytest.mark.parametrize(
    "panel", [pytest.param(each, id=each["title"].replace(" ", "-")) for each in panels()]
)
def test_every_panel_shows_something(prometheus: Prometheus, panel: dict[str, object]) -> None:
    """Each query of each panel gives at least one series, of numbers."""
    for target in panel["targets"]:  # type: ignore[attr-defined]
        series = prometheus.query(filled_in(target["expr"], rate="1m"))
        assert bool(series) != (panel["title"] in QUIET), target["expr"]
        if not str(target["expr"]).startswith("histogram_quantile"):
            assert all(each["value"][1] != "NaN" for each in series)
