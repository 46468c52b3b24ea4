"""The journal's database: reads and writes it synchronously, in the journal's thread."""

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

import msgspec
import structlog

from webhook.arrival import Arrival, Subject
from webhook.journal import schema
from webhook.journal.schema import JournalError, NewerSchemaError, primary_code
from webhook.journal.statements import (
    ALIVE,
    FINISH,
    NOTE,
    RECORD,
    RESUMABLE,
    TRIM_LARGEST,
    TRIM_NOTICES,
    TRIM_OLD,
    TRIM_OLD_NOTICES,
    UNFINISHED,
    USED_BYTES,
    End,
    Notice,
    Row,
)

log = structlog.get_logger()

T = TypeVar("T")

TRIM_ROWS = 500
"""Old finished rows removed in one commit: a few hundred KB of write-ahead log."""
LARGE_ROWS = 20
"""Finished rows removed at a time while the file is full: those must be large ones, or their number would
have been bounded first."""
AGE_CHECK_SECONDS = 60.0
"""Between two searches for finished deliveries that are too old: each may read the whole history."""
SLICE_ROWS = 200
"""Rows read at a time at start: matching them takes a few ms."""
SLICE_BYTES = 1024 * 1024
"""Bytes of subjects read at a time at start, exceeded by one row at most."""

_subjects = msgspec.json.Decoder(tuple[Subject, ...])


@dataclass(frozen=True, slots=True)
class HistoryLimits:
    """How much is kept."""

    finished: int = 100_000
    """Finished deliveries, of 250 bytes each about 30 MB. The Project with the most loses its oldest."""
    notices: int = 10_000
    """Pings, refusals and the like, some 200 bytes each. The Project with the most loses its oldest."""
    seconds: float = 7 * 24 * 3600.0
    """Age of a finished delivery, from its arrival."""
    bytes: int = 192 * 1024 * 1024
    """Of the database and a file moved aside: beyond it, finished deliveries are removed. A commit and the
    write-ahead log take some MB more."""
    unfinished: int = 128 * 1024 * 1024
    """Bytes of unfinished deliveries, as ``size_of`` counts them: fewer than ``bytes``, so that there
    is room for them once all others are removed."""
    project: int = 1024 * 1024
    """Of those, what each Project may have although others have used up the rest."""


IN_MEMORY = HistoryLimits(finished=10_000, notices=2_000, bytes=64 * 1024 * 1024, unfinished=32 * 1024 * 1024)
"""Limits of a journal without a folder."""


class Resumable(NamedTuple):
    """A delivery of an earlier process."""

    seq: int
    owed: bool
    """Whether it is unfinished."""
    size: int
    arrival: Arrival


