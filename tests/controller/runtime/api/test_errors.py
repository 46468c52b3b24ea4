"""What an answer that says no becomes."""

import json
from typing import Any

import pytest

from controller.runtime.api import errors
from controller.runtime.api.errors import parse_retry_after, status_error
from tests.support.apiserver import status_object

REQUEST: dict[str, Any] = {
    "verb": "patch",
    "resource": "warehouses.kargo.akuity.io",
    "namespace": "demo",
    "name": "app",
}


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        pytest.param(400, errors.StatusError, id="400"),
        pytest.param(401, errors.Unauthorized, id="401"),
        pytest.param(403, errors.Forbidden, id="403"),
        pytest.param(404, errors.NotFound, id="404"),
        pytest.param(408, errors.StatusError, id="408"),
        pytest.param(409, errors.Conflict, id="409"),
        pytest.param(410, errors.Expired, id="410"),
        pytest.param(422, errors.StatusError, id="422"),
        pytest.param(429, errors.TooManyRequests, id="429"),
        pytest.param(500, errors.ServerFault, id="500"),
        pytest.param(599, errors.ServerFault, id="599"),
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html>502 Bad Gateway</html>", id="html"),
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff\xfe", id="not utf-8"),
        pytest.param(b"[" * 5_000, id="too deep"),
        pytest.param(b'{"kind":"Status","message":7}', id="wrong types"),
        pytest.param(json.dumps(status_object(0, "Because", "said so")).encode(), id="status"),
    ],
)
def test_the_class_follows_the_http_status_whatever_the_body(
    code: int, kind: type[errors.StatusError], body: bytes
) -> None:
    """A proxy's page, nonsense or a Status: the error has the HTTP status' class and a message."""
    error = status_error(code, body, **REQUEST)
    assert type(error) is kind
    assert error.status == code
    assert error.reason
    assert error.message
    assert (error.verb, error.name) == ("patch", "app")
    assert "warehouses.kargo.akuity.io app in namespace demo" in str(error)


def test_a_status_says_more() -> None:
    """Reason, message, details and the time to wait come from the Status."""
    details = {"name": "app", "kind": "warehouses", "retryAfterSeconds": 7}
    body = json.dumps(status_object(429, "TooManyRequests", "slow down", details)).encode()
    error = status_error(429, body, **REQUEST)
    assert (error.reason, error.message, error.retry_after) == ("TooManyRequests", "slow down", 7.0)
    assert error.details_name == "app"
    assert status_error(429, body, retry_after=2.0, **REQUEST).retry_after == 2.0


def test_a_message_holds_no_control_characters() -> None:
    """An object may be called anything: what a terminal would obey never leaves this place."""
    body = json.dumps(status_object(422, "Invalid", "spec \x1b[31mred\x07\r\nnext \u202eback")).encode()
    error = status_error(422, body, **REQUEST)
    assert error.message == "spec  [31mred   next  back"
    assert str(error).isprintable()


def test_causes_are_kept() -> None:
    """A 403 whose cause is a namespace that is being deleted is no missing right."""
    details = {
        "name": "app",
        "causes": [{"reason": "NamespaceTerminating", "message": "m"}, {"message": "m"}],
    }
    body = json.dumps(status_object(403, "Forbidden", "no", details)).encode()
    assert status_error(403, body, **REQUEST).causes == ("NamespaceTerminating",)
    assert status_error(403, b"<html>", **REQUEST).causes == ()


@pytest.mark.parametrize(
    ("body", "named"),
    [
        pytest.param(status_object(404, "NotFound", details={"name": "app"}), True, id="the object"),
        pytest.param(status_object(404, "NotFound", details={}), False, id="no such path"),
        pytest.param(status_object(404, "NotFound", details={"name": "other"}), False, id="another"),
        pytest.param({"message": "404 page not found"}, False, id="no Status"),
    ],
)
def test_a_missing_object_is_told_from_a_missing_path(body: object, named: bool) -> None:
    """Only a Status that names the object says that the object is gone."""
    error = status_error(404, json.dumps(body).encode(), **REQUEST)
    assert isinstance(error, errors.NotFound)
    assert error.names("app") is named
    assert not error.names("")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        pytest.param(410, "Expired", id="410 Expired"),
        pytest.param(410, "Gone", id="410 Gone"),
        pytest.param(410, "", id="410 alone"),
        pytest.param(500, "Expired", id="Expired with another code"),
        pytest.param(0, "Gone", id="Gone with no code"),
    ],
)
def test_row_05_expiry_in_the_stream_is_recognized(code: int, reason: str) -> None:
    """An ERROR event means expiry by its code, or by either of the two reasons."""
    body = json.dumps(status_object(code, reason)).encode()
    assert isinstance(status_error(None, body, verb="watch", resource="warehouses"), errors.Expired)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        pytest.param(None, None, id="none"),
        pytest.param("", None, id="empty"),
        pytest.param("3", 3.0, id="seconds"),
        pytest.param("0", 0.0, id="zero"),
        pytest.param("9" * 400, 999_999_999.0, id="absurd"),
        pytest.param("-3", None, id="negative"),
        pytest.param("soon", None, id="nonsense"),
        pytest.param("Fri, 15 Jan 2027 08:00:10 GMT", 10.0, id="date"),
        pytest.param("Fri, 15 Jan 2021 08:00:10 GMT", 0.0, id="date gone by"),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    """Both forms of the header are understood, and nonsense is no delay."""
    assert parse_retry_after(value, 1_800_000_000.0) == seconds


def test_a_long_message_is_cut() -> None:
    """An API server may quote a whole object; the error does not carry it along."""
    error = status_error(422, json.dumps(status_object(422, "Invalid", "x" * 100_000)).encode(), **REQUEST)
    assert len(error.message) == errors.MESSAGE_LIMIT
