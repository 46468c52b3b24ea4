"""Refreshing: what the API server says decides what follows (each row of the table of outcomes)."""

import itertools

import pytest
from structlog.testing import capture_logs

from tests.support.kube import Failure, garbled, refused, unreachable
from tests.support.refreshing import Refreshing


@pytest.mark.parametrize(
    ("failure", "result"),
    [
        pytest.param(refused(404), "gone", id="404 naming the object: gone"),
        pytest.param(refused(400), "rejected", id="400: final"),
        pytest.param(refused(422), "rejected", id="422: final"),
        pytest.param(refused(405), "rejected", id="405: final"),
        pytest.param(refused(413), "rejected", id="413: final"),
        pytest.param(refused(403), "rejected", id="403 of an admission plugin: final, after a moment"),
        pytest.param(refused(404, naming=False), "retried", id="404 of the path"),
        pytest.param(refused(408), "retried", id="408"),
        pytest.param(refused(409), "retried", id="409"),
        pytest.param(refused(401), "retried", id="401"),
        pytest.param(refused(429), "retried", id="429"),
        pytest.param(refused(500), "retried", id="500"),
        pytest.param(refused(503), "retried", id="503"),
        pytest.param(refused(504), "retried", id="504"),
        pytest.param(unreachable, "retried", id="network"),
        pytest.param(garbled, "retried", id="an answer that is none"),
    ],
)
async def test_outcomes(failure: Failure, result: str) -> None:
    """Gone and rejected end it; anything else is tried again until it is stored."""
    async with Refreshing() as site:
        target = site.target("w")
        site.kube.fail(failure, verb="patch")
        batch = site.ask(target)
        await site.clock.advance(4.0)
        if result == "retried":
            assert not batch.done
            assert site.refresher.failing == 1
            site.kube.heal()
            await site.clock.advance(10.0)
        assert batch.done
        assert site.refresher.failing == 0
        found = (batch.matched, batch.persisted, batch.rejected)
        assert found == {"gone": (0, 0, 0), "rejected": (1, 0, 1), "retried": (1, 1, 0)}[result]
        assert site.metrics.results["Warehouse", result] >= 1
        begun = len(site.patches())
        await site.clock.advance(600.0)
        assert len(site.patches()) == begun


@pytest.mark.parametrize("failure", [refused(503), refused(409), unreachable], ids=["503", "409", "network"])
async def test_backoff(failure: Failure) -> None:
    """Retries begin soon, come less and less often, and never more than 10 s apart."""
    async with Refreshing() as site:
        target = site.target("w")
        times: list[float] = []
        site.kube.before = lambda request: times.append(site.clock.monotonic())
        site.kube.fail(failure)
        site.ask(target)
        await site.clock.advance(300.0)
        gaps = [after - before for before, after in itertools.pairwise(times)]
        assert gaps[0] < 0.1
        assert max(gaps) <= 10.0
        assert min(gaps[-5:]) > 1.0
        assert len(gaps) < 100


