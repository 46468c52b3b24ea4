"""The keys of the index: what Kargo brings together stays together, and nothing can pose as another."""

import pytest
from hypothesis import given

from controller.repositories.keys import event_keys, subscription_key
from controller.repositories.normalize import normalize_chart, normalize_git, normalize_image
from tests.strategies import ANY_TEXT, KINDS, URL_LIKE

NORMALIZE = {"git": normalize_git, "image": normalize_image, "chart": normalize_chart}


@given(KINDS, URL_LIKE | ANY_TEXT, KINDS)
def test_equal_for_kargo_is_equal_for_us(kind: str, url: str, other_kind: str) -> None:
    """Two URLs that normalize to one text have one key, whatever the kinds of their subscriptions."""
    normalized = NORMALIZE[kind](url)
    if NORMALIZE[other_kind](normalized) == normalized:
        assert subscription_key(other_kind, normalized) == subscription_key(kind, url)


@given(URL_LIKE | ANY_TEXT)
def test_an_event_finds_the_subscriptions_to_its_own_url(url: str) -> None:
    """A subscription that is spelled as the event spells the repository is always found."""
    assert subscription_key("git", url) in event_keys("git", url)
    assert subscription_key("image", url) in event_keys("image", url)
    assert subscription_key("chart", url) in event_keys("image", url)


@pytest.mark.parametrize(
    ("event", "kind", "subscribed"),
    [
        pytest.param("r.azurecr.io/app", "image", "R.azurecr.io/App:1.2", id="tag and case"),
        pytest.param("r.azurecr.io/app", "chart", "oci://r.azurecr.io/app", id="chart"),
        pytest.param("r.azurecr.io/a", "chart", "oci://r.azurecr.io/a", id="one letter"),
        pytest.param("r.eastus.geo.azurecr.io/app", "image", "r.azurecr.io/app", id="pushed in a region"),
        pytest.param("r.azurecr.io/app", "image", "r.eastus.geo.azurecr.io/app", id="subscribed in a region"),
        pytest.param("r.eastus.geo.azurecr.io/app", "chart", "oci://r.eastus.geo.azurecr.io/app", id="both"),
    ],
)
def test_a_push_to_a_registry_finds_images_and_charts(event: str, kind: str, subscribed: str) -> None:
    """A pushed image is looked up as an image and as a chart, in the registry and its regions."""
    assert subscription_key(kind, subscribed) in event_keys("image", event)


def test_a_push_to_git_finds_every_spelling() -> None:
    """A push as Azure reports it finds a subscription by SSH."""
    pushed = "https://dev.azure.com/contoso/My%20Proj/_git/Repo"
    assert event_keys("git", pushed) == (
        subscription_key("git", "git@ssh.dev.azure.com:v3/contoso/My Proj/repo"),
    )


def test_an_image_event_has_few_keys() -> None:
    """The usual event looks up one key: image and chart come to the same."""
    assert event_keys("image", "contoso.azurecr.io/app") == ("contoso.azurecr.io/app",)


def test_a_url_cannot_pose_as_a_key() -> None:
    """A URL spelled like the key of somebody's repository is another key."""
    victim = subscription_key("git", "https://dev.azure.com/contoso/proj/_git/repo")
    for kind in NORMALIZE:
        assert subscription_key(kind, victim) != victim
