"""Every sender's body is told by its shape, and whatever else comes is refused in one clear line."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import JSON, PAYLOADS, mutated_payloads
from webhook.arrival import Subject
from webhook.payloads import acr, azure_devops, event_grid
from webhook.payloads.event_types import (
    ACR,
    AZURE_DEVOPS,
    EVENT_GRID,
    OTHER,
    Event,
    Handshake,
    Ignored,
    Ping,
    PullRequest,
    Push,
)
from webhook.payloads.parse import parse
from webhook.payloads.reading import BadPayload

JSON_TYPE = "application/json"
TYPES = {ACR: acr.ACTIONS, AZURE_DEVOPS: azure_devops.TYPES, EVENT_GRID: event_grid.TYPES}


def read(name: str, header: str | None = None) -> Event:
    return parse(JSON_TYPE, header, PAYLOADS[name])


def body(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("name", "source", "kind"),
    [
        pytest.param("acr_ping", ACR, Ping, id="ACR ping"),
        pytest.param("acr_push", ACR, Push, id="ACR push"),
        pytest.param("acr_delete", ACR, Ignored, id="ACR delete"),
        pytest.param("ado_push", AZURE_DEVOPS, Push, id="ADO push"),
        pytest.param("ado_pull_request_merged", AZURE_DEVOPS, PullRequest, id="ADO pull request"),
        pytest.param("ado_build_complete", AZURE_DEVOPS, Ignored, id="ADO build"),
        pytest.param("event_grid_image_pushed", EVENT_GRID, Push, id="Event Grid schema"),
        pytest.param("event_grid_validation", EVENT_GRID, Handshake, id="Event Grid validation"),
        pytest.param("cloud_event_image_pushed", EVENT_GRID, Push, id="CloudEvent"),
        pytest.param("cloud_events_batch", EVENT_GRID, Push, id="CloudEvents batch"),
    ],
)
def test_the_shape_tells_the_sender(name: str, source: str, kind: type) -> None:
    """The body alone decides whose event it is, whatever the Content-Type says."""
    for content_type in (JSON_TYPE, "", "text/plain", "application/json; charset=utf-8"):
        event = parse(content_type, None, PAYLOADS[name])
        assert (event.source, type(event)) == (source, kind)


def test_a_ping_with_a_content_type_of_its_own_is_still_acrs() -> None:
    """A registry's webhook may set any header: a ping stays a ping."""
    assert isinstance(parse("application/cloudevents+json", "Notification", PAYLOADS["acr_ping"]), Ping)


def test_one_event_of_the_event_grid_schema_without_its_array() -> None:
    """A single event is read like a batch of one."""
    event = parse(JSON_TYPE, None, body(json.loads(PAYLOADS["event_grid_image_pushed"])[0]))
    assert isinstance(event, Push)
    assert event.source == EVENT_GRID


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        pytest.param(b"", "the body is empty", id="empty"),
        pytest.param(b" \n", "the body is empty", id="blank"),
        pytest.param(b"\xef\xbb\xbf{}", "byte order mark", id="byte order mark"),
        pytest.param(b'{"action":"ping"\xff}', "is not JSON", id="not UTF-8, outside of strings"),
        pytest.param('{"action":"ping"}'.encode("utf-16"), "is not JSON", id="UTF-16"),
        pytest.param(b"secret=hunter2&x=1", "is not JSON", id="form"),
        pytest.param(b"<ping/>", "is not JSON", id="XML"),
        pytest.param(b'{"action":"ping"', "is not JSON", id="cut off"),
        pytest.param(b'{"action":"ping"}x', "is not JSON", id="more after it"),
        pytest.param(b'{"action":"ping","x":NaN}', "is not JSON", id="NaN"),
        pytest.param(b"{'action':'ping'}", "is not JSON", id="single quotes"),
        pytest.param(b"\x00" * 100, "is not JSON", id="zeros"),
        pytest.param(b"[" * 10_000_000, "batch", id="10 MB of brackets"),
        pytest.param(b'{"x":' * 2_000_000, "nested too deeply", id="10 MB of objects"),
        pytest.param(b'{"action":' + b"[" * 1_000_000, "nested too deeply", id="brackets in a field"),
        pytest.param(b"null", "is no event", id="null"),
        pytest.param(b"1", "is no event", id="number"),
        pytest.param(b'"ping"', "is no event", id="string"),
        pytest.param(b"{}", "is no event", id="empty object"),
        pytest.param(b'{"action":null}', "is no event", id="null action"),
        pytest.param(b'{"zen":"Keep it logically awesome.","hook_id":1}', "is no event", id="GitHub's ping"),
        pytest.param(b'{"action":1}', "action must be a string", id="action of another type"),
        pytest.param(b'{"action":1e999999}', "action must be a string", id="huge number"),
        pytest.param(b'{"action":""}', "action is empty", id="empty action"),
        pytest.param(
            b'{"eventType":["git.push"],"resource":{}}', "eventType must be a string", id="eventType"
        ),
        pytest.param(b"[]", "batch of events is empty", id="empty batch"),
        pytest.param(b"[1]", "each event of the batch must be an object", id="batch of numbers"),
        pytest.param(b"[{}]", "is missing", id="event without a type"),
    ],
)
def test_what_is_no_event_is_refused_with_the_reason(sent: bytes, says: str) -> None:
    """Each refusal says what is wrong in one line."""
    with pytest.raises(BadPayload, match=says) as refused:
        parse(JSON_TYPE, None, sent)
    assert "\n" not in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param({"id": "7d20b6a1-7c6c"}, "7d20b6a1-7c6c", id="as it is"),
        pytest.param({"id": 42}, "42", id="number"),
        pytest.param({}, "", id="none"),
        pytest.param({"id": None}, "", id="null"),
        pytest.param({"id": ["x"]}, "", id="another type"),
        pytest.param({"id": "a\nb \x1b[31m\u202eé"}, "a?b??[31m??", id="control and foreign characters"),
        pytest.param({"id": "x" * 100_000}, "x" * 64, id="long"),
    ],
)
def test_the_senders_id_is_safe_to_log(sent: dict[str, Any], expected: str) -> None:
    """The sender's id is kept short and printable, and never refused."""
    assert parse(JSON_TYPE, None, body({"action": "ping", **sent})).sender_id == expected


