"""The Unix socket in the data folder: one call at a time, from whoever may open it."""

import asyncio
import contextlib
import functools
import os
import socket
from pathlib import Path

import msgspec
import structlog

from webhook.again.messages import (
    ID_CHARACTERS,
    LINE_BYTES,
    MOST,
    SOCKET_NAME,
    VERSION,
    End,
    Repeated,
    Request,
)
from webhook.again.repeater import CallError, Elsewhere, Repeater
from webhook.endpoint import Endpoint
from webhook.outcome import Outcome

log = structlog.get_logger()

REQUEST_SECONDS = 5.0
"""For the one line of a request, and for its reader to take one line of the answer."""
BACKLOG = 8
"""Callers that the kernel holds."""

_encode = msgspec.json.Encoder().encode


class AgainServer:
    """Answers ``kargo-azure-receiver again``. Without its socket the receiver runs all the same."""

    def __init__(self, folder: Path | None, endpoint: Endpoint, elsewhere: Elsewhere) -> None:
        """Take the data folder: without one there is neither socket nor history."""
        self._folder = folder
        self._endpoint = endpoint
        self._elsewhere = elsewhere
        self._server: asyncio.Server | None = None
        self._calls: set[asyncio.Task[None]] = set()
        self._busy = False

    async def start(self) -> None:
        """Listen; log why if that can't be. What a killed process left is replaced: the folder is ours."""
        if self._folder is None:
            return
        path = self._folder / SOCKET_NAME
        try:
            listening = _bind(path)
        except OSError as error:
            log.warning("again_not_available", path=str(path), error=error.strerror or str(error))
            return
        call = functools.partial(self._call, Repeater(self._folder, self._endpoint, self._elsewhere))
        self._server = await asyncio.start_unix_server(call, sock=listening, limit=LINE_BYTES)

    async def close(self) -> None:
        """End the call in progress; what it has dispatched goes on."""
        if self._server is None or self._folder is None:
            return
        self._server.close()
        for task in self._calls:
            task.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        with contextlib.suppress(OSError):
            (self._folder / SOCKET_NAME).unlink()

    async def _call(
        self, repeater: Repeater, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.transport.set_write_buffer_limits(0)  # a line is sent when its reader has taken it
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for mypy
        self._calls.add(task)
        try:
            end = await self._carried_out(repeater, reader, writer)
            await _send(writer, end)
        except (OSError, TimeoutError) as error:  # the caller has gone, or does not read
            log.debug("again_caller_lost", error=str(error))
            writer.transport.abort()
        finally:
            self._calls.discard(task)
            writer.close()

    async def _carried_out(
        self, repeater: Repeater, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> End:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                request = _request(await reader.readuntil())
        except CallError as error:
            return End(str(error), error.wrong_use)
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return End("the request is no line of JSON", wrong_use=True)
        if self._busy:
            return End("another call of 'again' is in progress: try again when it has ended")
        self._busy = True
        try:
            async with contextlib.aclosing(repeater.repeat(request)) as found:
                async for repeated in found:
                    await _send(writer, repeated)
        except CallError as error:
            return End(str(error), error.wrong_use)
        finally:
            self._busy = False
        return End()


def _bind(path: Path) -> socket.socket:
    """Return a socket at this path that nobody else can open, from its first moment on. Raises OSError."""
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listening.bind(str(path))
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    finally:
        os.umask(before)
    return listening


def _request(line: bytes) -> Request:
    """Read a request. Raises CallError."""
    try:
        request = msgspec.json.decode(line, type=Request)
        Outcome(request.outcome or Outcome.PENDING)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise CallError("the request is not understood", wrong_use=True) from None
    if request.version != VERSION:
        raise CallError(
            f"the running receiver is of another release (messages {VERSION}, not {request.version}):"
            " use its own 'again'",
            wrong_use=True,
        )
    if len(request.ids) > MOST or any(len(each) > ID_CHARACTERS for each in request.ids):
        raise CallError(f"at most {MOST} ids of {ID_CHARACTERS} characters", wrong_use=True)
    if not request.ids and request.since is None:
        raise CallError("say which: ids, or a time", wrong_use=True)
    return request


async def _send(writer: asyncio.StreamWriter, message: Repeated | End) -> None:
    writer.write(_encode(message) + b"\n")
    async with asyncio.timeout(REQUEST_SECONDS):
        await writer.drain()
