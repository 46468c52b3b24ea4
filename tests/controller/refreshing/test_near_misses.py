"""Near misses: which Warehouses nearly matched, why, and which of them come first."""

import time

import pytest
from hypothesis import given

from controller.kargo.objects import Target
from controller.refreshing.near_misses import MOST_NEAR_MISSES, Kind, NearMiss, Search
from controller.repositories.keys import subscription_key
from tests.strategies import ANY_TEXT, URL_LIKE

GIT = "https://dev.azure.com/contoso/shop/_git/manifests"
IMAGE = "contoso.azurecr.io/storefront/api"
SERVER = "https://tfs.contoso.example/tfs/Coll/Shop/_git/Api"


def target(name: str, namespace: str = "p") -> Target:
    return Target("Warehouse", namespace, name)


def search(event: tuple[str, str], *held: tuple[str, str, str], scope: str | None = "p") -> list[NearMiss]:
    """Return the near misses of an event where these subscriptions (namespace, kind, URL) are held."""
    found = Search(*event, lambda namespace: scope in (None, namespace))
    for number, (namespace, kind, url) in enumerate(held):
        found.consider(subscription_key(kind, url), [target(f"w{number}", namespace)])
    return list(found.best())


@pytest.mark.parametrize(
    ("event", "held", "expected"),
    [
        pytest.param(("git", GIT), ("q", "git", GIT), Kind.OUT_OF_SCOPE, id="another Project"),
        pytest.param(
            ("git", GIT),
            ("q", "git", "git@ssh.dev.azure.com:v3/contoso/shop/manifests"),
            Kind.OUT_OF_SCOPE,
            id="another Project, ssh",
        ),
        pytest.param(("git", GIT), ("p", "git", GIT), None, id="a match"),
        pytest.param(("git", GIT), ("p", "git", f"{GIT}?version=GBmain"), Kind.OTHER_SPELLING, id="query"),
        pytest.param(
            ("git", GIT),
            ("p", "git", "https://dev.azure.com/contoso/shop/manifests"),
            Kind.OTHER_SPELLING,
            id="no _git",
        ),
        pytest.param(
            ("git", GIT),
            ("p", "git", "https://dev.azure.com:8443/contoso/shop/_git/manifests"),
            Kind.OTHER_SPELLING,
            id="port",
        ),
        pytest.param(
            ("git", GIT),
            ("p", "git", "https://contoso.visualstudio.com/shop/manifests"),
            Kind.OTHER_SPELLING,
            id="domain",
        ),
        pytest.param(
            ("git", SERVER),
            ("p", "git", "https://tfs.contoso.example:8443/tfs/Coll/Shop/_git/Api"),
            Kind.OTHER_SPELLING,
            id="server, port",
        ),
        pytest.param(
            ("image", IMAGE),
            ("p", "image", "contoso.azurecr.io:5000/storefront/api"),
            Kind.OTHER_SPELLING,
            id="image, port",
        ),
        pytest.param(
            ("image", IMAGE), ("p", "git", f"https://{IMAGE}"), Kind.OTHER_KIND, id="git, not image"
        ),
        pytest.param(
            ("git", GIT),
            ("p", "image", "dev.azure.com/contoso/shop/manifests"),
            Kind.OTHER_KIND,
            id="image, not git",
        ),
        pytest.param(
            ("git", GIT),
            ("p", "git", "https://dev.azure.com/contoso/shop2/_git/manifests"),
            Kind.OTHER_PLACE,
            id="project",
        ),
        pytest.param(
            ("git", GIT),
            ("p", "git", "https://github.com/contoso/manifests.git"),
            Kind.OTHER_PLACE,
            id="host",
        ),
        pytest.param(
            ("image", IMAGE),
            ("p", "image", "fabrikam.azurecr.io/storefront/api"),
            Kind.OTHER_PLACE,
            id="registry",
        ),
        pytest.param(
            ("image", IMAGE),
            ("p", "chart", "oci://contoso.azurecr.io/charts/api"),
            Kind.OTHER_PLACE,
            id="chart",
        ),
        pytest.param(
            ("image", IMAGE), ("p", "image", "contoso.azurecr.io/storefront/api-v2"), None, id="another name"
        ),
        pytest.param(
            ("image", IMAGE), ("q", "image", "fabrikam.azurecr.io/storefront/api"), None, id="far in two ways"
        ),
    ],
)
def test_what_is_different(event: tuple[str, str], held: tuple[str, str, str], expected: Kind | None) -> None:
    """Each near miss is told with what keeps it from matching; what matches, or is too far, is none."""
    assert [found.kind for found in search(event, held)] == ([] if expected is None else [expected])


def test_a_receiver_of_all_projects_has_none_out_of_scope() -> None:
    """What it covers and has the key is a match."""
    assert search(("git", GIT), ("q", "git", GIT), scope=None) == []
    (found,) = search(("git", GIT), ("q", "git", f"{GIT}?x=1"), scope=None)
    assert found.kind is Kind.OTHER_SPELLING


def test_the_best_come_first_and_are_few() -> None:
    """Least different first, and among equals the nearest place; never more than five."""
    held = [
        *(("p", "image", f"r{number}.azurecr.io/other/storefront/api") for number in range(9)),
        ("p", "image", "fabrikam.azurecr.io/storefront/api"),
        ("p", "git", f"https://{IMAGE}"),
        ("p", "image", "contoso.azurecr.io:5000/storefront/api"),
        ("q", "image", IMAGE),
    ]
    found = search(("image", IMAGE), *held)
    assert [each.kind for each in found] == [*list(Kind)[:4], Kind.OTHER_PLACE]
    assert len(found) == MOST_NEAR_MISSES
    assert found[3].key == "fabrikam.azurecr.io/storefront/api"


def test_a_warehouse_that_cannot_be_read_comes_last() -> None:
    """Nobody knows what it is subscribed to."""
    found = Search("git", GIT, "p".__eq__)
    found.unreadable([target("odd"), target("odd", "q")])
    found.consider(subscription_key("git", f"{GIT}?x=1"), [target("w")])
    assert [(each.kind, each.target.name, each.target.namespace) for each in found.best()] == [
        (Kind.OTHER_SPELLING, "w", "p"),
        (Kind.UNREADABLE, "odd", "p"),
    ]


@given(URL_LIKE | ANY_TEXT, URL_LIKE | ANY_TEXT)
def test_no_text_makes_it_raise(url: str, other: str) -> None:
    """Any event may be looked for among any subscriptions."""
    for kind in ("git", "image"):
        search((kind, url), ("p", kind, url), ("q", "git", other), ("p", "image", other))


def test_a_key_costs_next_to_nothing() -> None:
    """A hundred thousand keys that are far away are turned away by a substring test."""
    found = Search("image", IMAGE, "p".__eq__)
    keys = [f"contoso.azurecr.io/team-{number}/service" for number in range(100_000)]
    one = [target("w")]
    started = time.thread_time()
    for key in keys:
        found.consider(key, one)
    assert time.thread_time() - started < 1
    assert found.best() == ()
