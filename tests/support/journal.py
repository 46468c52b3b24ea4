"""Journals for tests, and what is in their files."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from controller.runtime.clock import Clock
from webhook.arrival import Arrival
from webhook.journal.file import JournalFile
from webhook.journal.journal import HistoryLimits, Journal
from webhook.journal.schema import FILE_NAME
from webhook.journal.statements import End, row_of

NOW = 1_800_000_000.0


class StoppedClock(Clock):
    """A time of day that stands still; timers run."""

    def __init__(self, now: float = NOW) -> None:
        self._now = now

    def time(self) -> float:
        return self._now


@contextlib.asynccontextmanager
async def opened(
    folder: Path | None = None, limits: HistoryLimits | None = None, clock: Clock | None = None
) -> AsyncIterator[Journal]:
    """Open a journal and have it write; close it at the end."""
    journal = await Journal.open(folder, clock=clock or StoppedClock(), limits=limits)
    writing = asyncio.ensure_future(journal.run())
    try:
        yield journal
    finally:
        writing.cancel()
        await journal.close()


def finish(journal: Journal, delivery: str) -> None:
    """End a delivery as refreshed."""
    journal.finish(delivery, matched=1, persisted=1, rejected=0, seconds=0.5)


async def left(journal: Journal) -> dict[str, bool]:
    """Return what is to be resumed: each id, and whether it is unfinished."""
    return {each.id: owed async for each, owed in journal.to_resume(window=300)}


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what the journal's thread does by itself."""
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come to that")


def ended(delivery: str, outcome: str = "refreshed") -> End:
    """An outcome to be written."""
    return End(delivery, outcome, persisted=1, duration=0.1, matched=1)


def record(file: JournalFile, *arrivals: Arrival, ends: Sequence[End] = (), now: float = NOW) -> None:
    """Write deliveries, and outcomes beside them."""
    file.write([row_of(each, 1) for each in arrivals], ends, None, now)


def outcomes(folder: Path) -> dict[str, str | None]:
    """Return the outcome of every delivery in the file."""
    with contextlib.closing(sqlite3.connect(folder / FILE_NAME)) as database:
        return dict(database.execute("SELECT id, outcome FROM delivery ORDER BY seq").fetchall())


def hold(folder: Path) -> sqlite3.Connection:
    """Make the disk 'hang': another process's write lock holds every commit up."""
    holder = sqlite3.connect(folder / FILE_NAME, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    return holder
