"""The watch half of an informer: versions, ends, backoff."""

import asyncio

import pytest
from structlog.testing import capture_logs

from controller.runtime.informer.informer import WATCH_RESTART_REASONS
from tests.controller.runtime.informer.informing import informing
from tests.support.apiserver import (
    ApiServer,
    Connection,
    Script,
    bookmark,
    html,
    page,
    status,
    status_object,
    warehouse,
    watch,
)

A1, A2, B1 = warehouse("a", "1", value=1), warehouse("a", "2", value=2), warehouse("b", "1", value=1)
DEEP = b"[" * 5_000 + b"]" * 5_000
BAD_LINES = [
    pytest.param(b"{not json}", id="no JSON"),
    pytest.param(b"null", id="null"),
    pytest.param(b'{"type":"ADDED"}', id="no object"),
    pytest.param(b'{"type":"ADDED","object":{"metadata":{}}}', id="no name"),
    pytest.param(b'{"type":"WHATEVER","object":{}}', id="unknown type"),
    pytest.param(b'{"type":"BOOKMARK","object":{}}', id="bookmark without a version"),
    pytest.param(b'{"type":"ADDED","object":{"metadata":{"name":"\xff"}}}', id="not utf-8"),
    pytest.param(b'{"type":"ADDED","object":' + DEEP + b"}", id="too deep"),
]


async def cut(connection: Connection) -> None:
    """Accept a watch and reset the connection. (A reset before that aiohttp answers by a second try.)"""
    await connection.head()
    connection.reset()


def _error_event(code: int, reason: str) -> Script:
    return watch(("ERROR", status_object(code, reason)))


async def test_row_02_applies_the_event_then_advances_the_version() -> None:
    """When the connection breaks, the next watch begins at the last event that reached the handlers."""

    async def cut(connection: Connection) -> None:
        await connection.head()
        await connection.event("MODIFIED", warehouse("a", "opaque-7"))
        await connection.chunk(b'{"type":"MODIFIED","object":{"metadata":{"name":"a","resourceVers')
        connection.reset()

    async with informing(ApiServer(page([A1]), cut, watch())) as it:
        await it.until(lambda: it.recorder.restarts == ["connection"])
        assert it.recorder.changes == [("added", "a", "1"), ("updated", "a", "1", "opaque-7")]
        await it.resume()
        await it.requests(3)
    assert [request.query.get("resourceVersion") for request in it.server.requests] == [
        None,
        "100",
        "opaque-7",
    ]


async def test_row_03_a_bookmark_only_advances_the_version() -> None:
    """After a bookmark the next watch begins at its version; no handler hears of it."""
    script = watch(("MODIFIED", A2), bookmark("555"), hold=False)
    async with informing(ApiServer(page([A1]), script, watch())) as it:
        await it.requests(3)
    assert it.server.requests[1].query["allowWatchBookmarks"] == "true"
    assert it.server.requests[2].query["resourceVersion"] == "555"
    assert it.recorder.changes == [("added", "a", "1"), ("updated", "a", "1", "2")]


async def test_row_14_watches_end_by_the_server_in_5_to_10_minutes() -> None:
    """``timeoutSeconds`` lies in 300 to 600 and differs from watch to watch."""
    end = watch(("MODIFIED", A2), hold=False)
    more = [watch(("MODIFIED", warehouse("a", str(i))), hold=False) for i in range(3, 20)]
    scripts = [end, *more, watch()]
    async with informing(ApiServer(page([A1]), *scripts)) as it:
        await it.requests(20)
    timeouts = {int(request.query["timeoutSeconds"]) for request in it.server.requests[1:]}
    assert all(300 <= seconds <= 600 for seconds in timeouts)
    assert len(timeouts) > 10


async def test_row_14_a_dead_connection_is_noticed() -> None:
    """Silence beyond the idle bound ends the watch; the next goes on from the version at once."""
    async with informing(ApiServer(page([A1]), watch(("MODIFIED", A2)), watch()), idle_seconds=0.5) as it:
        await it.requests(3)
        assert it.recorder.restarts == ["idle"]
    assert it.server.requests[2].query["resourceVersion"] == "2"


