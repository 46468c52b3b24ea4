"""The workqueue: rows 19, 21 and 24 of docs/runtime.md, and its metrics."""

import asyncio

import pytest

from controller.runtime.queue.flows import LOWEST
from controller.runtime.queue.workqueue import ShutDown
from tests.support.clock import FakeClock
from tests.support.queues import Observed, fail, make, take_all


async def test_row_19_adding_a_waiting_key_does_nothing() -> None:
    """Ten requests for a Warehouse that nobody has looked at yet are one request."""
    observed = Observed()
    queue = make(observer=observed)
    for _ in range(10):
        queue.add("a", ("flow",))
    assert len(queue) == 1
    assert observed.adds == 1
    assert await take_all(queue) == ["a"]


async def test_row_19_adding_a_key_in_processing_causes_exactly_one_rerun() -> None:
    """Whoever asks while a patch is in flight gets one more patch after it, however many ask."""
    queue = make()
    queue.add("a")
    assert await queue.get() == "a"
    for _ in range(10):
        queue.add("a", ("flow",))
        queue.add("a", ("another flow",))
        queue.validate()
    assert len(queue) == 0, "one worker per key"
    queue.done("a")
    assert await take_all(queue) == ["a"]


async def test_the_lowest_flow_waits_for_all_others() -> None:
    """A key of it has its turn once nothing else waits; asked for by an event too, at the event's turn."""
    queue = make()
    for key in ("low-1", "low-2", "both"):
        queue.add(key, (LOWEST, "f"))
    for key, flow in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("both", "b")):
        queue.add(key, (flow, "f"))
    assert await take_all(queue) == ["a1", "b1", "a2", "both", "low-1", "low-2"]


async def test_row_19_one_worker_per_key() -> None:
    """A second worker sleeps rather than getting the key that the first one has."""
    clock = FakeClock()
    queue = make(clock)
    queue.add("a")
    await queue.get()
    second = asyncio.create_task(queue.get())
    queue.add("a")
    await clock.settle()
    assert not second.done()
    queue.done("a")
    assert await second == "a"


@pytest.mark.parametrize(
    ("adds", "order"),
    [
        pytest.param("a1 a2 a3", "a1 a2 a3", id="first in first out within a flow"),
        pytest.param("a1 a2 a3 b1", "a1 b1 a2 a3", id="a small flow waits for one key of a large one"),
        pytest.param("a1 a2 b1 b2 c1 c2", "a1 b1 c1 a2 b2 c2", id="every flow one turn per round"),
    ],
)
async def test_row_19_round_robin_between_flows(adds: str, order: str) -> None:
    """Flows take turns, whatever each has waiting; within one, the order of asking holds."""
    queue = make()
    for key in adds.split():
        queue.add(key, (key[0],))
    assert await take_all(queue) == order.split()


@pytest.mark.parametrize(
    ("adds", "order"),
    [
        pytest.param("ax1 ay1 az1 bx1", "ax1 bx1 ay1 az1", id="many flows of one branch count as one"),
        pytest.param("ax1 ax2 ay1 bx1 bx2", "ax1 bx1 ay1 bx2 ax2", id="turns at each level"),
        pytest.param("ax1 ay1 ax2 by1", "ax1 by1 ay1 ax2", id="equal names of two branches are two flows"),
    ],
)
async def test_row_19_branches_take_turns_before_their_flows(adds: str, order: str) -> None:
    """A tenant that spreads its keys over many flows gets no more turns than one that does not."""
    queue = make()
    for key in adds.split():
        queue.add(key, (key[0], key[1]))
    assert await take_all(queue) == order.split()


async def test_row_19_ten_thousand_flows_of_one_branch_delay_another_by_one_key() -> None:
    """One request for thousands of repositories, three levels deep, and somebody else's push after it."""
    queue = make()
    for number in range(10_000):
        queue.add(f"key {number}", ("large", f"sender {number % 10}", f"subject {number}"))
    assert await queue.get() == "key 0"
    queue.add("single", ("small", "sender", "subject"))
    assert [await queue.get() for _ in range(2)] == ["key 1", "single"]


