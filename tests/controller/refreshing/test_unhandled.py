"""Which refreshes Kargo has picked up, and how long it has left one."""

import pytest
from prometheus_client import CollectorRegistry

from controller.kargo.objects import Target
from controller.kargo.warehouse import Warehouse, moment
from controller.observability.metrics import Metrics
from controller.refreshing.unhandled import HandledTracker
from tests.support.clock import FakeClock


class FakeMetrics(Metrics):
    def __init__(self) -> None:
        super().__init__(CollectorRegistry(), version="test")
        self.seconds: list[float] = []
        self.handled_lag.observe = self.seconds.append  # type: ignore[method-assign, assignment]


class Site:
    """A tracker, and one Warehouse at a time that it sees."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.metrics = FakeMetrics()
        self.tracker = HandledTracker(self.clock, self.metrics)
        self.last: dict[str, Warehouse] = {}

    def see(self, requested: str = "", handled: str = "", name: str = "w") -> None:
        """Have the informer see a Warehouse in this state."""
        new = Warehouse(
            Target("Warehouse", "p", name), "uid", "1", (), 0, requested, handled, moment(requested)
        )
        old = self.last.get(name)
        if old is None:
            self.tracker.added(new)
        else:
            self.tracker.updated(old, new)
        self.last[name] = new

    def wait(self, seconds: float) -> None:
        self.clock.freeze(seconds)


def test_a_refresh_that_is_handled() -> None:
    """It is outstanding from being seen until Kargo says so, and the time is measured."""
    site = Site()
    site.see()
    assert (len(site.tracker), site.tracker.oldest()) == (0, 0.0)
    site.see("2")
    site.wait(7.0)
    assert (len(site.tracker), site.tracker.oldest()) == (1, 7.0)
    site.see()
    assert (len(site.tracker), site.tracker.oldest()) == (0, 0.0)
    assert site.metrics.seconds == [7.0]


def test_asked_again_before_it_was_handled() -> None:
    """The wait goes on: a busy repository must not hide that Kargo does nothing."""
    site = Site()
    site.see("1")
    for value in "2345":
        site.wait(100.0)
        site.see(value)
    assert site.tracker.oldest() == 400.0
    site.wait(10.0)
    site.see()
    assert site.metrics.seconds == [10.0]


def test_handled_while_asked_again() -> None:
    """Kargo handled the last but one: it is at work, and the wait begins anew."""
    site = Site()
    site.see("1")
    site.wait(100.0)
    site.see("2", "0")
    site.wait(5.0)
    site.see("3", "1")
    assert site.tracker.oldest() == 0.0


def test_an_update_of_something_else_changes_nothing() -> None:
    """Nor does being seen again."""
    site = Site()
    site.see("1")
    site.wait(50.0)
    site.see("1")
    site.wait(50.0)
    assert site.tracker.oldest() == 100.0


def test_the_longest_counts() -> None:
    """One shard without a controller shows beside a thousand that work."""
    site = Site()
    site.see("1", name="forgotten")
    site.wait(500.0)
    for number in range(100):
        site.see("1", name=f"w{number}")
        site.see(name=f"w{number}")
    assert (len(site.tracker), site.tracker.oldest()) == (1, 500.0)


def test_a_deleted_warehouse_is_forgotten() -> None:
    """It would alert for good."""
    site = Site()
    site.see("1")
    site.tracker.deleted(site.last["w"])
    site.tracker.deleted(site.last["w"])
    assert (len(site.tracker), site.tracker.oldest()) == (0, 0.0)
    assert site.metrics.seconds == []


def test_at_start_the_value_says_since_when() -> None:
    """A restart does not hide what has been waiting; a value that is no sensible time counts from now."""
    for value, waited in (
        ("2027-01-15T07:00:00.000000000Z", 3600.0),  # the clock's start is 08:00
        ("2027-01-15T07:59:00Z", 60.0),
        ("2027-01-15T09:00:00Z", 0.0),
        ("1999-01-01T00:00:00Z", 0.0),
        ("yesterday", 0.0),
        ("9999-99-99", 0.0),
        ("0001-01-01T00:00:00+23:59", 0.0),
        ("now\ud800", 0.0),
    ):
        site = Site()
        site.see(value)
        assert abs(site.tracker.oldest() - waited) < 0.001, value


@pytest.mark.parametrize("jump", [3600.0, -3600.0], ids=["forward", "back"])
def test_a_wall_clock_that_is_set_changes_no_age(jump: float) -> None:
    """An alert on Warehouses that Kargo leaves alone is no alert on the machine's clock."""
    site = Site()
    site.see("1")
    site.wait(5.0)
    site.clock.set_wall_clock_by(jump)
    site.wait(5.0)
    assert site.tracker.oldest() == 10.0
    site.see()
    assert site.metrics.seconds == [10.0]
