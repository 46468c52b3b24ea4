"""The watches of Secrets: what they cost when refused, in which order they begin, and what they report."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from controller.receivers.secret_watches import PLACES, SecretWatches
from controller.receivers.state import UNREADABLE, SecretRef
from controller.runtime.informer.watch_turns import HELD_SECONDS
from tests.support.api_traffic import most_within
from tests.support.clock import FakeClock
from tests.support.secret_api import SecretApi

REFUSED = 200
RATE = 40


class Watching:
    """SecretWatches at work on a clock that stands still."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.api = SecretApi(self.clock)
        self.changed: Counter[SecretRef] = Counter()
        self.watches = SecretWatches(
            self.api, clock=self.clock, changed=lambda ref: self.changed.update([ref])
        )

    @contextlib.asynccontextmanager
    async def running(self, *refs: SecretRef) -> AsyncIterator[asyncio.Task[None]]:
        """Follow these from the start; yields the task that ends with the start."""
        for ref in refs:
            self.watches.follow(ref)
        running = asyncio.create_task(self.watches.run())
        tried = asyncio.create_task(self.watches.wait_tried())
        await self.clock.settle()
        try:
            yield tried
        finally:
            for task in (running, tried):
                task.cancel()
            await asyncio.gather(running, tried, return_exceptions=True)


@pytest.mark.limit(60)
async def test_refused_secrets_cost_at_most_40_requests_a_second() -> None:
    """200 are each tried again within 7.5 s, so 1,000 within 30 s; a newcomer is read at once."""
    site = Watching()
    refs = [(f"p-{number}", "s") for number in range(REFUSED)]
    site.api.refused = {namespace for namespace, _ in refs}
    async with site.running(*refs) as start:
        await site.clock.advance(5.0)
        start.cancel()  # as the application does some time later
        await site.clock.advance(2.0)
        site.watches.follow(("new", "s"))
        site.api.refused.add("late")
        site.watches.follow(("late", "s"))
        await site.clock.advance(0.5)
        assert site.watches.state(("new", "s")).known
        assert site.watches.state(("late", "s")).problem
        site.api.refused.remove("late")
        await site.clock.advance(9.0)
        assert site.watches.state(("late", "s")).known
        await site.clock.advance(5.0)
        times = [at for at, _ in site.api.lists]
        assert most_within(times, 1.0) <= RATE
        assert len(times) > 30 * (times[-1] - times[0])
        assert {ref for at, ref in site.api.lists if at >= times[-1] - 7.5} >= set(refs)


async def test_refused_secrets_that_come_later_cost_no_more() -> None:
    """A hundred Projects at once, whose RoleBindings are still to come."""
    site = Watching()
    refs = [(f"p-{number}", "s") for number in range(100)]
    site.api.refused = {namespace for namespace, _ in refs}
    async with site.running():
        for ref in refs:
            site.watches.follow(ref)
        await site.clock.advance(5.0)
        assert {ref for _, ref in site.api.lists} == set(refs)
        assert most_within([at for at, _ in site.api.lists], 1.0) <= RATE


async def test_a_right_that_comes_is_seen_within_6_s() -> None:
    """While it has been missing for less than two minutes, and within 30 s later; it is reported once."""
    site = Watching()
    site.api.refused = {"p"}
    with capture_logs() as lines:
        async with site.running(("p", "s"), ("p", "t"), ("good", "s")):
            await site.clock.advance(60.0)
            assert site.watches.state(("p", "s")).problem == UNREADABLE
            assert site.watches.state(("good", "s")).known
            site.api.refused.clear()
            await site.clock.advance(6.0)
            assert site.watches.state(("p", "s")).known
            assert not site.watches.state(("p", "s")).problem
    events = [(line["event"], line["namespace"]) for line in lines]
    assert events.count(("right_missing", "p")) == 1
    assert events.count(("secret_readable", "p")) == 2


async def test_what_was_reported_of_a_namespace_ends_with_its_secrets() -> None:
    """A Project that is deleted and made again is reported again."""
    site = Watching()
    site.api.refused = {"p"}
    with capture_logs() as lines:
        async with site.running(("p", "s")):
            for _ in range(2):
                await site.clock.advance(1.0)
                site.watches.forget(("p", "s"))
                site.watches.follow(("p", "s"))
            await site.clock.advance(1.0)
    assert [line["event"] for line in lines] == ["right_missing"] * 3


async def test_secrets_are_listed_before_any_is_watched() -> None:
    """So many at a time; one that is refused holds up none of them."""
    site = Watching()
    site.api.list_seconds = 1.0
    site.api.refused = {"p-3"}
    refs = [(f"p-{number}", "s") for number in range(4 * PLACES)]
    async with site.running(*refs) as start:
        assert len(site.api.lists) == PLACES
        await site.clock.advance(3.5)
        assert not start.done()
        assert site.api.watches == []
        assert all(site.watches.state(ref).settling for ref in refs[:3])
        site.changed.clear()
        await site.clock.advance(1.0)
        assert start.done()
        assert len(site.api.watches) == len(refs) - 1
        assert not any(site.watches.state(ref).settling for ref in refs)
        assert site.changed[refs[0]] == 1  # who waits for the watch to be open is woken


async def test_a_secret_that_comes_while_others_are_read_at_the_start_waits_for_the_start() -> None:
    """And one that is no longer followed is waited for by nobody."""
    site = Watching()
    site.api.list_seconds = 0.9
    refs = [(f"p-{number}", "s") for number in range(PLACES + 1)]
    async with site.running(*refs) as start:
        site.watches.forget(refs[-1])
        site.watches.follow(("new", "s"))
        await site.clock.advance(0.95)
        assert start.done()
        await site.clock.advance(0.95)
        assert site.watches.state(("new", "s")).known


async def test_api_servers_that_do_not_answer_hold_up_the_others_for_a_second() -> None:
    """Half of 40 watches hang while they are being opened: the other half is open within seconds."""
    site = Watching()
    refs = [(f"p-{number}", "s") for number in range(40)]
    site.api.silent = lambda ref: int(ref[0][2:]) < 20
    async with site.running(*refs):
        await site.clock.advance(HELD_SECONDS * 20 / PLACES + 0.1)
        assert {ref for _, ref in site.api.watches} == set(refs)
        assert len(site.api.watches) == len(refs)
