"""The public server: owns the connections, bounds their number and their time, and ends in order.

It is built on Tornado's HTTP/1.1 connections without its web framework, which answers in HTML, logs paths,
and reads a body before the path is checked.
"""

import asyncio
import enum
import logging
from typing import Any, cast

import structlog
from tornado import httputil, iostream
from tornado.http1connection import HTTP1Connection, HTTP1ConnectionParameters, HTTP1ServerConnection

from controller.runtime.clock import Timer
from webhook import answers
from webhook.endpoint import Endpoint, new_id
from webhook.http.deadlines import Deadlines
from webhook.http.exchange import PIECE, Exchange
from webhook.http.listener import Listener, ServerError
from webhook.http.tls import Certificate

__all__ = ["ServerError", "WebhookServer"]

SWEEP_SECONDS = 0.25
"""Seconds between two searches for overdue connections and bodies: a timeout may be late by so much."""

CLOSE_SECONDS = 1.0
"""Seconds that closed connections get to end their tasks."""

UNBOUNDED = 1 << 62
"""Switches Tornado's own limit of a body off: the exchange keeps ours, and answers why it refuses."""

log = structlog.get_logger()

# Tornado logs each malformed request, broken TLS handshake and timeout there. Anyone can cause them at any
# rate, and they quote headers, which may be credentials. The metric of requests counts them instead.
logging.getLogger("tornado.general").setLevel(logging.ERROR)


class Phase(enum.Enum):
    """What a connection waits for.

    Where there are too many connections, one is closed: that which has been longest in the first phase, in
    this order, that any is in. So those whose last request was to a receiver are closed last, and none is
    closed while its request is received or worked on.
    """

    UNREAD = enum.auto()
    """For its sender to read an answer: an honest one does so at once."""
    REFUSED = enum.auto()
    """For the rest of a body that was refused."""
    IDLE = enum.auto()
    """For the next request, after one that was refused."""
    NEW = enum.auto()
    """For its first request."""
    KNOWN = enum.auto()
    """For the next request, after one to a receiver."""
    RECEIVING = enum.auto()
    """For the body of a request to a receiver."""


