"""Azure, many times over: deliveries from a background loop, each noted in a ledger."""

import asyncio
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec

from tests.support.background import Background
from tests.support.ledger import Ledger, Sent

LIMIT = 15.0
"""Seconds after which a delivery counts as left hanging: far above any reply timeout."""


@dataclass(frozen=True)
class Event:
    """A delivery to be sent."""

    body: Any
    """As JSON."""
    owed: tuple[str, ...]


class Sender:
    """Posts events to one URL, which may move to another port meanwhile, and keeps the ledger."""

    def __init__(
        self, url: Callable[[], str], background: Background, *, at_once: int = 16, fresh: bool = False
    ) -> None:
        self._url = url
        self._background = background
        self._at_once = at_once
        self._fresh = fresh
        """Whether each event has a connection of its own."""
        self._session: aiohttp.ClientSession | None = None
        self.ledger = Ledger()
        self.stopping = False
        """Set to have ``keep_sending`` end."""

    def __enter__(self) -> Self:
        self._background.call(self._open())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping = True
        if self._session is not None:
            self._background.call(self._session.close())

    def send(self, event: Event) -> Sent:
        """Send one event and wait for its answer."""
        return self._background.call(self._post(event))

    def begin(self, events: Iterable[Event], *, rate: float | None = None) -> "Future[None]":
        """Send events in the background, at most ``at_once`` in flight and ``rate`` a second."""
        return self._background.start(self._send_all(events, rate))

    def all_sent(self, sending: "Future[None]", limit: float) -> None:
        """Wait until everything begun has its answer, or none."""
        sending.result(limit)

    async def _open(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=self._fresh),
            timeout=aiohttp.ClientTimeout(total=LIMIT),
            headers={"Content-Type": "application/json"},
        )

    async def _send_all(self, events: Iterable[Event], rate: float | None) -> None:
        free = asyncio.Semaphore(self._at_once)
        loop = asyncio.get_running_loop()
        due = loop.time()
        async with asyncio.TaskGroup() as group:
            for event in events:
                if self.stopping:
                    return
                if rate is not None:
                    due += 1 / rate
                    await asyncio.sleep(due - loop.time())
                await free.acquire()
                group.create_task(self._post(event)).add_done_callback(lambda _: free.release())

    async def _post(self, event: Event) -> Sent:
        assert self._session is not None
        body = msgspec.json.encode(event.body)
        entry = self.ledger.begin(event.owed)
        began = time.monotonic()
        try:
            async with self._session.post(self._url(), data=body) as response:
                entry.text = await response.text()
                entry.seconds = time.monotonic() - began
                entry.status = response.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            entry.seconds = time.monotonic() - began
            entry.text = repr(error)
        return entry
