"""What the history holds of all that came in, and how it is asked."""

import asyncio
import contextlib
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.deliveries import arrival
from tests.support.journal import NOW, finish, opened, record
from webhook.arrival import Arrival
from webhook.journal import history, reading
from webhook.journal.file import HistoryLimits, JournalFile
from webhook.journal.history import Entry, Query
from webhook.journal.journal import Journal
from webhook.journal.notices import EACH
from webhook.journal.schema import FILE_NAME, MIGRATIONS
from webhook.journal.statements import notice_of
from webhook.outcome import NearMiss, NearMisses, Outcome, Remarks


def ping(name: str, receiver: str = "kargo-demo/az", received: float = NOW) -> Arrival:
    return Arrival(name, receiver, "acr", "ping", received=received)


async def asked(journal: Journal, query: Query | None = None) -> list[Entry]:
    return await journal.read(lambda database: history.entries(database, query or Query()))


@pytest.mark.parametrize("in_memory", [True, False], ids=["in memory", "in a folder"])
async def test_a_row_holds_what_was_pushed_what_it_matched_and_what_was_answered(
    in_memory: bool, tmp_path: Path
) -> None:
    """Beside pings and refusals, in the order in which they came."""
    near = NearMisses((NearMiss("other/w", "registry.azurecr.io/app", "another Project"),))
    async with opened(None if in_memory else tmp_path) as journal:
        pushed = replace(arrival("push"), refs=("1.2.3",), via="queue", repeats="earlier")
        assert await journal.record(pushed, 2, ["kargo-demo/a", "kargo-demo/b"])
        journal.finish(
            "push",
            matched=2,
            persisted=1,
            rejected=1,
            seconds=0.5,
            remarks=Remarks(200, "1 were rejected", near),
        )
        journal.note(
            ping("refused", received=NOW + 1), outcome=Outcome.REFUSED, code=401, reason="which is missing"
        )
        catch_up = Arrival("c", source="catch-up", event="catch-up", received=NOW + 2, via="catch-up")
        journal.note(catch_up, outcome=Outcome.REFRESHED, reason="catch-up, because …", matched=3)
        assert await journal.record(arrival("barrier", received=NOW - 1), 1)
        await asyncio.sleep(0.3)
        caught_up, refused, push, _ = await asked(journal)
    assert (push.refs, push.names) == (("1.2.3",), ("kargo-demo/a", "kargo-demo/b"))
    assert (push.via, push.repeats, push.code, push.reason) == ("queue", "earlier", 200, "1 were rejected")
    assert push.near_misses == near
    assert (refused.outcome, refused.code, refused.reason) == (Outcome.REFUSED, 401, "which is missing")
    assert (caught_up.via, caught_up.matched, caught_up.reason) == ("catch-up", 3, "catch-up, because …")


async def test_pages_and_filters() -> None:
    """Every row once, the newest first, however many pages; filters hold for both kinds of rows."""
    async with opened() as journal:
        for number in range(10):
            app = ("image", f"r.azurecr.io/Team/app{number}")
            assert await journal.record(arrival(f"d{number}", app, received=NOW + number // 2), 1)
            journal.note(ping(f"p{number}", received=NOW + number), outcome=Outcome.ANSWERED, code=200)
        finish(journal, "d3")
        await journal.record(arrival("last", received=NOW - 1), 1)
        await asyncio.sleep(0.3)
        whole = await asked(journal, Query(limit=0))
        paged, query = [], Query(limit=4)
        while page := await asked(journal, query):
            paged += page
            query = Query(limit=4, before=page[-1].received, before_id=page[-1].id)
        assert paged == whole
        assert len(whole) == 21
        assert [each.received for each in whole] == sorted((each.received for each in whole), reverse=True)

        async def ids(query: Query) -> list[str]:
            return [each.id for each in await asked(journal, query)]

        assert await ids(Query(repository="https://R.azurecr.io/team/APP7")) == ["d7"]
        assert await ids(Query(repository="image")) == []
        assert await ids(Query(outcome=Outcome.REFRESHED)) == ["d3"]
        assert await ids(Query(event="ping", since=NOW + 9)) == ["p9"]
        assert await ids(Query(text="APP4")) == ["d4"]
        assert await ids(Query(receiver="kargo-demo")) == []
        found = await journal.read(lambda database: history.summaries(database, NOW + 20))
    assert found["kargo-demo/az"].last_delivery == datetime.fromtimestamp(NOW + 9, UTC)
    assert found["kargo-demo/az"].last_event == "ping"
    assert found["kargo-demo/az"].last_success == datetime.fromtimestamp(NOW + 1, UTC)
    assert found["kargo-demo/az"].answers == {"200": 10}


def test_a_flood_of_notices_pushes_out_no_push_and_no_others_notice(tmp_path: Path) -> None:
    """Their bound is their own, and the Project with most of them gives way."""
    file = JournalFile.open(tmp_path, HistoryLimits(notices=100), NOW)
    record(file, arrival("push"))
    about = notice_of(ping("other", "b/az"), Outcome.ANSWERED, 200)
    file.write([], [], None, NOW, [about])
    for start in range(0, 1000, 50):
        flood = [
            notice_of(ping(f"f{each}", "a/az"), Outcome.REFUSED, 401) for each in range(start, start + 50)
        ]
        file.write([], [], None, NOW, flood)
    kept = {
        each.id for each in reading.ask(tmp_path, lambda database: history.entries(database, Query(limit=0)))
    }
    assert {"push", "other", "f999"} <= kept
    assert len(kept) <= 101
    file.write([], [], None, NOW + 8 * 24 * 3600)
    assert reading.ask(tmp_path, lambda database: history.entry(database, "other")) is None
    file.close()


async def test_few_notices_of_one_project_wait_for_a_commit() -> None:
    """However many come between two commits, the rest is dropped, and others still find room."""
    async with opened() as journal:
        for number in range(10 * EACH):
            journal.note(ping(f"f{number}", "a/az"), outcome=Outcome.REFUSED, code=401)
        journal.note(ping("other", "b/az"), outcome=Outcome.ANSWERED, code=200)
        assert await journal.record(arrival("push"), 1)
        kept = [each.id for each in await asked(journal, Query(limit=0))]
    assert "other" in kept
    assert len(kept) == EACH + 2


def test_a_file_of_the_first_version_is_read_as_it_is(tmp_path: Path) -> None:
    """A folder that was copied away from an earlier release."""
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as database:
        database.executescript(MIGRATIONS[0])
        database.execute(
            "INSERT INTO delivery VALUES"
            " (1, 'a', 0, 'p/r', 'acr', 'push', '', NULL, '[]', 1, NULL, 0, 0, NULL, NULL)"
        )
        database.execute("PRAGMA user_version = 1")
        database.commit()
    (found,) = reading.ask(tmp_path, lambda database: history.entries(database, Query()))
    assert (found.id, found.via, found.outcome, found.refs) == ("a", "http", Outcome.PENDING, ())
