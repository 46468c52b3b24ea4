"""The pacer: its rate, first requests before repeated ones, cancelled waiters."""

import asyncio

import pytest

from controller.receivers.secret_throttle import PACE, REPEATED, RequestPacer
from tests.support.clock import FakeClock


async def test_no_second_sees_more_than_its_rate() -> None:
    """However many wait, one goes every 29 ms, in the order in which they came."""
    clock = FakeClock()
    pacer = RequestPacer(clock)
    went: list[int] = []

    async def go(number: int) -> None:
        await pacer.first()
        went.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(100):
            group.create_task(go(number))
        await clock.settle()
        assert len(went) == 1
        await clock.advance(1.0)
        assert len(went) == 1 + int(1.0 / PACE) <= 36
        await clock.advance(2.0)
    assert went == list(range(100))


async def test_a_thousand_repeated_requests_hold_up_no_first_one() -> None:
    """Nor does a report, which costs three, take more than its turns."""
    clock = FakeClock()
    pacer = RequestPacer(clock)
    waiting = [asyncio.ensure_future(pacer.again(requests)) for requests in (3, *[1] * 1_000)]
    await clock.settle()
    first = asyncio.ensure_future(pacer.first())
    await clock.advance((REPEATED + 1.5) * PACE)
    assert first.done()
    assert not waiting[0].done()
    await clock.advance(2 * REPEATED * PACE)
    assert waiting[0].done()
    assert sum(each.done() for each in waiting) < 3 * REPEATED + 3
    for each in waiting:
        each.cancel()


@pytest.mark.parametrize("repeated", [False, True])
async def test_whoever_is_cancelled_delays_nobody(repeated: bool) -> None:
    """A thousand that are cancelled while they wait leave the next one its turn at once."""
    clock = FakeClock()
    pacer = RequestPacer(clock)
    wait = pacer.again if repeated else pacer.first
    waiting = [asyncio.ensure_future(wait()) for _ in range(1_000)]
    await clock.settle()
    for each in waiting:
        each.cancel()
    next_one = asyncio.ensure_future(wait())
    await clock.advance(1.1 * PACE)
    assert next_one.done()
