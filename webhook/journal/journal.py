"""The journal keeps accepted deliveries in a file that outlives the process.

Its promise: once the future of ``record`` is True, the next process on the same folder finds the delivery,
even if this process is killed at any moment. (SQLite in WAL mode with ``synchronous = NORMAL`` has handed a
commit to the operating system; only a crash of the node can lose it.)

``run`` writes through a thread, so that the event loop never waits for the disk. Rows and outcomes wait a
moment for others: all that wait are written in one commit. A commit costs about the same for one row as for
many, and the thread takes the time from the event loop, as only one of them runs Python at a time.

If the journal can't be written, ``record`` gives False and ``failing`` is True. The next request tries again,
and outcomes are kept until they are written. A corrupt file is moved aside and a new one begun; schema.py
deals with files of older and newer releases.
"""

import asyncio
import math
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

import msgspec
import structlog

from controller.runtime.clock import Clock, Timer
from webhook.arrival import Arrival
from webhook.gate import project_of
from webhook.journal.file import IN_MEMORY, HistoryLimits, JournalFile
from webhook.journal.notices import NoticeQueue
from webhook.journal.schema import JournalError
from webhook.journal.statements import End, Row, list_of, notice_of, row_of, size_of, with_remarks
from webhook.journal.thread import DaemonThread
from webhook.journal.unfinished import Unfinished
from webhook.outcome import NO_REMARKS, Outcome, Remarks, outcome_of

__all__ = ["HistoryLimits", "Journal", "JournalError"]

RECORD_SECONDS = 0.05
"""How long a row waits for others, and for its own outcome, to share a commit. Answers may wait for it."""
NOTICE_SECONDS = 1.0
"""The same for a notice; nobody waits for those."""
OUTCOME_SECONDS = 0.2
"""How long an outcome waits for others. If it is lost in a crash, its delivery is refreshed once more."""
RETRY_SECONDS = 1.0
"""Between attempts to write outcomes while the journal can't be written."""
IDLE_SECONDS = 60.0
"""Between commits when nothing happens: they write the sign of life and remove old deliveries."""
CLOSE_SECONDS = 5.0
"""How long ``close`` waits for the disk."""
REPORT_SECONDS = 60.0
"""Between two log lines with the same event."""
COMMIT_BYTES = 8 * 1024 * 1024
"""Subjects in one commit: the write-ahead log must hold all of it."""
RESUMED_BYTES = 16 * 1024 * 1024
"""Resumed deliveries that are not finished, as ``size_of`` counts them: the rest waits on the disk."""

log = structlog.get_logger()

T = TypeVar("T")


class _Commit(NamedTuple):
    """What is being written."""

    rows: Sequence[tuple[Row, "asyncio.Future[bool]"]]
    ends: Sequence[End]
    alive: float | None
    result: "asyncio.Future[None]"


