"""When each receiver last had a delivery, as Prometheus reads it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from controller.application.last_deliveries import MOST_RECEIVERS, LastDeliveries
from controller.observability.metrics import Metrics
from tests.support.clock import FakeClock
from tests.support.deliveries import arrival
from tests.support.journal import NOW, opened
from tests.support.receiving import Receiving, config
from webhook.admin.history import JournalHistory
from webhook.journal.history import Summary
from webhook.journal.reading import HistoryError
from webhook.outcome import Outcome

NAME = "kargo_azure_receiver_receiver_last_delivery_timestamp_seconds"


class History:
    """A history of these last deliveries, or one that can't be read."""

    def __init__(self, **last: float) -> None:
        self.last: Mapping[str, float] | None = {f"p/{name}": seconds for name, seconds in last.items()}

    async def summaries(self, now: datetime) -> Mapping[str, Summary]:
        if self.last is None:
            raise HistoryError("the disk hangs")
        return {name: Summary(datetime.fromtimestamp(each, UTC)) for name, each in self.last.items()}


class Site:
    """What is exported of a history, for the receivers of Project ``p``."""

    def __init__(self, history: object, *receivers: str) -> None:
        self.receiving = Receiving()
        self.metrics = Metrics(CollectorRegistry(), version="1")
        self.have(*receivers)
        self._exported = LastDeliveries(history, self.receiving.index, self.metrics, FakeClock())  # type: ignore[arg-type]

    def have(self, *receivers: str) -> None:
        """Have the Project have these receivers, and no others."""
        self.receiving.put(config("p", *((name, "s") for name in receivers)))

    async def scraped(self) -> dict[tuple[str, str], float]:
        """Return each series of the next scrape."""
        await self._exported.update()
        return {
            (sample.labels["namespace"], sample.labels["receiver"]): sample.value
            for family in self.metrics.registry.collect()
            for sample in family.samples
            if sample.name == NAME
        }


async def test_every_receiver_there_is_has_a_series() -> None:
    """0 for one that was never used; none for one that is gone, or for a queue."""
    history = History(used=NOW, gone=NOW - 5)
    site = Site(history, "used", "unused")
    assert await site.scraped() == {("p", "used"): NOW, ("p", "unused"): 0.0}
    site.have("unused")
    assert await site.scraped() == {("p", "unused"): 0.0}


async def test_the_receivers_of_the_cluster_and_of_a_project_called_so() -> None:
    """Are told apart, by the names that log and page use."""
    site = Site(History())
    site.receiving.put(config("", ("az", "s")))
    site.receiving.put(config("cluster", ("az", "s")))
    assert sorted(await site.scraped()) == [("cluster", "az"), ("project:cluster", "az")]


async def test_the_time_outlives_the_history() -> None:
    """Which forgets a delivery after some days, and can't be read now and then."""
    history = History(used=NOW)
    site = Site(history, "used")
    await site.scraped()
    history.last = {}
    assert await site.scraped() == {("p", "used"): NOW}
    history.last = None
    assert await site.scraped() == {("p", "used"): NOW}
    history.last = {"p/used": NOW + 9}
    assert await site.scraped() == {("p", "used"): NOW + 9}


async def test_too_many_receivers_have_no_series() -> None:
    """One more than the bound, and all go, with one line in the log; at the bound all come back."""
    names = [f"r{number}" for number in range(MOST_RECEIVERS)]
    site = Site(History(r0=NOW))
    for start in range(0, MOST_RECEIVERS, 100):
        site.receiving.put(config(f"p{start}", *((name, "s") for name in names[start : start + 100])))
    assert len(await site.scraped()) == MOST_RECEIVERS
    site.have("one-more")
    with capture_logs() as logs:
        assert await site.scraped() == {}
        assert await site.scraped() == {}
    assert [(line["event"], line["receivers"]) for line in logs] == [
        ("last_deliveries_not_exported", MOST_RECEIVERS + 1)
    ]
    site.have()
    assert len(await site.scraped()) == MOST_RECEIVERS


async def test_a_restart_knows_them_from_the_history(tmp_path: Path) -> None:
    """A push and a ping count, whichever came last; what was dispatched anew and catch-ups do not."""
    async with opened(tmp_path) as journal:
        for name, seconds in (("a", 0), ("b", 60)):
            await journal.record(arrival(f"push-{name}", receiver=f"p/{name}", received=NOW + seconds), 1)
        journal.note(arrival("ping", receiver="p/a", received=NOW + 30), outcome=Outcome.ANSWERED, code=200)
        again = arrival("again", receiver="p/b", received=NOW + 90)
        again.via, again.repeats = "again", "push-b"
        await journal.record(again, 1)
        caught = arrival("c", receiver="", received=NOW + 95)
        caught.via = "catch-up"
        journal.note(caught, outcome=Outcome.REFRESHED, matched=3)
    async with opened(tmp_path) as journal:
        site = Site(JournalHistory(journal, tmp_path), "a", "b")
        assert await site.scraped() == {("p", "a"): NOW + 30, ("p", "b"): NOW + 60}
