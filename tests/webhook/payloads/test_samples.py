"""What is made up for sending is what the parsers take for Azure's, with the fields that Azure sends."""

import json
from typing import Any

import pytest

from tests.strategies import PAYLOADS
from webhook.arrival import Subject
from webhook.payloads import samples
from webhook.payloads.event_types import Event, Handshake, Ignored, Ping, PullRequest, Push
from webhook.payloads.parse import parse

IMAGE = "contoso.azurecr.io/team/app"
GIT = "https://dev.azure.com/contoso/My%20Proj/_git/My%20Repo"
DIGEST = "sha256:" + "7" * 64


def understood(body: Any, headers: dict[str, str] = samples.JSON) -> Event:
    """What the receiver takes it for."""
    return parse(headers["Content-Type"], headers.get("aeg-event-type"), json.dumps(body).encode())


@pytest.mark.parametrize(
    ("reference", "tag"),
    [
        pytest.param(f"{IMAGE}:1.2", "1.2", id="tag"),
        pytest.param(f"{IMAGE}@{DIGEST}", None, id="digest"),
        pytest.param(f"{IMAGE}:1.2@{DIGEST}", "1.2", id="both"),
    ],
)
def test_pushes_of_images(reference: str, tag: str | None) -> None:
    """By tag and by digest, in the webhook's shape and in Event Grid's two."""
    for body, headers in (
        (samples.image_push(reference), samples.ACR_HEADERS),
        (samples.event_grid_push(reference, reference), samples.EVENT_GRID_HEADERS),
        (samples.cloud_event_push(reference), samples.CLOUD_EVENT_HEADERS),
    ):
        event = understood(body, headers)
        assert isinstance(event, Push)
        assert event.subjects == (Subject("image", IMAGE),)
    target = samples.image_push(reference)["target"]
    assert target.get("tag") == tag
    assert (target["digest"] == DIGEST) is ("@" in reference)


def test_a_port_is_no_tag() -> None:
    """A registry of one's own may have one."""
    event = understood(samples.image_push("localhost:5000/app:1"))
    assert isinstance(event, Push)
    assert event.subjects == (Subject("image", "localhost:5000/app"),)


def test_pushes_of_commits_and_pull_requests() -> None:
    """With every ref, and the event that belongs to the pull request's status."""
    event = understood(samples.git_push(GIT, "main", "refs/tags/v1"))
    assert isinstance(event, Push)
    assert event.subjects == (Subject("git", GIT),)
    updates = samples.git_push(GIT, "main", "refs/tags/v1")["resource"]["refUpdates"]
    assert [update["name"] for update in updates] == ["refs/heads/main", "refs/tags/v1"]
    page = f"{GIT}/pullrequest/7"
    for status, kind in (("completed", "git.pullrequest.merged"), ("abandoned", "git.pullrequest.updated")):
        ended = understood(samples.pull_request(page, status))
        assert isinstance(ended, PullRequest)
        assert (ended.type, ended.subjects) == (kind, (Subject("pull_request", page),))
    assert isinstance(understood(samples.pull_request(page, "active")), Ignored)


def test_pings_and_handshakes() -> None:
    """The code of a validation is the one that must come back."""
    assert isinstance(understood(samples.ping()), Ping)
    handshake = understood(samples.event_grid_validation("code-1"), samples.VALIDATION_HEADERS)
    assert isinstance(handshake, Handshake)
    assert handshake.code == "code-1"


@pytest.mark.parametrize(
    ("body", "recorded"),
    [
        pytest.param(samples.ping(), "acr_ping", id="ping"),
        pytest.param(samples.image_push(f"{IMAGE}:1"), "acr_push", id="push"),
        pytest.param(samples.git_push(GIT), "ado_push", id="git"),
        pytest.param(samples.pull_request(f"{GIT}/pullrequest/7"), "ado_pull_request_merged", id="merged"),
        pytest.param(samples.event_grid_push(f"{IMAGE}:1"), "event_grid_image_pushed", id="Event Grid"),
        pytest.param(samples.cloud_event_push(f"{IMAGE}:1"), "cloud_event_image_pushed", id="CloudEvents"),
    ],
)
def test_no_field_is_made_up(body: Any, recorded: str) -> None:
    """Every field is one that Azure's recorded event has, with a value of the same type."""
    assert_within(body, json.loads(PAYLOADS[recorded]), "body")


def assert_within(made: Any, real: Any, where: str) -> None:
    """Compare the shapes."""
    assert type(made) is type(real), where
    if isinstance(made, dict):
        for name, value in made.items():
            assert name in real, f"{where}.{name}"
            assert_within(value, real[name], f"{where}.{name}")
    elif isinstance(made, list) and made:
        assert_within(made[0], real[0], f"{where}[0]")
