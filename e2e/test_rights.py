"""RBAC exactly sufficient: with all rights everything works; without any one of them a named thing does not.

The receiver runs here as a process under the Deployment's ServiceAccount, on either kind of cluster: what it
may do is the API server's business, wherever it runs. The Deployment has no Pods meanwhile.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.clusters import Cluster
from e2e.clusters.cluster import MANIFESTS, NAMESPACE
from e2e.clusters.user import User
from e2e.controlplane import CommandError, ControlPlaneError
from e2e.rights.roles import (
    KARGOS,
    LEASES,
    OURS,
    PROJECT_SECRETS,
    SYSTEM_SECRETS,
    Right,
    rights_of,
    taken_away,
)
from e2e.rights.scenarios import (
    SCENARIOS,
    Site,
    a_catch_up,
    a_changed_secret,
    a_changed_secret_of_the_whole_cluster,
    a_finished_catch_up,
    a_lost_replica,
    a_merged_pull_request,
    a_promotion_made_later,
    a_push_refreshes,
    a_push_to_the_whole_cluster,
    a_receiver_made_later,
    a_receiver_of_the_whole_cluster_made_later,
    a_url_in_status,
    a_url_of_the_whole_cluster_in_status,
    a_warehouse_made_later,
    an_event_about_a_fault,
)
from e2e.test_journey import PODS

PATIENCE = 20.0
"""Seconds that something may take which must work."""
IMPATIENCE = 2.0
"""Seconds after which something that must not work counts as not working."""

NEEDED: dict[Right, Callable[[Site], None]] = {
    Right(OURS, "projectconfigs/status", "patch"): a_url_in_status,
    Right(OURS, "clusterconfigs/status", "patch"): a_url_of_the_whole_cluster_in_status,
    Right(OURS, "events", "create"): an_event_about_a_fault,
    Right(LEASES, "leases", "list"): a_catch_up,
    Right(LEASES, "leases", "create"): a_catch_up,
    Right(LEASES, "leases", "patch"): a_finished_catch_up,
    Right(LEASES, "leases", "delete"): a_lost_replica,
    Right(KARGOS, "warehouses", "list"): a_push_refreshes,
    Right(KARGOS, "warehouses", "watch"): a_warehouse_made_later,
    Right(KARGOS, "warehouses", "patch"): a_push_refreshes,
    Right(KARGOS, "projectconfigs", "get"): a_url_in_status,
    Right(KARGOS, "projectconfigs", "list"): a_push_refreshes,
    Right(KARGOS, "projectconfigs", "watch"): a_receiver_made_later,
    Right(KARGOS, "clusterconfigs", "get"): a_url_of_the_whole_cluster_in_status,
    Right(KARGOS, "clusterconfigs", "list"): a_push_to_the_whole_cluster,
    Right(KARGOS, "clusterconfigs", "watch"): a_receiver_of_the_whole_cluster_made_later,
    Right(KARGOS, "promotions", "list"): a_merged_pull_request,
    Right(KARGOS, "promotions", "watch"): a_promotion_made_later,
    Right(KARGOS, "promotions", "patch"): a_merged_pull_request,
    Right(PROJECT_SECRETS, "secrets", "get"): a_url_in_status,
    Right(PROJECT_SECRETS, "secrets", "list"): a_push_refreshes,
    Right(PROJECT_SECRETS, "secrets", "watch"): a_changed_secret,
    Right(SYSTEM_SECRETS, "secrets", "get"): a_url_of_the_whole_cluster_in_status,
    Right(SYSTEM_SECRETS, "secrets", "list"): a_push_to_the_whole_cluster,
    Right(SYSTEM_SECRETS, "secrets", "watch"): a_changed_secret_of_the_whole_cluster,
}
"""Every right that the receiver relies on, and what does not work without it."""
NOT_USED = {Right(KARGOS, "warehouses", "get"), Right(KARGOS, "promotions", "get")}
"""What Kargo gives to the ServiceAccount and the receiver does without."""


@pytest.fixture(scope="module")
def no_pods(cluster: Cluster) -> Iterator[None]:
    """Without the Deployment's Pods, and without what earlier tests left."""
    cluster.scale(0)
    cluster.kubectl("delete", "projectconfigs", "--all", "-A")
    yield
    cluster.scale(PODS)


