"""Container Registry's webhooks: which event means what."""

import json
from typing import Any

import pytest

from tests.strategies import PAYLOADS
from webhook.arrival import Subject
from webhook.payloads.event_types import Event, Ignored, Ping, Push
from webhook.payloads.parse import parse as parse_any
from webhook.payloads.reading import BadPayload


def parse(body: bytes) -> Event:
    return parse_any("application/json", None, body)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        pytest.param("acr_push", "contoso.azurecr.io/team/hello-world", id="push"),
        pytest.param("acr_push_by_digest", "contoso.azurecr.io/team/hello-world", id="no tag"),
        pytest.param(
            "acr_push_regional", "contoso.westeurope.geo.azurecr.io/team/hello-world", id="regional"
        ),
        pytest.param("acr_helm_push", "contoso.azurecr.io/helm/app", id="helm push"),
    ],
)
def test_a_push_names_its_repository(name: str, url: str) -> None:
    """A push is about the repository of its host and target, tag or not, image or chart."""
    event = parse(PAYLOADS[name])
    assert isinstance(event, Push)
    assert event.subjects == (Subject("image", url),)
    assert event.type == "push"
    assert event.sender_id == json.loads(PAYLOADS[name])["id"]


@pytest.mark.parametrize("name", ["acr_ping", "acr_ping_bare"])
def test_a_ping_is_a_ping(name: str) -> None:
    """A ping needs nothing but its action."""
    assert isinstance(parse(PAYLOADS[name]), Ping)


@pytest.mark.parametrize("value", [1, "x", [], {"repository": 1}, None, True])
@pytest.mark.parametrize("field", ["target", "request", "id", "timestamp"])
def test_a_ping_is_a_ping_whatever_else_it_holds(field: str, value: Any) -> None:
    """No other field of a ping can be wrong."""
    assert isinstance(parse(json.dumps({"action": "ping", field: value}).encode()), Ping)


@pytest.mark.parametrize(
    ("name", "action"),
    [
        pytest.param("acr_delete", "delete", id="delete"),
        pytest.param("acr_chart_push", "chart_push", id="chart_push has no host"),
        pytest.param("acr_quarantine", "quarantine", id="quarantine"),
    ],
)
def test_other_events_have_nothing_to_refresh(name: str, action: str) -> None:
    """Events of the other types are known and ignored."""
    event = parse(PAYLOADS[name])
    assert isinstance(event, Ignored)
    assert event.known
    assert event.type == action


def test_an_unknown_action_is_ignored_and_not_named() -> None:
    """A type we don't know has a bounded name."""
    event = parse(b'{"action":"evil\\ntype"}')
    assert isinstance(event, Ignored)
    assert not event.known
    assert event.type == "other"


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        pytest.param(["request"], None, "request.host is missing", id="no request"),
        pytest.param(["request"], "x", "request must be an object", id="request of another type"),
        pytest.param(["request", "host"], None, "request.host is missing", id="no host"),
        pytest.param(["request", "host"], "", "request.host is empty", id="empty host"),
        pytest.param(["request", "host"], " ", "request.host is empty", id="blank host"),
        pytest.param(["request", "host"], 7, "request.host must be a string", id="host of another type"),
        pytest.param(["target"], None, "target.repository is missing", id="no target"),
        pytest.param(["target"], [], "target must be an object", id="target of another type"),
        pytest.param(["target", "repository"], None, "target.repository is missing", id="no repository"),
        pytest.param(["target", "repository"], "", "target.repository is empty", id="empty repository"),
        pytest.param(["target", "repository"], {}, "target.repository must be a string", id="repository"),
    ],
)
def test_a_push_that_names_no_repository_is_refused(path: list[str], value: Any, says: str) -> None:
    """The refusal names the field to look at."""
    payload = json.loads(PAYLOADS["acr_push"])
    part = payload
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    with pytest.raises(BadPayload, match=f"^{says}$"):
        parse(json.dumps(payload).encode())


@pytest.mark.parametrize(
    ("target", "refs"),
    [
        pytest.param('"tag":"1.2","digest":"sha256:ab"', ("1.2",), id="tag"),
        pytest.param('"digest":"sha256:ab"', ("sha256:ab",), id="digest"),
        pytest.param('"tag":7', (), id="no text"),
        pytest.param('"tag":"a\\u0007b"', ("a?b",), id="unprintable"),
    ],
)
def test_what_was_pushed(target: str, refs: tuple[str, ...]) -> None:
    """The tag, else the digest; it is for people, so nothing in it makes a push unreadable."""
    sent = f'{{"action":"push","target":{{"repository":"a",{target}}},"request":{{"host":"r.azurecr.io"}}}}'
    event = parse(sent.encode())
    assert isinstance(event, Push)
    assert event.refs == refs
