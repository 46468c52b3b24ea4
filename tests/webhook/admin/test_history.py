"""The history as the page reads it, from a real journal on a disk and in memory."""

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.deliveries import arrival
from tests.support.journal import NOW, finish, opened
from webhook.admin.history import OLD_SECONDS, JournalHistory
from webhook.journal import history as journal_history
from webhook.journal.history import Query
from webhook.journal.reading import HistoryError
from webhook.journal.schema import FILE_NAME
from webhook.outcome import NearMiss, NearMisses, Remarks

NOW_UTC = datetime.fromtimestamp(NOW, UTC)


@contextlib.asynccontextmanager
async def history(folder: Path | None) -> AsyncIterator[JournalHistory]:
    """A history of five deliveries of two receivers; the latest is not finished."""
    async with opened(folder) as journal:
        for number in range(5):
            receiver = "a/one" if number % 2 else "b/two"
            subject = ("git", "https://user:pass@dev.azure.com/O/P/_git/Repo") if number == 1 else ()
            each = arrival(
                f"d{number}", *([subject] if subject else []), receiver=receiver, received=NOW - 50 * number
            )
            await journal.record(each, 1)
            if number:
                finish(journal, each.id)
        await journal.record(arrival("twin", receiver="b/two", received=NOW - 200), 0)
        remarks = Remarks(200, near_misses=NearMisses((NearMiss("b/near", "k", "another host"),), "busy"))
        journal.finish("twin", matched=0, persisted=0, rejected=0, seconds=0.1, remarks=remarks)
        await journal.record(arrival("last", receiver="c/three", received=NOW - 900), 1)
        while journal.finished < 5:
            await journal.record(arrival(f"w{journal.finished}", receiver="w/w", received=0.0), 1)
        yield JournalHistory(journal, folder)


@pytest.fixture(params=["disk", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    """Where the journal is."""
    return tmp_path if request.param == "disk" else None


async def ids(shown: JournalHistory, query: Query) -> list[str]:
    """What a query finds."""
    return [each.id for each in await shown.deliveries(query) if not each.id.startswith("w")]


async def test_deliveries_are_found(folder: Path | None) -> None:
    """The newest first, by each filter, and from one page to the next."""
    async with history(folder) as shown:
        assert await ids(shown, Query()) == ["d0", "d1", "d2", "d3", "twin", "d4", "last"]
        assert await ids(shown, Query(receiver="a/one")) == ["d1", "d3"]
        assert await ids(shown, Query(outcome="unmatched")) == ["twin"]
        assert await ids(shown, Query(outcome="pending", receiver="b/two")) == ["d0"]
        assert await ids(shown, Query(repository="https://DEV.azure.com/o/p")) == ["d1"]
        assert await ids(shown, Query(text="SENDER'S TWIN")) == ["twin"]
        assert await ids(shown, Query(repository='["git')) == []
        page = await shown.deliveries(Query(limit=5))
        rest = Query(before=page[-1].unix, before_id=page[-1].id)
        assert await ids(shown, rest) == ["d4", "last"]


async def test_no_delivery_is_shown_on_two_pages(folder: Path | None) -> None:
    """Times are kept more finely than they are shown."""
    async with opened(folder) as journal:
        for number in range(9):
            await journal.record(arrival(f"d{number}", received=NOW + number * 2.4e-7), 1)
        shown = JournalHistory(journal, folder)
        query, seen = Query(limit=1), []
        while page := await shown.deliveries(query):
            seen += [each.id for each in page]
            query = Query(limit=1, before=page[-1].unix, before_id=page[-1].id)
        assert seen == [f"d{number}" for number in range(8, -1, -1)]


async def test_one_delivery_is_found(folder: Path | None) -> None:
    """With what became of it, and without the password of its URL."""
    async with history(folder) as shown:
        one = await shown.delivery("d1")
        assert one is not None
        assert [each.url for each in one.subjects] == ["https://dev.azure.com/O/P/_git/Repo"]
        assert (one.outcome, one.refreshed, one.seconds) == ("refreshed", 1, 0.5)
        assert await shown.delivery("none") is None
        twin = await shown.delivery("twin")
        assert twin is not None
        (near,) = twin.near_misses
        assert (near.namespace, near.name, near.why, twin.near_note) == ("b", "near", "another host", "busy")


async def test_receivers_are_summed_up(folder: Path | None) -> None:
    """Last delivery, last success, and how the last 24 hours were answered."""
    async with history(folder) as shown:
        found = await shown.summaries(NOW_UTC)
        two = found["b/two"]
        assert two.last_delivery is not None
        assert two.last_success is not None
        assert (two.last_delivery.timestamp(), two.last_success.timestamp()) == (NOW, NOW - 100)
        assert two.answers == {"200": 1}
        assert found["c/three"].last_success is None
        assert found["c/three"].answers == {}


async def test_each_delivery_is_summed_up_once(folder: Path | None) -> None:
    """Whether it is in what was read before, in what is read now, or between; by a clock set back, too."""
    async with opened(folder) as journal:
        shown = JournalHistory(journal, folder)
        for number in range(20):
            each = arrival(f"d{number}", receiver="a/one", received=NOW + 60 * number)
            await journal.record(each, 1)
            journal.finish(each.id, matched=1, persisted=1, rejected=0, seconds=0.1, remarks=Remarks(200))
            while journal.finished <= number:
                await journal.record(arrival(f"w{number}-{journal.finished}", receiver="w/w"), 1)
            for passed in (60 * number, 60 * number - 3600, 60 * number + 1):
                found = (await shown.summaries(NOW_UTC + timedelta(seconds=passed)))["a/one"]
                assert found.answers == {"200": number + 1}
                assert found.last_delivery == found.last_success == NOW_UTC + timedelta(minutes=number)


async def test_what_was_read_before_is_used_while_a_full_history_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy machine takes too long for all of it; what is young is found in time."""
    async with history(tmp_path) as shown:
        before = await shown.summaries(NOW_UTC)

        def slow(database: sqlite3.Connection, now: float, *, since: float = 0.0, **bounds: float) -> object:
            if not since:
                raise sqlite3.OperationalError("interrupted")
            return summaries(database, now, since=since, **bounds)

        summaries = journal_history.summaries
        monkeypatch.setattr(journal_history, "summaries", slow)
        assert await shown.summaries(NOW_UTC + timedelta(seconds=OLD_SECONDS)) == before


async def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    """The page names it; the journal goes on."""
    async with history(tmp_path) as shown:
        with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as database:
            database.execute("ALTER TABLE delivery RENAME TO gone")
        with pytest.raises(HistoryError, match=r"^cannot read .*it holds no table of deliveries$"):
            await shown.deliveries(Query())
        with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as database:
            database.execute("ALTER TABLE gone RENAME TO delivery")
