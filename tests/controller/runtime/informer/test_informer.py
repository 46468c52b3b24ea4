"""The informer against a server that sends bytes; one test for each row it must hold."""

import asyncio
import json
import random

import pytest
from structlog.testing import capture_logs

from controller.receivers.secret_throttle import Slots
from controller.runtime.api.errors import ApiError, Forbidden
from controller.runtime.informer.informer import ABSENCE_SECONDS, WATCH_RESTART_REASONS, ForbiddenRetry
from tests.controller.runtime.informer.informing import informing
from tests.support.apiserver import (
    ApiServer,
    Connection,
    Script,
    bookmark,
    html,
    page,
    reset,
    status,
    status_object,
    warehouse,
    watch,
)

A1, A2, B1 = warehouse("a", "1", value=1), warehouse("a", "2", value=2), warehouse("b", "1", value=1)


async def test_row_01_every_list_is_consistent() -> None:
    """No list, the first or a later one, ever names a version: the store never goes back in time."""
    gone = watch(("ERROR", status_object(410, "Expired")))
    async with informing(ApiServer(page([A1]), gone, page([A2], version="200"), watch())) as it:
        await it.until(lambda: it.names == ["a@2"])
        await it.requests(4)
    lists = [request.query for request in it.server.requests if request.verb == "list"]
    assert lists == [{"limit": "500"}] * 2


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


async def cut(connection: Connection) -> None:
    """Accept a watch and reset the connection. (A reset before that aiohttp answers by a second try.)"""
    await connection.head()
    connection.reset()


def _error_event(code: int, reason: str) -> Script:
    return watch(("ERROR", status_object(code, reason)))


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


async def test_row_07_a_relist_keeps_objects_whose_version_is_the_same() -> None:
    """Unchanged objects stay the very same in memory, are not decoded again, and no handler hears of them."""
    again = page([A1, warehouse("b", "2")], version="200")
    async with informing(ApiServer(page([A1, B1]), status(410, reason="Expired"), again, watch())) as it:
        await it.until(lambda: it.informer.has_synced)
        before = it.informer.store.get("demo", "a")
        await it.requests(4)
        assert it.informer.store.get("demo", "a") is before
    assert it.recorder.decoded == ["a@1", "b@1", "b@2"]
    assert it.recorder.changes == [("added", "a", "1"), ("added", "b", "1"), ("updated", "b", "1", "2")]


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
    """Asking ahead relies on how API servers write their answers; what comes of it does not."""

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


async def test_row_11_replace_tells_the_difference() -> None:
    """A relist after a break adds, updates and deletes; a delete carries the last known object."""
    first = [A1, B1, warehouse("c", "1")]
    then = [A1, warehouse("b", "5"), warehouse("d", "6")]
    gone = _error_event(410, "Expired")
    async with informing(ApiServer(page(first), gone, page(then, version="200"), watch())) as it:
        await it.requests(4)
        assert it.names == ["a@1", "b@5", "d@6"]
    assert sorted(it.recorder.changes[3:]) == [
        ("added", "d", "6"),
        ("deleted", "c", "1"),
        ("updated", "b", "1", "5"),
    ]


async def test_row_12_deletes_go_by_key_and_uids_are_compared() -> None:
    """An unknown key is passed over; an object made anew under its old name is a delete and an add."""
    script = watch(
        ("DELETED", warehouse("unknown", "101")),
        ("MODIFIED", warehouse("a", "102", uid="another")),
        ("DELETED", warehouse("a", "103", uid="another")),
        ("ADDED", warehouse("a", "104", uid="third")),
    )
    async with informing(ApiServer(page([A1]), script)) as it:
        await it.until(lambda: it.names == ["a@104"])
    assert it.recorder.changes == [
        ("added", "a", "1"),
        ("deleted", "a", "1"),
        ("added", "a", "102"),
        ("deleted", "a", "102"),
        ("added", "a", "104"),
    ]


async def test_an_object_that_is_not_to_be_kept_is_left_out() -> None:
    """Where ``decode`` says so, an object is not stored, or is deleted if it was; and may come back."""
    script = watch(("MODIFIED", warehouse("a", "2", value=-1)), ("MODIFIED", warehouse("a", "3")))
    async with informing(ApiServer(page([A1, warehouse("b", "1", value=-1)]), script)) as it:
        await it.until(lambda: it.names == ["a@3"])
    assert it.recorder.changes == [("added", "a", "1"), ("deleted", "a", "1"), ("added", "a", "3")]
    assert it.recorder.quarantines == 0


