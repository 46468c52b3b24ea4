"""The workqueue: rows 19 and 21-24 of docs/runtime.md, and a simple model of itself."""

import asyncio
import random
from collections.abc import Coroutine, Hashable
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from controller.runtime.queue.delays import Delays
from controller.runtime.queue.workqueue import DUE_AT_ONCE, ShutDown, WorkQueue
from tests.support.clock import FakeClock

T = TypeVar("T")


class Observed:
    """A QueueObserver that writes down what it is told."""

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
    return WorkQueue("test", clock or FakeClock(), observer=observer, rng=random.Random(1))


async def take_all(queue: WorkQueue[str]) -> list[str]:
    """Process everything that waits, in the queue's order."""
    taken = []
    while len(queue):
        taken.append(await queue.get())
        queue.done(taken[-1])
        queue.validate()
    return taken


async def test_row_19_adding_a_waiting_key_does_nothing() -> None:
    """Ten requests for a Warehouse that nobody has looked at yet are one request."""
    observed = Observed()
    queue = make(observer=observed)
    for _ in range(10):
        queue.add("a", "flow")
    assert len(queue) == 1
    assert observed.adds == 1
    assert await take_all(queue) == ["a"]


async def test_row_19_adding_a_key_in_processing_causes_exactly_one_rerun() -> None:
    """Whoever asks while a patch is in flight gets one more patch after it, however many ask."""
    queue = make()
    queue.add("a")
    assert await queue.get() == "a"
    for _ in range(10):
        queue.add("a", "flow")
        queue.add("a", "another flow")
        queue.validate()
    assert len(queue) == 0, "one worker per key"
    queue.done("a")
    assert await take_all(queue) == ["a"]


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
        queue.add(key, key[0])
    assert await take_all(queue) == order.split()


async def test_row_19_a_key_asked_for_by_two_flows_runs_at_the_earlier_turn_once() -> None:
    """A Warehouse at the end of a fan-out, asked for by an event of its own, is refreshed at once, once."""
    queue = make()
    for number in range(100):
        queue.add(f"key {number}", "fan-out")
    queue.add("key 99", "event")
    assert len(queue) == 100
    taken = await take_all(queue)
    assert taken[:3] == ["key 0", "key 99", "key 1"]
    assert sorted(taken) == sorted({f"key {number}" for number in range(100)})


async def test_row_19_a_rerun_takes_the_turn_of_each_flow_that_asked_for_it() -> None:
    """Asked for in processing by a small flow, the rerun does not stand behind a large one."""
    queue = make()
    for key in ("a", "b", "c", "d"):
        queue.add(key, "large")
    assert await queue.get() == "a"
    queue.add("a", "large")
    queue.add("a", "small")
    queue.done("a")
    assert await take_all(queue) == ["b", "a", "c", "d"]


async def test_row_21_shut_down_ignores_new_keys_and_hands_out_waiting_ones() -> None:
    """What was accepted before SIGTERM is finished; delayed keys are left to the journal."""
    clock = FakeClock()
    queue = make(clock)
    sleeper = asyncio.create_task(make(clock).get())
    queue.add("a")
    queue.add("b")
    queue.add_after("delayed", 1)
    queue.add_rate_limited("failed")
    queue.shut_down()
    queue.validate()
    queue.add("new")
    queue.add_after("new", 1)
    queue.add_rate_limited("new")
    assert (len(queue), queue.delayed) == (2, 0)
    assert await take_all(queue) == ["a", "b"]
    with pytest.raises(ShutDown):
        await queue.get()
    assert clock.pending == []
    sleeper.cancel()


async def test_row_21_shut_down_wakes_every_sleeping_worker() -> None:
    """No worker sleeps on after the end."""
    clock = FakeClock()
    queue = make(clock)
    workers = [asyncio.create_task(queue.get()) for _ in range(5)]
    await clock.settle()
    queue.shut_down()
    results = await asyncio.gather(*workers, return_exceptions=True)
    assert [type(result) for result in results] == [ShutDown] * 5