@pytest.fixture(scope="module")
def kubeconfig(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, no_pods: None) -> Path:
    """Of the Deployment's ServiceAccount."""
    return cluster.service_account_kubeconfig(tmp_path_factory.mktemp("rights"))


@pytest.fixture(scope="module")
def needed_rights_only(cluster: Cluster, no_pods: None) -> Iterator[None]:
    """Without the rights that Kargo gives and the receiver does not use."""
    with taken_away(cluster, *NOT_USED):
        yield


@pytest.fixture
def new_site(
    cluster: Cluster, new_user: Callable[[], User], kubeconfig: Path, tmp_path: Path
) -> Iterator[Callable[[float], Site]]:
    """Make a site with a namespace; its receiver, and what it serves, are gone after the test."""
    made: list[Site] = []

    def make(patience: float) -> Site:
        site = Site(cluster, new_user(), kubeconfig, tmp_path, patience=patience)
        made.append(site)
        site.user.namespace()
        return site

    yield make
    for site in made:
        site.receiver.kill()
        print(site.receiver.process.output())
    cluster.kubectl("delete", "projectconfigs,clusterconfigs", "--all", "-A")
    cluster.kubectl("delete", "leases", "-n", NAMESPACE, "-l", f"app.kubernetes.io/name={OURS.name}")


def test_every_right_of_ours_is_in_the_table(cluster: Cluster) -> None:
    """No rule of our roles is superfluous: each is tried below."""
    ours = (OURS, LEASES)
    given = set().union(*(rights_of(cluster, role) for role in ours))
    assert given == {right for right in NEEDED if right.role in ours}


def test_every_right_of_kargos_is_in_the_table(cluster: Cluster) -> None:
    """What Kargo gives is either tried below, or known not to be used."""
    roles = (KARGOS, PROJECT_SECRETS, SYSTEM_SECRETS)
    given = set().union(*(rights_of(cluster, role) for role in roles))
    assert given == {right for right in NEEDED if right.role in roles} | NOT_USED


@pytest.mark.parametrize("overlay", ["own-serviceaccount", "standalone"])
def test_where_all_roles_are_ours_they_give_what_is_needed(cluster: Cluster, overlay: str) -> None:
    """Without Kargo's roles our overlays give the rights of the table, and no others."""
    objects = yaml.safe_load_all(cluster.kubectl("kustomize", str(MANIFESTS / "overlays" / overlay)))
    given = {
        (resource, verb)
        for each in objects
        if each["kind"] in ("Role", "ClusterRole")
        for rule in each["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert given == {(right.resource, right.verb) for right in NEEDED}


@pytest.mark.usefixtures("needed_rights_only")
@pytest.mark.parametrize("scenario", [pytest.param(each, id=each.__name__) for each in SCENARIOS])
def test_with_all_rights_it_works(
    new_site: Callable[[float], Site], scenario: Callable[[Site], None]
) -> None:
    """What the table's rights are for works with them, and without those that are not used."""
    site = new_site(PATIENCE)
    scenario(site)
    assert "Traceback" not in site.receiver.process.output()


@pytest.mark.parametrize(
    ("right", "scenario"),
    [
        pytest.param(
            right, scenario, id=f"{right.verb}-{right.resource}-{scenario.__name__}-{right.role.name}"
        )
        for right, scenario in NEEDED.items()
    ],
)
def test_without_one_right_it_does_not(
    cluster: Cluster, new_site: Callable[[float], Site], right: Right, scenario: Callable[[Site], None]
) -> None:
    """One right taken away breaks what the table says, for that reason, which the log names."""
    site = new_site(IMPATIENCE)
    failures = (AssertionError, ControlPlaneError, CommandError)
    with taken_away(cluster, right, project=site.user.project), pytest.raises(failures) as failure:
        scenario(site)
    print(f"{right}: {failure.value}")
    assert site.receiver.process.running
    assert "Traceback" not in site.receiver.process.output()
    assert any(_names(line, right.resource) for line in site.receiver.events())


def _names(line: dict[str, Any], resource: str) -> bool:
    """Whether a line of the log is about a resource, or an object of it, and not just for information."""
    kind = resource.partition("/")[0].removesuffix("s")
    return line["level"] in ("warning", "error") and kind in json.dumps(line).lower()