class Journal:
    """Deliveries and their outcomes. Call its methods on the event loop only.

    Rows and outcomes are written in the order in which they are handed in.
    """

    def __init__(self, file: JournalFile, thread: DaemonThread, limits: HistoryLimits, clock: Clock) -> None:
        self._file = file
        self._thread = thread
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self.on_disk = file.on_disk
        self._rows: deque[tuple[Row, asyncio.Future[bool]]] = deque()
        self._ends: list[End] = []
        self._notices = NoticeQueue()
        self._alive: float | None = None
        self._writing: _Commit | None = None
        self._closing = False
        self._wake = asyncio.Event()
        self._due = math.inf
        self._timer: Timer | None = None
        self._unfinished = Unfinished(most=limits.unfinished, each=limits.project)
        for project, size in file.found.items():
            self._unfinished.hold(project, size)
        self.identity = file.identity
        self._reported: dict[str, float] = {}
        """By event, when (monotonic seconds) it was last logged."""
        self.failures = 0
        """How often writing has failed."""
        self.last_error: str | None = None
        """Why writing failed the last time, in one line; None if it did not."""

    @classmethod
    async def open(
        cls, folder: Path | None, *, clock: Clock | None = None, limits: HistoryLimits | None = None
    ) -> Self:
        """Open the journal of a folder that exists; with None, one in memory that promises nothing.

        Raises JournalError for a folder that is missing, can't be written, or is used by another receiver.
        """
        clock = clock or Clock()
        limits = limits or (IN_MEMORY if folder is None else HistoryLimits())
        thread = DaemonThread("journal")
        loop = asyncio.get_running_loop()
        file = await loop.run_in_executor(thread, JournalFile.open, folder, limits, clock.time())
        return cls(file, thread, limits, clock)

    @property
    def pending(self) -> int:
        """Unfinished deliveries in the journal."""
        return self._file.pending

    @property
    def finished(self) -> int:
        """Finished deliveries in the journal."""
        return self._file.finished

    @property
    def moved_aside(self) -> int:
        """How many unreadable files were moved aside."""
        return self._file.moved_aside

    @property
    def failing(self) -> bool:
        """Whether the last attempt to write failed."""
        return self.last_error is not None

    async def run(self) -> None:
        """Write what is handed in, until cancelled. Raises only errors that are not the disk's."""
        while True:
            self._write_within(IDLE_SECONDS)
            await self._wake.wait()
            self._wake.clear()
            self._due = math.inf
            if not self._closing:  # else ``close`` writes, and counts the outcomes that could not be written
                await self._commit()

    def record(self, arrival: Arrival, matched: int, names: Sequence[str] = ()) -> "asyncio.Future[bool]":
        """Keep a delivery; the future says whether it is committed, and never has an exception."""
        committed: asyncio.Future[bool] = self._loop.create_future()
        row, project = row_of(arrival, matched, names), project_of(arrival.receiver)
        size = size_of(row)
        if self._closing:
            committed.set_result(False)
        elif not self._unfinished.fits(project, size):
            self._report("journal_share_used_up", project=project)
            committed.set_result(False)
        else:
            self._unfinished.add(arrival.id, project, size)
            self._rows.append((row, committed))
            self._write_within(RECORD_SECONDS)
        return committed

    def finish(
        self,
        delivery: str,
        *,
        matched: int,
        persisted: int,
        rejected: int,
        seconds: float,
        remarks: Remarks = NO_REMARKS,
    ) -> None:
        """Note how a delivery ended. Kept and tried again if it can't be written now."""
        outcome = outcome_of(matched, persisted, rejected)
        self._end(End(delivery, outcome.value, persisted, rejected, seconds, matched), remarks)

    def supersede(self, delivery: str, by: Sequence[str], remarks: Remarks = NO_REMARKS) -> None:
        """Note that other deliveries took over what was outstanding. No effect unless each has a row."""
        self._end(End(delivery, Outcome.SUPERSEDED.value, superseded_by=list_of(by)), remarks)

    def note(
        self,
        arrival: Arrival,
        *,
        outcome: Outcome,
        code: int | None = None,
        reason: str = "",
        matched: int = 0,
        seconds: float | None = None,
    ) -> None:
        """Add to the history what is no delivery. It may be dropped, and nobody waits for it."""
        notice = notice_of(arrival, outcome, code, reason, matched, seconds)
        if not self._closing and self._notices.add(notice):
            self._write_within(NOTICE_SECONDS)

    def sign_of_life(self, seconds: float) -> None:
        """Note until when (Unix time) all Warehouses were known; written along with the next commit."""
        self._alive = seconds

    async def to_resume(self, window: float) -> AsyncIterator[tuple[Arrival, bool]]:
        """Yield the deliveries of earlier processes that are to be matched again, the oldest first.

        Each comes with whether it is unfinished. Finished ones are included if they came after ``window``
        seconds before the last sign of life. Pauses while more than ``RESUMED_BYTES`` of what it yielded are
        unfinished. If the journal can't be read, it logs why and ends.
        """
        now, alive = self._clock.time(), self._file.last_alive
        since = min(alive, now) - window if alive is not None else 0.0
        after = 0
        while True:
            try:
                found = await self.read(lambda _: self._file.resumable(after, since, now))  # noqa: B023
            except (sqlite3.Error, OSError, msgspec.MsgspecError) as error:
                log.error("journal_not_readable", error=" ".join(str(error).split()))
                return  # new events must be served all the same
            if not found:
                return
            after = found[-1].seq
            for _, owed, size, arrival in found:
                if owed:
                    self._unfinished.resume(arrival.id, project_of(arrival.receiver), size)
                yield arrival, owed
                await asyncio.sleep(0)  # one of an earlier release may have very many subjects
            await self._unfinished.resumed_below(RESUMED_BYTES)

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Return what a query finds, run between two commits. Raises sqlite3.Error or OSError."""
        return await self._loop.run_in_executor(self._thread, self._file.read, query, self._clock.time())

    async def close(self) -> None:
        """Write what is queued, and close the file; give up after ``CLOSE_SECONDS``."""
        if self._closing:
            return
        self._closing = True
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                while self._writing is not None or self._rows or self._ends or self._notices:
                    await self._commit()
                    if self.failing and not self._rows:
                        break
                await self._loop.run_in_executor(self._thread, self._file.close)
        except TimeoutError:
            log.error("journal_not_closed", seconds=CLOSE_SECONDS)
        if self._ends:
            log.error("journal_outcomes_dropped", count=len(self._ends))

    def _end(self, end: End, remarks: Remarks) -> None:
        if self._unfinished.end(end.id) and not self._closing:
            self._ends.append(with_remarks(end, remarks))
            self._write_within(OUTCOME_SECONDS)

    def _write_within(self, seconds: float) -> None:
        due = self._clock.monotonic() + seconds
        if due < self._due:
            self._due = due
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._clock.call_later(seconds, self._wake.set)

    async def _commit(self) -> None:
        """Write what is queued; if an earlier call was cancelled while it waited, finish its commit first."""
        commit = self._writing = self._writing or self._begin()
        await asyncio.wait((commit.result,))  # being cancelled here does not cancel the commit
        if self._writing is not commit:
            return  # another call waited for the same commit, and has dealt with it
        self._writing = None
        error = commit.result.exception()
        for _, committed in commit.rows:
            if not committed.done():
                committed.set_result(error is None)
        if error is None:
            if self._alive == commit.alive:
                self._alive = None
            if self.failing:
                self.last_error = None
                self._reported.clear()
                log.info("journal_write_recovered", pending=self.pending)
        else:
            self._failed(commit, error)
        if self._rows:
            self._write_within(0.0)

    def _begin(self) -> _Commit:
        rows, left = [], COMMIT_BYTES
        while self._rows and left > 0:
            rows.append(self._rows.popleft())
            left -= len(rows[-1][0].subjects)
        ends, self._ends = self._ends, []
        what = [row for row, _ in rows], ends, self._alive, self._clock.time(), self._notices.take()
        result = self._loop.run_in_executor(self._thread, self._file.write, *what)
        return _Commit(rows, ends, self._alive, result)

    def _failed(self, commit: _Commit, error: BaseException) -> None:
        refused = {row.id for row, _ in commit.rows}
        for delivery in refused:
            self._unfinished.end(delivery)
        self._ends[:0] = [end for end in commit.ends if end.id not in refused]
        if not isinstance(error, sqlite3.Error | OSError):
            raise error
        self.failures += 1
        self.last_error = " ".join(str(error).split())
        self._report("journal_write_failed", error=self.last_error, kind=type(error).__name__)
        if self._ends:
            self._write_within(RETRY_SECONDS)

    def _report(self, event: str, **more: object) -> None:
        now = self._clock.monotonic()
        if now - self._reported.get(event, -math.inf) >= REPORT_SECONDS:
            self._reported[event] = now
            log.error(event, **more)
