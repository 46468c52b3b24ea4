"""The list half of an informer: pages, expiry, what is published when."""

import asyncio

import pytest
from structlog.testing import capture_logs

from controller.runtime.informer import lister
from tests.controller.runtime.informer.informing import informing
from tests.support.apiserver import (
    ApiServer,
    Connection,
    Script,
    html,
    page,
    status,
    status_object,
    warehouse,
    watch,
)

A1, A2, B1 = warehouse("a", "1", value=1), warehouse("a", "2", value=2), warehouse("b", "1", value=1)


def _error_event(code: int, reason: str) -> Script:
    return watch(("ERROR", status_object(code, reason)))


async def test_row_01_every_list_is_consistent() -> None:
    """No list, the first or a later one, ever names a version: the store never goes back in time."""
    gone = watch(("ERROR", status_object(410, "Expired")))
    async with informing(ApiServer(page([A1]), gone, page([A2], version="200"), watch())) as it:
        await it.until(lambda: it.names == ["a@2"])
        await it.requests(4)
    lists = [request.query for request in it.server.requests if request.verb == "list"]
    assert lists == [{"limit": "500"}] * 2


async def test_row_04_always_lists_first() -> None:
    """The first request is a list; the watch has its version, and no watch is ever without one."""
    async with informing(ApiServer(page([], version="42"), watch())) as it:
        await it.requests(2)
    assert it.server.verbs == ["list", "watch"]
    assert it.server.requests[1].query["resourceVersion"] == "42"


async def test_row_04_a_list_without_a_version_is_no_list() -> None:
    """A 200 that is no list (a proxy's JSON) is a failure: it is backed off, and nothing is published."""
    async with informing(ApiServer(page([], version=""), page([A1]), watch())) as it:
        assert 0.8 <= await it.paused() <= 1.2
        assert not it.informer.has_synced
        await it.resume()
        await it.until(lambda: it.names == ["a@1"])


@pytest.mark.parametrize(
    "expiry",
    [
        pytest.param(status(410, reason="Expired"), id="HTTP 410"),
        pytest.param(status(410, reason="Gone"), id="HTTP 410 Gone"),
        pytest.param(html(410), id="HTTP 410 without a Status"),
        pytest.param(_error_event(410, "Expired"), id="ERROR 410 Expired"),
        pytest.param(_error_event(410, "Gone"), id="ERROR 410 Gone"),
        pytest.param(_error_event(0, "Expired"), id="ERROR Expired"),
    ],
)
async def test_row_05_expired_in_every_form_lists_again(expiry: Script) -> None:
    """However the server says that the version is too old, a list follows at once."""
    async with informing(ApiServer(page([A1]), expiry, page([A2], version="200"), watch())) as it:
        await it.requests(4)
        assert it.clock.pending in ([], [10.0])  # no pause; perhaps the timer that ends the break
    assert it.server.verbs == ["list", "watch", "list", "watch"]
    assert it.server.requests[3].query["resourceVersion"] == "200"
    assert it.recorder.restarts == ["expired"]


async def test_row_05_expired_on_the_list() -> None:
    """HTTP 410 on a list is an expiry, too: the next list follows at once."""
    async with informing(ApiServer(status(410, reason="Expired"), page([A1]), watch())) as it:
        await it.until(lambda: it.names == ["a@1"])
    assert it.server.verbs[:2] == ["list", "list"]


async def test_row_06_after_expiry_lists_at_once_once_then_backs_off() -> None:
    """A server that says 410 to every watch is listed from once at once, and then ever more slowly."""

    async def script(connection: Connection) -> None:
        answer = page([A1]) if connection.request.verb == "list" else status(410, reason="Expired")
        await answer(connection)

    async with informing(ApiServer(script)) as it:
        assert 0.8 <= await it.paused() <= 1.2
        assert it.server.verbs == ["list", "watch"] * 2
        await it.resume()
        assert 1.6 <= await it.paused() <= 2.4
        assert it.server.verbs == ["list", "watch"] * 3


async def test_row_08_publishes_the_complete_list_only() -> None:
    """While pages are still coming nothing is visible, and nothing counts as synced."""
    second = asyncio.Event()

    async def held(connection: Connection) -> None:
        assert connection.request.query == {"limit": "500", "continue": "t1"}
        await second.wait()
        await page([B1])(connection)

    async with informing(ApiServer(page([A1], token="t1"), held, watch())) as it:
        await it.requests(2)
        await it.until(lambda: it.recorder.decoded == ["a@1"])
        assert len(it.informer.store) == 0
        assert not it.informer.has_synced
        assert it.recorder.changes == []
        second.set()
        await it.informer.wait_synced()
        assert it.names == ["a@1", "b@1"]


