"""What the documentation promises its users, done by its commands."""

import secrets

from e2e.clusters import Cluster
from e2e.clusters.user import Operator, User, deliver
from e2e.controlplane.waiting import eventually
from e2e.demo.events import REGISTRY, REPOSITORY, acr_push, ado_push, ping
from e2e.kargo.project import chart, git, image

STATUS_LIMIT = 10.0
"""Seconds until a URL must stand in status."""
EFFECT_LIMIT = 5.0
"""Seconds until a change must have taken effect in every Pod."""
PODS = 2

ANSWERED = {"msg": "ping event received, webhook is configured correctly"}


def refreshed(count: int) -> dict[str, str]:
    """The answer to an event after which so many Warehouses are refreshed."""
    return {"msg": f"refreshed {count} warehouse(s)"}


def everywhere(url: str, status: int) -> bool:
    """Whether a ping gets this answer several times in a row: each Pod has its turn."""
    return all(deliver(url, ping()).status == status for _ in range(2 * PODS))


def test_a_user_registers_the_url_and_pushes(cluster: Cluster, user: User) -> None:
    """Secret, ProjectConfig, URL from status, ping; pushes of three kinds refresh who subscribes."""
    name = user.project
    secret = secrets.token_urlsafe(24)
    user.namespace()
    cluster.kubectl(
        "create", "secret", "generic", "azure-secret", "-n", name, f"--from-literal=secret={secret}"
    )
    cluster.kubectl("label", "secret", "azure-secret", "-n", name, "kargo.akuity.io/cred-type=generic")
    cluster.apply(
        user.config("azure"),
        user.warehouse("app", image(f"{REGISTRY}/guestbook")),
        user.warehouse("chart", chart(f"oci://{REGISTRY}/charts/storefront")),
        user.warehouse("git", git(REPOSITORY)),
        user.warehouse("git-ssh", git("git@ssh.dev.azure.com:v3/kargo-demo/shop/manifests")),
        user.warehouse("other", image(f"{REGISTRY}/something-else")),
    )
    url = eventually(user.url, STATUS_LIMIT, "the URL")
    assert url.startswith(f"{cluster.base_url}/azure/")
    eventually(lambda: everywhere(url, 200), EFFECT_LIMIT, "the URL in every Pod")
    condition = cluster.kubectl(
        "wait", "projectconfig", name, "-n", name, "--for=condition=AzureReceiversReady", "--timeout=5s"
    )
    assert "condition met" in condition
    assert deliver(url, ping()).json == ANSWERED
    assert set(user.refreshes().values()) == {None}

    before = user.refreshes()
    for body, owed in (
        (acr_push("guestbook", "v1.2.3"), {"app"}),
        (acr_push("charts/storefront", "0.4.0"), {"chart"}),
        (ado_push(REPOSITORY, "main"), {"git", "git-ssh"}),
        (acr_push("guestbook", "v1.2.4"), {"app"}),
    ):
        answer = deliver(url, body)
        assert (answer.status, answer.json) == (200, refreshed(len(owed)))
        assert answer.headers["X-Delivery-Id"]
        after = user.refreshes()
        assert {each for each in after if after[each] != before[each]} == owed
        before = after


def test_a_changed_secret_changes_the_url_at_once(cluster: Cluster, user: User) -> None:
    """The new URL answers and stands in status, the old one is 404, in every Pod, with no restart."""
    user.set_up(user.warehouse("app", image(f"{REGISTRY}/app")), secret="the-first-of-two-secrets")
    old = eventually(user.url, STATUS_LIMIT, "the URL")
    eventually(lambda: everywhere(old, 200), EFFECT_LIMIT, "the first URL")
    pods = cluster.pods()

    cluster.apply(user.secret("azure", "the-second-of-two-secrets"))
    eventually(lambda: user.url() != old, STATUS_LIMIT, "another URL")
    new = user.url()
    assert new is not None
    eventually(lambda: everywhere(new, 200), EFFECT_LIMIT, "the new URL")
    eventually(lambda: everywhere(old, 404), EFFECT_LIMIT, "the end of the old URL")
    assert deliver(new, acr_push("app", "v1")).json == refreshed(1)
    assert deliver(old, acr_push("app", "v1")).json == {}
    assert cluster.pods() == pods


def test_a_receiver_of_the_whole_cluster_refreshes_in_every_project(cluster: Cluster, user: User) -> None:
    """ClusterConfig's URL, from its status, refreshes the subscribers of two Projects with one event."""
    operator, other = Operator(cluster), User(cluster, f"{user.project}-other")
    subscription = image(f"{REGISTRY}/base")
    for each in (user, other):
        each.namespace()
    cluster.apply(
        operator.secret("azure", "the-secret-of-the-whole-cluster"),
        operator.config("azure"),
        user.warehouse("app", subscription),
        other.warehouse("app", subscription),
        other.warehouse("another", image(f"{REGISTRY}/another")),
    )
    try:
        url = eventually(operator.url, STATUS_LIMIT, "the URL")
        eventually(lambda: everywhere(url, 200), EFFECT_LIMIT, "the URL in every Pod")
        assert deliver(url, acr_push("base", "v1")).json == refreshed(2)
        assert user.refreshes()["app"] is not None
        assert other.refreshes()["app"] is not None
        assert other.refreshes()["another"] is None
    finally:
        cluster.kubectl("delete", "clusterconfig", "cluster")
    eventually(lambda: everywhere(url, 404), EFFECT_LIMIT, "the end of the URL")
