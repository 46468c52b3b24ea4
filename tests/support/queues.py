"""Workqueues for tests: on a clock that a test moves, observed, emptied and failed in one step."""

import random

from controller.runtime.queue.flows import Flow
from controller.runtime.queue.workqueue import ONE_FLOW, QueueObserver, WorkQueue
from tests.support.clock import FakeClock


class Observed:
    """Keeps what a QueueObserver is called with."""

    def __init__(self) -> None:
        self.adds = 0
        self.retries = 0
        self.waited: list[float] = []
        self.worked: list[float] = []

    def added(self) -> None:
        self.adds += 1

    def retried(self) -> None:
        self.retries += 1

    def started(self, waited: float, /) -> None:
        self.waited.append(waited)

    def finished(self, worked: float, /) -> None:
        self.worked.append(worked)


def make(clock: FakeClock | None = None, observer: Observed | None = None) -> WorkQueue[str]:
    """Return an empty queue whose retries are spread the same way each time."""
    seen = observer or Observed()
    return WorkQueue(
        "test",
        clock or FakeClock(),
        observer=QueueObserver(seen.added, seen.started, seen.finished, seen.retried),
        rng=random.Random(1),
    )


async def take_all(queue: WorkQueue[str]) -> list[str]:
    """Process everything that waits, in the queue's order, and return it."""
    taken = []
    while len(queue):
        taken.append(await queue.get())
        queue.done(taken[-1])
        queue.validate()
    return taken


async def fail(queue: WorkQueue[str], key: str, *, flow: Flow = ONE_FLOW, after: float | None = None) -> None:
    """Run a key, of a queue in which none waits before it, and have the run fail."""
    queue.add(key, flow)
    assert await queue.get() == key
    queue.retry(key, after=after)
    queue.validate()
