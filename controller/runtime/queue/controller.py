"""Workers: take a key from the queue, reconcile it, and tell the queue what follows."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar, assert_never

from controller.runtime.queue.workqueue import ShutDown, WorkQueue

K = TypeVar("K", bound=Hashable)

KEYS_PER_TURN = 64
"""Keys a worker handles before it gives the event loop a turn, for reconciles that wait for nothing."""


class Done(NamedTuple):
    """Nothing is left to do for the key, or nothing that trying again would change."""

    after: float | None = None
    """Look again in so many seconds, unless somebody asks earlier; None: not before somebody asks."""
    pause: float = 0.0
    """Seconds until the run that somebody asked for during this one: who asks meanwhile shares it."""


class Retry(NamedTuple):
    """The key could not be reconciled, and time may heal it."""

    after: float | None = None
    """Seconds to wait, as the server said; None: the queue's backoff. Asking does not make it earlier."""


Outcome = Done | Retry


@dataclass(eq=False)
class Controller(Generic[K]):
    """Runs ``reconcile`` for the keys of a queue, ``workers`` of them at a time, each key once at a time.

    The contract of ``reconcile(key)``: bring the world in line with what is wanted for the key *now*,
    however often and for whatever reason it is asked; and

    - return ``Done()`` when that is achieved, or failed for good (it has reported why);
    - return ``Done(after=…)`` when that is achieved and should be looked at again later;
    - return ``Done(pause=…)`` when those who ask for it in a burst should share runs;
    - return ``Retry()`` after a failure that may pass, ``Retry(after=…)`` if a server named the time;
    - raise only what nobody foresaw: the controller then stops and ``run`` raises it, since a worker that
      goes on after a bug may do harm at full speed.
    """

    queue: WorkQueue[K]
    reconcile: Callable[[K], Awaitable[Outcome]]
    workers: int
    """At least one."""

    async def run(self) -> None:
        """Work until the queue is shut down and everything that waited in it is done.

        Raises what ``reconcile`` raised, after cancelling the other workers; of several, the first. When
        cancelled, the keys in hand are given up: what must survive that is in the journal.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self.workers):
                    group.create_task(self._work(), name=f"{self.queue.name}-{number}")
        except BaseExceptionGroup as failures:
            first = failures.exceptions[0]
            raise first from (failures if len(failures.exceptions) > 1 else None)

    async def _work(self) -> None:
        handled = 0
        while True:
            try:
                key = await self.queue.get()
            except ShutDown:
                return
            await self._handle(key)
            handled += 1
            if handled % KEYS_PER_TURN == 0:
                await asyncio.sleep(0)

    async def _handle(self, key: K) -> None:
        try:
            outcome = await self.reconcile(key)
            match outcome:
                case Done(after, pause):
                    self.queue.done(key, after=after, pause=pause)
                case Retry(after):
                    self.queue.retry(key, after=after)
                case _:
                    assert_never(outcome)
        finally:
            self.queue.done(key)  # ignored, unless the reconcile has raised
