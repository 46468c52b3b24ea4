"""A proxy between the receiver and the API server that goes wrong on demand, in ways a seed reproduces.

The receiver reaches it by plain HTTP on 127.0.0.1; it passes each request on by TLS, with the receiver's own
token. Whether a fault strikes is decided by the seed, the request and how often that request came before, not
by the order in which different requests happen to arrive.
"""

import asyncio
import contextlib
import json
import os
import random
import socket
import ssl
import struct
from collections import Counter
from collections.abc import AsyncIterator, Container, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web

from e2e.controlplane.ports import HOST
from tests.support.api_faults import Cut, Delay, Expire, Fault, Late, Refuse, Reset, Silent, refusal
from tests.support.api_traffic import Call, Seen, Traffic
from tests.support.background import Background

HOP_BY_HOP = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive", "host", "date"})
EXPIRED_EVENT = b'{"type":"ERROR","object":%s}\n'


class FaultProxy:
    """Forwards to the API server at ``upstream``; ``faults`` may be replaced at any time, from any thread."""

    def __init__(self, upstream: str, ca: Path, background: Background, *, seed: int) -> None:
        self._upstream = upstream
        self._ca = ca
        self._background = background
        self.seed = seed
        self.faults: Sequence[Fault] = ()
        self.traffic = Traffic()
        self.port = 0
        self._times: Counter[Call] = Counter()
        self._watches: dict[int, tuple[web.BaseRequest, Call]] = {}  # by id: requests have no hash
        self._runner: web.ServerRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        """The address for the receiver's kubeconfig."""
        return f"http://{HOST}:{self.port}"

    def kubeconfig(self, original: Path) -> Path:
        """Write a copy of a kubeconfig that leads through this proxy, beside the original."""
        config = json.loads(original.read_text("utf-8"))
        config["clusters"][0]["cluster"] = {"server": self.url}
        path = original.with_name(f"{original.stem}.proxy-{self.port}.kubeconfig")
        path.touch(mode=0o600)
        path.write_text(json.dumps(config))
        return path

    @contextlib.contextmanager
    def going_wrong(self, *faults: Fault) -> Iterator[None]:
        """Deal these faults meanwhile."""
        self.faults = faults
        try:
            yield
        finally:
            self.faults = ()

    def break_watches(self, resource: str | None = None) -> None:
        """Reset the connections of all open watches, of one resource if given."""
        self._background.call(self._break_watches(resource))

    def open_watches(self, resource: str | None = None, namespaces: Container[str] | None = None) -> int:
        """Return how many watches are open."""
        return sum(
            resource in (None, call.resource) and (namespaces is None or call.namespace in namespaces)
            for _, call in tuple(self._watches.values())
        )

    # -- start and stop

    def start(self) -> Self:
        """Listen on a free port."""
        self._background.call(self._start())
        return self

    def close(self) -> None:
        """Close all connections and the port."""
        self._background.call(self._close())

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _start(self) -> None:
        tls = ssl.create_default_context(cafile=str(self._ca))
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=tls),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=4 * 1024 * 1024,  # the longest line of a watch
        )
        server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _close(self) -> None:
        if self._session is not None:
            await self._session.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _break_watches(self, resource: str | None) -> None:
        for request, call in tuple(self._watches.values()):
            if resource in (None, call.resource):
                _reset(request)

    # -- one request

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        call = Call.of(request.method, request.path_qs)
        seen = self.traffic.note(call)
        body = await request.read()
        nth = self._times[call]
        self._times[call] += 1
        stream_faults: list[Fault] = []
        for fault in self.faults:
            if not fault.strikes(call, nth, self.seed):
                continue
            match fault.action:
                case Delay(seconds):
                    seen.fault = fault.name
                    await asyncio.sleep(seconds)
                case Refuse() as how:
                    seen.fault = fault.name
                    seen.status = how.status
                    return refusal(how)
                case Reset(answered=False):
                    seen.fault = fault.name
                    return _reset(request)
                case _:
                    stream_faults.append(fault)
        try:
            return await self._forward(request, body, call, seen, stream_faults)
        except (aiohttp.ClientError, OSError, TimeoutError):
            return _reset(request)  # as if the API server itself had hung up

    async def _forward(
        self, request: web.BaseRequest, body: bytes, call: Call, seen: Seen, faults: Sequence[Fault]
    ) -> web.StreamResponse:
        assert self._session is not None
        headers = {key: value for key, value in request.headers.items() if key.lower() not in HOP_BY_HOP}
        async with self._session.request(
            request.method, self._upstream + request.path_qs, data=body or None, headers=headers
        ) as answer:
            kept = {key: value for key, value in answer.headers.items() if key.lower() not in HOP_BY_HOP}
            if call.verb == "watch" and answer.status == 200:
                seen.status = answer.status
                return await self._watch(request, answer, kept, call, seen, faults)
            content = await answer.read()
            for fault in faults:
                if isinstance(fault.action, Reset):  # carried out, but nobody is told
                    seen.fault = fault.name
                    return _reset(request)
            seen.status = answer.status
            return web.Response(status=answer.status, body=content, headers=kept)

    async def _watch(
        self,
        request: web.BaseRequest,
        answer: aiohttp.ClientResponse,
        headers: dict[str, str],
        call: Call,
        seen: Seen,
        faults: Sequence[Fault],
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=200, headers=headers)
        await response.prepare(request)
        self._watches[id(request)] = (request, call)
        rng = random.Random(f"{self.seed}/{call}/{self._times[call]}")
        # Dealt when the watch began; those that apply to open watches are looked up at each line.
        ends = [(fault, rng.randint(0, 3)) for fault in faults if isinstance(fault.action, Cut | Expire)]
        lines = 0
        try:
            async for line in self._paced(answer, call):
                for fault, after in ends:
                    if lines >= after:
                        seen.fault = fault.name
                        if isinstance(fault.action, Expire):
                            status = refusal(Refuse(410, "Expired")).body
                            await response.write(EXPIRED_EVENT % status)
                            return response
                        await response.write(line[: rng.randint(1, len(line) - 1)])
                        return _reset(request)
                if self._silenced(call):
                    seen.fault = "silent"
                    await asyncio.Event().wait()  # until the receiver, or a test, closes the connection
                await response.write(line)
                lines += 1
        finally:
            del self._watches[id(request)]
        return response

    async def _paced(self, answer: aiohttp.ClientResponse, call: Call) -> AsyncIterator[bytes]:
        """Yield the lines of a watch, each as late as the faults of the moment say, in order."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def read() -> None:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                async for line in answer.content:
                    waiting.put_nowait((loop.time() + self._lateness(call), line))
            waiting.put_nowait((0.0, b""))

        reading = loop.create_task(read())
        try:
            while True:
                due, line = await waiting.get()
                if not line:
                    return
                if due > loop.time():
                    await asyncio.sleep(due - loop.time())
                yield line
        finally:
            reading.cancel()

    def _lateness(self, call: Call) -> float:
        late = (fault.action for fault in self.faults if fault.applies(call))
        return max((action.seconds for action in late if isinstance(action, Late)), default=0.0)

    def _silenced(self, call: Call) -> bool:
        return any(isinstance(fault.action, Silent) and fault.applies(call) for fault in self.faults)


def _reset(request: web.BaseRequest) -> web.StreamResponse:
    """Break the connection of a request, with a TCP reset."""
    transport = request.transport
    if transport is not None:
        descriptor = transport.get_extra_info("socket").fileno()
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as copy:
            copy.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()  # goes nowhere
