"""The journal as the receiver sees it: promises, the event loop's freedom, and faults of the disk."""

import asyncio
import contextlib
import itertools
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.support.aio import run
from tests.support.deliveries import arrival
from webhook.journal import journal as journal_module
from webhook.journal import writer as journal_writer
from webhook.journal.file import JournalFile
from webhook.journal.journal import HistoryLimits, Journal, JournalError
from webhook.journal.requests import Batch
from webhook.journal.schema import FILE_NAME

NOW = 1_800_000_000.0
TINY = HistoryLimits(bytes=128 * 1024)

Scenario = Callable[[Journal], Awaitable[None]]


class Clock:
    """A time of day that stands still."""

    def time(self) -> float:
        return NOW


def with_journal(scenario: Scenario, folder: Path | None = None, limits: HistoryLimits | None = None) -> None:
    async def opened() -> None:
        journal = await Journal.open(folder, clock=Clock(), limits=limits)
        try:
            await scenario(journal)
        finally:
            await journal.close()

    run(opened())


def finish(journal: Journal, delivery: str) -> None:
    journal.finish(delivery, matched=1, persisted=1, rejected=0, seconds=0.5)


async def left(journal: Journal) -> dict[str, bool]:
    return {each.id: owed async for each, owed in journal.to_resume(window=300)}


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what the journal's thread does by itself."""
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come to that")


def outcomes(folder: Path) -> dict[str, str | None]:
    with contextlib.closing(sqlite3.connect(folder / FILE_NAME)) as database:
        return dict(database.execute("SELECT id, outcome FROM delivery").fetchall())


@pytest.mark.parametrize("in_memory", [True, False], ids=["in memory", "in a folder"])
def test_one_interface_with_and_without_a_folder(in_memory: bool, tmp_path: Path) -> None:
    """The rest of the receiver does not know whether there is a folder."""

    async def scenario(journal: Journal) -> None:
        recorded = [journal.record(arrival(name), 1) for name in "abc"]
        assert await asyncio.gather(*recorded) == [True] * 3
        assert journal.pending == 3
        finish(journal, "a")
        journal.supersede("b", by=["c"])
        assert await journal.record(arrival("d"), 1)
        assert journal.pending == 2
        assert (journal.failing, journal.failures, journal.last_error) == (False, 0, None)

    with_journal(scenario, None if in_memory else tmp_path)
    assert bool(list(tmp_path.iterdir())) is not in_memory


def test_what_was_committed_is_there_for_the_next_process(tmp_path: Path) -> None:
    """Unfinished deliveries come back; outcomes queued just before the close are written by it."""

    async def before(journal: Journal) -> None:
        for name in "abc":
            assert await journal.record(arrival(name, ("image", name), received=NOW - 1000), 1)
        journal.sign_of_life(NOW)
        finish(journal, "a")
        journal.supersede("b", by=("c",))

    async def after(journal: Journal) -> None:
        assert journal.pending == 1
        assert await left(journal) == {"c": True}

    with_journal(before, tmp_path)
    with_journal(after, tmp_path)


def test_the_sign_of_life_decides_which_finished_ones_are_recent(tmp_path: Path) -> None:
    """After a long break of the watch, deliveries since five minutes before the break are matched again."""

    async def before(journal: Journal) -> None:
        journal.sign_of_life(NOW - 1000)
        for name, age in (("before", 1301), ("recent", 1299)):
            await journal.record(arrival(name, ("image", name), received=NOW - age), 1)
            finish(journal, name)

    async def after(journal: Journal) -> None:
        assert await left(journal) == {"recent": False}

    with_journal(before, tmp_path)
    with_journal(after, tmp_path)


def test_many_deliveries_are_resumed_in_order(tmp_path: Path) -> None:
    """More than are read at a time, each once, the oldest first."""
    names = [f"{number:05}" for number in range(2 * journal_module.RESUMED_AT_ONCE + 1)]

    async def before(journal: Journal) -> None:
        await asyncio.gather(*(journal.record(arrival(name), 1) for name in names))

    async def after(journal: Journal) -> None:
        assert list(await left(journal)) == names

    with_journal(before, tmp_path)
    with_journal(after, tmp_path)


WRITER = """
import asyncio, sys
from pathlib import Path
from tests.support.deliveries import arrival
from webhook.journal.journal import Journal

async def main():
    journal = await Journal.open(Path(sys.argv[1]))
    async def one(number):
        name = f"{sys.argv[2]}-{number}"
        if await journal.record(arrival(name), 1):
            print(name, flush=True)
            if number % 3 == 0:
                journal.finish(name, matched=1, persisted=1, rejected=0, seconds=0.1)
    for start in range(0, 10**9, 10):
        await asyncio.gather(*(one(start + each) for each in range(10)))

asyncio.run(main())
"""


