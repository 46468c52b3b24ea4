"""The journal as the receiver sees it: its promises, and when it writes."""

import asyncio
import contextlib
import itertools
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.support.clock import FakeClock
from tests.support.deliveries import arrival
from tests.support.journal import NOW, finish, hold, left, opened, outcomes, until
from webhook.journal import file as file_module
from webhook.journal import journal as journal_module
from webhook.journal.file import JournalFile
from webhook.journal.journal import Journal
from webhook.journal.schema import FILE_NAME


@pytest.mark.parametrize("in_memory", [True, False], ids=["in memory", "in a folder"])
async def test_one_interface_with_and_without_a_folder(in_memory: bool, tmp_path: Path) -> None:
    """The rest of the receiver does not know whether there is a folder."""
    async with opened(None if in_memory else tmp_path) as journal:
        recorded = [journal.record(arrival(name), 1) for name in "abc"]
        assert await asyncio.gather(*recorded) == [True] * 3
        assert journal.pending == 3
        finish(journal, "a")
        journal.supersede("b", by=["c"])
        assert await journal.record(arrival("d"), 1)
        assert journal.pending == 2
        assert (journal.failing, journal.failures, journal.last_error) == (False, 0, None)
    assert (tmp_path / FILE_NAME).exists() is not in_memory


async def test_what_was_committed_is_there_for_the_next_process(tmp_path: Path) -> None:
    """Unfinished deliveries come back; outcomes queued just before the close are written by it."""
    async with opened(tmp_path) as journal:
        for name in "abc":
            assert await journal.record(arrival(name, ("image", name), received=NOW - 1000), 1)
        journal.sign_of_life(NOW)
        finish(journal, "a")
        journal.supersede("b", by=("c",))
    async with opened(tmp_path) as journal:
        assert journal.pending == 1
        assert await left(journal) == {"c": True}


async def test_the_sign_of_life_decides_which_finished_ones_are_recent(tmp_path: Path) -> None:
    """After a long break of the watch, deliveries since five minutes before the break are matched again."""
    async with opened(tmp_path) as journal:
        journal.sign_of_life(NOW - 1000)
        for name, age in (("before", 1301), ("recent", 1299)):
            await journal.record(arrival(name, ("image", name), received=NOW - age), 1)
            finish(journal, name)
    async with opened(tmp_path) as journal:
        assert await left(journal) == {"recent": False}


async def test_many_deliveries_are_resumed_in_order(tmp_path: Path) -> None:
    """More than are read at a time, each once, the oldest first."""
    names = [f"{number:05}" for number in range(2 * file_module.SLICE_ROWS + 1)]
    async with opened(tmp_path) as journal:
        await asyncio.gather(*(journal.record(arrival(name), 1) for name in names))
    async with opened(tmp_path) as journal:
        assert list(await left(journal)) == names


async def test_little_is_resumed_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While too much of what was resumed is unfinished, the rest waits on the disk, not in memory."""
    monkeypatch.setattr(file_module, "SLICE_ROWS", 2)
    monkeypatch.setattr(journal_module, "RESUMED_BYTES", 9_000)
    names = [str(number) for number in range(20)]
    async with opened(tmp_path) as journal:
        await asyncio.gather(*(journal.record(arrival(name), 1) for name in names))
    async with opened(tmp_path) as journal:
        resumed: list[str] = []

        async def resume() -> None:
            async for each, _ in journal.to_resume(window=300):
                resumed.append(each.id)

        resuming = asyncio.ensure_future(resume())
        for count in (6, 8, 10):  # two more each time that two have ended
            await until(lambda count=count: len(resumed) == count)  # type: ignore[misc]
            await asyncio.sleep(0.05)
            assert len(resumed) == count, "no more than fits"
            for name in resumed[count - 6 : count - 4]:
                finish(journal, name)
        for name in names:
            await until(lambda name=name: name in resumed)  # type: ignore[misc]
            finish(journal, name)
        await resuming
        await until(lambda: journal.pending == 0)
    assert resumed == names


WRITER = """
import asyncio, sys
from pathlib import Path
from tests.support.deliveries import arrival
from webhook.journal.journal import Journal

async def main():
    journal = await Journal.open(Path(sys.argv[1]))
    writing = asyncio.ensure_future(journal.run())
    async def one(number):
        name = f"{sys.argv[2]}-{number}"
        if await journal.record(arrival(name), 1):
            print(name, flush=True)
            if number % 3 == 0:
                journal.finish(name, matched=1, persisted=1, rejected=0, seconds=0.1)
    for start in range(0, 10**9, 50):
        await asyncio.gather(*(one(start + each) for each in range(50)))

