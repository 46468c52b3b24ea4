"""Refreshing: who shares a patch with whom, who takes whose place, and who is served first."""

import asyncio
import random

import pytest

from controller.kargo.objects import WAREHOUSES
from controller.refreshing.batch import Batch
from controller.refreshing.refresher import LONGEST_PAUSE
from tests.support.aio import run
from tests.support.kube import Request, refused, unreachable
from tests.support.refreshing import Refreshing

# --- coalescing ---


async def test_requests_that_wait_share_a_patch() -> None:
    """Asked for by many before anybody looked: one patch, all of them satisfied."""
    async with Refreshing() as site:
        target = site.target("w")
        batches = [site.ask(target, flow=f"flow-{number % 7}") for number in range(1000)]
        await site.clock.settle()
        assert len(site.patches()) == 1
        assert all(batch.persisted == 1 for batch in batches)
        assert len(site.metrics.lags) == 1000


async def test_a_request_during_a_patch_causes_one_more() -> None:
    """Only a patch that started after the request satisfies it; one serves all that came meanwhile."""
    async with Refreshing() as site:
        target = site.target("w")
        site.kube.gate.clear()
        first = site.ask(target)
        await site.clock.settle()
        later = [site.ask(target) for _ in range(100)]
        await site.clock.settle()
        assert len(site.patches()) == 1  # one at a time for each Warehouse
        site.kube.gate.set()
        await site.clock.settle()
        assert first.done
        assert all(batch.done for batch in later)
        assert len(site.patches()) == 2


async def test_a_thousand_concurrent_requests_cost_a_handful_of_patches() -> None:
    """They come while patches are under way, and each is followed by one that started later."""
    async with Refreshing() as site:
        target = site.target("w")
        waits = []
        for number in range(1000):
            waits.append((site.ask(target), len(site.kube.requests)))
            if number % 100 == 0:
                await asyncio.sleep(0)
        await site.clock.settle()
        assert all(batch.done for batch, _ in waits)
        assert len(site.patches()) <= 24
        assert all(site.kube.stored[-1] >= mark for _, mark in waits)


def test_after_a_patch_that_took_long_the_next_waits_for_others_to_join() -> None:
    """Twice as long as the patch took, up to a bound: who comes meanwhile shares the next one."""

    async def scenario(took: float, waits: float) -> None:
        async with Refreshing() as site:
            target = site.target("w")
            site.kube.gate.clear()
            site.ask(target)
            await site.clock.settle()
            during = site.ask(target)
            await site.clock.advance(took)
            site.kube.gate.set()
            await site.clock.settle()
            await site.clock.advance(waits * 0.9)
            assert during.outstanding == 1
            joins = site.ask(target)
            await site.clock.advance(waits * 0.2)
            assert during.done
            assert joins.done
            assert len(site.patches()) == 2

    run(scenario(0.05, 0.1))
    run(scenario(3.0, LONGEST_PAUSE))


async def test_a_pause_keeps_nobody_else_waiting() -> None:
    """While a busy Warehouse waits for others to join, a worker is free for a cold one."""
    async with Refreshing(workers=1) as site:
        hot, cold = site.target("hot"), site.target("cold")
        site.kube.gate.clear()
        site.ask(hot)
        await site.clock.settle()
        during = site.ask(hot)
        await site.clock.advance(1.0)
        site.kube.gate.set()
        await site.clock.settle()
        first = site.ask(cold, flow="other")
        await site.clock.settle()
        assert (first.done, during.done) == (True, False)
        await site.clock.advance(LONGEST_PAUSE)
        assert during.done


async def test_a_patch_that_fails_carries_on_for_all() -> None:
    """Who asked during the failed patch joins its retry, and both get the one that follows."""
    async with Refreshing() as site:
        target = site.target("w")
        site.kube.fail(refused(503), times=1)
        site.kube.gate.clear()
        first = site.ask(target)
        await site.clock.settle()
        second = site.ask(target, flow="other")
        assert not second.failing  # not known yet
        site.kube.gate.set()
        await site.clock.settle()
        assert not first.done
        third = site.ask(target, flow="third")
        assert third.failing
        await site.clock.advance(1.0)
        assert len(site.patches()) == 2
        assert first.persisted == second.persisted == third.persisted == 1


async def test_failing_is_said_for_what_fails_only() -> None:
    """A delivery is told that its Warehouse's retry is waiting; others wait for theirs as ever."""
    async with Refreshing() as site:
        sick, well = site.target("sick"), site.target("well")
        site.kube.fail(refused(503), name="sick")
        site.ask(sick)
        await site.clock.advance(1.0)
        assert site.ask(sick, well, flow="b").failing
        assert not site.ask(well, flow="c").failing
        site.kube.heal()
        await site.clock.advance(10.0)
        assert not site.ask(sick).failing


# --- deliveries of one flow take each other's place ---


async def test_a_later_delivery_takes_an_earlier_ones_place() -> None:
    """Once nobody waits for its answer, and the later one asks for all that it asked for."""
    async with Refreshing() as site:
        targets = [site.target(name) for name in "ab"]
        site.kube.fail(unreachable)
        old = site.ask(*targets, delivery="old")
        await site.clock.settle()
        old.detach()
        new = site.ask(*targets, delivery="new")
        assert (old.done, old.superseded_by) == (True, ("new",))
        assert not new.done
        site.kube.heal()
        await site.clock.advance(10.0)
        assert (new.persisted, new.superseded_by) == (2, ())


