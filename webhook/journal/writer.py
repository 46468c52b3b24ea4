"""The journal's thread: takes what was asked for, commits it together, and reports back to the event loop."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import structlog

from webhook.journal.file import JournalFile
from webhook.journal.requests import Batch, Finish, HistoryLimits, Record, Supersede

BATCH = 2000
"""Requests in a commit from which on no more are added: some 20 ms of work."""
UNWRITTEN = 50_000
"""Outcomes of each kind kept while the journal can't be written, some 10 MB. A delivery whose outcome is
lost stays unfinished, and is refreshed once more by the next process: that does no harm."""
RETRY_SECONDS = 1.0
"""Between attempts to write outcomes while the journal can't be written."""
IDLE_SECONDS = 60.0
"""Between commits when nothing happens: the sign of life is written, old deliveries are removed."""
COMPLAIN_SECONDS = 60.0
"""Between two log lines about a journal that can't be written."""

log = structlog.get_logger()


class WallClock(Protocol):
    """Where the time of day comes from."""

    def time(self) -> float:
        """Return Unix time in seconds."""


class Asked(NamedTuple):
    """A delivery to be recorded, and who waits for it."""

    record: Record
    committed: "asyncio.Future[bool]"


class Query(NamedTuple):
    """Something to be read from the file, after everything asked for before."""

    run: Callable[[JournalFile], Any]
    result: "asyncio.Future[Any]"


class Close(NamedTuple):
    """The last request of all."""


Request = Asked | Finish | Supersede | Query | Close


class Writer:
    """The thread and its queue. ``put`` belongs to the event loop; the state may be read by anybody.

    The state consists of single values, each assigned by one of the two alone: no lock is needed.
    """

    def __init__(self, folder: Path | None, limits: HistoryLimits, clock: WallClock) -> None:
        self._folder = folder
        self._limits = limits
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._requests: queue.SimpleQueue[Sequence[Request]] = queue.SimpleQueue()
        self._handed = 0  # requests, counted by the event loop
        self._taken = 0
        self._unwritten = Batch()
        self._written_alive: float | None = None
        self._complained: float | None = None
        self.alive: float | None = None
        """Assigned by the event loop, written with the next commit."""
        self.pending = 0
        self.moved_aside = 0
        self.failures = 0
        self.error: str | None = None
        self.opened: asyncio.Future[None] = self._loop.create_future()
        """Done when the file is open; raises JournalError."""
        self.ended: asyncio.Future[None] = self._loop.create_future()
        """Done when the file is closed after ``Close``."""
        # A daemon: a disk that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)
        self._thread.start()

    def put(self, requests: Sequence[Request]) -> None:
        """Queue some requests; together, since each time the thread may wake and take its turn."""
        self._handed += len(requests)
        self._requests.put(requests)

    def queued(self) -> int:
        """Return how many requests the thread has not taken yet."""
        return self._handed - self._taken

    def _work(self) -> None:
        try:
            file = JournalFile.open(self._folder, self._limits, self._clock.time())
        except BaseException as error:  # noqa: BLE001 - raised by whoever awaits ``opened``
            self._call(_fail, self.opened, error)
            return
        try:
            self._reflect(file)
            self._call(_succeed, self.opened, None)
            while self._turn(file):
                pass
        finally:
            file.close()
            self._call(_succeed, self.ended, None)

    def _turn(self, file: JournalFile) -> bool:
        """Serve what has been asked for; return whether more is to come."""
        batch, self._unwritten = self._unwritten, Batch()
        asked: list[asyncio.Future[bool]] = []
        queries: list[Query] = []
        more = True
        requests = self._take(RETRY_SECONDS if batch else IDLE_SECONDS)
        for request in requests:
            match request:
                case Asked(record, committed):
                    batch.records.append(record)
                    asked.append(committed)
                case Finish():
                    batch.finishes.append(request)
                case Supersede():
                    batch.supersedes.append(request)
                case Query():
                    queries.append(request)
                case Close():
                    more = False
        if self.alive != self._written_alive:
            batch.alive = self.alive
        # With nothing asked for, the file is looked after; to read from it, nothing needs to be written.
        written = self._write(file, batch) if batch or batch.alive is not None or not requests else True
        self._reflect(file)
        if asked:
            self._call(_succeed_all, asked, written)
        for query in queries:
            self._answer(file, query)
        return more

    def _take(self, seconds: float) -> list[Request]:
        """Wait for requests; return them and those behind them."""
        taken: list[Request] = []
        with contextlib.suppress(queue.Empty):
            taken.extend(self._requests.get(timeout=seconds))
            while len(taken) < BATCH:
                taken.extend(self._requests.get_nowait())
        self._taken += len(taken)
        return taken

    def _write(self, file: JournalFile, batch: Batch) -> bool:
        """Write the batch, or keep its outcomes for later; return whether its records were written."""
        error = self._attempt(file, batch)
        if error is not None and batch.records:
            # The file may be full of deliveries that these outcomes end. To write an outcome twice changes
            # nothing, and the second time is for those of the batch's own records.
            outcomes = replace(batch, records=[])
            kept = outcomes if self._attempt(file, outcomes) is not None else Batch()
            if outcomes and not kept:
                error = self._attempt(file, batch)
            batch = kept
        if error is None:
            if self.error is not None:
                self.error = self._complained = None
                log.info("journal_write_recovered", pending=file.pending)
            return True
        self._complain(error)
        for each in (batch.finishes, batch.supersedes):
            if len(each) > UNWRITTEN:
                log.error("journal_outcomes_dropped", count=len(each) - UNWRITTEN)
                del each[:-UNWRITTEN]
        self._unwritten = batch
        return False

    def _attempt(self, file: JournalFile, batch: Batch) -> Exception | None:
        try:
            file.write(batch, self._clock.time())
        except Exception as error:  # noqa: BLE001 - whatever it is, the next attempt may go better
            return error
        self._written_alive = batch.alive or self._written_alive
        return None

    def _complain(self, error: Exception) -> None:
        self.error = " ".join(str(error).split())
        self.failures += 1
        now = self._clock.time()
        if self._complained is None or not 0 <= now - self._complained < COMPLAIN_SECONDS:
            self._complained = now
            log.error(
                "journal_write_failed", error=self.error, kind=type(error).__name__, failures=self.failures
            )

    def _answer(self, file: JournalFile, query: Query) -> None:
        try:
            answer = query.run(file)
        except Exception as error:  # noqa: BLE001 - raised by whoever asked
            self._call(_fail, query.result, error)
        else:
            self._call(_succeed, query.result, answer)

    def _reflect(self, file: JournalFile) -> None:
        self.pending = file.pending
        self.moved_aside = file.moved_aside

    def _call(self, callback: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(callback, *arguments)


def _succeed(future: "asyncio.Future[Any]", result: object) -> None:
    if not future.done():
        future.set_result(result)


def _succeed_all(futures: "list[asyncio.Future[bool]]", result: bool) -> None:
    for future in futures:
        if not future.done():
            future.set_result(result)


def _fail(future: "asyncio.Future[Any]", error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
