"""The journal: every accepted delivery, until it is done, in a file that outlives the process.

What is promised: once the future of ``record`` says True, the delivery is found by the next process on the
same folder, though this one is killed at any moment. (SQLite, WAL, ``synchronous = NORMAL``: what is
committed was handed to the operating system, and only a crash of the node can take it back.)

One thread writes (journal_writer.py). All that was asked for while it was busy becomes one commit, and one
call wakes those who wait for it: the cost of a delivery falls as their number grows. The event loop never
waits for the disk. It hands over rows a moment after they came, sooner if somebody waits for one, and
outcomes with the next rows or a little later: the thread takes turns with the loop in running Python, so
that each time it wakes costs both of them (docs/performance.md).

If the journal can't be written, ``record`` says False and ``failing`` is True; each further request is tried
again, and outcomes are kept until they can be written. A file that is corrupt is moved aside and a new one
begun; see journal_schema.py for older and newer versions.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Self, TypeVar

import msgspec
import structlog

from webhook.arrival import Arrival
from webhook.journal.file import JournalFile
from webhook.journal.requests import IN_MEMORY, Finish, HistoryLimits, Record, Supersede
from webhook.journal.schema import JournalError
from webhook.journal.writer import Asked, Close, Query, Request, WallClock, Writer
from webhook.outcome import outcome_of

__all__ = ["HistoryLimits", "Journal", "JournalError"]

T = TypeVar("T")

QUEUED = 50_000
"""Requests that wait for the disk at the most; one more delivery is not kept. A disk that hangs must not use
up the memory; the server's own limit of requests in progress is far below."""
RECORD_SECONDS = 0.1
"""How long a row waits for others to be written with. Whoever has its answer by then needed no row. A process
that dies meanwhile leaves the sender without an answer."""
AWAITED_SECONDS = 0.02
"""The same from the moment on at which an answer waits for the row."""
OUTCOME_SECONDS = 0.2
"""How long an outcome waits for a row to be written with. One that is lost costs a refresh too many."""
RESUMED_AT_ONCE = 500
"""Deliveries read at a time at start."""

log = structlog.get_logger()


class _SystemClock:
    def time(self) -> float:
        return time.time()


class Journal:
    """Deliveries and their outcome. Its methods belong to the event loop, and none but ``close`` waits.

    Requests take effect in the order in which they are made.
    """

    def __init__(self, writer: Writer, clock: WallClock) -> None:
        self._writer = writer
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._closing = False
        self._outgoing: list[Request] = []
        """What the writer was not handed yet, in order; then ``_hand_over`` is scheduled."""
        self._soon: asyncio.TimerHandle | None = None
        self._later: asyncio.TimerHandle | None = None

    @classmethod
    async def open(
        cls, folder: Path | None, *, clock: WallClock | None = None, limits: HistoryLimits | None = None
    ) -> Self:
        """Open the journal of a folder that exists; with None, one in memory that promises nothing.

        Raises JournalError for a folder that is missing, can't be written, or is used by another receiver.
        """
        clock = clock or _SystemClock()
        writer = Writer(folder, limits or (IN_MEMORY if folder is None else HistoryLimits()), clock)
        await writer.opened
        return cls(writer, clock)

    @property
    def pending(self) -> int:
        """Unfinished deliveries in the journal."""
        return self._writer.pending

    @property
    def failing(self) -> bool:
        """Whether the last attempt to write failed."""
        return self._writer.error is not None

    @property
    def last_error(self) -> str | None:
        """Why it failed, in one line; None if it did not."""
        return self._writer.error

    @property
    def failures(self) -> int:
        """How often writing has failed."""
        return self._writer.failures

    @property
    def moved_aside(self) -> int:
        """How many unreadable files were moved aside."""
        return self._writer.moved_aside

    def record(self, arrival: Arrival, matched: int) -> "asyncio.Future[bool]":
        """Keep a delivery. The result says whether it is committed; it is never an exception."""
        committed: asyncio.Future[bool] = self._loop.create_future()
        if self._closing or self._writer.queued() + len(self._outgoing) >= QUEUED:
            committed.set_result(False)
        else:
            self._outgoing.append(Asked(Record(arrival, matched), committed))
            if self._soon is None:
                self._soon = self._loop.call_later(RECORD_SECONDS, self._hand_over)
        return committed

    def hasten(self) -> None:
        """Say that somebody waits for a row that was asked for."""
        soon = self._soon
        if soon is not None and soon.when() - self._loop.time() > AWAITED_SECONDS:
            soon.cancel()
            self._soon = self._loop.call_later(AWAITED_SECONDS, self._hand_over)

    def finish(self, delivery: str, *, matched: int, persisted: int, rejected: int, seconds: float) -> None:
        """Note that nothing of a delivery is outstanding, ``seconds`` after its arrival.

        Written later if it can't be now. No effect on a delivery that was superseded.
        """
        outcome = outcome_of(matched, persisted, rejected)
        self._put(Finish(outcome.value, persisted, rejected, seconds, matched, delivery))

    def supersede(self, delivery: str, by: Sequence[str]) -> None:
        """Note that others carry what was outstanding. No effect unless each of them has a row."""
        self._put(Supersede(msgspec.json.encode(by).decode(), delivery))

    def sign_of_life(self, seconds: float) -> None:
        """Note until when (Unix time) all Warehouses were known; written along with the next commit."""
        self._writer.alive = seconds

    async def to_resume(self, window: float) -> AsyncIterator[tuple[Arrival, bool]]:
        """Yield what earlier processes left to be matched again, the oldest first.

        Each with whether it is unfinished. The finished ones among them came later than ``window`` seconds
        before the last sign of life: of each receiver and subject the latest. Yields nothing, and logs why,
        if the journal can't be read.
        """
        try:
            rows = await self._ask(lambda file: file.resumable(window, self._clock.time()))
            for start in range(0, len(rows), RESUMED_AT_ONCE):
                part = dict(rows[start : start + RESUMED_AT_ONCE])

                def read(file: JournalFile, part: dict[int, bool] = part) -> list[tuple[int, Arrival]]:
                    return file.read([*part], self._clock.time())

                for row, arrival in await self._ask(read):
                    yield arrival, part[row]
        except Exception as error:  # noqa: BLE001 - a receiver that can't look back must still look ahead
            log.error("journal_not_readable", error=" ".join(str(error).split()))

    async def close(self) -> None:
        """Write what is queued, and close the file. A disk that hangs makes this hang."""
        if not self._closing:
            self._put(Close())
            self._hand_over()
            self._closing = True
        await asyncio.shield(self._writer.ended)

    def _put(self, request: Finish | Supersede | Close) -> None:
        if self._closing:
            return
        self._outgoing.append(request)
        if self._later is None:
            self._later = self._loop.call_later(OUTCOME_SECONDS, self._hand_over)

    def _hand_over(self) -> None:
        for handle in (self._soon, self._later):
            if handle is not None:
                handle.cancel()
        self._soon = self._later = None
        requests, self._outgoing = self._outgoing, []
        self._writer.put(requests)

    async def _ask(self, run: Callable[[JournalFile], T]) -> T:
        if self._closing:
            raise JournalError("the journal is closed")
        result: asyncio.Future[T] = self._loop.create_future()
        self._outgoing.append(Query(run, result))
        self._hand_over()
        return await result
