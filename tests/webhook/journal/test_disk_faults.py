"""A disk that hangs, is full, refuses or damages; and a writer that fails."""

import asyncio
import contextlib
import resource
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from controller.process.manager import Manager, PartFailed
from tests.support.deliveries import arrival
from tests.support.journal import StoppedClock, finish, hold, left, opened, outcomes, until
from webhook.journal import journal as journal_module
from webhook.journal import schema
from webhook.journal.file import JournalFile
from webhook.journal.journal import Journal, JournalError
from webhook.journal.schema import FILE_NAME


async def test_a_disk_that_hangs_holds_nobody_but_those_who_wait_for_it(tmp_path: Path) -> None:
    """The event loop turns, requests return at once, and close waits until all is written."""
    journal = await Journal.open(tmp_path, clock=StoppedClock())
    writing = asyncio.ensure_future(journal.run())
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
    writing.cancel()
    assert outcomes(tmp_path) == {"before": "refreshed"} | {str(number): None for number in range(100)}


async def test_a_disk_that_never_answers_holds_the_end_no_longer_than_its_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``close`` gives up with a log line, and the thread does not keep the process."""
    monkeypatch.setattr(journal_module, "CLOSE_SECONDS", 0.1)
    free = threading.Event()
    monkeypatch.setattr(JournalFile, "write", lambda *_: free.wait(30.0))
    journal = await Journal.open(tmp_path)
    journal.record(arrival("a"), 1)
    try:
        with capture_logs() as logs:
            async with asyncio.timeout(5.0):
                await journal.close()
        assert [line["event"] for line in logs] == ["journal_not_closed"]
        assert all(thread.daemon for thread in threading.enumerate() if thread.name == "journal")
    finally:
        free.set()


async def test_a_commit_under_way_at_the_end_is_seen_through(tmp_path: Path) -> None:
    """The manager cancels ``run`` before it closes the journal: who waits for a row still gets its result."""
    journal = await Journal.open(tmp_path)
    writing = asyncio.ensure_future(journal.run())
    holder = hold(tmp_path)
    recorded = journal.record(arrival("a"), 1)
    await asyncio.sleep(journal_module.RECORD_SECONDS + 0.1)
    writing.cancel()
    await asyncio.wait((writing,))
    assert not recorded.done()
    holder.close()
    await journal.close()
    assert await recorded
    assert outcomes(tmp_path) == {"a": None}


async def test_a_writer_that_fails_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in it is no fault of the disk: whoever waits is refused, and the supervisor hears of it."""

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    journal = await Journal.open(tmp_path)
    manager = Manager()
    manager.start("journal", journal.run())
    monkeypatch.setattr(JournalFile, "write", broken)
    recorded = journal.record(arrival("a"), 1)
    with pytest.raises(PartFailed, match="journal failed") as raised:
        await manager.run(asyncio.sleep(20.0))
    assert isinstance(raised.value.__cause__, RuntimeError)
    assert recorded.result() is False
    monkeypatch.undo()
    await journal.close()


@contextlib.contextmanager
def disk_refuses() -> Iterator[None]:
    """Have the operating system refuse every write to a file of this process, which must not print."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_is_reported_and_tried_again(tmp_path: Path) -> None:
    """Each refused delivery is told so; each new one is an attempt, and one line stands for all of them."""
    async with opened(tmp_path) as journal:
        with capture_logs() as logs:
            assert await journal.record(arrival("before"), 1)
            with disk_refuses():
                for number in range(5):
                    assert not await journal.record(arrival(str(number)), 1)
                    assert (journal.failing, journal.failures, journal.pending) == (True, number + 1, 1)
                assert "disk" in (journal.last_error or "")
            assert await journal.record(arrival("again"), 1)
        assert journal.last_error is None
        assert journal.pending == 2
        assert [line["event"] for line in logs] == ["journal_write_failed", "journal_write_recovered"]


async def test_outcomes_are_kept_until_they_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails for a while loses no outcome; it is tried again without any request."""
    monkeypatch.setattr(journal_module, "RETRY_SECONDS", 0.01)
    async with opened(tmp_path) as journal:
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
            await until(lambda: journal.pending == 1 and not journal.failing)
        assert [line["event"] for line in logs] == ["journal_write_failed", "journal_write_recovered"]
        assert journal.last_error is None
        assert outcomes(tmp_path) == {"a": "refreshed", "b": "superseded", "c": None, "d": "refreshed"}


