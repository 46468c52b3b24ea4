"""Whose event it is, where the body has the fields of two senders or the headers say something else."""

import json
from typing import Any

import pytest

from tests.strategies import PAYLOADS
from webhook.arrival import Subject
from webhook.payloads.event_types import ACR, AZURE_DEVOPS, EVENT_GRID, Event, Ping, PullRequest, Push
from webhook.payloads.parse import parse

GIT = Subject("git", "https://dev.azure.com/contoso/My%20Proj/_git/My%20Repo")
AGENT = {ACR: "AzureContainerRegistry/1.0", AZURE_DEVOPS: "VSServices/19.225.34309.2"}
GRID_FIELDS = {"topic": "/x", "subject": "y", "eventTime": "z", "data": {}, "dataVersion": ""}


def read(
    name: str,
    extra: dict[str, Any],
    agent: str,
    content_type: str = "application/json",
    header: str | None = None,
) -> Event:
    body = json.dumps({**json.loads(PAYLOADS[name]), **extra}).encode()
    return parse(content_type, header, body, user_agent=agent)


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param({"action": "push"}, id="action"),
        pytest.param({"action": "opened"}, id="an action of nobody's"),
        pytest.param({"action": "ping"}, id="a ping's action"),
        pytest.param({"action": "push", "target": {}, "request": {}}, id="a registry's fields"),
        pytest.param({"specversion": "1.0"}, id="specversion"),
        pytest.param({"specversion": "1.0", "type": "x", "data": {}}, id="a CloudEvent's fields"),
        pytest.param({"data": {}, "type": "x"}, id="data and type"),
        pytest.param(GRID_FIELDS, id="Event Grid's fields"),
    ],
)
@pytest.mark.parametrize(
    ("content_type", "header"),
    [
        pytest.param("application/json", None, id=""),
        pytest.param("application/json", "Notification", id="aeg-event-type"),
        pytest.param("application/json", "SubscriptionValidation", id="validation"),
        pytest.param("application/cloudevents+json", None, id="CloudEvents"),
    ],
)
def test_azure_devops_is_known_by_its_user_agent(
    extra: dict[str, Any], content_type: str, header: str | None
) -> None:
    """Whatever fields and headers of others are there."""
    event = read("ado_push", extra, AGENT[AZURE_DEVOPS], content_type, header)
    assert isinstance(event, Push)
    assert (event.source, event.subjects) == (AZURE_DEVOPS, (GIT,))
    merged = read("ado_pull_request_merged", extra, AGENT[AZURE_DEVOPS], content_type, header)
    assert isinstance(merged, PullRequest)


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param({"action": "push"}, id="action"),
        pytest.param({"action": "opened"}, id="an action of nobody's"),
        pytest.param({"specversion": "1.0", "type": "x", "data": {}}, id="a CloudEvent's fields"),
        pytest.param(GRID_FIELDS, id="Event Grid's fields"),
    ],
)
def test_without_a_user_agent_the_fuller_shape_wins(extra: dict[str, Any]) -> None:
    """Behind a proxy that writes a User-Agent of its own, an event with a resource is Azure DevOps'."""
    for content_type, header in (("", None), ("", "Notification"), ("application/cloudevents+json", None)):
        event = read("ado_push", extra, "proxy/1", content_type, header)
        assert isinstance(event, Push)
        assert (event.source, event.subjects) == (AZURE_DEVOPS, (GIT,))


@pytest.mark.parametrize(
    "extra", [{"eventType": "git.push", "resource": {}}, {"specversion": "1.0", "data": {}}]
)
@pytest.mark.parametrize("agent", [AGENT[ACR], "proxy/1", ""])
def test_a_registrys_push_is_its_own(extra: dict[str, Any], agent: str) -> None:
    """A push with target and request is the registry's, whatever else is there."""
    event = read("acr_push", extra, agent, "application/cloudevents+json", "Notification")
    assert isinstance(event, Push)
    assert event.source == ACR


def test_a_ping_is_a_ping_whatever_else_is_there() -> None:
    """But under Azure DevOps' User-Agent it is an event with a field too many."""
    extra = json.loads(PAYLOADS["ado_push"])
    for agent in (AGENT[ACR], "", "proxy/1"):
        assert isinstance(read("acr_ping", extra, agent), Ping)
    assert isinstance(read("acr_ping", extra, AGENT[AZURE_DEVOPS]), Push)


@pytest.mark.parametrize("agent", [AGENT[ACR], AGENT[AZURE_DEVOPS], ""])
@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("acr_push", ACR),
        ("acr_ping", ACR),
        ("ado_push", AZURE_DEVOPS),
        ("ado_push_test_button", AZURE_DEVOPS),
        ("event_grid_image_pushed", EVENT_GRID),
        ("cloud_event_image_pushed", EVENT_GRID),
    ],
)
def test_the_user_agent_decides_nothing_else(agent: str, name: str, source: str) -> None:
    """A body that has one sender's fields is that sender's under any User-Agent."""
    assert parse("application/json", None, PAYLOADS[name], user_agent=agent).source == source
