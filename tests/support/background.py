"""An event loop in a thread of its own: for what must go on while a test kills, freezes and waits."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar

from controller.process.event_loop import Loop

T = TypeVar("T")

CLOSING_SECONDS = 0.1
"""For connections with TLS to say goodbye: the loop must not be closed under them."""

CALL_LIMIT = 60.0
"""Seconds that a call may take unless told otherwise."""


class Background:
    """A running event loop; ``close`` cancels what still runs on it."""

    def __init__(self) -> None:
        self._loop = Loop()  # the receiver's: uvloop's own may close others' files when a server dies
        self._thread = threading.Thread(target=self._loop.run_forever, name="background", daemon=True)
        self._thread.start()

    def start(self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        """Begin to run a coroutine; the future may be waited for from any thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def call(self, coroutine: Coroutine[Any, Any, T], limit: float = CALL_LIMIT) -> T:
        """Run a coroutine to its end; raises what it raises, TimeoutError after ``limit`` seconds."""
        return self.start(coroutine).result(limit)

    def close(self) -> None:
        """Cancel all tasks and end the thread."""
        self.call(_cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10.0)
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


async def _cancel_all() -> None:
    for _ in range(10):  # what is cancelled may begin something else to clean up
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        if not tasks:
            break
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=2.0)
    await asyncio.get_running_loop().shutdown_asyncgens()
    await asyncio.sleep(CLOSING_SECONDS)