@pytest.mark.process
def test_every_awaited_record_survives_kill_9(tmp_path: Path) -> None:
    """Killed at any moment, five times in a row on one folder: what was reported is there."""
    reported = set()
    for round_ in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(round_)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        with process.stdout:
            reported |= set(itertools.islice(map(str.strip, process.stdout), 40 + 211 * round_))
            process.send_signal(signal.SIGKILL)
            reported |= {line.strip() for line in process.stdout if line.endswith("\n")}
        assert process.wait() == -signal.SIGKILL
    assert len(reported) > 1000

    async def after(journal: Journal) -> None:
        kept = outcomes(tmp_path)
        assert reported <= kept.keys()
        assert journal.moved_aside == 0
        assert journal.pending == sum(outcome is None for outcome in kept.values())
        unfinished = {name for name in reported if int(name.split("-")[1]) % 3}
        assert unfinished <= {name for name, owed in (await left(journal)).items() if owed}

    with_journal(after, tmp_path)


def hold(folder: Path) -> sqlite3.Connection:
    """Make the disk 'hang': another process's write lock holds every commit up."""
    holder = sqlite3.connect(folder / FILE_NAME, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    return holder


async def test_a_disk_that_hangs_holds_nobody_but_those_who_wait_for_it(tmp_path: Path) -> None:
    """The event loop turns, requests return at once, and close waits until all is written."""
    journal = await Journal.open(tmp_path, clock=Clock())
    await journal.record(arrival("before"), 1)
    holder = hold(tmp_path)
    began = time.monotonic()
    recorded = [journal.record(arrival(str(number)), 1) for number in range(100)]
    finish(journal, "before")
    await asyncio.sleep(0)
    assert time.monotonic() - began < 1
    assert not any(each.done() for each in recorded)
    recorded[0].cancel()
    closing = asyncio.create_task(journal.close())
    await asyncio.sleep(0)
    assert not await journal.record(arrival("too late"), 1)
    finish(journal, "0")
    assert not closing.done()
    holder.close()
    await closing
    assert await asyncio.gather(*recorded[1:]) == [True] * 99
    await journal.close()
    assert outcomes(tmp_path) == {"before": "refreshed"} | {str(number): None for number in range(100)}


def test_requests_of_one_moment_share_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand deliveries that came while the disk was busy cost one more commit, not a thousand."""
    commits: list[int] = []
    write = JournalFile.write

    def counted(file: JournalFile, batch: Batch, now: float) -> None:
        commits.append(len(batch.records))
        write(file, batch, now)

    monkeypatch.setattr(JournalFile, "write", counted)

    async def scenario(journal: Journal) -> None:
        holder = hold(tmp_path)
        first = journal.record(arrival("first"), 1)
        await until(lambda: commits == [1])
        rest = [journal.record(arrival(str(number)), 1) for number in range(1000)]
        holder.close()
        await asyncio.gather(first, *rest)
        assert commits == [1, 1000]

    with_journal(scenario, tmp_path)


def test_a_row_that_an_answer_waits_for_is_written_sooner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows wait for each other as long as nobody waits for them."""
    monkeypatch.setattr("webhook.journal.journal.RECORD_SECONDS", 3600.0)

    async def scenario(journal: Journal) -> None:
        recorded = [journal.record(arrival(name), 1) for name in "ab"]
        await asyncio.sleep(0.1)
        assert not any(each.done() for each in recorded)
        journal.hasten()
        async with asyncio.timeout(30):
            assert await asyncio.gather(*recorded) == [True, True]

    with_journal(scenario, tmp_path)


def test_too_many_requests_are_refused_rather_than_kept_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the disk hangs, memory is bounded: what is beyond that is not accepted."""
    monkeypatch.setattr(journal_module, "QUEUED", 10)

    async def scenario(journal: Journal) -> None:
        holder = hold(tmp_path)
        recorded = [journal.record(arrival(str(number)), 1) for number in range(100)]
        refused = [each for each in recorded if each.done()]
        assert 80 <= len(refused) <= 90
        assert not any(each.result() for each in refused)
        holder.close()
        assert sum(await asyncio.gather(*recorded)) == 100 - len(refused)

    with_journal(scenario, tmp_path)


def test_a_full_disk_is_reported_and_tried_again(tmp_path: Path) -> None:
    """Each refused delivery is told so; outcomes are still written, and then there is room again."""

    async def scenario(journal: Journal) -> None:
        big = ("image", "x" * 20_000)
        names = [str(number) for number in range(20)]
        with capture_logs() as logs:
            kept = [name for name in names if await journal.record(arrival(name, big), 1)]
            assert 0 < len(kept) < 10
            assert journal.failing
            assert journal.failures == 20 - len(kept)
            assert "full" in (journal.last_error or "")
            for name in kept:
                finish(journal, name)
            assert await journal.record(arrival("again", big), 1)
        assert journal.last_error is None
        assert journal.pending == 1
        assert [line["event"] for line in logs] == ["journal_write_failed", "journal_write_recovered"]

    with_journal(scenario, tmp_path, TINY)


@contextlib.contextmanager
def disk_refuses() -> Iterator[None]:
    """Have the operating system refuse every write to a file of this process, which must not print."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_outcomes_are_kept_until_they_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails for a while loses no outcome; it is tried again without any request."""
    monkeypatch.setattr(journal_writer, "RETRY_SECONDS", 0.01)

    async def scenario(journal: Journal) -> None:
        for name in "abcd":
            await journal.record(arrival(name), 1)
        with capture_logs() as logs:
            with disk_refuses():
                assert not await journal.record(arrival("e"), 1)
                finish(journal, "a")
                journal.supersede("b", by=["c"])
                assert not await journal.record(arrival("f"), 1)
                finish(journal, "d")
                await until(lambda: journal.failures > 5)
                assert (journal.failing, journal.pending) == (True, 4)
            await until(lambda: journal.pending == 1)
        assert [line["event"] for line in logs] == ["journal_write_failed", "journal_write_recovered"]
        assert journal.last_error is None
        assert outcomes(tmp_path) == {"a": "refreshed", "b": "superseded", "c": None, "d": "refreshed"}

    with_journal(scenario, tmp_path)


def test_outcomes_make_room_for_the_records_beside_them(tmp_path: Path) -> None:
    """In a file full of unfinished deliveries, one commit ends some and keeps others, its own included."""

    async def scenario(journal: Journal) -> None:
        big = ("image", "x" * 20_000)
        kept = [name for name in map(str, range(20)) if await journal.record(arrival(name, big), 1)]
        holder = hold(tmp_path)
        ahead = journal.record(arrival("ahead"), 1)
        for name in kept:
            finish(journal, name)
        recorded = journal.record(arrival("again", big), 1)
        short = journal.record(arrival("short"), 1)
        finish(journal, "short")
        holder.close()
        await asyncio.gather(ahead, recorded, short)
        assert recorded.result()
        assert short.result()
        assert outcomes(tmp_path)["again"] is None
        assert outcomes(tmp_path)["short"] == "refreshed"

    with_journal(scenario, tmp_path, TINY)


async def test_a_full_disk_at_start_does_not_keep_the_receiver_from_starting(tmp_path: Path) -> None:
    """It answers what it can carry out in time, and keeps deliveries as soon as there is room."""
    with capture_logs() as logs:
        with disk_refuses():
            journal = await Journal.open(tmp_path)
            assert not await journal.record(arrival("a"), 1)
            assert journal.failing
        assert await journal.record(arrival("b"), 1)
    assert journal.last_error is None
    await journal.close()
    assert [line["event"] for line in logs][-1] == "journal_write_recovered"
    assert outcomes(tmp_path) == {"b": None}


def test_outcomes_kept_while_nothing_can_be_written_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest are given up: their deliveries are refreshed once more after the next start."""
    monkeypatch.setattr(journal_writer, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(journal_writer, "UNWRITTEN", 2)

    async def scenario(journal: Journal) -> None:
        for name in "abcd":
            await journal.record(arrival(name), 1)
        with capture_logs() as logs, disk_refuses():
            for name in "abcd":
                finish(journal, name)
                assert not await journal.record(arrival("x"), 1)
        assert sum(line.get("count", 0) for line in logs if line["event"] == "journal_outcomes_dropped") == 2
        await until(lambda: journal.pending == 2)
        assert outcomes(tmp_path) == {"a": None, "b": None, "c": "refreshed", "d": "refreshed"}

    with_journal(scenario, tmp_path)


async def test_a_journal_that_can_not_be_opened_says_so_at_start(tmp_path: Path) -> None:
    """One clear error from ``open``: the process ends with it."""
    with pytest.raises(JournalError, match=r"cannot use .*missing for the journal: No such file"):
        await Journal.open(tmp_path / "missing")


async def test_two_receivers_do_not_share_a_folder(tmp_path: Path) -> None:
    """The second one is refused while the first runs, and served when it has ended."""
    first = await Journal.open(tmp_path)
    with pytest.raises(JournalError, match="another receiver"):
        await Journal.open(tmp_path)
    await first.close()
    await (await Journal.open(tmp_path)).close()


def test_a_corrupt_file_does_not_keep_the_receiver_from_starting(tmp_path: Path) -> None:
    """It is moved aside, counted and logged; the new journal works."""
    (tmp_path / FILE_NAME).write_bytes(b"garbage " * 1000)

    async def scenario(journal: Journal) -> None:
        assert journal.moved_aside == 1
        assert await left(journal) == {}
        assert await journal.record(arrival("a"), 1)

    with capture_logs() as logs:
        with_journal(scenario, tmp_path)
    assert [line["event"] for line in logs] == ["journal_moved_aside"]


def test_nothing_is_resumed_from_a_journal_that_can_not_be_read(tmp_path: Path) -> None:
    """The receiver still starts: what comes from now on matters more."""

    async def scenario(journal: Journal) -> None:
        with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as database:
            database.execute("DROP TABLE delivery")
        with capture_logs() as logs:
            assert await left(journal) == {}
        assert [line["event"] for line in logs] == ["journal_not_readable"]

    with_journal(scenario, tmp_path)