async def test_row_19_a_key_asked_for_by_two_flows_runs_at_the_earlier_turn_once() -> None:
    """A Warehouse at the end of a fan-out, asked for by an event of its own, is refreshed at once, once."""
    queue = make()
    for number in range(100):
        queue.add(f"key {number}", ("fan-out", "x"))
    queue.add("key 99", ("event", "x"))
    queue.add("key 98", ("fan-out", "y"))
    assert len(queue) == 100
    taken = await take_all(queue)
    assert taken[:4] == ["key 0", "key 99", "key 98", "key 1"]
    assert sorted(taken) == sorted({f"key {number}" for number in range(100)})


async def test_row_19_a_rerun_takes_the_turn_of_each_flow_that_asked_for_it() -> None:
    """Asked for in processing by a small flow, the rerun does not stand behind a large one."""
    queue = make()
    for key in ("a", "b", "c", "d"):
        queue.add(key, ("large",))
    assert await queue.get() == "a"
    queue.add("a", ("large",))
    queue.add("a", ("small",))
    queue.done("a")
    assert await take_all(queue) == ["b", "a", "c", "d"]


async def test_row_21_shut_down_ignores_new_keys_and_hands_out_waiting_ones() -> None:
    """What was accepted before SIGTERM is finished; delayed keys are left to the journal."""
    clock = FakeClock()
    queue = make(clock)
    sleeper = asyncio.create_task(make(clock).get())
    await fail(queue, "failed")
    queue.add("fails later")
    assert await queue.get() == "fails later"
    queue.add("a")
    queue.add("b")
    queue.add_after("delayed", 1)
    queue.shut_down()
    queue.validate()
    queue.add("new")
    queue.add_after("new", 1)
    queue.add("fails later")
    queue.retry("fails later")
    assert not any(key in queue for key in ("new", "failed", "delayed", "fails later"))
    assert await take_all(queue) == ["a", "b"]
    with pytest.raises(ShutDown):
        await queue.get()
    assert clock.pending == []
    sleeper.cancel()


async def test_row_21_shut_down_ends_pauses() -> None:
    """Who asked during a run that succeeded is not given up because others might have joined the next."""
    clock = FakeClock()
    queue = make(clock)
    for key in ("before", "after"):
        queue.add(key)
        await queue.get()
        queue.add(key)
    queue.done("before", pause=1)
    queue.shut_down()
    queue.done("after", pause=1)
    assert await take_all(queue) == ["before", "after"]
    assert clock.pending == []


async def test_row_21_shut_down_wakes_every_sleeping_worker() -> None:
    """No worker sleeps on after the end."""
    clock = FakeClock()
    queue = make(clock)
    workers = [asyncio.create_task(queue.get()) for _ in range(5)]
    await clock.settle()
    queue.shut_down()
    results = await asyncio.gather(*workers, return_exceptions=True)
    assert [type(result) for result in results] == [ShutDown] * 5


@pytest.mark.parametrize("woken", [False, True], ids=["asleep", "just woken"])
async def test_row_24_a_cancelled_get_loses_neither_an_item_nor_a_wake_up(woken: bool) -> None:
    """A worker cancelled at any moment leaves its key, and its wake-up, to the next one."""
    clock = FakeClock()
    queue = make(clock)
    first = asyncio.create_task(queue.get())
    second = asyncio.create_task(queue.get())
    await clock.settle()
    if not woken:
        first.cancel()
        await clock.settle()
    queue.add("a")
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second == "a"
    queue.validate()


async def test_metrics_are_client_gos() -> None:
    """Adds, retries, waiting and working times, and the age of unfinished work, in seconds."""
    clock = FakeClock()
    observed = Observed()
    queue = make(clock, observed)
    queue.add("a")
    queue.add("b")
    await clock.advance(3)
    await queue.get()
    await clock.advance(2)
    queue.add("a")
    await queue.get()
    await clock.advance(1)
    assert queue.longest_running_seconds() == pytest.approx(3)
    assert queue.unfinished_seconds() == pytest.approx(4)
    queue.done("a")
    queue.retry("b")
    assert (queue.longest_running_seconds(), queue.unfinished_seconds()) == (0, 0)
    assert await queue.get() == "a"
    queue.done("a")
    assert (observed.adds, observed.retries) == (3, 1)
    assert observed.waited == pytest.approx([3, 5, 1])
    assert observed.worked == pytest.approx([3, 1, 0])
    await clock.advance(1)
    assert observed.adds == 4, "a retry is an add once it is due"
