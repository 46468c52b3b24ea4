"""An API server made of bytes: each connection plays the next script, byte for byte.

Nothing here knows HTTP beyond reading a request's head and body; what is answered is what the script writes,
also if it is half a line, another status, or nothing at all.
"""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from controller.runtime.api.client import Configuration


def compact(value: object) -> bytes:
    """Write JSON as API servers do, with no blanks."""
    return json.dumps(value, separators=(",", ":")).encode()


@dataclass
class Request:
    """One request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""

    @property
    def verb(self) -> str:
        """``list`` or ``watch``, and the method for anything else."""
        if self.method != "GET":
            return self.method
        return "watch" if "watch" in self.query else "list"


@dataclass
class Connection:
    """What a script holds while it answers one request."""

    request: Request
    writer: asyncio.StreamWriter
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the client has hung up."""

    async def send(self, data: bytes) -> None:
        """Write bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def head(self, status: int = 200, **headers: str) -> None:
        """Write a head that announces chunks."""
        lines = [f"HTTP/1.1 {status} Text", "Content-Type: application/json", "Transfer-Encoding: chunked"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.send("\r\n".join([*lines, "", ""]).encode())

    async def chunk(self, data: bytes) -> None:
        """Write one chunk of a body."""
        await self.send(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def end(self) -> None:
        """Write the last, empty chunk."""
        await self.send(b"0\r\n\r\n")

    async def event(self, kind: str, obj: dict[str, Any]) -> None:
        """Write one line of a watch."""
        await self.chunk(compact({"type": kind, "object": obj}) + b"\n")

    async def answer(
        self,
        status: int,
        body: bytes | dict[str, Any],
        content_type: str = "application/json",
        **headers: str,
    ) -> None:
        """Write a whole answer."""
        data = body if isinstance(body, bytes) else compact(body)
        lines = [f"HTTP/1.1 {status} Text", f"Content-Type: {content_type}", f"Content-Length: {len(data)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.send("\r\n".join([*lines, "", ""]).encode() + data)

    def reset(self) -> None:
        """Cut the connection off with a RST."""
        self.writer.transport.abort()


Script = Callable[[Connection], Awaitable[None]]


class ApiServer:
    """Listens on 127.0.0.1 and plays ``scripts``, one for each request, in order.

    The last of them is played for every further request too. When a script returns, the connection stays open
    for the client's next request. Use as an asynchronous context manager.
    """

    def __init__(self, *scripts: Script, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.scripts: list[Script] = list(scripts)
        self.requests: list[Request] = []
        """Every request so far, in order."""
        self.errors: list[BaseException] = []
        """What scripts raised, a failed assertion say; raised again when the server is left."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = port

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def refuse(self) -> None:
        """Take no more connections."""
        assert self._server is not None
        self._server.close()

    async def __aexit__(self, *_: object) -> None:
        self.refuse()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for error in self.errors:
            raise error

    def configuration(self) -> Configuration:
        """Return what a Client needs to come here."""
        return Configuration(host=f"http://127.0.0.1:{self.port}")

    @property
    def verbs(self) -> list[str]:
        """The verbs of all requests so far."""
        return [request.verb for request in self.requests]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while (request := await _read_request(reader)) is not None:
                self.requests.append(request)
                script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
                connection = Connection(request, writer)
                await self._play(script, connection, reader)
                if writer.is_closing():
                    break
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _play(self, script: Script, connection: Connection, reader: asyncio.StreamReader) -> None:
        try:
            await script(connection)
        except ConnectionError:
            pass
        except Exception as error:  # noqa: BLE001  a script's failed assertion must reach the test
            self.errors.append(error)
            connection.writer.close()


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    parts = urlsplit(target)
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, parts.path, dict(parse_qsl(parts.query)), headers, body)


# Scripts


def page(
    items: Sequence[dict[str, Any]], *, version: str = "100", token: str = "", remaining: int = 0
) -> Script:
    """Answer with one page of a list."""
    metadata: dict[str, Any] = {
        "continue": token,
        "remainingItemCount": remaining,
        "resourceVersion": version,
    }
    body = {"apiVersion": "v1", "items": list(items), "kind": "WarehouseList", "metadata": metadata}

    async def script(connection: Connection) -> None:
        await connection.answer(200, body)

    return script


def status(
    code: int,
    *,
    reason: str = "",
    message: str = "no",
    details: dict[str, Any] | None = None,
    **headers: str,
) -> Script:
    """Answer with a metav1.Status."""

    async def script(connection: Connection) -> None:
        await connection.answer(code, status_object(code, reason, message, details), **headers)

    return script


def status_object(
    code: int, reason: str = "", message: str = "no", details: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Build a metav1.Status."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
        **({"details": details} if details is not None else {}),
    }


def raw(data: bytes, *, close: bool = True) -> Script:
    """Write these bytes and, unless told otherwise, hang up."""

    async def script(connection: Connection) -> None:
        await connection.send(data)
        if close:
            connection.writer.close()

    return script


def html(code: int) -> Script:
    """Answer as a proxy does that knows nothing of Kubernetes."""

    async def script(connection: Connection) -> None:
        await connection.answer(code, b"<html><body><h1>Oops</h1></body></html>", "text/html")

    return script


async def reset(connection: Connection) -> None:
    """Cut the connection off with no answer."""
    connection.reset()


async def hang(connection: Connection) -> None:
    """Accept a request and never answer."""
    await asyncio.Event().wait()


def watch(*events: tuple[str, dict[str, Any]], hold: bool = True) -> Script:
    """Accept a watch, send events, and then hold it open, or end it cleanly."""

    async def script(connection: Connection) -> None:
        await connection.head()
        for kind, obj in events:
            await connection.event(kind, obj)
        if hold:
            await asyncio.Event().wait()
        await connection.end()

    return script


def warehouse(
    name: str, version: str, *, namespace: str = "demo", uid: str | None = None, **spec: Any
) -> dict[str, Any]:
    """Build an object, with a uid of its own unless told otherwise."""
    metadata = {"name": name, "namespace": namespace, "resourceVersion": version, "uid": uid or f"uid-{name}"}
    return {"apiVersion": "kargo.akuity.io/v1alpha1", "kind": "Warehouse", "metadata": metadata, "spec": spec}


def bookmark(version: str) -> tuple[str, dict[str, Any]]:
    """Build a bookmark event as the API server sends it: without a name."""
    return "BOOKMARK", {
        "kind": "Warehouse",
        "metadata": {"resourceVersion": version, "creationTimestamp": None},
    }
