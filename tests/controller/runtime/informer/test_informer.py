"""The informer as its owner sees it: absence, rights, reports, turns."""

import asyncio

import pytest
from structlog.testing import capture_logs

from controller.runtime.api.errors import ApiError, Forbidden
from controller.runtime.informer.informer import ABSENCE_SECONDS, ForbiddenRetry
from controller.runtime.informer.watch_turns import WatchTurn
from tests.controller.runtime.informer.informing import informing
from tests.support.apiserver import (
    ApiServer,
    Script,
    html,
    page,
    reset,
    status,
    warehouse,
    watch,
)
from tests.support.clock import FakeClock

A1, A2, B1 = warehouse("a", "1", value=1), warehouse("a", "2", value=2), warehouse("b", "1", value=1)


async def test_an_absent_kind_counts_as_empty_and_is_tried_again() -> None:
    """No CRD, or no right: synced and empty; what was known is deleted in time; it comes back by itself."""
    scripts = [
        status(404, message="404 page not found"),
        page([A1]),
        *[status(403, reason="Forbidden")] * 12,
        page([A2], version="200"),
        watch(),
    ]
    with capture_logs() as logs:
        async with informing(ApiServer(*scripts), absent_is_empty=True) as it:
            await it.informer.wait_synced()
            assert 24 <= await it.paused() <= 36
            await it.resume()
            await it.until(lambda: it.names == ["a@1"])
            lost = it.clock.monotonic()
            while it.names == ["a@1"]:  # the watch is refused, then list after list
                await it.resume()
                await it.paused()
            assert it.names == []
            assert ABSENCE_SECONDS <= it.clock.monotonic() - lost <= ABSENCE_SECONDS + 45
            assert it.recorder.changes == [("added", "a", "1"), ("deleted", "a", "1")]
            assert 24 <= await it.paused() <= 36
            while it.names != ["a@2"]:
                await it.resume()
                await it.until(lambda: it.names == ["a@2"] or bool(it.clock.pending))
    told = [entry["event"] for entry in logs if entry["event"].endswith(("_failed", "_recovered"))]
    assert told == ["list_failed", "list_recovered", "watch_failed", "list_recovered"]


async def test_a_server_fault_is_not_taken_for_absence() -> None:
    """Only 403 and 404 count as empty: with a sick server the store stays as it is."""
    scripts = [page([A1]), status(410), status(500), page([A2], version="200"), watch()]
    async with informing(ApiServer(*scripts), absent_is_empty=True) as it:
        await it.paused()
        assert it.names == ["a@1"]
        await it.resume()
        await it.until(lambda: it.names == ["a@2"])


async def test_a_forbidden_secret_is_tried_fast_then_slowly_and_reported_once() -> None:
    """Every 5 s for two minutes, then every 30 s; one report per change; the throttle is asked each time."""
    errors: list[ApiError] = []
    recovered: list[bool] = []
    throttled: list[bool] = []

    async def throttle() -> None:
        throttled.append(True)

    scripts: list[Script] = [page([A1]), status(403), *[status(403, reason="Forbidden")] * 40]
    async with informing(
        ApiServer(*scripts),
        namespace="demo",
        field_selector="metadata.name=a",
        forbidden_retry=ForbiddenRetry(),
        throttle=throttle,
        on_error=errors.append,
        on_recovered=lambda: recovered.append(True),
    ) as it:
        started = it.clock.monotonic()
        while it.clock.monotonic() < started + 120:
            assert 4 <= await it.paused() <= 6
            await it.resume()
        for _ in range(3):
            assert 24 <= await it.paused() <= 36
            await it.resume()
        await it.paused()
        assert it.names == ["a@1"]
        assert [type(error) for error in errors] == [Forbidden]
        assert recovered == []
        assert len(throttled) == it.server.verbs.count("list") - 1
        it.server.scripts[:] = [page([A2], version="200"), watch()]
        await it.resume()
        await it.until(lambda: it.names == ["a@2"])
        assert recovered == [True]
    assert it.server.requests[0].path == "/apis/kargo.akuity.io/v1alpha1/namespaces/demo/warehouses"
    assert it.server.requests[0].query["fieldSelector"] == "metadata.name=a"


async def test_an_error_is_reported_again_only_when_it_changes() -> None:
    """A run of the same failure is one report; another failure is another; recovery is told once."""
    scripts = [html(503), html(503), status(503), status(401), reset, reset, page([A1]), watch()]
    errors: list[str] = []
    recovered: list[bool] = []
    async with informing(
        ApiServer(*scripts),
        on_error=lambda error: errors.append(type(error).__name__),
        on_recovered=lambda: recovered.append(True),
    ) as it:
        while not it.informer.has_synced:
            await it.resume()
            await it.until(lambda: bool(it.clock.pending) or it.informer.has_synced)
        await it.requests(8)
        assert errors == ["ServerFault", "Unauthorized", "ConnectionFailed"]
        assert recovered == [True]


async def test_a_missing_right_to_watch_is_told_once_though_lists_work() -> None:
    """Somebody has to be told which right is missing; when it comes, that is told too."""
    errors: list[str] = []
    recovered: list[bool] = []
    scripts: list[Script] = [page([A1]), *[status(403, reason="Forbidden"), page([A1])] * 3, watch()]
    async with informing(
        ApiServer(*scripts),
        on_error=lambda error: errors.append(error.verb),
        on_recovered=lambda: recovered.append(True),
    ) as it:
        for _ in range(3):
            await it.paused()
            assert (errors, recovered) == (["watch"], [])
            await it.resume()
        await it.until(lambda: recovered == [True])
        assert errors == ["watch"]


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(watch(), id="accepted"),
        pytest.param(status(403, reason="Forbidden"), id="refused"),
        pytest.param(reset, id="reset"),
    ],
)
async def test_a_watch_is_opened_in_turn_and_gives_the_turn_back(script: Script) -> None:
    """Listing needs no turn; once the watch is accepted, or has failed, the next may be opened."""
    turns = asyncio.Semaphore(0)
    async with informing(ApiServer(page([A1]), script, watch()), turn=WatchTurn(turns, FakeClock())) as it:
        await it.until(lambda: it.informer.has_synced)
        await asyncio.sleep(0.02)
        assert it.server.verbs == ["list"]
        turns.release()
        await it.requests(2)
        assert it.server.verbs == ["list", "watch"]
        await asyncio.wait_for(turns.acquire(), 5.0)