class JournalFile:
    """An open journal.

    A file that is corrupt, when it is opened or later, is moved aside and a new one begun: else this process
    could keep nothing at all.
    """

    def __init__(self, path: Path | None, limits: HistoryLimits) -> None:
        self._path = path
        self.on_disk = path is not None
        self._limits = limits
        self._lock: int | None = None
        self._database: sqlite3.Connection | None = None
        self._next_age_check = 0.0
        self.pending = 0
        """Unfinished deliveries."""
        self.finished = 0
        self.moved_aside = 0
        """Files moved aside by this process."""
        self.found: Mapping[str, int] = {}
        """Bytes of unfinished deliveries that earlier processes left, by Project."""
        self.identity = secrets.token_hex(16)
        """The journal's own id, in the file. A file that is begun anew has another one."""
        self.last_alive: float | None = None
        """The last sign of life of an earlier process, Unix seconds."""
        self._last_row = 0
        self._notices = 0
        self._aside = 0

    @classmethod
    def open(cls, folder: Path | None, limits: HistoryLimits, now: float) -> Self:
        """Open the journal of a folder, or one in memory.

        With a full disk it is opened all the same: the first write tries again. Raises JournalError for a
        folder that is missing, can't be written, or is in use by another receiver.
        """
        self = cls(folder and folder / schema.FILE_NAME, limits)
        if folder is not None:
            self._lock = schema.lock(folder)
        try:
            self._connect(now)
        except (sqlite3.Error, OSError) as error:
            code = primary_code(error) if isinstance(error, sqlite3.Error) else 0
            if code not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
                self.close()
                raise JournalError(f"cannot use {folder} for the journal: {error}") from error
            log.error("journal_not_writable", error=str(error))
        return self

    def close(self) -> None:
        """Close the database; it stays a complete one whatever happens."""
        self._disconnect()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def write(
        self,
        rows: Sequence[Row],
        ends: Sequence[End],
        alive: float | None,
        now: float,
        notices: Sequence[Notice] = (),
    ) -> None:
        """Write and commit all of it, or nothing. Raises sqlite3.Error or OSError.

        ``alive`` is a sign of life to be written; ``now`` is Unix time.
        """
        for last in (False, True):
            database = self._connect(now)
            try:
                with _transaction(database):
                    recorded = database.executemany(RECORD, rows).rowcount
                    finished = database.executemany(FINISH, ends).rowcount
                    if alive is not None:
                        database.execute(ALIVE, (alive,))
                    noted = database.executemany(NOTE, notices).rowcount
                    gone, unnoted = self._trim(database, finished, noted, now)
                break
            except sqlite3.DatabaseError as error:
                if last or primary_code(error) not in schema.CORRUPT:
                    raise
                self._begin_anew(now, "corrupt", str(error))
        self._notices += noted - unnoted
        self.pending += recorded - finished
        self.finished += finished - gone

    def resumable(self, after: int, since: float, now: float) -> list[Resumable]:
        """Return some rows of earlier processes, the oldest first; nothing if there are no more.

        Those are, of the rows behind ``after``, the unfinished ones, and those received at ``since`` (Unix
        time) or later. Raises sqlite3.Error or OSError.
        """
        found: list[Resumable] = []
        left = SLICE_BYTES
        database = self._connect(now)
        with contextlib.closing(database.execute(RESUMABLE, (after, self._last_row, since))) as rows:
            for seq, owed, size, subjects, id_, receiver, source, event, sender_id, received, tried in rows:
                about = _subjects.decode(subjects)
                arrival = Arrival(id_, receiver, source, event, sender_id, about, received, tried)
                found.append(Resumable(seq, bool(owed), size, arrival))
                left -= len(subjects)
                if left <= 0 or len(found) >= SLICE_ROWS:
                    break
        return found

    def read(self, query: Callable[[sqlite3.Connection], T], now: float) -> T:
        """Return what a query finds. Raises sqlite3.Error or OSError."""
        return query(self._connect(now))

    def _connect(self, now: float) -> sqlite3.Connection:
        if self._database is not None:
            return self._database
        try:
            database = schema.connect(self._path)
        except NewerSchemaError as error:
            self._begin_anew(now, "newer", f"schema version {error} is of a later release")
            database = schema.connect(self._path)
        except sqlite3.DatabaseError as error:
            if primary_code(error) not in schema.CORRUPT:
                raise
            self._begin_anew(now, "corrupt", str(error))
            database = schema.connect(self._path)
        self._database = database
        self._aside = schema.moved_aside_bytes(self._path)
        database.execute("BEGIN IMMEDIATE")  # shows now, not later, that it can be written
        total, self.finished, self._last_row = database.execute(
            "SELECT count(*), count(outcome), ifnull(max(seq), 0) FROM delivery"
        ).fetchone()
        self.pending = total - self.finished
        (self._notices,) = database.execute("SELECT count(*) FROM notice").fetchone()
        self.found = dict(database.execute(UNFINISHED).fetchall())
        alive = database.execute("SELECT time FROM sign_of_life").fetchone()
        self.last_alive = alive and alive[0]
        (self.identity,) = database.execute("SELECT id FROM identity").fetchone()
        database.execute("COMMIT")
        return database

    def _disconnect(self) -> None:
        if self._database is not None:
            with contextlib.suppress(sqlite3.Error):
                self._database.close()
            self._database = None

    def _begin_anew(self, now: float, why: str, error: str) -> None:
        self._disconnect()
        self.moved_aside += 1
        self.pending = self.finished = self._last_row = self._notices = 0
        kept_as = None
        if self._path is not None:
            kept_as = schema.move_aside(self._path, why, now, self._limits.bytes // 4)
        log.error("journal_moved_aside", why=why, error=error, kept_as=kept_as and str(kept_as))

    def _trim(self, database: sqlite3.Connection, more: int, noted: int, now: float) -> tuple[int, int]:
        """Remove finished deliveries and notices that are too many, and some that are too old.

        ``more`` deliveries have just been finished and ``noted`` notices added. Return how many of each were
        removed.
        """
        gone = 0
        limit = self._limits.finished
        while (excess := self.finished + more - gone - limit) > 0 or self._is_full(database):
            # More than needed, so that it is rarely done: it reads the whole history.
            rows = excess + limit // 20 if excess > 0 else LARGE_ROWS
            largest = database.execute(TRIM_LARGEST, (rows,)).rowcount
            if not largest:
                break
            gone += largest
        most, unnoted = self._limits.notices, 0
        while (excess := self._notices + noted - unnoted - most) > 0:
            unnoted += database.execute(TRIM_NOTICES, (excess + most // 20,)).rowcount
        if now >= self._next_age_check or now < self._next_age_check - AGE_CHECK_SECONDS:
            old = database.execute(TRIM_OLD, (now - self._limits.seconds, TRIM_ROWS)).rowcount
            gone += old
            unnoted += database.execute(TRIM_OLD_NOTICES, (now - self._limits.seconds,)).rowcount
            if old < TRIM_ROWS:
                self._next_age_check = now + AGE_CHECK_SECONDS
        return gone, unnoted

    def _is_full(self, database: sqlite3.Connection) -> bool:
        (used,) = database.execute(USED_BYTES).fetchone()
        return bool(used > self._limits.bytes - self._aside)


@contextlib.contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:  # SQLite itself rolls back after some errors, a full disk for one
            with contextlib.suppress(sqlite3.Error):
                database.execute("ROLLBACK")
        raise
