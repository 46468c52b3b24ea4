"""Refreshing: what is written, and that it is different each time."""

import itertools
import re
from datetime import datetime

from tests.support.kube import FakeKube
from tests.support.refreshing import Refreshing, stamp


async def test_a_refresh_changes_the_annotation_and_nothing_else() -> None:
    """One merge patch of one annotation; the lag from event to stored is measured."""
    async with Refreshing() as site:
        target = site.target("w")
        site.kube.gate.clear()
        batch = site.ask(target)
        await site.clock.advance(2.0)
        assert not batch.done
        site.kube.gate.set()
        await site.clock.settle()
        assert (batch.done, batch.matched, batch.persisted, batch.rejected) == (True, 1, 1, 0)
        (patch,) = site.patches()
        assert patch.body == {"metadata": {"annotations": {"kargo.akuity.io/refresh": stamp(patch)}}}
        assert (patch.subresource, patch.namespace, patch.name) == ("", "p", "w")
        assert site.value(target) == stamp(patch)
        assert site.metrics.lags == [2.0]
        assert site.metrics.results == {("Warehouse", "persisted"): 1}


async def test_promotions_are_refreshed_like_warehouses() -> None:
    """Of another kind, with a label of its own."""
    async with Refreshing() as site:
        promotion = site.target("promo", kind="Promotion")
        batch = site.ask(promotion)
        await site.clock.settle()
        assert batch.persisted == 1
        assert site.value(promotion)
        assert site.metrics.results == {("Promotion", "persisted"): 1}


async def test_nothing_to_refresh_is_done_at_once() -> None:
    """A delivery that matched nothing waits for nothing."""
    async with Refreshing() as site:
        batch = site.ask(delivery="d")
        assert batch.done
        await site.clock.settle()
        assert not site.patches()


# --- the value ---


async def test_values() -> None:
    """RFC 3339 in UTC with a fraction, strictly rising although the clock stands still, or goes back."""
    async with Refreshing() as site:
        target = site.target("w")
        for step in range(200):
            if step == 100:
                site.clock.set_wall_clock_by(-3600.0)
            site.ask(target)
            await site.clock.settle()
        values = [stamp(patch) for patch in site.patches()]
        assert len(values) == 200
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", value) for value in values)
        assert all(before < after for before, after in itertools.pairwise(values))
        moment = datetime.fromisoformat(values[0]).timestamp()
        assert abs(moment - 1_800_000_000.0) < 0.001


async def test_two_replicas_write_different_values() -> None:
    """At the same microsecond, for the same Warehouse."""
    kube = FakeKube()
    async with Refreshing(kube=kube, seed=1) as one, Refreshing(kube=kube, seed=2) as two:
        target = one.target("w")
        for _ in range(50):
            one.ask(target)
            two.ask(target)
            await one.clock.settle()
        values = [stamp(patch) for patch in kube.made("patch")]
        assert len(values) == 100
        assert len(set(values)) == 100
