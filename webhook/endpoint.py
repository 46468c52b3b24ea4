"""The webhook receiver: from a request to an event, from an event to what is to be done.

The order of the checks is part of the contract: 404, 405, 401, 413, 400. The path is a credential: it is
compared here and goes nowhere else.
"""

import itertools
import random
import time
import traceback
from http import HTTPStatus

import msgspec
import structlog
from tornado.httputil import HTTPHeaders

from webhook import answers
from webhook.answers import Answer
from webhook.arrival import Arrival
from webhook.delivery import Deliveries, Delivery, clean
from webhook.gate import Gate, bytes_of
from webhook.limits import Limits
from webhook.payloads.parse import EVENT_GRID, BadPayload, Handshake, Ignored, Ping, Push, parse
from webhook.ports import ReceiverLookup, WebhookMetrics

log = structlog.get_logger()

UNKNOWN = "unknown"
"""Source and event of a request that is answered before its body is understood."""

HANDSHAKE = "handshake"
"""Event of an OPTIONS request, CloudEvents' way to ask whether a URL wants events."""

HEALTH = "healthz"
"""Event of a health check."""

HEALTH_PATH = "/healthz"

ORIGIN = "WebHook-Request-Origin"
"""The header of a CloudEvents handshake."""

_MARKER = "/azure/"
_DIGEST_LENGTH = 64
_MARKER_START = -_DIGEST_LENGTH - len(_MARKER)
_HEX = frozenset("0123456789abcdef")


def path_digest(target: str) -> str | None:
    """Return the digest in a request target whose last two segments are ``azure/{64 lower-case hex digits}``.

    Whatever comes before is an ingress's. Nothing is decoded or resolved: what is not written exactly so is
    no receiver's path.
    """
    path = target.partition("?")[0]
    digest = path[-_DIGEST_LENGTH:]
    if path[_MARKER_START:-_DIGEST_LENGTH] == _MARKER and _HEX.issuperset(digest):
        return digest
    return None


_process = f"{random.SystemRandom().getrandbits(32):08x}"
_numbers = itertools.count(1)


def new_id() -> str:
    """Return an id for a request, 16 hex digits: unlike any other, from whichever replica.

    The half that counts keeps the journal's index in order of arrival: random ids would touch a page each.
    """
    return f"{_process}{next(_numbers) & 0xFFFFFFFF:08x}"


class Request:
    """A request's headers, and what has been found out about it so far."""

    __slots__ = (
        "began",
        "delivered",
        "event",
        "headers",
        "id",
        "method",
        "receiver_name",
        "sender_id",
        "source",
    )

    def __init__(self, method: str, headers: HTTPHeaders) -> None:
        self.began = time.monotonic()
        """Monotonic time in seconds at which the headers had been read: the reply budget runs from here."""
        self.id = new_id()
        self.method = method
        self.headers = headers
        self.receiver_name = ""
        self.source = self.event = UNKNOWN
        self.sender_id = ""
        self.delivered = False
        """Whether it has become a delivery, which logs its own line."""

    @property
    def declared_length(self) -> int:
        """Bytes of the body by its headers; 0 if they don't say, or in a way that Tornado will refuse."""
        text = self.headers.get("Content-Length", "0")
        if len(text) > 15:
            return 1 << 62  # no text of a real length; int() of a very long one is slow
        return int(text) if text.isascii() and text.isdigit() else 0