@pytest.mark.parametrize(
    ("names", "flow", "delivery", "detach"),
    [
        pytest.param("a", "flow", "new", True, id="it asks for less"),
        pytest.param("ac", "flow", "new", True, id="it asks for something else"),
        pytest.param("ab", "other", "new", True, id="it is of another flow"),
        pytest.param("ab", "flow", "", True, id="it has no id"),
        pytest.param("", "flow", "new", True, id="it matched nothing"),
        pytest.param("ab", "flow", "new", False, id="the earlier one's sender still waits"),
    ],
)
async def test_it_keeps_its_place(names: str, flow: str, delivery: str, detach: bool) -> None:
    """In any other case both are seen through."""
    async with Refreshing() as site:
        targets = {name: site.target(name) for name in "abc"}
        site.kube.fail(unreachable)
        old = site.ask(targets["a"], targets["b"], delivery="old")
        await site.clock.settle()
        if detach:
            old.detach()
        new = site.ask(*(targets[name] for name in names), flow=flow, delivery=delivery)
        assert not old.done
        site.kube.heal()
        await site.clock.advance(10.0)
        assert (old.persisted, old.superseded_by) == (2, ())
        assert (new.persisted, new.superseded_by) == (len(names), ())


async def test_detaching_late() -> None:
    """An earlier delivery whose sender is answered after the later one came gives way then."""
    async with Refreshing() as site:
        a, b = site.target("a"), site.target("b")
        site.kube.fail(unreachable)
        old = site.ask(a, delivery="old")
        new = site.ask(b, a, delivery="new")
        assert not old.done
        old.detach()
        assert (old.done, old.superseded_by) == (True, ("new",))
        new.detach()
        assert not new.done  # there is nobody to carry it on
        site.kube.heal()
        await site.clock.advance(10.0)
        assert new.persisted == 2


async def test_what_is_under_way_is_not_taken_over_by_it() -> None:
    """The patch in flight started before the later delivery: that one gets another."""
    async with Refreshing() as site:
        target = site.target("w")
        site.kube.gate.clear()
        old = site.ask(target, delivery="old")
        await site.clock.settle()
        old.detach()
        new = site.ask(target, delivery="new")
        assert old.superseded_by == ("new",)
        site.kube.gate.set()
        await site.clock.settle()
        assert new.persisted == 1
        assert len(site.patches()) == 2


async def test_an_outage_keeps_warehouses_not_deliveries() -> None:
    """10,000 deliveries of a few flows leave as much in memory as a few; each is refreshed after."""
    async with Refreshing() as site:
        targets = [site.target(f"w{number}") for number in range(5)]
        site.kube.fail(unreachable)
        batches = []
        for number in range(10_000):
            batch = site.ask(*targets, flow=f"flow-{number % 3}", delivery=f"d{number}")
            batch.detach()
            batches.append(batch)
            if number % 500 == 0:
                await site.clock.advance(0.1)
            site.refresher.validate()
        assert sum(not batch.done for batch in batches) == 3
        site.kube.heal()
        await site.clock.advance(10.0)
        assert all(batch.done for batch in batches)
        assert not any(target in site.queue for target in targets)
        site.refresher.validate()


# --- fairness ---


async def test_one_warehouse_never_waits_behind_a_fan_out() -> None:
    """Flows take turns: an event for one is served among the first, whatever was asked before it."""
    workers = 8
    async with Refreshing(workers=workers) as site:
        fan_out = [site.target(f"w{number}", "big") for number in range(10_000)]
        single = site.target("single", "small")
        asked: list[Batch] = []

        def ask_in_the_middle(_: Request) -> None:
            if len(site.kube.requests) == 100:
                asked.append(site.ask(single, flow="small"))

        site.kube.before = ask_in_the_middle
        whole = site.ask(*fan_out, flow="big")
        for _ in range(20):
            await site.clock.settle()
            if asked and asked[0].done:
                break
        names = [patch.name for patch in site.patches()]
        assert names.index("single") <= 100 + 2 * workers
        assert not whole.done
        site.queue.shut_down()


async def test_first_in_first_out_within_a_flow() -> None:
    """What one receiver's events for a repository asked for first is refreshed first."""
    async with Refreshing(workers=1) as site:
        targets = [site.target(f"w{number:03d}") for number in range(100)]
        order = targets[:]
        random.Random(5).shuffle(order)
        for target in order:
            site.ask(target)
        for _ in range(20):
            await site.clock.settle()
        assert [patch.name for patch in site.patches()] == [target.name for target in order]


async def test_a_recreated_warehouse_is_refreshed() -> None:
    """Gone is gone for who asked before; who asks after it is there again is served."""
    async with Refreshing() as site:
        target = site.target("w")
        site.kube.remove(WAREHOUSES, "p", "w")
        gone = site.ask(target)
        await site.clock.settle()
        assert (gone.done, gone.matched) == (True, 0)
        site.target("w")
        again = site.ask(target)
        await site.clock.settle()
        assert again.persisted == 1
