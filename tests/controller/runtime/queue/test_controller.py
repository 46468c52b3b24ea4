"""Workers: row 20 of docs/runtime.md, and what each outcome does to a key."""

import asyncio

import pytest

from controller.runtime.queue.controller import Controller, Done, Outcome, Retry
from tests.support.clock import FakeClock
from tests.support.queues import make


class Reconciler:
    """Answers with the outcomes it is given, one after the other; Done when they are used up."""

    def __init__(self, *outcomes: Outcome | Exception) -> None:
        self.outcomes = list(outcomes)
        self.keys: list[str] = []
        self.running = 0
        self.most_running = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, key: str) -> Outcome:
        self.keys.append(key)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await self.gate.wait()
        finally:
            self.running -= 1
        outcome = self.outcomes.pop(0) if self.outcomes else Done()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@pytest.mark.parametrize(
    ("outcome", "seconds", "next_retry"),
    [
        pytest.param(Done(), None, 0.005, id="done: forgotten"),
        pytest.param(Done(after=60), 60, 0.005, id="done, look again: forgotten and delayed"),
        pytest.param(Retry(), 0.02, 0.04, id="retry: counted, in backoff"),
        pytest.param(Retry(after=7), 7, 0.04, id="retry after: counted, for the time the server named"),
    ],
)
async def test_outcomes(outcome: Outcome, seconds: float | None, next_retry: float) -> None:
    """What a reconcile returns decides what the queue does with its key."""
    clock = FakeClock()
    queue = make(clock)
    reconciler = Reconciler(Retry(after=1), Retry(after=1), outcome, Retry())
    worker = asyncio.create_task(Controller(queue, reconciler, workers=1).run())
    queue.add("a")
    await clock.advance(2)
    assert reconciler.keys == ["a", "a", "a"]
    assert ("a" in queue) == (seconds is not None)
    if seconds is None:
        queue.add("a")
        await clock.settle()
    else:
        assert seconds / 2 <= clock.pending[0] <= seconds
        await clock.advance(clock.pending[0])
    assert reconciler.keys == ["a"] * 4
    assert next_retry / 2 <= clock.pending[0] <= next_retry, "so many failures were counted"
    queue.shut_down()
    await worker


async def test_a_pause_keeps_no_worker() -> None:
    """Asked for in a burst, a key shares its next run; the one worker handles others until then."""
    clock = FakeClock()
    queue = make(clock)
    reconciler = Reconciler(Done(pause=2), Done())
    reconciler.gate.clear()
    worker = asyncio.create_task(Controller(queue, reconciler, workers=1).run())
    queue.add("hot")
    await clock.settle()
    queue.add("hot")
    queue.add("cold")
    reconciler.gate.set()
    await clock.advance(1)
    queue.add("hot")
    await clock.settle()
    assert reconciler.keys == ["hot", "cold"]
    await clock.advance(1)
    assert reconciler.keys == ["hot", "cold", "hot"]
    queue.shut_down()
    await worker


async def test_done_with_a_time_gives_way_to_a_request_and_a_retry_does_not() -> None:
    """A look scheduled for later is brought forward by an event; a backoff is not."""
    clock = FakeClock()
    queue = make(clock)
    reconciler = Reconciler(Done(after=60), Retry(after=60))
    worker = asyncio.create_task(Controller(queue, reconciler, workers=1).run())
    for _ in range(3):
        queue.add("a")
        await clock.settle()
    assert reconciler.keys == ["a", "a"]
    queue.shut_down()
    await worker


@pytest.mark.parametrize("workers", [1, 3])
async def test_as_many_keys_at_a_time_as_workers_and_each_key_once(workers: int) -> None:
    """The concurrency is bounded; a key is never in two hands."""
    clock = FakeClock()
    queue = make(clock)
    reconciler = Reconciler()
    reconciler.gate.clear()
    task = asyncio.create_task(Controller(queue, reconciler, workers=workers).run())
    for key in "aabbccddee":
        queue.add(key)
    await clock.settle()
    for key in "aaa":
        queue.add(key)
    await clock.settle()
    assert reconciler.keys == list("abcde"[:workers])
    reconciler.gate.set()
    queue.shut_down()
    await task
    assert sorted(reconciler.keys) == list("aabcde")
    assert reconciler.most_running == workers


async def test_row_20_done_in_finally_and_the_exception_is_raised() -> None:
    """A bug in a reconcile ends ``run`` with that very exception, and leaves no key in processing."""
    clock = FakeClock()
    queue = make(clock)
    bug = ZeroDivisionError("a bug")
    reconciler = Reconciler(bug)
    queue.add("a")
    task = asyncio.create_task(Controller(queue, reconciler, workers=3).run())
    with pytest.raises(ZeroDivisionError) as raised:
        await task
    assert raised.value is bug
    assert "a" not in queue
    queue.validate()


async def test_row_20_done_in_finally_when_cancelled() -> None:
    """A worker that is cancelled in the middle of a reconcile gives its key back."""
    clock = FakeClock()
    queue = make(clock)
    reconciler = Reconciler()
    reconciler.gate.clear()
    task = asyncio.create_task(Controller(queue, reconciler, workers=2).run())
    queue.add("a")
    await clock.settle()
    queue.add("a")
    assert len(queue) == 0
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (len(queue), queue.unfinished_seconds()) == (1, 0.0)
    queue.validate()


async def test_row_20_a_spurious_done_is_ignored() -> None:
    """``done`` for a key that nobody has changes nothing, also while others are in processing."""
    queue = make(FakeClock())
    queue.add("a")
    queue.add("b")
    queue.done("a")
    assert (len(queue), await queue.get()) == (2, "a")
    queue.done("b")
    queue.retry("b")
    queue.done("never seen", after=1)
    queue.retry("never seen")
    assert len(queue) == 1
    assert "a" in queue
    queue.done("a")
    queue.done("a")
    queue.retry("a")
    assert len(queue) == 1
    assert "a" not in queue
    queue.validate()


async def test_shut_down_finishes_what_waits_and_ends() -> None:
    """After SIGTERM the workers do what was accepted, reruns included, and then return."""
    clock = FakeClock()
    queue = make(clock)
    reconciler = Reconciler()
    reconciler.gate.clear()
    task = asyncio.create_task(Controller(queue, reconciler, workers=2).run())
    for key in "abcd":
        queue.add(key)
    await clock.settle()
    queue.add("a")
    queue.shut_down()
    await clock.settle()
    assert not task.done()
    reconciler.gate.set()
    await task
    assert sorted(reconciler.keys) == list("aabcd")


async def test_reconciles_that_never_wait_leave_the_event_loop_to_others() -> None:
    """Ten thousand deleted Warehouses, say, are no reason to answer nobody."""
    queue = make(FakeClock())
    for number in range(10_000):
        queue.add(str(number))
    task = asyncio.create_task(Controller(queue, Reconciler(), workers=1).run())
    for _ in range(5):
        await asyncio.sleep(0)
    assert 0 < len(queue) < 10_000
    queue.shut_down()
    await task