class Endpoint:
    """Says of each request whether it may come in and what comes of it."""

    def __init__(
        self,
        receivers: ReceiverLookup,
        deliveries: Deliveries,
        metrics: WebhookMetrics,
        limits: Limits | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.deliveries = deliveries
        self.metrics = metrics
        self.gate = Gate(self.limits)
        retry = self.limits.retry_after
        self.too_large = answers.too_large(self.limits.body)
        self.overloaded = answers.unavailable("too much is in progress", retry)
        self._stopping = answers.unavailable("the server is shutting down", retry)
        self._not_yet = answers.unavailable("the receiver's Secret is not known yet", retry)
        self._receivers = receivers

    def check(self, request: Request, target: str) -> Answer | None:
        """Return the refusal, or an answer that needs no body; None once the gate has counted the request."""
        digest = path_digest(target)
        receiver = None if digest is None else self._receivers.find(digest)
        if receiver is None:
            return self._elsewhere(request, target, digest)
        request.receiver_name = receiver.name
        headers = request.headers
        handshake = request.method == "OPTIONS" and ORIGIN in headers
        if request.method != "POST" and not handshake:
            return answers.WRONG_METHOD
        if not receiver.authorized(headers.get_list("Authorization")):
            return answers.UNAUTHORIZED
        if handshake:
            request.source, request.event = EVENT_GRID, HANDSHAKE
            origin = headers[ORIGIN]
            return answers.BAD_ORIGIN if len(origin) > self.limits.origin else answers.allowed_origin(origin)
        if request.declared_length > self.limits.body:
            return self.too_large
        if headers.get("Content-Encoding", "identity").lower() != "identity":
            return answers.ENCODED_BODY
        if not self.gate.enter(receiver.name):
            return self._stopping if self.gate.closed else self.overloaded
        return None

    def act(self, request: Request, body: bytes) -> Answer | Delivery:
        """Return the answer to a body, or the delivery that has begun and will give one."""
        headers = request.headers
        try:
            event = parse(
                headers.get("Content-Type", ""),
                headers.get("aeg-event-type"),
                body,
                headers.get("aeg-delivery-count"),
                headers.get("User-Agent", ""),
            )
        except BadPayload as error:
            return answers.bad_payload(str(error))
        request.source, request.event, request.sender_id = event.source, event.type, event.sender_id
        match event:
            case Ping():
                return answers.PING
            case Ignored():
                return answers.ignored(event.type if event.known else None)
            case Handshake():
                return answers.validation(event.code)
        name, size = request.receiver_name, bytes_of(event.subjects)
        if not self.gate.take(name, size):
            return self.overloaded
        received = time.time() - (time.monotonic() - request.began)
        arrival = Arrival(
            id=request.id,
            receiver=name,
            source=event.source,
            event=event.type,
            sender_id=event.sender_id,
            subjects=event.subjects,
            received=received,
            delivery_count=event.delivery_count,
        )
        if isinstance(event, Push) and event.unreadable:
            log.warning("events_unreadable", id=request.id, count=event.unreadable)
        delivery = self.deliveries.begin(arrival, request.began, lambda: self.gate.give(name, size))
        request.delivered = True
        return delivery

    def answered(self, request: Request, answer: Answer) -> None:
        """Count an answer that has been written, and log it unless its delivery has a line of its own."""
        seconds = time.monotonic() - request.began
        self.metrics.request(request.source, request.event, answer.code, seconds)
        if request.delivered or request.event == HEALTH:
            return
        code = answer.code
        if code == HTTPStatus.NOT_FOUND:
            # Anyone can cause these at any rate: they are for the metric, not for the log.
            log.debug("request_unknown", id=request.id, code=code)
        elif code < HTTPStatus.BAD_REQUEST:
            log.info(
                "delivery",
                receiver=request.receiver_name,
                source=request.source,
                event_type=request.event,
                code=code,
                seconds=round(seconds, 4),
                id=request.id,
                sender_id=clean(request.sender_id),
            )
        else:
            log.info(
                "request_refused",
                receiver=request.receiver_name,
                code=code,
                reason=msgspec.json.decode(answer.body)["error"],
                id=request.id,
            )

    def fault(self, request: Request, error: Exception) -> Answer:
        """Log a fault of our own, and return its answer."""
        # Not the message, which may quote a payload: only what happened, and where.
        frames = traceback.extract_tb(error.__traceback__)[-5:]
        where = [f"{frame.filename}:{frame.lineno}" for frame in frames]
        log.error(
            "request_failed",
            id=request.id,
            receiver=request.receiver_name,
            error=type(error).__name__,
            where=where,
        )
        return answers.FAULT

    def _elsewhere(self, request: Request, target: str, digest: str | None) -> Answer:
        """Answer a request to no receiver that is being served."""
        if digest is not None and self._receivers.is_expected(digest):
            return self._not_yet
        if target.partition("?")[0] == HEALTH_PATH:
            request.event = HEALTH
            return answers.HEALTHY if request.method in ("GET", "HEAD") else answers.WRONG_HEALTH_METHOD
        return answers.UNKNOWN_PATH
