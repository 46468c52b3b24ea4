"""One HTTP request and its answer. Tornado calls it with the headers, the pieces of the body, and the end.

The endpoint decides what is answered; this module only reads and writes. A request may be answered before its
body has arrived. The rest of the body is then read and thrown away, within limits: the sender finds the
answer rather than a reset connection, and can use the connection for its next request.
"""

import asyncio
import functools
from collections.abc import Awaitable
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from tornado import httputil
from tornado.http1connection import HTTP1Connection, HTTP1ServerConnection

from webhook import answers
from webhook.answers import Answer
from webhook.arrival import Arrival
from webhook.delivery import Delivery
from webhook.endpoint import Endpoint, declared_length
from webhook.http import chunks
from webhook.http.listener import SenderStream

if TYPE_CHECKING:
    from webhook.http.server import WebhookServer

_START_LINES = {
    status.value: httputil.ResponseStartLine("HTTP/1.1", status.value, status.phrase) for status in HTTPStatus
}

PIECE = 64 * 1024
"""Bytes of a body that are read in one piece."""

CONTINUE = "100-continue"
"""The ``Expect`` of a sender that writes its body only once it is told to."""


class Exchange(httputil.HTTPMessageDelegate):
    """A request and its answer.

    Invariants: ``_answer`` writes once. The gate counts the request from ``Endpoint.check`` until its answer,
    and the bytes of its body from their arrival until they are decoded or dropped; from then on, the gate
    counts the bytes of the delivery.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        server: "WebhookServer",
        connection: HTTP1ServerConnection,
        stream: HTTP1Connection,
    ) -> None:
        self._endpoint = endpoint
        self._server = server
        self._connection = connection
        self._stream = stream
        self._sender = cast("SenderStream", stream.stream)
        self._sender.answered = False
        self._arrival: Arrival
        self._method: str
        self._headers: httputil.HTTPHeaders
        self._chunks: list[bytes] = []
        self._size = 0
        self._held = 0
        """Bytes that the gate counts for the body: the declared length, or what has arrived if more."""
        self._discarded = 0
        self._entered = False
        self._complete = False
        """The request has been read to its end."""
        self._over = False
        """Nothing more is read or written here."""

    # --- what Tornado calls ---

    def headers_received(
        self,
        start_line: httputil.RequestStartLine | httputil.ResponseStartLine,
        headers: httputil.HTTPHeaders,
    ) -> None:
        """Check all that can be checked without the body; answer at once if the request is refused."""
        if self._sender.closed():
            # Tornado would go on with all that had been read before the connection was closed.
            self._stream.detach()
            return
        line = cast("httputil.RequestStartLine", start_line)
        self._arrival = arrival = self._endpoint.arrived()
        self._method, self._headers = line.method, headers
        if headers.get("Expect", "").lower() == CONTINUE:
            headers["Expect"] = CONTINUE  # Tornado knows it in this case only
        if "Transfer-Encoding" in headers:
            # In place of Tornado's own reader, which knows neither extensions nor trailers.
            self._stream._read_chunked_body = self._read_chunks  # type: ignore  # noqa: SLF001
        try:
            refusal = self._endpoint.check(arrival, line.method, line.path, headers)
        except Exception as error:  # noqa: BLE001 - a fault of ours is answered and logged, whatever it is
            refusal = self._endpoint.fault(arrival, error)
        self._entered = refusal is None
        if refusal is None and not self._hold(declared_length(headers)):
            refusal = self._endpoint.overloaded
        body = "Content-Length" in headers or "Transfer-Encoding" in headers
        self._server.begins(self._connection, body=body, known=self._entered)
        if refusal is not None:
            self._answer(refusal)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """Keep a piece of the body, or throw it away.

        A long body that is thrown away, or whose Project has to wait for its turn, is read one piece at a
        time, in separate turns of the event loop.
        """
        size = len(chunk)
        long = self._size + self._discarded >= PIECE
        if self._sender.answered:
            self._discarded += size
            if self._discarded > self._endpoint.limits.discard:
                self._end()
        elif self._size + size > self._endpoint.limits.body:
            self._answer(self._endpoint.too_large)
        elif not self._hold(self._size + size - self._held):
            self._answer(self._endpoint.overloaded)
        else:
            self._size += size
            self._chunks.append(chunk)
        slow = self._sender.answered or self._endpoint.gate.turns.waits(self._arrival.receiver)
        return asyncio.sleep(0) if long and slow else None

    async def _read_chunks(self, delegate: httputil.HTTPMessageDelegate) -> None:
        def deliver(data: bytes) -> Awaitable[None] | None:
            return None if self._over else self.data_received(data)

        await chunks.read(self._sender, deliver)

    def finish(self) -> None:
        """Carry out a request that has been read to its end."""
        self._complete = True
        if self._sender.answered:
            self._server.answers(self._connection, complete=True)
            self._end()
            return
        self._server.received(self._connection)
        self._endpoint.gate.turns.run(self._arrival.receiver, self._act)

    def _act(self) -> None:
        arrival, endpoint = self._arrival, self._endpoint
        try:
            outcome = endpoint.act(arrival, self._headers, b"".join(self._chunks))
        except Exception as error:  # noqa: BLE001 - as above
            outcome = endpoint.fault(arrival, error)
        self._drop_body()
        if isinstance(outcome, Delivery):
            endpoint.deliveries.start(outcome, self._see_through(outcome))
        else:
            self._answer(outcome)

    def on_connection_close(self) -> None:
        """Forget a request whose connection closed too early: nothing was accepted yet."""
        self._drop_body()
        self._leave()
        self._sender.answered = self._over = True

    # --- the answer ---

    def overdue(self) -> None:
        """Give up a body that takes too long. The server calls this."""
        if not self._sender.answered:
            self._answer(answers.SLOW_BODY, closing=True)
        self._end()

    async def _see_through(self, delivery: Delivery) -> None:
        """Answer the sender, if it is still there, then see the delivery through to its end."""
        try:
            try:
                answer = await delivery.answer()
            except Exception as error:  # noqa: BLE001 - as above
                answer = self._endpoint.fault(self._arrival, error)
            self._answer(answer)
            await delivery.end(answer.code)
        finally:
            self._endpoint.release(delivery)

    def _answer(self, answer: Answer, *, closing: bool = False) -> None:
        """Write the answer; the connection stays open if the rest of the request can be read to its end."""
        self._sender.answered = True
        self._drop_body()
        self._leave()
        arrival = self._arrival
        # A sender that waits for "100 Continue" has not begun its body, and never should.
        unsent = not self._complete and self._headers.get("Expect") == CONTINUE
        closing = closing or unsent or declared_length(self._headers) > self._endpoint.limits.discard
        headers = httputil.HTTPHeaders()
        headers["Content-Type"] = answers.JSON
        headers["Content-Length"] = str(len(answer.body))
        headers["X-Delivery-Id"] = arrival.id
        headers["Date"] = _date(int(self._endpoint.clock.time()))
        for name, value in answer.headers:
            headers[name] = value
        if closing or self._endpoint.gate.closed:
            headers["Connection"] = "close"
        body = None if self._method == "HEAD" else answer.body
        self._stream.write_headers(_START_LINES[answer.code], headers, body)
        self._server.answers(self._connection, complete=self._complete)
        if self._complete or closing:
            self._end()
        self._endpoint.answered(arrival, answer)

    def _end(self) -> None:
        """Tell Tornado that the answer is complete. It closes the connection if the request was not read."""
        if not self._over:
            self._over = True
            self._stream.finish()

    def _leave(self) -> None:
        if self._entered:
            self._entered = False
            self._endpoint.gate.leave(self._arrival.receiver)

    def _hold(self, more: int) -> bool:
        """Have the gate count more bytes of the body; return False where there is no room for them."""
        if more > 0:
            if not self._endpoint.gate.bodies.take(self._arrival.receiver, more):
                return False
            self._held += more
        return True

    def _drop_body(self) -> None:
        if self._held:
            self._endpoint.gate.bodies.give(self._arrival.receiver, self._held)
            self._held = self._size = 0
        self._chunks.clear()


@functools.lru_cache(maxsize=1)
def _date(now: int) -> str:
    """Return the ``Date`` header (RFC 9110) for a Unix time; the last one is cached."""
    return formatdate(now, usegmt=True)
