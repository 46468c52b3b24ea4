"""The claims of docs/sizing.md about the refresh queue, at a size that a test can afford."""

import pytest

from tests.benchmarks.simulation import (
    IN_FLIGHT,
    PATCHES_PER_SECOND,
    percentile,
    single_during_fan_out,
    steady,
    storm,
)


@pytest.mark.parametrize("warehouses", [1_000, 20_000])
def test_a_single_event_waits_for_a_turn_and_not_for_the_fan_out(warehouses: int) -> None:
    """Its wait is a turn and a patch, whatever the fan-out's size; the fan-out takes its size by the rate."""
    done = single_during_fan_out(warehouses, singles=100)
    assert done.waits is not None
    patch = IN_FLIGHT / PATCHES_PER_SECOND
    assert len(done.waits["single"]) == 100
    assert percentile(done.waits["single"], 0.99) <= 3 * patch
    (complete,) = done.waits["fan-out"]
    assert complete == pytest.approx((warehouses + 100) / PATCHES_PER_SECOND, rel=0.15, abs=2 * patch)


def test_below_its_capacity_it_keeps_up_and_above_it_grows() -> None:
    """At half load nothing waits for long; beyond full load the queue grows with time."""
    half = steady(0.5, warehouses=100_000, seconds=60)
    over = steady(1.2, warehouses=100_000, seconds=60)
    assert half.deepest < 100
    assert over.deepest > 0.1 * PATCHES_PER_SECOND * 60


def test_a_storm_waits_as_warehouses_not_as_events() -> None:
    """However often everything is asked for, no more keys wait than there are Warehouses."""
    done = storm(10_000, times=20)
    assert done.asked == 200_000
    assert done.deepest <= 10_000
    assert done.patches < 0.5 * done.asked
