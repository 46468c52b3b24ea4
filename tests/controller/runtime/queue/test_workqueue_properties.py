"""The workqueue compared with a simple model of itself: rows 19 and 21-24 of docs/runtime.md in any order."""

import asyncio
from collections.abc import Coroutine, Hashable
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from controller.runtime.queue.flows import Flow
from controller.runtime.queue.workqueue import ShutDown
from tests.support.clock import FakeClock
from tests.support.queues import make

T = TypeVar("T")

KEYS = st.sampled_from("abcdef")
FLOWS = st.tuples(st.sampled_from("pq"), st.sampled_from("xyz"))
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
        # Branches in the order of their next turn, each with its flows in the order of theirs.
        self.branches: list[tuple[Hashable, list[tuple[Hashable, list[str]]]]] = []
        self.asked_in: dict[str, list[Flow]] = {}  # by waiting key, in the order of asking
        self.delayed: dict[str, tuple[float, int, bool, list[Flow]]] = {}
        self.processing: dict[str, tuple[list[Flow], list[Flow]]] = {}
        self.failed: set[str] = set()
        self.down = False
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
        while asking and self.branches:
            asking -= 1
            name, flows = self.branches.pop(0)
            flow, keys = flows.pop(0)
            key = keys[0]
            self.branches.append((name, [*flows, (flow, keys)]))
            self.processing[key] = (self.asked_in.pop(key), [])
            self.take_out(key)
            self.expected.append(key)
        self.getters = [task for task in self.getters if not task.done()]
        assert self.handed_out == self.expected
        assert len(self.getters) == (0 if self.down else asking)

    def take_out(self, key: str) -> None:
        for _, flows in self.branches:
            for _, keys in flows:
                if key in keys:
                    keys.remove(key)
            flows[:] = [(flow, keys) for flow, keys in flows if keys]
        self.branches = [(name, flows) for name, flows in self.branches if flows]

    def waiting(self) -> set[str]:
        return {key for _, flows in self.branches for _, keys in flows for key in keys}

    def enqueue(self, key: str, flows: list[Flow]) -> None:
        for name, flow in flows:
            if key in self.processing:
                again = self.processing[key][1]
                if (name, flow) not in again:
                    again.append((name, flow))
                continue
            below = _get(self.branches, name)
            keys = _get(below, flow)
            if key not in keys:
                keys.append(key)
                self.asked_in.setdefault(key, []).append((name, flow))

    def delay(self, key: str, seconds: float, held: bool, flows: list[Flow]) -> None:
        due, known = self.clock.monotonic() + seconds, self.delayed.get(key)
        self.order += 1
        new = (due, self.order, held)
        if known is not None:
            flows = list(dict.fromkeys([*known[3], *flows]))
            if known[2] > held or (known[2] == held and known[0] <= due):
                new = known[:3]
        self.delayed[key] = (*new, list(dict.fromkeys(flows)))

    def move_due(self) -> None:
        for key, (due, _, _, flows) in sorted(self.delayed.items(), key=lambda item: item[1][:2]):
            if due <= self.clock.monotonic():
                del self.delayed[key]
                self.enqueue(key, flows)

    def asked(self, key: str, flow: Flow) -> None:
        if self.down:
            return
        if key in self.delayed and self.delayed[key][2]:
            due, order, held, flows = self.delayed[key]
            self.delayed[key] = (due, order, held, list(dict.fromkeys([*flows, flow])))
            return
        self.delayed.pop(key, None)
        self.enqueue(key, [flow])

    @rule(key=KEYS, flow=FLOWS)
    def add(self, key: str, flow: Flow) -> None:
        self.queue.add(key, flow)
        self.asked(key, flow)
        self.settle()

    @precondition(lambda self: self.getters)
    @rule(key=KEYS, flow=FLOWS, data=st.data())
    def add_and_cancel_a_get(self, key: str, flow: Flow, data: st.DataObject) -> None:
        """The worker may be the one that was woken for the key an instant ago."""
        self.queue.add(key, flow)
        self.asked(key, flow)
        self.cancel_a_get(data)

    @rule(key=KEYS, flow=FLOWS, seconds=SECONDS)
    def add_after(self, key: str, flow: Flow, seconds: float) -> None:
        self.queue.add_after(key, seconds, flow)
        again = key in self.processing and self.processing[key][1]
        if not self.down and key not in self.waiting() and not again:
            self.delay(key, seconds, held=False, flows=[flow])

    @rule(key=KEYS, seconds=SECONDS)
    def retry(self, key: str, seconds: float) -> None:
        """Also for keys that nobody processes."""
        self.queue.retry(key, after=seconds)
        if key in self.processing:
            flows, again = self.processing.pop(key)
            if not self.down:
                self.failed.add(key)
                self.delay(key, seconds, held=True, flows=[*flows, *again])
        self.settle()

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

    @rule(
        key=KEYS,
        after=st.one_of(st.none(), SECONDS),
        pause=st.sampled_from([0, 0, 2]),
    )
    def done(self, key: str, after: float | None = None, pause: float = 0) -> None:
        """Also for keys that nobody processes."""
        self.queue.done(key, after=after, pause=pause)
        if key in self.processing:
            flows, again = self.processing.pop(key)
            self.failed.discard(key)
            if again and pause and not self.down:
                self.delay(key, pause, held=True, flows=again)
            elif again:
                self.enqueue(key, again)
            elif after is not None and not self.down:
                self.delay(key, after, held=False, flows=flows)
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
        self.down = True
        for key, (_, _, held, flows) in self.delayed.items():
            if held and key not in self.failed:
                self.enqueue(key, flows)
        self.delayed = {}
        if self.waiting():
            self.settle()
        self.do(self.clock.settle())
        for task in self.getters:
            assert isinstance(task.exception(), ShutDown)
        self.getters = []

    @invariant()
    def agrees(self) -> None:
        self.queue.validate()
        assert len(self.queue) == len(self.waiting())
        known = self.waiting() | self.delayed.keys() | self.processing.keys()
        assert {key for key in "abcdef" if key in self.queue} == known


def _get(entries: list[tuple[Hashable, list[T]]], name: Hashable) -> list[T]:
    """Return the list of this name, after adding an empty one if there is none."""
    for known, found in entries:
        if known == name:
            return found
    entries.append((name, []))
    return entries[-1][1]


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
