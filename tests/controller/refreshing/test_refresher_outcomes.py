"""Refreshing: what the API server says decides what follows (each row of the table of outcomes)."""

import asyncio
import itertools
from typing import Any

import pytest
from structlog.testing import capture_logs

from controller.refreshing.refresher import REFUSAL_REMEMBERED
from tests.support.kube import Failure, FakeKube, garbled, refused, unreachable
from tests.support.refreshing import Refreshing

DENIED = 'admission webhook "promotion.kargo.akuity.io" denied the request: no'
NOT_CALLED = 'Internal error occurred: failed calling webhook "promotion.kargo.akuity.io": no'


@pytest.mark.parametrize(
    ("failure", "result"),
    [
        pytest.param(refused(404), "gone", id="404 naming the object: gone"),
        pytest.param(refused(400), "rejected", id="400: final"),
        pytest.param(refused(422), "rejected", id="422: final"),
        pytest.param(refused(405), "rejected", id="405: final"),
        pytest.param(refused(413), "rejected", id="413: final"),
        pytest.param(refused(403), "rejected", id="403 of an admission plugin: final, after a moment"),
        pytest.param(
            refused(500, DENIED), "rejected", id="500 of a webhook that denies: final, after a moment"
        ),
        pytest.param(refused(500, NOT_CALLED), "retried", id="500, a webhook that could not be called"),
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
            assert site.ask(target).failing
            site.kube.heal()
            await site.clock.advance(10.0)
        assert batch.done
        found = (batch.matched, batch.persisted, batch.rejected)
        assert found == {"gone": (0, 0, 0), "rejected": (1, 0, 1), "retried": (1, 1, 0)}[result]
        assert site.metrics.results["Warehouse", result] >= 1
        assert not site.ask(target).failing
        await site.clock.settle()
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
        with capture_logs() as lines:
            batch = site.ask(target)
            await site.clock.advance(20.0)
        assert not batch.done
        assert {line["event"] for line in lines} == {"refresh_failing"}
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
        site.kube.fail(refused(403), verb="patch", times=2)
        again = site.ask(target)
        await site.clock.advance(4.0)
        assert (again.persisted, again.rejected) == (1, 0), "what has passed does not count later"


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


async def test_refusals_do_not_displace_each_other() -> None:
    """However many Warehouses are refused, each is rejected after a moment, and then left alone."""
    async with Refreshing(workers=32) as site:
        targets = [site.target(f"w{number}") for number in range(300)]
        site.kube.fail(refused(403), verb="patch")
        batch = site.ask(*targets)
        await site.clock.advance(5.0)
        assert batch.rejected == len(targets)
        assert len(site.patches()) <= 5 * len(targets)
        again = site.ask(*targets, flow="other")
        await site.clock.settle()
        assert again.rejected == len(targets)
        await site.clock.advance(REFUSAL_REMEMBERED)
        assert len(site.patches()) <= 6 * len(targets)
        assert not any(target in site.queue for target in targets), "remembered for so long, no longer"
        site.refresher.validate()


class Proxy(FakeKube):
    """Answers patches with 200 and a page of its own, in place of the API server, while ``page`` is set."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.page: bytes | None = page

    async def patch(self, *args: Any, **kwargs: Any) -> bytes:
        if self.page is None:
            return await super().patch(*args, **kwargs)
        await asyncio.sleep(0)
        return self.page


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(b"", id="204: nothing"),
        pytest.param(b"<html>Please log in</html>", id="a page"),
        pytest.param(b"\xff", id="no text"),
        pytest.param(b"[" * 100_000, id="too deep"),
        pytest.param(b"{}", id="no object"),
        pytest.param(b'{"kind":"Status","status":"Success","metadata":{}}', id="a Status"),
        pytest.param(b'{"metadata":{"name":"w"}}', id="the object as it was"),
        pytest.param(b'{"metadata":{"name":"w","annotations":{}}}', id="without the annotation"),
        pytest.param(
            b'{"metadata":{"name":"w","annotations":{"kargo.akuity.io/refresh":"2026-01-01T00:00:00Z"}}}',
            id="with another value",
        ),
    ],
)
async def test_an_answer_that_is_not_the_changed_object_is_no_success(page: bytes) -> None:
    """A proxy's page with 200 stores nothing: tried again until the API server itself has answered."""
    kube = Proxy(page)
    async with Refreshing(kube=kube) as site:
        target = site.target("w")
        with capture_logs() as lines:
            batch = site.ask(target)
            await site.clock.advance(1.0)
        assert (batch.done, batch.persisted) == (False, 0)
        assert [line["event"] for line in lines] == ["refresh_failing"]
        assert "not the changed object" in lines[0]["error"]
        kube.page = None
        await site.clock.advance(10.0)
        assert batch.persisted == 1
        assert site.value(target)


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