async def test_row_21_drain_waits_for_waiting_processing_and_reruns() -> None:
    """Drained means that the last patch, and the one asked for during it, are done."""
    clock = FakeClock()
    queue = make(clock)
    queue.add("a")
    queue.add("b")
    await queue.get()
    queue.add("a", "again")
    drain = asyncio.create_task(queue.drain())
    await clock.settle()
    assert queue.shutting_down
    for key in ("b", "a"):
        queue.done("a")
        await clock.settle()
        assert not drain.done(), f"{key} still waits"
        assert await queue.get() == key
        queue.done("b")
        await clock.settle()
    queue.done("a")
    await drain


async def test_row_21_a_second_shut_down_forces() -> None:
    """The second SIGTERM waits for nothing: waiting keys are dropped, drain returns, reruns are off."""
    clock = FakeClock()
    queue = make(clock)
    queue.add("a")
    queue.add("b")
    await queue.get()
    queue.add("a")
    drain = asyncio.create_task(queue.drain())
    await clock.settle()
    queue.shut_down()
    await drain
    queue.done("a")
    queue.validate()
    with pytest.raises(ShutDown):
        await queue.get()


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
    assert queue.is_delayed("a")
    await clock.advance(due - 0.001)
    assert len(queue) == 0
    await clock.advance(0.002)
    assert await take_all(queue) == ["a"]
    assert not queue.is_delayed("a")
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
    queue.add("a")
    await queue.get()
    queue.add_rate_limited("a", after=5)
    queue.done("a")
    queue.add("a", "event")
    queue.add_after("a", 1)
    queue.add_after("a", 0)
    assert (len(queue), queue.is_delayed("a")) == (0, True)
    for number in range(100):
        queue.add(f"key {number}")
    await clock.advance(5)
    assert (await take_all(queue))[:3] == ["key 0", "a", "key 1"]


async def test_row_22_asked_for_during_the_run_that_fails_joins_the_retry() -> None:
    """A failed patch is not repeated at once because somebody asked during it."""
    clock = FakeClock()
    queue = make(clock)
    queue.add("a")
    await queue.get()
    queue.add("a", "event")
    queue.add_rate_limited("a", after=5)
    queue.done("a")
    assert (len(queue), queue.delayed) == (0, 1)
    await clock.advance(5)
    assert await take_all(queue) == ["a"]


async def test_row_22_many_keys_due_together_are_moved_in_steps() -> None:
    """The end of an outage does not hold the event loop; nothing is left behind."""
    clock = FakeClock()
    queue = make(clock)
    for number in range(2 * DUE_AT_ONCE + 1):
        queue.add_rate_limited(str(number), after=1)
    assert clock.pending == [1.0], "one timer, not one per key"
    await clock.advance(1)
    assert len(queue) == 2 * DUE_AT_ONCE + 1


async def test_row_23_the_delay_doubles_per_key_to_a_cap() -> None:
    """5 ms doubling to 10 s, spread out, also after ten thousand failures; another key is not affected."""
    clock = FakeClock()
    queue = make(clock)
    delays = []
    for _ in range(20):
        queue.add_rate_limited("a")
        delays.append(clock.pending[0])
        await clock.advance(delays[-1])
        assert await take_all(queue) == ["a"]
    for number, delay in enumerate(delays):
        full = min(0.005 * 2**number, 10.0)
        assert full / 2 <= delay <= full + 1e-9, number
    for _ in range(10_000):
        queue.add_rate_limited("a")
    assert queue.failures("a") == 10_020
    queue.add_rate_limited("b")
    assert clock.pending[0] <= 0.005


async def test_row_23_forget_starts_again_at_the_beginning() -> None:
    """After a success the next failure is the first."""
    clock = FakeClock()
    queue = make(clock)
    for _ in range(8):
        queue.add_rate_limited("a")
        await clock.advance(10)
        await take_all(queue)
    queue.forget("a")
    queue.forget("never seen")
    assert queue.failures("a") == 0
    queue.add_rate_limited("a")
    assert clock.pending[0] <= 0.005


