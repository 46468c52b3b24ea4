"""Starts and stops the parts of the process in order, and supervises every task.

A part that ends, raises or is cancelled without being asked to ends the process with a message: a controller
that goes on without it looks healthy and loses work.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

log = structlog.get_logger()

CANCEL_SECONDS = 5.0
"""Seconds that cancelled tasks get to clean up."""
CLEAN_UP_SECONDS = 5.0
"""Seconds that each clean-up gets: a disk or a peer that hangs must not hold the process."""


class PartFailed(Exception):  # noqa: N818 - the event, as it is logged
    """A supervised task ended on its own; ``__cause__`` is what it raised, if it raised."""


class Manager:
    """Runs background tasks beside one main coroutine.

    ``start`` adds a task; ``run`` runs the main coroutine until it returns, until a task fails, or until a
    stop is asked for and the main coroutine has wound things up. Whatever happens, the clean-ups registered
    with ``at_end`` run afterwards, last one first, each for at most CLEAN_UP_SECONDS.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._expected: set[asyncio.Task[Any]] = set()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._at_end: list[tuple[str, Callable[[], Awaitable[Any]]]] = []
        self.stopping = asyncio.Event()
        """Set when the process was asked to stop."""
        self.hurry = asyncio.Event()
        """Set when it was asked twice: no more waiting."""

    def ask_to_stop(self) -> None:
        """Ask for an orderly stop; the second time, for an immediate one. For signal handlers."""
        if self.stopping.is_set():
            self.hurry.set()
        self.stopping.set()

    def start(self, name: str, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine as a supervised task, which must not end before ``may_end`` is called for it."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def may_end(self, task: asyncio.Task[None]) -> None:
        """Expect a task to end from now on."""
        self._expected.add(task)

    def at_end(self, name: str, clean_up: Callable[[], Awaitable[Any]]) -> None:
        """Register a clean-up for the end of ``run``."""
        self._at_end.append((name, clean_up))

    async def run(self, main: Coroutine[Any, Any, None]) -> None:
        """Run ``main`` beside the tasks. Raises PartFailed, or what ``main`` raised.

        PartFailed also where everything went well until a clean-up did not end in time.
        """
        task = asyncio.get_running_loop().create_task(main, name="main")
        try:
            await asyncio.wait((task, self._failed), return_when=asyncio.FIRST_COMPLETED)
            if self._failed.done():
                self._failed.result()
            await task
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
            late = await self._wind_up()
        if late:
            raise PartFailed(f"clean-up of {', '.join(late)} did not end within {CLEAN_UP_SECONDS:g} s")

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if task in self._expected and error is None:
            self._expected.discard(task)
            return
        if self._failed.done():
            return
        how = "was cancelled" if task.cancelled() else "ended" if error is None else "failed"
        failure = PartFailed(f"{task.get_name()} {how}")
        failure.__cause__ = error
        self._failed.set_exception(failure)

    async def _wind_up(self) -> list[str]:
        """End all tasks and clean up; return the names of the clean-ups that took too long."""
        for task in list(self._tasks):
            self._expected.add(task)
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=CANCEL_SECONDS)
        late = []
        for name, clean_up in reversed(self._at_end):
            try:
                async with asyncio.timeout(CLEAN_UP_SECONDS):
                    await clean_up()
            except TimeoutError:
                late.append(name)
            except Exception:
                log.exception("clean_up_failed", part=name)
        return late


async def done_before(event: asyncio.Event, wanted: Awaitable[Any]) -> bool:
    """Await ``wanted`` unless ``event`` is set first, which cancels it; return whether it is done.

    Raises what ``wanted`` raises.
    """
    waiting = asyncio.ensure_future(wanted)
    stopped = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((waiting, stopped), return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            waiting.result()
        return waiting.done()
    finally:
        waiting.cancel()
        stopped.cancel()
