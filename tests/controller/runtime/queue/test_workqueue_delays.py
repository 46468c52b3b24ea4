"""The workqueue: rows 22 and 23 of docs/runtime.md, keys that wait for their time."""

import pytest

from controller.runtime.queue.delays import Delays
from controller.runtime.queue.workqueue import DUE_AT_ONCE
from tests.support.clock import FakeClock
from tests.support.queues import Observed, fail, make, take_all


@pytest.mark.parametrize(
    ("delays", "due"),
    [
        pytest.param([10], 10, id="one"),
        pytest.param([10, 5], 5, id="a later request for an earlier time"),
        pytest.param([5, 10], 5, id="a later request for a later time"),
        pytest.param([5, 10, 7], 5, id="three"),
    ],
)
async def test_row_22_add_after_the_earliest_time_wins(delays: list[float], due: float) -> None:
    """A key that is to run at several times runs once, at the earliest."""
    clock = FakeClock()
    queue = make(clock)
    for delay in delays:
        queue.add_after("a", delay)
        queue.validate()
    assert "a" in queue
    await clock.advance(due - 0.001)
    assert len(queue) == 0
    await clock.advance(0.002)
    assert await take_all(queue) == ["a"]
    assert "a" not in queue
    await clock.advance(100)
    assert len(queue) == 0


@pytest.mark.parametrize("delay", [0, -1])
async def test_row_22_add_after_nothing_is_at_once(delay: float) -> None:
    """A time that has passed already is now."""
    queue = make()
    queue.add_after("a", delay)
    assert await take_all(queue) == ["a"]


async def test_row_22_add_brings_a_delayed_key_forward() -> None:
    """``add`` asks for the earliest time of all."""
    clock = FakeClock()
    queue = make(clock)
    queue.add_after("a", 10)
    queue.add("a")
    queue.add_after("a", 10)
    assert await take_all(queue) == ["a"]
    await clock.advance(20)
    assert len(queue) == 0


async def test_row_22_a_key_in_backoff_stays_there_when_asked_for_again() -> None:
    """Events for a failing Warehouse join its retry; the retry takes the turn of each flow that asked."""
    clock = FakeClock()
    queue = make(clock)
    await fail(queue, "a", flow=("retry",), after=5)
    queue.add("a", ("event",))
    queue.add_after("a", 1)
    queue.add_after("a", 0)
    assert len(queue) == 0
    assert "a" in queue
    for number in range(100):
        queue.add(f"key {number}", ("retry",))
    await clock.advance(5)
    assert (await take_all(queue))[:3] == ["key 0", "a", "key 1"]


async def test_row_22_asked_for_during_the_run_that_fails_joins_the_retry() -> None:
    """A failed patch is not repeated at once because somebody asked during it."""
    clock = FakeClock()
    queue = make(clock)
    queue.add("a")
    await queue.get()
    queue.add("a", ("event",))
    queue.retry("a", after=5)
    assert len(queue) == 0
    await clock.advance(5)
    assert await take_all(queue) == ["a"]
    await clock.advance(100)
    assert "a" not in queue


async def test_row_22_who_asks_during_a_pause_shares_the_run_after_it() -> None:
    """The rerun waits for its time, in the turn of each flow that asked, and no worker waits with it."""
    clock = FakeClock()
    queue = make(clock)
    queue.add("a", ("first",))
    await queue.get()
    queue.add("a", ("large",))
    queue.done("a", pause=5)
    queue.validate()
    queue.add("a", ("small",))
    for number in range(10):
        queue.add(f"key {number}", ("large",))
    await clock.advance(4.9)
    assert (await take_all(queue))[0] == "key 0"
    for number in range(10):
        queue.add(f"key {number}", ("large",))
    await clock.advance(0.2)
    assert (await take_all(queue))[:2] == ["key 0", "a"]
    assert "a" not in queue


async def test_row_22_a_pause_is_for_a_rerun() -> None:
    """Nobody asked during the run: who asks next does not wait, and nothing is left to do."""
    clock = FakeClock()
    queue = make(clock)
    queue.add("a")
    await queue.get()
    queue.done("a", pause=5)
    assert "a" not in queue
    queue.add("a")
    assert await take_all(queue) == ["a"]


async def test_row_22_many_keys_due_together_are_moved_in_steps() -> None:
    """The end of an outage does not hold the event loop; nothing is left behind."""
    clock = FakeClock()
    observed = Observed()
    queue = make(clock, observed)
    for number in range(2 * DUE_AT_ONCE + 1):
        await fail(queue, str(number), after=1)
    assert clock.pending == [1.0], "one timer, not one per key"
    before = observed.adds
    clock.call_later(1.0, lambda: moved.append(observed.adds - before))
    moved: list[int] = []
    await clock.advance(1)
    assert moved == [DUE_AT_ONCE], "others have their turn in between"
    assert len(queue) == 2 * DUE_AT_ONCE + 1


async def test_row_23_the_delay_doubles_per_key_to_a_cap() -> None:
    """5 ms doubling to 10 s, spread out; another key is not affected."""
    clock = FakeClock()
    queue = make(clock)
    for number in range(40):
        await fail(queue, "a")
        full = min(0.005 * 2 ** min(number, 20), 10.0)
        assert full / 2 <= clock.pending[0] <= full + 1e-9, number
        await clock.advance(clock.pending[0])
    await take_all(queue)
    await fail(queue, "b")
    assert clock.pending[0] <= 0.005


async def test_row_23_success_starts_again_at_the_beginning() -> None:
    """After a success, or a failure for good, the next failure is the first."""
    clock = FakeClock()
    queue = make(clock)
    for _ in range(8):
        await fail(queue, "a")
        await clock.advance(10)
    assert await take_all(queue) == ["a"]
    await fail(queue, "a")
    assert clock.pending[0] <= 0.005


async def test_row_23_the_retry_stays_in_the_flows_of_the_run() -> None:
    """One failed patch of a small flow does not send its key to the end of everybody's retries."""
    clock = FakeClock()
    queue = make(clock)
    queue.add("a", ("large",))
    await fail(queue, "a", flow=("small",), after=1)
    for number in range(10):
        queue.add(f"key {number}", ("large",))
    await clock.advance(1)
    assert (await take_all(queue))[:2] == ["key 0", "a"]


async def test_nothing_stays_behind_of_delays_that_are_over() -> None:
    """Keys that are delayed by an hour and asked for at once, over and over, cost nothing afterwards."""
    queue = make()
    for _ in range(1000):
        queue.add_after("a", 3600)
        queue.add("a")
        await take_all(queue)
    for number in range(1000):
        queue.add_after("b", 3600 - number)
        queue.validate()


def test_delays_of_keys_without_an_order() -> None:
    """Keys due at the same time are never compared with each other."""
    delays: Delays[complex] = Delays()
    delays.put(1j, 5, (("x",),), held=True)
    delays.put(2j, 5, (("x",),), held=True)
    assert [delays.pop_due(5), delays.pop_due(5)] == [(1j, (("x",),)), (2j, (("x",),))]