async def test_outcomes_kept_while_nothing_can_be_written_are_bounded(tmp_path: Path) -> None:
    """There is one for each row in the file at the most: deliveries that got no row leave nothing behind."""
    async with opened(tmp_path) as journal:
        await journal.record(arrival("a"), 1)
        with capture_logs() as logs, disk_refuses():
            finish(journal, "a")
            for number in range(200):
                refused = journal.record(arrival(str(number)), 1)
                finish(journal, str(number))
                if number % 50 == 0:
                    assert not await refused
            await journal.close()
        assert [line["event"] for line in logs] == ["journal_write_failed", "journal_outcomes_dropped"]
        assert logs[-1]["count"] == 1
    assert outcomes(tmp_path) == {"a": None}


async def test_nothing_is_tried_again_while_the_file_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outcome that is to be tried again just then is counted as dropped."""
    monkeypatch.setattr(journal_module, "RETRY_SECONDS", 0.01)
    close = JournalFile.close

    def slowly(file: JournalFile) -> None:
        time.sleep(0.1)
        close(file)

    monkeypatch.setattr(JournalFile, "close", slowly)
    async with opened(tmp_path) as journal:
        await journal.record(arrival("a"), 1)
        with capture_logs() as logs, disk_refuses():
            finish(journal, "a")
            await until(lambda: journal.failing)
            await journal.close()
        assert [line["event"] for line in logs] == ["journal_write_failed", "journal_outcomes_dropped"]


async def test_a_full_disk_at_start_does_not_keep_the_receiver_from_starting(tmp_path: Path) -> None:
    """It answers what it can carry out in time, and keeps deliveries as soon as there is room."""
    with capture_logs() as logs:
        with disk_refuses():
            journal = await Journal.open(tmp_path)
            writing = asyncio.ensure_future(journal.run())
            assert not await journal.record(arrival("a"), 1)
            assert journal.failing
        assert await journal.record(arrival("b"), 1)
    assert journal.last_error is None
    writing.cancel()
    await journal.close()
    assert [line["event"] for line in logs][-1] == "journal_write_recovered"
    assert outcomes(tmp_path) == {"b": None}


async def test_a_journal_that_can_not_be_opened_says_so_at_start(tmp_path: Path) -> None:
    """One clear error from ``open``: the process ends with it."""
    with pytest.raises(JournalError, match=r"cannot use .*missing for the journal: No such file"):
        await Journal.open(tmp_path / "missing")


async def test_two_receivers_do_not_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one is refused while the first runs, and served when it has ended."""
    monkeypatch.setattr(schema, "LOCK_SECONDS", 0.0)
    first = await Journal.open(tmp_path)
    with pytest.raises(JournalError, match="another receiver"):
        await Journal.open(tmp_path)
    await first.close()
    await (await Journal.open(tmp_path)).close()


async def test_a_corrupt_file_does_not_keep_the_receiver_from_starting(tmp_path: Path) -> None:
    """It is moved aside, counted and logged; the new journal works."""
    (tmp_path / FILE_NAME).write_bytes(b"garbage " * 1000)
    with capture_logs() as logs:
        async with opened(tmp_path) as journal:
            assert journal.moved_aside == 1
            assert await left(journal) == {}
            assert await journal.record(arrival("a"), 1)
    assert [line["event"] for line in logs] == ["journal_moved_aside"]
