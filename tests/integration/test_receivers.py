"""Receivers come, change and go while the process runs; requests find them with and without a base path."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.controlplane import ControlPlane
from e2e.controlplane.waiting import eventually
from e2e.kargo.project import Project, image, webhook_path
from tests.support.azure import REGISTRY, image_push, ping
from tests.support.configs import ClusterSite, azure
from tests.support.receiver_process import ReceiverFactory, ReceiverProcess

GOOD = "a-secret-that-is-long-enough"
AT_ONCE = 2.0


def _answers(receiver: ReceiverProcess, path: str, status: int) -> None:
    """Wait until a ping to this path is answered so."""
    eventually(lambda: receiver.post(path, ping()).status == status, limit=AT_ONCE)


def test_a_secret_takes_effect_whenever_it_comes_changes_or_goes(
    new_project: Callable[..., Project], start_receiver: ReceiverFactory
) -> None:
    """Created late, changed, deleted, created again: at once each time, in one process."""
    project = new_project(secret=GOOD).create(with_secret=False)
    project.put_secret({"secret": GOOD}, name="good-secret")
    project.put_receivers([azure("azure"), azure("good")])
    receiver = start_receiver()
    neighbour = webhook_path(project.name, "good", GOOD)
    _answers(receiver, neighbour, 200)
    assert receiver.post(project.path, ping()).status == 404
    project.put_secret({"secret": project.secret})
    _answers(receiver, project.path, 200)
    old = project.path
    project.secret = f"{GOOD}-2"
    project.put_secret({"secret": project.secret})
    _answers(receiver, project.path, 200)
    assert receiver.post(old, ping()).status == 404
    project.delete_secret()
    _answers(receiver, project.path, 404)
    project.put_secret({"secret": project.secret})
    _answers(receiver, project.path, 200)
    assert receiver.post(neighbour, ping()).status == 200


def test_a_receiver_takes_effect_whenever_it_is_added_or_removed(
    new_project: Callable[..., Project], start_receiver: ReceiverFactory
) -> None:
    """A whole Project that is created later too."""
    receiver = start_receiver()
    project = new_project(secret=GOOD).create()
    _answers(receiver, project.path, 200)
    project.put_receivers([azure("other", "azure-secret")])
    _answers(receiver, webhook_path(project.name, "other", GOOD), 200)
    assert receiver.post(project.path, ping()).status == 404
    project.plane.kubectl("delete", "projectconfig", project.name, "-n", project.name)
    _answers(receiver, webhook_path(project.name, "other", GOOD), 404)


@pytest.mark.parametrize(
    "base_path",
    [pytest.param("", id="no base path"), pytest.param("/webhooks", id="a base path")],
)
@pytest.mark.parametrize("prefix", ["", "/webhooks", "/some/other/prefix"])
def test_a_request_matches_by_its_last_two_segments(
    project: Project, one_for_all_paths: Callable[[str], ReceiverProcess], base_path: str, prefix: str
) -> None:
    """Whether the ingress strips the prefix or not, and whatever the base URL's path is."""
    receiver = one_for_all_paths(base_path)
    _answers(receiver, f"{prefix}{project.path}", 200)
    for wrong in (f"{project.path}/x", project.path.replace("/azure/", "/github/"), project.path[:-1]):
        assert receiver.post(f"{prefix}{wrong}", ping()).status == 404


def test_a_cluster_receiver_reaches_every_project_and_a_projects_only_its_own(
    new_project: Callable[..., Project], control_plane: ControlPlane, start_receiver: ReceiverFactory
) -> None:
    """Warehouses of one repository in two Projects: the URL decides which are refreshed."""
    one, two = new_project(secret=GOOD).create(), new_project(secret=GOOD).create()
    for project in (one, two):
        project.add_warehouse("app", image(f"{REGISTRY}/{one.name}/app"))
    receiver = start_receiver()
    answer = receiver.post(one.path, image_push(f"{one.name}/app"))
    assert answer.json == {"msg": "refreshed 1 warehouse(s)"}
    assert two.refresh("app") is None
    site = ClusterSite(control_plane)
    try:
        site.put_secret({"secret": site.secret})
        site.put_receivers([azure(site.receiver, site.secret_name)])
        _answers(receiver, site.path, 200)
        answer = receiver.post(site.path, image_push(f"{one.name}/app"))
        assert answer.json == {"msg": "refreshed 2 warehouse(s)"}
    finally:
        site.remove()
    assert two.refresh("app") is not None
    _answers(receiver, site.path, 404)


@pytest.fixture(scope="module")
def one_for_all_paths(
    receiver_kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], ReceiverProcess]]:
    """One receiver for each base path."""
    with ReceiverFactory(receiver_kubeconfig, tmp_path_factory.mktemp("receivers")) as factory:
        yield functools.cache(lambda path: factory(base_url=f"https://kargo.example.com{path}"))
