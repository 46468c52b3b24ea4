"""The clocks: the machine's, and the one that tests move."""

import asyncio

from controller.runtime.clock import Clock
from tests.support.clock import FakeClock


def _fail() -> None:
    raise AssertionError


async def test_the_system_clock_sleeps_and_calls_back() -> None:
    """The machine's clock lets time pass, and a cancelled timer stays silent."""
    clock: Clock = Clock()
    before, called = clock.monotonic(), asyncio.Event()
    clock.call_later(0.001, called.set)
    clock.call_later(0.0, _fail).cancel()
    await called.wait()
    await clock.sleep(0.001)
    assert clock.monotonic() - before >= 0.002
    assert clock.time() > 1_700_000_000


async def test_the_fake_clock_runs_what_is_due_in_order() -> None:
    """Sleeps and timers fall due by time, also those set on the way, and nothing else does."""
    clock = FakeClock()
    seen: list[tuple[str, float]] = []

    async def sleeper(name: str, *seconds: float) -> None:
        for each in seconds:
            await clock.sleep(each)
            seen.append((name, clock.monotonic() - 1_000))

    tasks = [asyncio.create_task(sleeper("a", 2, 2)), asyncio.create_task(sleeper("b", 3, 9))]
    clock.call_later(1, lambda: seen.append(("timer", clock.monotonic() - 1_000)))
    cancelled = clock.call_later(1, lambda: seen.append(("never", 0)))
    cancelled.cancel()
    await clock.advance(5)
    assert seen == [("timer", 1), ("a", 2), ("b", 3), ("a", 4)]
    assert clock.pending == [7.0]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert clock.pending == []