async def test_row_23_the_retry_stays_in_the_flow_of_the_run() -> None:
    """One failed patch of a small flow does not send its key to the end of everybody's retries."""
    clock = FakeClock()
    queue = make(clock)
    queue.add("a", "small")
    await queue.get()
    queue.add_rate_limited("a", after=1)
    queue.done("a")
    for number in range(10):
        queue.add(f"key {number}", "large")
    await clock.advance(1)
    assert (await take_all(queue))[:2] == ["key 0", "a"]


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
    queue.add_rate_limited("b")
    queue.done("b")
    assert (queue.longest_running_seconds(), queue.unfinished_seconds()) == (0, 0)
    assert await queue.get() == "a"
    queue.done("a")
    assert (observed.adds, observed.retries) == (3, 1)
    assert observed.waited == pytest.approx([3, 5, 1])
    assert observed.worked == pytest.approx([3, 1, 0])
    await clock.advance(1)
    assert observed.adds == 4, "a retry is an add once it is due"


async def test_nothing_stays_behind_of_flows_and_delays_that_are_over() -> None:
    """Thousands of repositories that were pushed to once cost nothing afterwards."""
    queue = make()
    for number in range(1000):
        queue.add("hot", f"flow {number}")
        queue.add(f"key {number}", f"flow {number}")
    await take_all(queue)
    assert queue._waiting.flows == 0
    for _ in range(1000):
        queue.add_after("a", 3600)
        queue.add("a")
        await take_all(queue)
    for number in range(1000):
        queue.add_after("b", 3600 - number)
        queue.validate()
    assert queue.delayed == 1


def test_delays_of_keys_without_an_order() -> None:
    """Keys due at the same time are never compared with each other."""
    delays: Delays[complex] = Delays()
    delays.put(1j, 5, None, backoff=True)
    delays.put(2j, 5, None, backoff=True)
    assert [delays.pop_due(5), delays.pop_due(5)] == [(1j, (None,)), (2j, (None,))]


KEYS = st.sampled_from("abcdef")
FLOWS = st.sampled_from([None, "x", "y", "z"])
SECONDS = st.integers(1, 4)


