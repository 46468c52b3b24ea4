"""The refresh queue with a million Warehouses, on a clock that jumps.

Run it with ``python -m tests.benchmarks.simulation``.

The queue is the real one; the API server is a number of patches in flight, each of which takes a while. What
docs/sizing.md claims about size, load and turns is checked here without a cluster of that size.
"""

import heapq
import random
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from controller.cli.settings import DEFAULT_CONCURRENCY
from controller.kargo.objects import Target
from controller.runtime.clock import Clock, Timer
from controller.runtime.queue.workqueue import WorkQueue

IN_FLIGHT = DEFAULT_CONCURRENCY
PATCHES_PER_SECOND = 400.0
WAREHOUSES = 1_000_000
PER_PROJECT = 1_000


class JumpingClock(Clock):
    """A clock that is set, and never waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """The time it was set to."""
        return self.now

    time = monotonic

    async def sleep(self, seconds: float) -> None:
        """Nothing in here sleeps."""
        raise NotImplementedError

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Nothing in here is delayed."""
        raise NotImplementedError


@dataclass(frozen=True)
class Event:
    """At ``when`` seconds, somebody asks for these Warehouses in a flow of their own."""

    when: float
    flow: str
    numbers: range


@dataclass
class Outcome:
    """What became of the events."""

    patches: int = 0
    asked: int = 0
    finished: float = 0.0
    """When the last patch ended, in simulated seconds."""
    deepest: int = 0
    """The most keys that waited at one time."""
    waits: dict[str, list[float]] | None = None
    """By flow: seconds from each event to the end of its last patch."""


def target(number: int) -> Target:
    """A Warehouse."""
    return Target("Warehouse", f"project-{number // PER_PROJECT}", f"warehouse-{number}")


def simulate(
    events: Iterable[Event], *, in_flight: int = IN_FLIGHT, rate: float = PATCHES_PER_SECOND
) -> Outcome:
    """Run events through the queue until everything is patched. Events must be in the order of time."""
    clock = JumpingClock()
    queue: WorkQueue[Target] = WorkQueue("simulated", clock)
    seconds = in_flight / rate  # of one patch, with all others in flight
    outcome = Outcome(waits={})
    assert outcome.waits is not None
    ending: list[tuple[float, int, Target, list[_Open]]] = []
    open_for: dict[Target, list[_Open]] = {}
    coming = iter(events)
    event = next(coming, None)
    while event is not None or ending:
        if event is not None and (not ending or event.when <= ending[0][0]):
            clock.now = event.when
            one = _Open(event, len(event.numbers))
            outcome.asked += len(event.numbers)
            for number in event.numbers:
                key = target(number)
                open_for.setdefault(key, []).append(one)
                queue.add(key, (event.flow,))
            event = next(coming, None)
        else:
            clock.now, _, key, settled = heapq.heappop(ending)
            queue.done(key)
            outcome.finished = clock.now
            for one in settled:
                one.left -= 1
                if not one.left:
                    outcome.waits.setdefault(one.event.flow, []).append(clock.now - one.event.when)
        outcome.deepest = max(outcome.deepest, len(queue))
        while len(queue) and len(ending) < in_flight:
            key = _take(queue)
            outcome.patches += 1
            heapq.heappush(ending, (clock.now + seconds, outcome.patches, key, open_for.pop(key)))
    return outcome


class _Open:
    """An event with something outstanding."""

    def __init__(self, event: Event, left: int) -> None:
        self.event = event
        self.left = left


def _take(queue: WorkQueue[Target]) -> Target:
    """Take a key that waits: the coroutine has nothing to wait for, so its first step is its last."""
    try:
        queue.get().send(None)
    except StopIteration as end:
        key: Target = end.value
        return key
    raise AssertionError("nothing waits")


# Scenarios


def single_during_fan_out(warehouses: int, singles: int = 1_000) -> Outcome:
    """One event for all Warehouses, and single ones for Warehouses of their own while it lasts."""
    lasts = warehouses / PATCHES_PER_SECOND
    events = [Event(0.0, "fan-out", range(warehouses))]
    events += (
        Event(lasts * 0.9 * (number + 1) / singles, "single", range(each := warehouses + number, each + 1))
        for number in range(singles)
    )
    return simulate(events)


def steady(load: float, *, warehouses: int, seconds: float, subscribers: int = 3) -> Outcome:
    """Events of ``subscribers`` Warehouses each, at random, at ``load`` times what can be patched."""
    dice = random.Random(1)
    when = 0.0
    events: list[Event] = []
    while True:
        when += dice.expovariate(load * PATCHES_PER_SECOND / subscribers)
        if when > seconds:
            return simulate(events)
        first = dice.randrange(warehouses // subscribers) * subscribers
        events.append(Event(when, f"flow-{first}", range(first, first + subscribers)))


def storm(warehouses: int, times: int) -> Outcome:
    """Every Warehouse is asked for again and again, far faster than can be patched."""
    chunk = warehouses // 100
    return simulate(
        Event(turn * 10 + part / 10, f"flow-{part}", range(part * chunk, (part + 1) * chunk))
        for turn in range(times)
        for part in range(100)
    )


def percentile(values: list[float], share: float) -> float:
    """The value that so large a share lies below."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def main() -> None:
    """Print what the documentation says."""
    lines = []
    for warehouses in (WAREHOUSES // 100, WAREHOUSES):
        done = single_during_fan_out(warehouses)
        assert done.waits is not None
        p99 = percentile(done.waits["single"], 0.99)
        lines.append(
            f"fan-out to {warehouses:,}: complete after {done.waits['fan-out'][0]:,.0f} s; single events "
            f"meanwhile: p99 {p99:.2f} s; at most {done.deepest:,} keys waited"
        )
    for load in (0.5, 0.9, 1.1):
        done = steady(load, warehouses=WAREHOUSES, seconds=600)
        assert done.waits is not None
        waits = [wait for flow in done.waits.values() for wait in flow]
        lines.append(
            f"load {load:.1f}: p50 {percentile(waits, 0.5):.2f} s, p99 {percentile(waits, 0.99):.1f} s, at "
            f"most {done.deepest:,} keys waited, {done.patches / done.asked:.0%} patches for what was asked"
        )
    done = storm(WAREHOUSES, 10)
    lines.append(
        f"storm: {done.asked:,} refreshes of {WAREHOUSES:,} Warehouses asked for: {done.patches:,} patches, "
        f"at most {done.deepest:,} keys waited"
    )
    print("\n".join(lines))  # noqa: T201
    print(f"# simulated in {time.process_time():.0f} s of processor time", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    main()