async def test_row_09_an_expired_continue_token_starts_the_pages_again() -> None:
    """A token that is too old leads back to the first page of 500; what was collected is dropped."""
    scripts = [
        page([A1], token="t1"),
        status(410, reason="Expired"),
        page([B1], version="200", token="t2"),
        page([], version="200"),
        watch(),
    ]
    async with informing(ApiServer(*scripts)) as it:
        await it.requests(5)
        assert it.names == ["b@1"]
    assert [request.query for request in it.server.requests[:4]] == [
        {"limit": "500"},
        {"limit": "500", "continue": "t1"},
        {"limit": "500"},
        {"limit": "500", "continue": "t2"},
    ]
    assert it.server.requests[4].query["resourceVersion"] == "200"


@pytest.mark.parametrize("lie", ["", "t9"], ids=["metadata first", "misleading end"])
async def test_the_next_page_is_what_the_list_says_wherever_it_says_so(lie: str) -> None:
    """Before its items or after them, and whatever looks like it at the end of the page."""

    async def other(connection: Connection) -> None:
        if connection.request.verb == "watch":
            await watch()(connection)
        token = connection.request.query.get("continue", "")
        following = {"": "t1", "t1": "t2"}.get(token, "")
        items = {"": [A1], "t1": [B1], "t2": [warehouse("c", "1")], "t9": [warehouse("d", "1")]}[token]
        body = {"metadata": {"continue": following, "resourceVersion": "100"}, "items": items}
        end = {"list": {"metadata": {"continue": lie, "remainingItemCount": 1}}} if lie else {}
        await connection.answer(200, body | end)

    async with informing(ApiServer(other)) as it:
        await it.informer.wait_synced()
        assert it.names == ["a@1", "b@1", "c@1"]


async def test_the_next_page_is_under_way_before_a_page_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server makes a page while the one before is taken apart; the last page asks for nothing more."""
    monkeypatch.setattr(lister, "SENDING_SECONDS", 0.1)  # the server shares this event loop
    server = ApiServer(page([A1], token="t1"), page([B1]), watch())
    asked: list[int] = []
    async with informing(server) as it:
        it.recorder.on_decode = lambda: asked.append(len(server.requests))
        await it.informer.wait_synced()
    assert asked == [2, 2]


async def test_row_10_memory_while_listing_is_one_page() -> None:
    """Listing 40 MB in pages of 2 MB never holds more than a few of them."""
    tracemalloc = pytest.importorskip("tracemalloc")
    pages = 20
    filler = "x" * 8_000

    async def script(connection: Connection) -> None:
        if connection.request.verb == "watch":
            await watch()(connection)
        number = int(connection.request.query.get("continue", "0"))
        items = [warehouse(f"w-{number}-{i}", "1", filler=filler) for i in range(250)]
        await page(items, token=str(number + 1) if number + 1 < pages else "")(connection)

    tracemalloc.start()
    try:
        async with informing(ApiServer(script)) as it:
            await it.informer.wait_synced()
            kept, peak = tracemalloc.get_traced_memory()
            assert len(it.informer.store) == pages * 250
    finally:
        tracemalloc.stop()
    # The server in this process holds a page too, as objects, as text and as bytes.
    assert peak - kept < 10 * 2_000_000


async def test_row_13_has_synced_only_after_the_handlers_saw_the_first_list() -> None:
    """Neither failures nor a list in progress make it synced; every handler hears before it is."""
    async with informing(ApiServer(status(500), page([A1]), watch())) as it:
        seen: list[bool] = []
        it.recorder.on_change = lambda: seen.append(it.informer.has_synced)
        await it.paused()
        assert not it.informer.has_synced
        await it.resume()
        await it.informer.wait_synced()
        assert seen == [False]
        assert it.informer.has_synced


async def test_a_page_beyond_the_limit_comes_in_smaller_ones() -> None:
    """One tenant's huge objects do not keep the others from being listed."""
    objects = [warehouse(str(i), "1", filler="x" * 1_000) for i in range(600)]

    async def script(connection: Connection) -> None:
        if connection.request.verb == "watch":
            await watch()(connection)
        start = int(connection.request.query.get("continue", "0"))
        end = start + int(connection.request.query["limit"])
        await page(objects[start:end], token=str(end) if end < len(objects) else "")(connection)

    async with informing(ApiServer(script), answer_limit=200_000) as it:
        await it.informer.wait_synced()
        assert len(it.informer.store) == 600


async def test_an_object_beyond_the_limit_by_itself_is_reported() -> None:
    """Nothing smaller can be asked for: somebody has to learn why the list does not come."""
    large = page([warehouse("a", "1", filler="x" * 1_000)])
    with capture_logs() as logs:
        async with informing(ApiServer(large), answer_limit=500) as it:
            assert 0.8 <= await it.paused() <= 1.2
    assert [request.query["limit"] for request in it.server.requests] == ["500", "125", "31", "7", "1"]
    assert [entry["event"] for entry in logs] == ["list_failed"]