async def test_row_12_uids_are_compared_on_a_relist() -> None:
    """An object made anew during a break is a delete and an add as well."""
    again = page([warehouse("a", "9", uid="another")], version="200")
    async with informing(ApiServer(page([A1]), status(410), again, watch())) as it:
        await it.requests(4)
    assert it.recorder.changes == [("added", "a", "1"), ("deleted", "a", "1"), ("added", "a", "9")]


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
    assert it.recorder.sync == [False, True]


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
    async with informing(ApiServer(page([A1]), watch(("MODIFIED", A2)), watch()), idle_seconds=0.05) as it:
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


async def test_row_15_many_informers_start_spread_out() -> None:
    """With a start jitter the first list waits for a random part of it."""
    delays = set()
    for seed in range(5):
        server = ApiServer(page([]), watch())
        async with informing(server, start_jitter=10.0, rng=random.Random(seed)) as it:
            delays.add(await it.paused())
            assert server.requests == []
            await it.resume()
            await it.requests(1)
    assert len(delays) == 5
    assert all(0 <= delay <= 10 for delay in delays)


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
        assert server._server is not None
        server._server.close()
        for _ in range(3):
            await it.resume()
            await it.until(lambda: bool(it.clock.pending))
        assert it.names == ["a@1"]
        async with ApiServer(watch(("MODIFIED", A2))) as back:
            it.informer._client._streams.configuration.host = f"http://127.0.0.1:{back.port}"
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


def _raw_page(*items: bytes, version: str = "100") -> Script:
    async def script(connection: Connection) -> None:
        body = b'{"metadata":{"resourceVersion":"%s"},"items":[%s]}' % (version.encode(), b", ".join(items))
        await connection.answer(200, body)

    return script


BAD_OBJECTS = [
    pytest.param(b'"value": "text"', id="wrong type"),
    pytest.param(b'"value": ' + DEEP, id="too deep"),
    pytest.param(b'"value": "\xff"', id="not utf-8"),
]


@pytest.mark.parametrize("spec", BAD_OBJECTS)
async def test_row_18_an_object_that_does_not_decode_is_quarantined_alone(spec: bytes) -> None:
    """In a list it is counted and logged once, and the others are served; a good version heals it."""
    meta = b'{"name":"bad","namespace":"demo","uid":"u","resourceVersion":"7"}'
    bad = b'{"metadata":' + meta + b',"spec":{' + spec + b"}}"
    good = json.dumps(A1).encode()
    scripts = [
        _raw_page(bad, good),
        status(410),
        _raw_page(good, bad, version="200"),
        watch(("MODIFIED", warehouse("bad", "8", uid="u", value=3))),
    ]
    with capture_logs() as logs:
        async with informing(ApiServer(*scripts)) as it:
            await it.informer.wait_synced()
            assert it.names == ["a@1"]
            await it.until(lambda: it.names == ["a@1", "bad@8"])
    assert it.recorder.quarantines == 1
    told = [entry for entry in logs if entry["event"] == "object_undecodable"]
    assert [(entry["namespace"], entry["name"]) for entry in told] == [("demo", "bad")]


@pytest.mark.parametrize("spec", BAD_OBJECTS)
async def test_row_18_the_last_good_version_is_served_until_the_object_is_gone(spec: bytes) -> None:
    """An object that turns bad, in the watch or a relist, stays as last known; when deleted, it goes."""
    meta = b'{"name":"a","namespace":"demo","uid":"uid-a","resourceVersion":"%d"}'
    bad = b'{"metadata":' + meta + b',"spec":{' + spec + b"}}"

    async def turn(connection: Connection) -> None:
        await connection.head()
        await connection.chunk(b'{"type":"MODIFIED","object":' + bad.replace(b"%d", b"7") + b"}\n")
        await connection.event("ADDED", B1)
        await connection.event("ERROR", status_object(410))

    again = _raw_page(bad.replace(b"%d", b"8"), version="200")
    gone = _error_event(410, "Expired")
    scripts = [page([A1]), turn, again, gone, page([], version="201"), watch()]
    async with informing(ApiServer(*scripts)) as it:
        await it.requests(3)
        await it.until(lambda: it.names == ["a@1"])
        assert it.recorder.quarantines == 2
        await it.resume()
        await it.until(lambda: it.names == [])
    assert ("deleted", "a", "1") in it.recorder.changes
    assert not [change for change in it.recorder.changes if change[0] == "updated"]


async def test_row_18_a_bad_object_under_a_new_uid_ends_the_old_one() -> None:
    """If an object was made anew and can't be decoded, the old one is gone all the same."""
    anew = warehouse("a", "9", uid="another", value="text")
    async with informing(ApiServer(page([A1]), watch(("ADDED", anew)))) as it:
        await it.until(lambda: it.recorder.quarantines == 1)
        assert it.names == []
    assert it.recorder.changes[-1] == ("deleted", "a", "1")


