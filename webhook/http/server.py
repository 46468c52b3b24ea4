"""The public server: connections from the first to the last, and an orderly end.

Built on Tornado's HTTP/1.1 connections without its web framework: the framework answers in HTML, logs paths,
and reads a body before it has looked at whose it is.
"""

import asyncio
import logging
from typing import Any, cast

import structlog
from tornado import httputil, iostream
from tornado.http1connection import HTTP1Connection, HTTP1ConnectionParameters, HTTP1ServerConnection

from webhook import answers
from webhook.endpoint import Endpoint, new_id
from webhook.http.deadlines import Deadlines
from webhook.http.exchange import Exchange
from webhook.http.listener import Listener, ServerError
from webhook.http.tls import Certificate

__all__ = ["ServerError", "WebhookServer"]

SWEEP_SECONDS = 0.25
"""Seconds between looks for overdue connections and bodies: by so much may a timeout be late."""

UNBOUNDED = 1 << 62
"""For Tornado's own limit of a body: ours is kept by the exchange, which can say why it refuses."""

log = structlog.get_logger()

# Tornado reports each malformed request, broken TLS handshake and timeout there: anyone can cause them at any
# rate, and they quote headers, which may be credentials. They are counted as refusals instead.
logging.getLogger("tornado.general").setLevel(logging.ERROR)


class WebhookServer(httputil.HTTPServerConnectionDelegate):
    """Serves an endpoint on one address.

    Its life: ``start``; ``begin_drain`` (senders are asked to connect anew, which leads them elsewhere);
    ``stop_accepting``; ``finished``. Each may be called once, in this order; drain may be left out.
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
        self._limits = endpoint.limits
        self._most = self._limits.open_connections
        self._listener = Listener(
            address, port, self._accepted, self._refusal, limits=self._limits, certificate=certificate
        )
        self._params = HTTP1ConnectionParameters(
            chunk_size=64 * 1024,
            max_header_size=self._limits.headers,
            max_body_size=UNBOUNDED,
        )
        self._connections: set[HTTP1ServerConnection] = set()
        self._new: Deadlines[HTTP1ServerConnection] = Deadlines(self._limits.first_request)
        self._idle: Deadlines[HTTP1ServerConnection] = Deadlines(self._limits.idle)
        self._receiving: Deadlines[Exchange] = Deadlines(self._limits.body_seconds)
        self._sweep: asyncio.TimerHandle | None = None
        self._time = asyncio.get_running_loop().time

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
        answered = await self._endpoint.gate.wait_empty(seconds)
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in tuple(self._connections):
            await connection.close()
        self._endpoint.deliveries.give_up()
        return answered

    # --- what Tornado and the exchanges call ---

    def start_request(
        self, server_conn: object, request_conn: httputil.HTTPConnection
    ) -> httputil.HTTPMessageDelegate:
        """Tornado: a connection waits for its next request."""
        connection = cast("HTTP1ServerConnection", server_conn)
        self._idle.add(connection, self._time())
        return Exchange(self._endpoint, self, connection, cast("HTTP1Connection", request_conn))

    def on_close(self, server_conn: object) -> None:
        """Tornado: a connection has ended."""
        connection = cast("HTTP1ServerConnection", server_conn)
        self._connections.discard(connection)
        self._new.discard(connection)
        self._idle.discard(connection)

    def begins(self, connection: HTTP1ServerConnection) -> None:
        """Note that a request's headers have been read: the connection is not idle."""
        self._new.discard(connection)
        self._idle.discard(connection)

    def receives(self, exchange: Exchange) -> None:
        """Note that a request's body is expected: its time begins."""
        self._receiving.add(exchange, self._time())

    def received(self, exchange: Exchange) -> None:
        """Note that a body is complete, or that nobody waits for it any more."""
        self._receiving.discard(exchange)

    # --- connections ---

    def _accepted(self, stream: iostream.IOStream, peer: Any) -> None:
        if len(self._connections) >= self._most:
            longest = self._idle.oldest()
            if longest is None:
                stream.close()
                return
            self._drop(longest)
        connection = HTTP1ServerConnection(stream, self._params, peer[0])
        self._connections.add(connection)
        self._new.add(connection, self._time())
        connection.start_serving(self)

    def _drop(self, connection: HTTP1ServerConnection) -> None:
        # Now, though Tornado will call on_close a turn of the loop later: the next to be accepted counts.
        self.on_close(connection)
        connection.stream.close()

    def _swept(self) -> None:
        now = self._time()
        for connection in (*self._new.overdue(now), *self._idle.overdue(now)):
            self._drop(connection)
        for exchange in self._receiving.overdue(now):
            exchange.overdue()
        self._sweep = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._swept)

    def _refusal(self) -> bytes:
        """Return the whole answer to bytes that are not HTTP."""
        answer = answers.NOT_HTTP
        self._endpoint.metrics.request("unknown", "unknown", answer.code, 0.0)
        return (
            f"HTTP/1.1 {answer.code} Bad Request\r\n"
            f"Content-Type: {answers.JSON}\r\nContent-Length: {len(answer.body)}\r\n"
            f"X-Delivery-Id: {new_id()}\r\nConnection: close\r\n\r\n"
        ).encode() + answer.body
