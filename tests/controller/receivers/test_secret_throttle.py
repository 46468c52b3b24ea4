"""The token bucket and the slots: rate, ranks, newcomers first, cancelled waiters."""

import asyncio

import pytest

from controller.receivers.secret_throttle import Slots, TokenBucket
from tests.support.clock import FakeClock


async def test_a_bucket_lets_through_its_burst_and_then_its_rate() -> None:
    """Over any time, no more than the burst and what was filled in meanwhile."""
    clock = FakeClock()
    bucket = TokenBucket(clock, rate=10.0, burst=3.0)
    passed: list[float] = []
    for _ in range(40):
        bucket.call(lambda: passed.append(clock.monotonic()))
    counts = [len(passed)]
    for _ in range(4):
        await clock.advance(1.0)
        counts.append(len(passed))
    assert counts == [3, 13, 23, 33, 40]


async def test_low_ranks_go_first_and_within_a_rank_the_latest() -> None:
    """A newcomer does not wait behind a thousand others, nor behind what was refused often."""
    clock = FakeClock()
    bucket = TokenBucket(clock, rate=1.0, burst=1.0)
    passed: list[str] = []
    bucket.call(lambda: passed.append("at once"))
    for name, rank in (("old", 2), ("older", 3), ("first", 1), ("new", 2)):
        bucket.call(lambda name=name: passed.append(name), rank=rank)  # type: ignore[misc]
    await clock.advance(4.0)
    assert passed == ["at once", "first", "new", "old", "older"]


@pytest.mark.parametrize("asked", [True, False], ids=["asked", "made without asking"])
async def test_what_costs_more_is_paid_off_before_the_next(asked: bool) -> None:
    """Three requests for one token: the next one waits for the other two as well."""
    clock = FakeClock()
    bucket = TokenBucket(clock, rate=1.0, burst=1.0)
    passed: list[float] = []
    if asked:
        bucket.call(lambda: None, cost=3.0)
    else:
        bucket.spend(3.0)
    begin = clock.monotonic()
    bucket.call(lambda: passed.append(clock.monotonic() - begin))
    await clock.advance(2.9)
    assert passed == []
    await clock.advance(0.2)
    assert passed == [pytest.approx(3.0)]


async def test_a_taker_that_is_cancelled_holds_up_nobody() -> None:
    """Its turn comes to nothing, and the next one has its own."""
    clock = FakeClock()
    bucket = TokenBucket(clock, rate=1.0, burst=1.0)
    await bucket.take()
    second, first = (asyncio.ensure_future(bucket.take()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await clock.advance(2.5)
    assert second.done()


async def test_slots_are_bounded_and_the_latest_comer_is_next() -> None:
    """Two at a time; of those that wait, the last to come."""
    slots, order, gates = Slots(2), [], [asyncio.Event() for _ in range(5)]

    async def hold(number: int) -> None:
        await slots.take()
        order.append(number)
        await gates[number].wait()
        slots.give()

    tasks = [asyncio.ensure_future(hold(number)) for number in range(5)]
    await asyncio.sleep(0)
    assert order == [0, 1]
    tasks[3].cancel()
    for gate in gates:
        gate.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == [0, 1, 4, 2]


async def test_a_slot_that_was_handed_to_a_cancelled_waiter_goes_on_to_the_next() -> None:
    """Handing over and cancelling at one moment loses no slot."""
    slots = Slots(1)
    entered = asyncio.Event()

    async def wait() -> None:
        await slots.take()
        entered.set()

    await slots.take()
    unlucky = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    slots.give()
    unlucky.cancel()  # it has the slot by now, and has not run
    await asyncio.gather(unlucky, return_exceptions=True)
    assert not entered.is_set()
    async with asyncio.timeout(1.0):
        await slots.take()