class WebhookServer(httputil.HTTPServerConnectionDelegate):
    """Serves an endpoint on one address.

    Call, once each and in this order: ``start``; ``begin_drain``, which may be left out (senders are asked to
    close their connections, and connect to another replica); ``stop_accepting``; ``finished``.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        address: str,
        port: int,
        certificate: Certificate | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._limits = limits = endpoint.limits
        self._clock = endpoint.clock
        self._most = limits.open_connections
        self._listener = Listener(
            address, port, self._accepted, self._refusal, limits=self._limits, certificate=certificate
        )
        self._params = HTTP1ConnectionParameters(
            chunk_size=PIECE,
            max_header_size=self._limits.headers,
            max_body_size=UNBOUNDED,
        )
        self._connections: dict[HTTP1ServerConnection, Exchange | None] = {}
        """Each with its current request, or the next one; None before the first."""
        self._known: set[HTTP1ServerConnection] = set()
        """Those whose last request was to a receiver, with its second factor."""
        self._phases: Deadlines[HTTP1ServerConnection, Phase] = Deadlines(
            {
                Phase.UNREAD: limits.unread,
                Phase.REFUSED: limits.body_seconds,
                Phase.IDLE: limits.idle,
                Phase.NEW: limits.first_request,
                Phase.KNOWN: limits.idle,
                Phase.RECEIVING: limits.body_seconds,
            },
            self._clock.monotonic,
        )
        self._sweep: Timer | None = None

    @property
    def port(self) -> int:
        """The port that is bound."""
        return self._listener.port

    @property
    def connections(self) -> int:
        """Number of open connections."""
        return len(self._connections)

    def start(self) -> None:
        """Bind and serve. Raises ServerError, in one line, if the address can't be had."""
        self._listener.open()
        self._swept()

    def begin_drain(self) -> None:
        """Go on serving, and ask each sender to close its connection after the next answer."""
        self._params.no_keep_alive = True

    def stop_accepting(self) -> None:
        """Take no new connections, and refuse new requests on the open ones."""
        self.begin_drain()
        self._endpoint.gate.closed = True
        self._listener.close()

    async def finished(self, seconds: float) -> bool:
        """Wait until every accepted request is answered, at most so long; then close everything.

        Returns whether all were answered.
        """
        open_: list[HTTP1ServerConnection] = []
        try:
            answered = await self._endpoint.gate.wait_empty(seconds)
        finally:  # also if this is cancelled
            if self._sweep is not None:
                self._sweep.cancel()
            self._endpoint.gate.turns.clear()
            open_ += self._connections
            for connection in open_:
                connection.stream.close()
        if open_:
            closing = [asyncio.ensure_future(connection.close()) for connection in open_]
            await asyncio.wait(closing, timeout=CLOSE_SECONDS)
        return answered

    # --- what Tornado and the exchanges call ---

    def start_request(
        self, server_conn: object, request_conn: httputil.HTTPConnection
    ) -> httputil.HTTPMessageDelegate:
        """Tornado: a connection waits for its next request."""
        connection = cast("HTTP1ServerConnection", server_conn)
        exchange = Exchange(self._endpoint, self, connection, cast("HTTP1Connection", request_conn))
        if connection in self._connections:
            if self._connections[connection] is not None:  # else it is new
                self._idle(connection)
            self._connections[connection] = exchange
        return exchange

    def on_close(self, server_conn: object) -> None:
        """Tornado: a connection has ended."""
        connection = cast("HTTP1ServerConnection", server_conn)
        self._connections.pop(connection, None)
        self._known.discard(connection)
        self._phases.leave(connection)

    def begins(self, connection: HTTP1ServerConnection, *, body: bool, known: bool) -> None:
        """Note that a request's headers have been read, whether a body follows, and whether it is let in.

        The exchange's ``overdue`` is called if the body takes too long.
        """
        (self._known.add if known else self._known.discard)(connection)
        if body:
            self._phases.enter(connection, Phase.RECEIVING)
        else:
            self._phases.leave(connection)

    def received(self, connection: HTTP1ServerConnection) -> None:
        """Note that a request has been read to its end."""
        self._phases.leave(connection)

    def answers(self, connection: HTTP1ServerConnection, *, complete: bool) -> None:
        """Note that an answer was written, and whether its request had been read to its end."""
        if connection not in self._connections:
            return  # its sender is gone
        if connection.stream.writing():
            self._phases.enter(connection, Phase.UNREAD)
        elif complete:
            self._idle(connection)  # now: Tornado begins the next request one turn of the event loop later
        else:
            self._phases.enter(connection, Phase.REFUSED)

    # --- connections ---

    def _accepted(self, stream: iostream.IOStream, peer: Any) -> None:
        if len(self._connections) >= self._most:
            oldest = (self._phases.oldest(phase) for phase in Phase if phase is not Phase.RECEIVING)
            closed = next((connection for connection in oldest if connection is not None), None)
            if closed is None:
                stream.close()
                return
            self._drop(closed)
        connection = HTTP1ServerConnection(stream, self._params, peer[0])
        self._connections[connection] = None
        self._phases.enter(connection, Phase.NEW)
        connection.start_serving(self)

    def _idle(self, connection: HTTP1ServerConnection) -> None:
        self._phases.enter(connection, Phase.KNOWN if connection in self._known else Phase.IDLE)

    def _drop(self, connection: HTTP1ServerConnection) -> None:
        # Tornado will call on_close one turn of the event loop later; the next connection counts before that.
        self.on_close(connection)
        connection.stream.close()

    def _swept(self) -> None:
        self._sweep = self._clock.call_later(SWEEP_SECONDS, self._swept)  # first, in case of a fault below
        for connection, phase in self._phases.overdue():
            exchange = self._connections.get(connection)
            try:
                if exchange is not None and phase in (Phase.RECEIVING, Phase.REFUSED):
                    exchange.overdue()
                else:
                    self._drop(connection)
            except Exception as error:  # noqa: BLE001 - a fault with one connection is not the others'
                log.error("connection_not_closed", error=type(error).__name__, phase=phase.name.lower())

    def _refusal(self) -> bytes:
        """Return the whole answer to bytes that are not HTTP."""
        answer = answers.NOT_HTTP
        self._endpoint.metrics.request("unknown", "unknown", answer.code, 0.0)
        return (
            f"HTTP/1.1 {answer.code} Bad Request\r\n"
            f"Content-Type: {answers.JSON}\r\nContent-Length: {len(answer.body)}\r\n"
            f"X-Delivery-Id: {new_id()}\r\nConnection: close\r\n\r\n"
        ).encode() + answer.body
