"""The store as lists and events change it, and objects that can not be decoded."""

import json

import pytest
from structlog.testing import capture_logs

from tests.controller.runtime.informer.informing import informing
from tests.support.apiserver import (
    ApiServer,
    Connection,
    Script,
    page,
    status,
    status_object,
    warehouse,
    watch,
)

A1, A2, B1 = warehouse("a", "1", value=1), warehouse("a", "2", value=2), warehouse("b", "1", value=1)
DEEP = b"[" * 5_000 + b"]" * 5_000
BAD_OBJECTS = [
    pytest.param(b'"value": "text"', id="wrong type"),
    pytest.param(b'"value": ' + DEEP, id="too deep"),
    pytest.param(b'"value": "\xff"', id="not utf-8"),
]


def _error_event(code: int, reason: str) -> Script:
    return watch(("ERROR", status_object(code, reason)))


def _raw_page(*items: bytes, version: str = "100") -> Script:
    async def script(connection: Connection) -> None:
        body = b'{"metadata":{"resourceVersion":"%s"},"items":[%s]}' % (version.encode(), b", ".join(items))
        await connection.answer(200, body)

    return script


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