async def test_row_26_says_when_it_has_caught_up_after_a_break() -> None:
    """The last sign of life stands still through a break, while late events are handled, until a bookmark."""
    go = asyncio.Event()

    async def late(connection: Connection) -> None:
        await connection.head()
        await connection.event("MODIFIED", warehouse("a", "3"))
        await connection.event("MODIFIED", warehouse("a", "4"))
        await go.wait()
        await connection.event(*bookmark("9"))
        await asyncio.Event().wait()

    broken = asyncio.Event()

    async def breaks(connection: Connection) -> None:
        await connection.head()
        await connection.event("MODIFIED", A2)
        await broken.wait()
        connection.reset()

    async with informing(ApiServer(page([A1]), breaks, late)) as it:
        await it.until(lambda: it.names == ["a@2"])
        assert not it.behind()
        assert it.recorder.caught_up == 1
        life = it.informer.last_activity
        broken.set()
        await it.paused()
        assert it.behind()
        await it.clock.advance(0.1)
        seen: list[float] = []
        it.recorder.on_change = lambda: seen.append(it.informer.last_activity)
        await it.resume()
        await it.until(lambda: it.names == ["a@4"])
        assert seen == [life, life]
        assert it.behind()
        go.set()
        await it.until(lambda: it.informer.caught_up)
        assert it.informer.last_activity > life
        assert it.recorder.caught_up == 2


async def test_row_26_catches_up_without_a_bookmark() -> None:
    """Where no bookmark comes, ten seconds of an open watch end the break."""
    async with informing(ApiServer(page([A1]), cut, watch(("MODIFIED", A2)))) as it:
        await it.resume()
        await it.until(lambda: it.names == ["a@2"])
        assert it.behind()
        await it.clock.advance(9.9)
        assert it.behind()
        await it.clock.advance(0.2)
        assert not it.behind()
        assert it.recorder.caught_up == 2


async def test_row_26_an_event_after_a_long_silence_opens_a_break() -> None:
    """Events that a frozen connection held back are handled with the old sign of life in view."""
    go = asyncio.Event()

    async def frozen(connection: Connection) -> None:
        await connection.head()
        await connection.event("MODIFIED", A2)
        await go.wait()
        await connection.event("MODIFIED", warehouse("a", "3"))
        await connection.event("MODIFIED", warehouse("a", "4"))
        await asyncio.Event().wait()

    async with informing(ApiServer(page([A1]), frozen)) as it:
        await it.until(lambda: it.names == ["a@2"])
        life = it.informer.last_activity
        seen: list[float] = []
        it.recorder.on_change = lambda: seen.append(it.informer.last_activity)
        await it.clock.advance(600)
        go.set()
        await it.until(lambda: it.names == ["a@4"])
        assert seen == [life, life]
        await it.clock.advance(10)
        assert not it.behind()
        assert it.informer.last_activity == life + 610


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
        while it.clock.monotonic() < started + 119:
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


async def test_a_page_beyond_the_limit_comes_in_smaller_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """One tenant's huge objects do not keep the others from being listed."""
    objects = [warehouse(str(i), "1", filler="x" * 1_000) for i in range(600)]

    async def script(connection: Connection) -> None:
        if connection.request.verb == "watch":
            await watch()(connection)
        start = int(connection.request.query.get("continue", "0"))
        end = start + int(connection.request.query["limit"])
        await page(objects[start:end], token=str(end) if end < len(objects) else "")(connection)

    async with informing(ApiServer(script)) as it:
        it.informer._client._answer_limit = 200_000
        await it.informer.wait_synced()
        assert len(it.informer.store) == 600


async def test_a_handler_that_raises_ends_the_informer() -> None:
    """A bug in a handler is not hidden: whoever supervises ``run`` gets it."""

    async def main() -> None:
        async with informing(ApiServer(page([A1]), watch())) as it:

            def fail() -> None:
                raise ZeroDivisionError

            it.recorder.on_change = fail
            with pytest.raises(ZeroDivisionError):
                await it.until(lambda: False)

    with pytest.raises(ZeroDivisionError):
        await main()


def test_reasons_are_a_bounded_set() -> None:
    """Every reason a watch can end for is declared, so that its counter can exist from the start."""
    assert len(set(WATCH_RESTART_REASONS)) == len(WATCH_RESTART_REASONS) == 9


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
    turns = Slots(0)
    async with informing(ApiServer(page([A1]), script, watch()), turns=turns) as it:
        await it.until(lambda: it.informer.has_synced)
        await asyncio.sleep(0.02)
        assert it.server.verbs == ["list"]
        await it.until(lambda: it.informer.awaits_turn)
        turns.give()
        await it.requests(2)
        assert it.server.verbs == ["list", "watch"]
        await it.until(lambda: not it.informer.awaits_turn)
        await asyncio.wait_for(turns.take(), 5.0)