def test_a_huge_number_is_no_id() -> None:
    """An id of ten thousand digits is left out."""
    assert parse(JSON_TYPE, None, b'{"action":"ping","id":' + b"9" * 10_000 + b"}").sender_id == ""


def check(event: Event) -> None:
    """Assert what every event promises."""
    assert event.source in TYPES
    assert event.type in TYPES[event.source] or event.type == OTHER
    assert len(event.sender_id) <= 64
    assert event.sender_id.isascii()
    if isinstance(event, Push | PullRequest):
        assert event.subjects
        assert len(set(event.subjects)) == len(event.subjects)
        for subject in event.subjects:
            assert isinstance(subject, Subject)
            assert subject.kind in ("image", "git", "pull_request")
            assert isinstance(subject.url, str)


def reason(content_type: str, header: str | None, sent: bytes) -> str | None:
    """Return why a body is refused; check what becomes of it otherwise."""
    try:
        event = parse(content_type, header, sent)
    except BadPayload as refused:
        return str(refused)
    check(event)
    return None


def parse_or_refuse(content_type: str, header: str | None, sent: bytes) -> None:
    refusal = reason(content_type, header, sent)
    assert refusal is None or (refusal and "\n" not in refusal)


HEADERS = st.sampled_from([None, "", "Notification", "SubscriptionValidation", "SubscriptionDeletion", "x"])


@given(st.binary() | JSON.map(body), HEADERS)
def test_no_bytes_make_it_raise_anything_else(sent: bytes, header: str | None) -> None:
    """Whatever comes is an event or a BadPayload."""
    parse_or_refuse(JSON_TYPE, header, sent)


@settings(max_examples=400)
@given(mutated_payloads(), HEADERS, st.sampled_from([JSON_TYPE, "application/cloudevents+json", "é\x00"]))
def test_no_mutation_of_a_real_body_makes_it_raise_anything_else(
    sent: bytes, header: str | None, content_type: str
) -> None:
    """A real body with anything changed in it is an event or a BadPayload."""
    parse_or_refuse(content_type, header, sent)


@given(st.sampled_from(sorted(PAYLOADS)), st.data())
def test_no_damage_to_the_bytes_makes_it_raise_anything_else(name: str, data: st.DataObject) -> None:
    """Cut, doubled or overwritten bytes of a real body are an event or a BadPayload."""
    sent = PAYLOADS[name]
    at = data.draw(st.integers(0, len(sent)))
    junk = data.draw(st.binary(max_size=4))
    parse_or_refuse(JSON_TYPE, None, sent[:at] + junk + sent[at + data.draw(st.integers(0, 9)) :])


@pytest.mark.parametrize("name", sorted(PAYLOADS))
def test_the_reason_never_quotes_the_body(name: str) -> None:
    """Where a documented body with a value of the wrong type is refused, the value is not told."""
    marker = "hunter2-s3cret"
    for field in ("action", "eventType", "resource", "data", "target", "request"):
        text = (
            PAYLOADS[name].decode().replace(f'"{field}": ', f'"{field}": {{"{marker}": ["{marker}"]}}, "x": ')
        )
        assert marker not in (reason(JSON_TYPE, None, text.encode()) or "")


@pytest.mark.parametrize(
    ("length", "refused"), [pytest.param(4096, False, id="at"), pytest.param(4097, True, id="past")]
)
def test_what_is_kept_of_an_event_is_bounded(length: int, refused: bool) -> None:
    """A repository as long as the whole body would be kept in memory and on disk for each delivery."""
    body = {"action": "push", "request": {"host": "r"}, "target": {"repository": "a" * length}}
    if refused:
        with pytest.raises(BadPayload, match="longer than 4096 characters"):
            parse("application/json", None, json.dumps(body).encode())
    else:
        parse("application/json", None, json.dumps(body).encode())