async def test_row_15_one_backoff_for_list_and_watch() -> None:
    """A list that works does not excuse a watch that fails: delays go on doubling."""

    async def script(connection: Connection) -> None:
        await (page([A1]) if connection.request.verb == "list" else status(403))(connection)

    async with informing(ApiServer(script)) as it:
        for least in (0.8, 1.6, 3.2, 6.4):
            assert least <= await it.paused() <= least * 1.5
            await it.resume()


@pytest.mark.parametrize(
    ("failure", "least"),
    [
        pytest.param(status(429, Retry_After="7"), 7.0, id="429 with Retry-After"),
        pytest.param(status(429, details={"retryAfterSeconds": 5}), 5.0, id="429, in its Status"),
        pytest.param(status(429), 0.8, id="429"),
        pytest.param(cut, 0.8, id="reset"),
        pytest.param(html(502), 0.8, id="proxy page"),
        pytest.param(status(401), 0.8, id="401"),
        pytest.param(_error_event(500, "InternalError"), 0.8, id="ERROR 500"),
    ],
)
async def test_row_16_backs_off_and_watches_again_from_the_same_version(
    failure: Script, least: float
) -> None:
    """No list after a failure that passes; the server's Retry-After is honoured."""
    async with informing(ApiServer(page([A1]), failure, watch())) as it:
        assert least <= await it.paused() <= least * 1.5
        await it.resume()
        await it.requests(3)
    assert it.server.verbs == ["list", "watch", "watch"]
    assert it.server.requests[2].query["resourceVersion"] == "100"


async def test_row_16_a_refused_connection_is_waited_out() -> None:
    """With the server away the store stays as it is, and the watch goes on when the server is back."""
    server = ApiServer(page([A1]), cut)
    async with informing(server) as it:
        await it.until(lambda: it.recorder.restarts == ["connection"])
        server.refuse()
        for _ in range(3):
            await it.resume()
            await it.until(lambda: bool(it.clock.pending))
        assert it.names == ["a@1"]
        async with ApiServer(watch(("MODIFIED", A2)), port=server.port) as back:
            await it.resume()
            await it.until(lambda: it.names == ["a@2"])
            assert back.requests[0].query["resourceVersion"] == "100"


async def test_row_16_a_senseless_retry_after_is_bounded() -> None:
    """A proxy that asks for a day is not obeyed."""
    async with informing(ApiServer(status(429, Retry_After="86400"), page([]), watch())) as it:
        assert 120 <= await it.paused() <= 144


async def test_row_17_a_watch_that_ends_at_once_is_a_failure() -> None:
    """A server that accepts and hangs up cleanly does not make a hot loop."""

    async def script(connection: Connection) -> None:
        await (page([A1]) if connection.request.verb == "list" else watch(hold=False))(connection)

    async with informing(ApiServer(script)) as it:
        for least in (0.8, 1.6, 3.2):
            assert least <= await it.paused() <= least * 1.5
            await it.resume()
    assert it.server.verbs.count("watch") <= 4
    assert set(it.recorder.restarts) == {"short"}


async def test_row_17_a_clean_end_is_no_error() -> None:
    """After a watch that the server ended in time, the next begins with no delay and no complaint."""
    with capture_logs() as logs:
        async with informing(ApiServer(page([A1]), watch(("MODIFIED", A2), hold=False), watch())) as it:
            await it.requests(3)
    assert it.recorder.restarts == ["closed"]
    assert [entry["event"] for entry in logs] == ["synced"]


@pytest.mark.parametrize("line", BAD_LINES)
async def test_row_18_a_malformed_event_is_logged_and_skipped(line: bytes) -> None:
    """What can't be understood is passed over with one log line, and the watch goes on."""

    async def script(connection: Connection) -> None:
        await connection.head()
        await connection.chunk(line + b"\n")
        await connection.event("MODIFIED", A2)
        await asyncio.Event().wait()

    with capture_logs() as logs:
        async with informing(ApiServer(page([A1]), script)) as it:
            await it.until(lambda: it.names == ["a@2"])
    assert it.server.verbs == ["list", "watch"]
    assert len([entry for entry in logs if entry["log_level"] == "warning"]) == 1


def test_reasons_are_a_bounded_set() -> None:
    """Every reason a watch can end for is declared, so that its counter can exist from the start."""
    assert len(set(WATCH_RESTART_REASONS)) == len(WATCH_RESTART_REASONS) == 9