class QueueMachine(RuleBasedStateMachine):
    """Any order of calls, compared with a model made of lists."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.queue = make(self.clock)
        self.getters: list[asyncio.Task[None]] = []
        self.handed_out: list[str] = []
        # The model.
        self.flows: list[tuple[Hashable, list[str]]] = []  # in the order of their next turn
        self.delayed: dict[str, tuple[float, int, bool, list[Hashable]]] = {}
        self.processing: dict[str, tuple[Hashable, list[Hashable]]] = {}
        self.down = 0
        self.order = 0
        self.expected: list[str] = []

    def teardown(self) -> None:
        """Nothing is lost: in the end every key that is still pending gets its run."""
        try:
            self.pass_time(6)
            for _ in range(100):
                self.settle()
                if self.processing:
                    self.done(next(iter(self.processing)))
                elif self.waiting():
                    self.start_get()
            assert len(self.queue) == len(self.waiting()) == 0
        finally:
            for task in self.getters:
                task.cancel()
            self.do(self.clock.settle())
            self.loop.close()

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(coroutine)

    def settle(self) -> None:
        """Let workers run; the model hands out as many keys as workers were asking for."""
        self.do(self.clock.settle())
        asking = len(self.getters)
        while asking and self.flows:
            asking -= 1
            flow, keys = self.flows.pop(0)
            key = keys.pop(0)
            if keys:
                self.flows.append((flow, keys))
            self.flows = [
                (name, rest) for name, every in self.flows if (rest := [k for k in every if k != key])
            ]
            self.processing[key] = (flow, [])
            self.expected.append(key)
        self.getters = [task for task in self.getters if not task.done()]
        assert self.handed_out == self.expected
        assert len(self.getters) == (0 if self.down else asking)

    def waiting(self) -> set[str]:
        return {key for _, keys in self.flows for key in keys}

    def enqueue(self, key: str, flows: list[Hashable]) -> None:
        for flow in flows:
            if key in self.processing:
                if flow not in self.processing[key][1]:
                    self.processing[key][1].append(flow)
                continue
            for name, keys in self.flows:
                if name == flow:
                    if key not in keys:
                        keys.append(key)
                    break
            else:
                self.flows.append((flow, [key]))

    def delay(self, key: str, seconds: float, backoff: bool, flows: list[Hashable]) -> None:
        due, known = self.clock.monotonic() + seconds, self.delayed.get(key)
        if known is None or (known[2] == backoff and due < known[0]) or (backoff and not known[2]):
            self.order += 1
            kept = known[3][1:] if known else []
            self.delayed[key] = (due, self.order, backoff, flows[:1] + kept)
        for flow in flows[1:]:
            self.join(key, flow)

    def join(self, key: str, flow: Hashable) -> None:
        if flow not in self.delayed[key][3]:
            self.delayed[key][3].append(flow)

    def move_due(self) -> None:
        for key, (due, _, _, flows) in sorted(self.delayed.items(), key=lambda item: item[1][:2]):
            if due <= self.clock.monotonic():
                del self.delayed[key]
                self.enqueue(key, flows)

    def asked(self, key: str, flow: Hashable) -> None:
        if self.down:
            return
        if key in self.delayed and self.delayed[key][2]:
            self.join(key, flow)
            return
        self.delayed.pop(key, None)
        self.enqueue(key, [flow])

    @rule(key=KEYS, flow=FLOWS)
    def add(self, key: str, flow: Hashable) -> None:
        self.queue.add(key, flow)
        self.asked(key, flow)
        self.settle()

    @precondition(lambda self: self.getters)
    @rule(key=KEYS, flow=FLOWS, data=st.data())
    def add_and_cancel_a_get(self, key: str, flow: Hashable, data: st.DataObject) -> None:
        """The worker may be the one that was woken for the key an instant ago."""
        self.queue.add(key, flow)
        self.asked(key, flow)
        self.cancel_a_get(data)

    @rule(key=KEYS, flow=FLOWS, seconds=SECONDS)
    def add_after(self, key: str, flow: Hashable, seconds: float) -> None:
        self.queue.add_after(key, seconds, flow)
        again = key in self.processing and self.processing[key][1]
        if not self.down and key not in self.waiting() and not again:
            self.delay(key, seconds, backoff=False, flows=[flow])

    @rule(key=KEYS, flow=FLOWS, seconds=SECONDS)
    def add_rate_limited(self, key: str, flow: Hashable, seconds: float) -> None:
        self.queue.add_rate_limited(key, flow, after=seconds)
        if self.down or key in self.waiting():
            return
        again: list[Hashable] = []
        if key in self.processing:
            ran_in, again = self.processing[key]
            flow = ran_in if flow is None else flow
            self.processing[key] = (ran_in, [])
        self.delay(key, seconds, backoff=True, flows=[flow, *again])

    @rule()
    def start_get(self) -> None:
        async def worker() -> None:
            self.handed_out.append(await self.queue.get())

        if self.down and not self.waiting():
            with pytest.raises(ShutDown):
                self.do(self.queue.get())
        else:
            self.getters.append(self.loop.create_task(worker()))
            self.settle()

    @precondition(lambda self: self.getters)
    @rule(data=st.data())
    def cancel_a_get(self, data: st.DataObject) -> None:
        self.getters.pop(data.draw(st.integers(0, len(self.getters) - 1))).cancel()
        self.settle()

    @rule(key=KEYS)
    def done(self, key: str) -> None:
        """Also for keys that nobody processes."""
        self.queue.done(key)
        if key in self.processing:
            _, again = self.processing.pop(key)
            self.enqueue(key, again if self.down < 2 else [])
        self.settle()

    @rule(seconds=SECONDS)
    def pass_time(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.do(self.clock.advance(1))
            self.move_due()
            self.settle()

    @precondition(lambda self: len(self.expected) > 8 or self.down)
    @rule(sure=st.sampled_from([False, False, False, True]))
    def shut_down(self, sure: bool) -> None:
        if not sure:
            return
        self.queue.shut_down()
        self.down += 1
        self.delayed = {}
        if self.down > 1:
            self.flows = []
        self.do(self.clock.settle())
        for task in self.getters:
            assert isinstance(task.exception(), ShutDown)
        self.getters = []

    @invariant()
    def agrees(self) -> None:
        self.queue.validate()
        assert len(self.queue) == len(self.waiting())
        assert self.queue.processing == len(self.processing)
        assert {key for key in "abcdef" if self.queue.is_delayed(key)} == set(self.delayed)
        assert self.queue.delayed == len(self.delayed)


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