@pytest.mark.parametrize(
    ("asked", "waited"),
    [pytest.param(7.0, 7.0, id="as the server says"), pytest.param(86_400.0, 60.0, id="no day is waited")],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after(status: int, asked: float, waited: float) -> None:
    """``Retry-After`` is honoured, within reason; nobody's asking makes it earlier."""
    async with Refreshing() as site:
        target = site.target("w")
        site.kube.fail(refused(status, retry_after=asked), times=1)
        batch = site.ask(target)
        await site.clock.advance(waited - 0.5)
        site.ask(target, flow="other")
        await site.clock.settle()
        assert len(site.patches()) == 1
        await site.clock.advance(0.6)
        assert len(site.patches()) == 2
        assert batch.done


async def test_a_missing_right() -> None:
    """Tried every 30 s, asked about once, told in one line; heals when the right is given."""
    async with Refreshing() as site:
        targets = [site.target(f"w{number}") for number in range(50)]
        site.kube.denied = {("patch", "warehouses")}
        site.kube.fail(refused(403), verb="patch")
        with capture_logs() as lines:
            batch = site.ask(*targets)
            await site.clock.advance(29.0)
            assert len(site.patches()) == 50
            assert len(site.kube.made("create")) == 1
            await site.clock.advance(2.0)
            assert len(site.patches()) == 100
        told = [line for line in lines if line["log_level"] in ("warning", "error")]
        assert [line["event"] for line in told] == ["right_missing"]
        assert (told[0]["verb"], told[0]["namespace"]) == ("patch", "p")
        assert told[0]["resource"] == "warehouses.kargo.akuity.io"
        assert batch.rejected == 0
        site.kube.heal()
        await site.clock.advance(31.0)
        assert batch.persisted == 50


async def test_a_right_that_can_not_be_asked_about() -> None:
    """When the API server can't be asked, a 403 is no verdict: it is tried again."""
    async with Refreshing() as site:
        target = site.target("w")
        site.kube.reviews_fail = True
        site.kube.fail(refused(403), verb="patch")
        batch = site.ask(target)
        await site.clock.advance(20.0)
        assert not batch.done
        site.kube.heal()
        await site.clock.advance(11.0)
        assert batch.persisted == 1


async def test_a_403_that_passes_is_none() -> None:
    """An API server that has just started refuses everything until it has read its roles."""
    async with Refreshing() as site:
        target = site.target("w")
        site.kube.fail(refused(403), verb="patch", times=2)
        batch = site.ask(target)
        await site.clock.advance(4.0)
        assert (batch.persisted, batch.rejected) == (1, 0)


async def test_a_403_that_was_final_is_final_at_once_when_it_comes_again() -> None:
    """The sender of the next event need not wait to be told the same."""
    async with Refreshing() as site:
        target = site.target("w")
        site.kube.fail(refused(403), verb="patch")
        first = site.ask(target)
        await site.clock.advance(4.0)
        assert first.rejected == 1
        second = site.ask(target)
        await site.clock.settle()
        assert second.rejected == 1
        site.kube.heal()
        third = site.ask(target)
        await site.clock.settle()
        assert third.persisted == 1


async def test_a_rejection_is_told() -> None:
    """The API server's message is in the log and in an Event on the Warehouse; the others are refreshed."""
    async with Refreshing() as site:
        good, bad = site.target("good"), site.target("bad")
        site.kube.fail(refused(422, "spec.interval: Invalid value"), name="bad")
        with capture_logs() as lines:
            batch = site.ask(good, bad)
            await site.clock.settle()
        assert (batch.matched, batch.persisted, batch.rejected) == (2, 1, 1)
        (line,) = [each for each in lines if each["event"] == "refresh_rejected"]
        assert (line["namespace"], line["name"], line["message"]) == (
            "p",
            "bad",
            "spec.interval: Invalid value",
        )
        (event,) = site.kube.events
        assert event["involvedObject"]["name"] == "bad"
        assert (event["type"], event["reason"]) == ("Warning", "RefreshRejected")
        assert "spec.interval: Invalid value" in event["message"]


async def test_an_outage_does_not_fill_the_log() -> None:
    """However many Warehouses can't be patched, that is a line every 10 s."""
    async with Refreshing(workers=32) as site:
        targets = [site.target(f"w{number}") for number in range(40)]
        site.kube.fail(unreachable)
        with capture_logs() as lines:
            site.ask(*targets)
            await site.clock.advance(60.0)
        assert 1 <= len(lines) <= 7
        assert {line["event"] for line in lines} == {"refresh_failing"}


async def test_a_bug_stops_the_controller() -> None:
    """An error that nobody foresaw is raised, not swallowed: a half-dead refresher would lose refreshes."""

    class BugError(Exception):
        pass

    site = Refreshing()

    def fail(_: object) -> None:
        raise BugError

    site.kube.before = fail
    site.ask(site.target("w"))
    with pytest.raises(BugError):
        await site.refresher.controller.run()
