"""Projects of one cluster that do not trust each other."""

import contextlib
from collections.abc import Callable

from e2e.clusters import Cluster
from e2e.clusters.user import User, deliver
from e2e.controlplane import CommandError
from e2e.controlplane.waiting import eventually
from e2e.demo.events import REGISTRY, REPOSITORY, acr_push, ado_push, ping
from e2e.kargo.project import git, image
from e2e.test_journey import EFFECT_LIMIT, STATUS_LIMIT, everywhere, refreshed


def test_a_projects_url_never_refreshes_another_projects_warehouses(
    cluster: Cluster, new_user: Callable[[], User]
) -> None:
    """Whoever has the URL of one Project can refresh that Project's Warehouses, whatever they send."""
    ours, theirs = new_user(), new_user()
    subscriptions = (image(f"{REGISTRY}/shared"), git(REPOSITORY))
    ours.set_up(ours.warehouse("app", *subscriptions), secret="our-secret-is-not-theirs")
    theirs.set_up(theirs.warehouse("app", *subscriptions), secret="their-secret-is-not-ours")
    url = eventually(theirs.url, STATUS_LIMIT, "their URL")
    eventually(lambda: everywhere(url, 200), EFFECT_LIMIT, "their URL in every Pod")
    for body in (
        acr_push("shared", "v1"),
        ado_push(REPOSITORY, "main"),
        {**acr_push("shared", "v1"), "namespace": ours.project, "project": ours.project},
    ):
        assert deliver(url, body).json == refreshed(1)
    path = url.removeprefix(cluster.base_url)
    for crafted in (f"/{ours.project}{path}", f"{path}?project={ours.project}"):
        assert deliver(cluster.base_url + crafted, acr_push("shared", "v1")).status in (200, 404)
    assert theirs.refreshes()["app"] is not None
    assert ours.refreshes() == {"app": None}


def test_the_same_secret_and_receiver_name_make_another_url(
    cluster: Cluster, new_user: Callable[[], User]
) -> None:
    """A neighbour who copies Secret and ProjectConfig gets a URL of their own, and ours stays ours."""
    ours, theirs = new_user(), new_user()
    for each in (ours, theirs):
        each.set_up(each.warehouse("app", image(f"{REGISTRY}/copied")), secret="a-secret-that-was-copied")
    our_url, their_url = (eventually(each.url, STATUS_LIMIT, "a URL") for each in (ours, theirs))
    assert our_url != their_url
    eventually(lambda: everywhere(their_url, 200), EFFECT_LIMIT, "their URL in every Pod")
    assert deliver(their_url, acr_push("copied", "v1")).json == refreshed(1)
    assert ours.refreshes() == {"app": None}


def test_a_neighbours_broken_objects_cost_us_nothing(cluster: Cluster, new_user: Callable[[], User]) -> None:
    """Nonsense in another Project's objects stops neither our URL nor our refreshes."""
    ours, theirs = new_user(), new_user()
    theirs.namespace()
    nonsense = theirs.config("azure")
    nonsense["spec"]["webhookReceivers"] += [{"name": "", "azure": {}}, {"name": "azure"}]
    broken = theirs.warehouse("app")
    broken["spec"]["subscriptions"] = [{"image": {"repoURL": ""}}, {"git": {}}, {"unheard-of": {"a": 1}}]
    for each in (nonsense, broken):
        with contextlib.suppress(CommandError):  # Kargo's own CRDs refuse some of it, which is well too
            cluster.apply(each)
    ours.set_up(ours.warehouse("app", image(f"{REGISTRY}/ours")), secret="ours-is-as-good-as-ever")
    url = eventually(ours.url, STATUS_LIMIT, "our URL")
    eventually(lambda: everywhere(url, 200), EFFECT_LIMIT, "our URL in every Pod")
    assert deliver(url, acr_push("ours", "v1")).json == refreshed(1)
    assert deliver(url, ping()).status == 200
