"""The public server's answers: status, JSON body and extra headers.

Texts and status codes are part of the contract with users and monitoring. Where Kargo's own server has an
answer to the case, it is the same text.
"""

from http import HTTPStatus
from typing import NamedTuple

import msgspec

JSON = "application/json"


class Answer(NamedTuple):
    """One HTTP answer, without the headers that every answer carries."""

    code: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def message(text: str) -> Answer:
    """Return a 200 that says ``text``."""
    return Answer(HTTPStatus.OK.value, msgspec.json.encode({"msg": text}))


def error(status: HTTPStatus, text: str, *headers: tuple[str, str]) -> Answer:
    """Return an error of this status that says ``text``, which must hold nothing of the request."""
    return Answer(status.value, msgspec.json.encode({"error": text}), headers)


PING = message("ping event received, webhook is configured correctly")
HEALTHY = message("ok")
UNKNOWN_PATH = Answer(HTTPStatus.NOT_FOUND.value, b"{}")
WRONG_METHOD = error(
    HTTPStatus.METHOD_NOT_ALLOWED, "this URL takes events by POST", ("Allow", "OPTIONS, POST")
)
WRONG_HEALTH_METHOD = error(
    HTTPStatus.METHOD_NOT_ALLOWED, "the health check takes GET and HEAD", ("Allow", "GET, HEAD")
)
UNAUTHORIZED = error(
    HTTPStatus.UNAUTHORIZED,
    "the receiver demands an Authorization header, which is missing or wrong",
    ("WWW-Authenticate", 'Basic realm="kargo-azure-receiver", charset="UTF-8"'),
)
ENCODED_BODY = error(
    HTTPStatus.BAD_REQUEST, "a body with a Content-Encoding is not supported: send it as it is"
)
BAD_ORIGIN = error(HTTPStatus.BAD_REQUEST, "the WebHook-Request-Origin header is too long")
SLOW_BODY = error(HTTPStatus.REQUEST_TIMEOUT, "the body took too long to arrive")
NOT_HTTP = error(HTTPStatus.BAD_REQUEST, "the request is not valid HTTP/1.1, or its headers are too large")
FAULT = error(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error; the log has it under the delivery id")


def text(answer: Answer) -> str:
    """Return what an answer says to people."""
    said = msgspec.json.decode(answer.body)
    return str(said.get("msg") or said.get("error") or "")


def too_large(limit: int) -> Answer:
    """Return the 413 for a body of more than ``limit`` bytes."""
    return error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {limit} bytes")


def unavailable(text: str, retry_after: int) -> Answer:
    """Return a 503 that asks the sender to try again in ``retry_after`` seconds."""
    return error(HTTPStatus.SERVICE_UNAVAILABLE, text, ("Retry-After", str(retry_after)))


def bad_payload(reason: str) -> Answer:
    """Return the 400 for a body that is no sender's; ``reason`` never quotes it."""
    return error(HTTPStatus.BAD_REQUEST, reason)


def validation(code: str) -> Answer:
    """Return the answer that Event Grid's SubscriptionValidation event asks for.

    https://learn.microsoft.com/azure/event-grid/end-point-validation-event-grid-events-schema
    """
    return Answer(HTTPStatus.OK.value, msgspec.json.encode({"validationResponse": code}))


def allowed_origin(origin: str) -> Answer:
    """Return the consent to a CloudEvents handshake, for any rate.

    https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/http-webhook.md#42-validation-response
    """
    headers = (("Allow", "OPTIONS, POST"), ("WebHook-Allowed-Origin", origin), ("WebHook-Allowed-Rate", "*"))
    return Answer(HTTPStatus.OK.value, b"{}", headers)


def ignored(event: str | None) -> Answer:
    """Return the 200 for an event with nothing to refresh; ``event`` is None if we don't know its type."""
    if event is None:
        return message("event type is not supported and was ignored")
    return message(f"event type {event} is ignored")


_ONE_WAREHOUSE = message("refreshed 1 warehouse(s)")


def refreshed(noun: str, matched: int, persisted: int, rejected: int, *, done: bool) -> Answer:
    """Return the answer that says what became of a delivery's refreshes so far.

    ``noun`` is ``warehouse`` or ``promotion``; ``matched`` counts all of them. If ``done`` is false, some are
    neither ``persisted`` nor ``rejected`` yet, and the status is 202.
    """
    if done and not rejected:
        if matched == 1 and noun == "warehouse":
            return _ONE_WAREHOUSE
        return message(f"refreshed {matched} {noun}(s)")
    parts = [f"refreshed {persisted} of {matched} {noun}(s)"]
    if rejected:
        parts.append(f"{rejected} were rejected by the Kubernetes API")
    if not done:
        parts.append("the rest will follow")
    status = HTTPStatus.OK if done else HTTPStatus.ACCEPTED
    return Answer(status.value, msgspec.json.encode({"msg": "; ".join(parts)}))
