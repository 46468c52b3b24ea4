"""Checks requests, reads their bodies, and begins deliveries.

The order of the checks is part of the contract: 404, 405, 401, 413, 400. The path is a credential: it is
compared here and passed on to nobody.
"""

import itertools
import random
from dataclasses import dataclass, field
from http import HTTPStatus

import structlog
from tornado.httputil import HTTPHeaders

from controller.runtime.clock import Clock
from webhook import answers
from webhook.answers import Answer
from webhook.arrival import Arrival
from webhook.delivery import Deliveries, Delivery
from webhook.gate import Gate, bytes_of
from webhook.limits import Limits
from webhook.outcome import Outcome
from webhook.payloads.event_types import EVENT_GRID, Handshake, Ignored, Ping, Push
from webhook.payloads.parse import parse
from webhook.payloads.reading import BadPayload
from webhook.ports import ReceiverLookup, WebhookMetrics
from webhook.reporting import clean, log_fault

log = structlog.get_logger()

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

    Any prefix is allowed, and one ``/`` at the end: an ingress may add them. Nothing is decoded or resolved.
    """
    path = target.partition("?")[0].removesuffix("/")
    digest = path[-_DIGEST_LENGTH:]
    if path[_MARKER_START:-_DIGEST_LENGTH] == _MARKER and _HEX.issuperset(digest):
        return digest
    return None


_process = f"{random.SystemRandom().getrandbits(32):08x}"
_numbers = itertools.count(1)


def new_id() -> str:
    """Return a new id for a request, 16 hex digits, which no other replica gives.

    Its second half counts up, so that the journal's index grows at one end; random ids would each write to
    another page of it.
    """
    return f"{_process}{next(_numbers) & 0xFFFFFFFF:08x}"


def declared_length(headers: HTTPHeaders) -> int:
    """Return the ``Content-Length`` in bytes; 0 if there is none, or one that Tornado refuses."""
    text = headers.get("Content-Length", "0")
    if len(text) > 15:
        return 1 << 62  # longer than any real length; int() of very many digits is slow
    return int(text) if text.isascii() and text.isdigit() else 0


@dataclass(eq=False)
class Endpoint:
    """Decides whether a request is let in, and what it asks for."""

    receivers: ReceiverLookup
    deliveries: Deliveries
    metrics: WebhookMetrics
    clock: Clock
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        self.gate = Gate(self.limits)
        retry = self.limits.retry_after
        self.too_large = answers.too_large(self.limits.body)
        self.overloaded = answers.unavailable("too much is in progress", retry)
        self._stopping = answers.unavailable("the server is shutting down", retry)
        self._not_yet = answers.unavailable("the receiver's Secret is not known yet", retry)

    def arrived(self) -> Arrival:
        """Return a new arrival, of which nothing is known yet. Its reply budget begins now."""
        return Arrival(new_id(), received=self.clock.time(), began=self.clock.monotonic())

    def check(self, arrival: Arrival, method: str, target: str, headers: HTTPHeaders) -> Answer | None:
        """Return the answer to a request that is refused or needs no body; else let it in and return None."""
        digest = path_digest(target)
        receiver = None if digest is None else self.receivers.find(digest)
        if receiver is None:
            return self._elsewhere(arrival, method, target, digest)
        arrival.receiver = receiver.name
        handshake = method == "OPTIONS" and ORIGIN in headers
        if method != "POST" and not handshake:
            return answers.WRONG_METHOD
        if not receiver.authorized(headers.get_list("Authorization")):
            return answers.UNAUTHORIZED
        if handshake:
            arrival.source, arrival.event = EVENT_GRID, HANDSHAKE
            origin = headers[ORIGIN]
            return answers.BAD_ORIGIN if len(origin) > self.limits.origin else answers.allowed_origin(origin)
        if declared_length(headers) > self.limits.body:
            return self.too_large
        if headers.get("Content-Encoding", "").lower() not in ("", "identity"):
            return answers.ENCODED_BODY
        if not self.gate.enter(receiver.name):
            return self._stopping if self.gate.closed else self.overloaded
        return None

    def act(self, arrival: Arrival, headers: HTTPHeaders, body: bytes) -> Answer | Delivery:
        """Return the answer to a body, or the delivery that has begun and will give one."""
        answer = self.understand(arrival, headers, body)
        return self.begin(arrival) if answer is None else answer

    def understand(self, arrival: Arrival, headers: HTTPHeaders, body: bytes) -> Answer | None:
        """Fill in what a body says; return the answer if it asks for no refresh, else None."""
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
        arrival.source, arrival.event, arrival.sender_id = event.source, event.type, event.sender_id
        match event:
            case Ping():
                return answers.PING
            case Ignored():
                return answers.ignored(event.type if event.known else None)
            case Handshake():
                return answers.validation(event.code)
        if isinstance(event, Push) and event.unreadable:
            log.warning("events_unreadable", id=arrival.id, count=event.unreadable)
        arrival.subjects, arrival.delivery_count = event.subjects, event.delivery_count
        arrival.refs = event.refs
        return None

    def begin(self, arrival: Arrival) -> Answer | Delivery:
        """Begin a delivery whose subjects are known; return the refusal where there is no room for it."""
        size = bytes_of(arrival.subjects)
        if not self.gate.deliveries.take(arrival.receiver, size):
            arrival.subjects = ()  # it is no delivery, so ``answered`` logs it and adds it to the history
            return self.overloaded
        try:
            return self.deliveries.begin(arrival)
        except BaseException:
            self.gate.deliveries.give(arrival.receiver, size)
            raise

    def release(self, delivery: Delivery) -> None:
        """Count the bytes of a delivery that has ended as free, once the journal has let go of them too."""
        receiver, size = delivery.arrival.receiver, bytes_of(delivery.arrival.subjects)
        delivery.recorded.add_done_callback(lambda _: self.gate.deliveries.give(receiver, size))

    def answered(self, arrival: Arrival, answer: Answer) -> None:
        """Count an answer that has been written, and log it unless its delivery does."""
        seconds = self.clock.monotonic() - arrival.began
        self.metrics.request(arrival.source, arrival.event, answer.code, seconds)
        if arrival.subjects or arrival.event == HEALTH:
            return
        code = answer.code
        if arrival.receiver:
            self._note(arrival, answer, seconds)
        if code == HTTPStatus.NOT_FOUND:
            # Anyone can cause these at any rate: they are for the metric, not for the log.
            log.debug("request_unknown", id=arrival.id, code=code)
        elif code < HTTPStatus.BAD_REQUEST:
            log.info(
                "delivery",
                receiver=arrival.receiver,
                source=arrival.source,
                event_type=arrival.event,
                code=code,
                seconds=round(seconds, 4),
                id=arrival.id,
                sender_id=clean(arrival.sender_id),
            )
        else:
            log.info(
                "request_refused",
                receiver=arrival.receiver,
                code=code,
                reason=answers.text(answer),
                id=arrival.id,
            )

    def _note(self, arrival: Arrival, answer: Answer, seconds: float) -> None:
        refused = answer.code >= HTTPStatus.BAD_REQUEST
        self.deliveries.journal.note(
            arrival,
            outcome=Outcome.REFUSED if refused else Outcome.ANSWERED,
            code=answer.code,
            reason=answers.text(answer),
            seconds=seconds,
        )

    def fault(self, arrival: Arrival, error: Exception) -> Answer:
        """Log a fault of our own, and return its answer."""
        log_fault(arrival, error)
        return answers.FAULT

    def _elsewhere(self, arrival: Arrival, method: str, target: str, digest: str | None) -> Answer:
        """Answer a request to no receiver that is being served."""
        expected = None if digest is None else self.receivers.expected(digest)
        if expected is not None:
            arrival.receiver = expected
            return self._not_yet
        if target.partition("?")[0] == HEALTH_PATH:
            arrival.event = HEALTH
            return answers.HEALTHY if method in ("GET", "HEAD") else answers.WRONG_HEALTH_METHOD
        return answers.UNKNOWN_PATH