asyncio.run(main())
"""


def reported_before_kill_9(folder: Path, name: str, count: int) -> set[str]:
    """Kill a writer after its ``count``-th report; return all that it reported."""
    command = [sys.executable, "-c", WRITER, str(folder), name]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        reported = set(itertools.islice(map(str.strip, process.stdout), count))
        process.send_signal(signal.SIGKILL)
        reported |= {line.strip() for line in process.stdout if line.endswith("\n")}
    assert process.wait() == -signal.SIGKILL
    return reported


@pytest.mark.process
@pytest.mark.limit(120)
async def test_every_awaited_record_survives_kill_9(tmp_path: Path) -> None:
    """Killed at any moment, five times in a row on one folder: what was reported is there."""
    reported = set()
    for number in range(5):
        reported |= reported_before_kill_9(tmp_path, str(number), 40 + 211 * number)
    assert len(reported) > 1000
    async with opened(tmp_path) as journal:
        kept = outcomes(tmp_path)
        assert reported <= kept.keys()
        assert journal.moved_aside == 0
        assert journal.pending == sum(outcome is None for outcome in kept.values())
        unfinished = {name for name in reported if int(name.split("-")[1]) % 3}
        assert unfinished <= {name for name, owed in (await left(journal)).items() if owed}


async def test_requests_of_one_moment_share_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand deliveries that came while the disk was busy cost one more commit, not a thousand."""
    commits: list[int] = []
    write = JournalFile.write

    def counted(file: JournalFile, rows: list[object], *more: object) -> None:
        commits.append(len(rows))
        write(file, rows, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(JournalFile, "write", counted)
    async with opened(tmp_path) as journal:
        holder = hold(tmp_path)
        first = journal.record(arrival("first"), 1)
        await until(lambda: commits == [1])
        rest = [journal.record(arrival(str(number)), 1) for number in range(1000)]
        holder.close()
        await asyncio.gather(first, *rest)
        assert commits == [1, 1000]


async def test_a_commit_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large deliveries that queued up are written a few at a time: the write-ahead log must hold a commit."""
    monkeypatch.setattr(journal_module, "COMMIT_BYTES", 100_000)
    async with opened(tmp_path) as journal:
        large = [arrival(str(number), ("image", "x" * 40_000)) for number in range(30)]
        assert await asyncio.gather(*(journal.record(each, 1) for each in large)) == [True] * 30
        size = (tmp_path / f"{FILE_NAME}-wal").stat().st_size
    assert size < 4_000_000
    assert len(outcomes(tmp_path)) == 30


async def test_rows_wait_for_each_other_and_outcomes_a_little_longer(tmp_path: Path) -> None:
    """Rows of the same moment share a commit; an outcome need not have one of its own."""
    clock = FakeClock()
    journal = await Journal.open(tmp_path, clock=clock)
    writing = asyncio.ensure_future(journal.run())
    recorded = [journal.record(arrival(name), 1) for name in "ab"]
    await clock.advance(journal_module.RECORD_SECONDS - 0.01)
    assert not any(each.done() for each in recorded)
    await clock.advance(0.01)
    assert await asyncio.gather(*recorded) == [True, True]
    finish(journal, "a")
    await clock.advance(journal_module.OUTCOME_SECONDS - 0.01)
    assert journal.pending == 2
    await clock.advance(0.01)
    await until(lambda: journal.pending == 1)
    last = journal.record(arrival("c"), 1)
    await clock.advance(journal_module.RECORD_SECONDS)
    assert await last
    writing.cancel()
    await journal.close()


async def test_the_sign_of_life_is_written_although_nothing_comes(tmp_path: Path) -> None:
    """An idle receiver leaves the time of its last minute, not of its last delivery."""
    clock = FakeClock(time=NOW)
    journal = await Journal.open(tmp_path, clock=clock)
    writing = asyncio.ensure_future(journal.run())
    await clock.settle()
    journal.sign_of_life(NOW + 7)
    await clock.advance(journal_module.IDLE_SECONDS)

    def written() -> list[tuple[float]]:
        with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as database:
            return database.execute("SELECT time FROM sign_of_life").fetchall()

    await until(lambda: written() == [(NOW + 7,)])
    writing.cancel()
    await journal.close()


async def test_nothing_is_resumed_from_a_journal_that_can_not_be_read(tmp_path: Path) -> None:
    """The receiver still starts: what comes from now on matters more."""
    async with opened(tmp_path) as journal:
        with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as database:
            database.execute("DROP TABLE delivery")
        with capture_logs() as logs:
            assert await left(journal) == {}
        assert [line["event"] for line in logs] == ["journal_not_readable"]
