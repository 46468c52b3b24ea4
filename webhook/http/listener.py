"""The listening socket: binds, accepts, wraps in TLS, and hands out Tornado streams.

Where the process has no file descriptor left, Tornado's accept loop raises at every turn of the event loop;
this one pauses. Where Tornado answers with a bare status line, the streams answer in JSON.
"""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog
from tornado import iostream

from webhook.http.tls import Certificate
from webhook.limits import ACCEPT_PAUSE_SECONDS, Limits

log = structlog.get_logger()

READ_CHUNK = 16 * 1024
"""Bytes read from a socket at a time; a buffer of this size is made for each read."""

BUFFER = 256 * 1024
"""Bytes that a stream holds before they are asked for: a pipelining sender may be ahead by so much."""

SEND_BUFFER = 32 * 1024
"""Bytes of answers that the kernel holds for a slow reader: an answer has a few hundred."""

TORNADO_REFUSAL = b"HTTP/1.1 400 Bad Request\r\n\r\n"
"""What HTTP1Connection writes, just before it closes, in answer to what is not HTTP."""

_OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class ServerError(Exception):
    """A server can't start; the message is one line for a person."""


Refusal = Callable[[], bytes]
"""Gives the complete bytes of the answer to something that is not HTTP."""


class SenderStream(iostream.IOStream):
    """A sender's connection, on which each request gets exactly one complete answer.

    Where Tornado refuses what is not HTTP with a bare status line, a complete answer is written instead; or
    nothing, if the request has been answered already.
    """

    refusal: Refusal
    answered = False
    """Whether the request that is being read has been answered: a fault in its rest gets no answer."""

    _half_closed = False

    def write(self, data: bytes | memoryview) -> "asyncio.Future[None]":
        """Write, with another text in place of Tornado's refusal."""
        if data != TORNADO_REFUSAL:
            return super().write(data)
        return super().write(b"" if self.answered else self.refusal())

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        """Read; where the sender has closed its side and nobody waits for more, return one empty line.

        Tornado would close the connection and drop the answer that the sender waits for. An empty line may
        stand before a request: with it, Tornado reads no further until it waits for the next request.
        """
        count = super().read_from_fd(buf)
        if count != 0 or self.reading():
            return count
        if self._half_closed:
            return None
        self._half_closed = True
        buf[0] = ord("\n")
        return 1

    def set_nodelay(self, value: bool) -> None:
        """Do nothing: Tornado switches this on and off for each answer, and we leave it on."""

    def close(self, exc_info: bool | BaseException | tuple[Any, Any, Any] | None = False) -> None:
        """Close; answer before that if the headers are too large, where Tornado would only close."""
        if isinstance(exc_info, iostream.UnsatisfiableReadError) and not self.closed():
            with contextlib.suppress(OSError):
                self.write_to_fd(memoryview(self.refusal()))
        super().close(exc_info)


class _TlsStream(SenderStream, iostream.SSLIOStream):
    pass


@dataclass(eq=False)
class Listener:
    """Accepts connections on one address from ``open`` to ``close``."""

    address: str
    port: int
    """The port that is asked for, then the one that is bound: the kernel's choice if that was 0."""
    on_stream: Callable[[iostream.IOStream, Any], None]
    """Gets each new stream and the peer's address, and may close it."""
    refusal: Refusal
    limits: Limits
    certificate: Certificate | None = None
    _socket: socket.socket | None = field(default=None, init=False)
    _pause: asyncio.TimerHandle | None = field(default=None, init=False)

    def open(self) -> None:
        """Bind and begin to accept. Raises ServerError."""
        self._socket = bind(self.address, self.port, self.limits.backlog)
        self.port = int(self._socket.getsockname()[1])
        self._watch(self._socket)

    def close(self) -> None:
        """Stop accepting. Connections that the kernel has completed are still accepted."""
        listening, self._socket = self._socket, None
        if listening is None:
            return
        for _ in range(self.limits.backlog):
            if not self._accept_one(listening):
                break
        if self._pause is not None:
            self._pause.cancel()
        asyncio.get_running_loop().remove_reader(listening)
        listening.close()

    def _watch(self, listening: socket.socket) -> None:
        asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(self.limits.accepts):
            if not self._accept_one(listening):
                return

    def _accept_one(self, listening: socket.socket) -> bool:
        """Accept a connection; return whether there may be another."""
        try:
            connection, peer = listening.accept()
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _OUT_OF_RESOURCES:
                return True  # that one connection is gone already
            log.error("accept_failed", reason=error.strerror)
            self._take_a_break(listening)
            return False
        try:
            stream = self._stream(connection)
        except (OSError, ValueError):  # reset before it was wrapped (ssl.SSLError is an OSError)
            connection.close()
            return True
        self.on_stream(stream, peer)
        return True

    def _stream(self, connection: socket.socket) -> iostream.IOStream:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream: SenderStream
        if self.certificate is None:
            stream = SenderStream(connection, max_buffer_size=BUFFER, read_chunk_size=READ_CHUNK)
        else:
            wrapped = self.certificate.context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
            stream = _TlsStream(wrapped, max_buffer_size=BUFFER, read_chunk_size=READ_CHUNK)
        stream.refusal = self.refusal
        return stream

    def _take_a_break(self, listening: socket.socket) -> None:
        # The waiting connection would wake the event loop at every turn.
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening)
        self._pause = loop.call_later(ACCEPT_PAUSE_SECONDS, self._watch, listening)


def bind(address: str, port: int, backlog: int) -> socket.socket:
    """Return a listening socket for an IPv4 or IPv6 address, or a host name's IPv4; ``::`` takes IPv4 too.

    Raises ServerError, in one line that says what is wrong.
    """
    ipv6 = ":" in address
    try:
        listening = socket.create_server(
            (address, port),
            family=socket.AF_INET6 if ipv6 else socket.AF_INET,
            backlog=backlog,
            dualstack_ipv6=address == "::" and socket.has_dualstack_ipv6(),
        )
    except OverflowError as error:
        raise ServerError(f"{port} is no port: it must be 0 to 65535") from error
    except (OSError, UnicodeError) as error:
        where = f"[{address}]:{port}" if ipv6 else f"{address}:{port}"
        match getattr(error, "errno", None):
            case errno.EADDRINUSE:
                reason = "the port is in use by another process"
            case errno.EACCES:
                reason = "ports below 1024 need a right that this process does not have"
            case errno.EADDRNOTAVAIL:
                reason = "the machine has no such address"
            case _:
                reason = getattr(error, "strerror", None) or str(error)
        raise ServerError(f"can't listen on {where}: {reason}") from error
    listening.setblocking(False)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # connections inherit it
    return listening
