"""The journal's database, synchronously: everything that is SQL. Used by the journal's thread alone."""

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import msgspec
import structlog

from webhook.arrival import Arrival, Subject
from webhook.journal.requests import Batch, HistoryLimits, Record
from webhook.journal.schema import (
    CORRUPT,
    FILE_NAME,
    JournalError,
    NewerSchemaError,
    connect,
    lock,
    move_aside,
    primary_code,
    set_limit,
)
from webhook.journal.statements import ALIVE, FINISH, RECORD, SUPERSEDE, TRIM, execute_rows

log = structlog.get_logger()

TRIM_ROWS = 500
"""Finished rows removed per commit at the least: a few hundred KB of write-ahead log."""
ROOM_ATTEMPTS = 20
"""How often so many rows are removed to make room in a full database before its writer is refused."""
RESERVE = 8 * 1024 * 1024
"""Bytes of the database that only outcomes may fill: to change a row SQLite writes it anew before it frees
the old one, and a row is as long as the body of a request at the most."""
TEXT = 300
"""Characters kept of a sender's id or event type."""
AGE_CHECK_SECONDS = 60.0
"""Between two looks for finished deliveries that are too old, each of which may read the whole history."""

_USER_INFO = re.compile(rb"(?i)(\"https?://)[^/\"]*@")
"""A user and a password, or a token: never stored, and not looked at when repositories are compared."""

_encode = msgspec.json.Encoder().encode
_subjects = msgspec.json.Decoder(tuple[Subject, ...])


class JournalFile:
    """An open journal.

    A file that turns out to be corrupt, at the opening or later, is moved aside and a new one begun: the
    alternative is a process that can keep nothing at all.
    """

    def __init__(self, path: Path | None, limits: HistoryLimits) -> None:
        self._path = path
        self._limits = limits
        self._lock: int | None = None
        self._database: sqlite3.Connection | None = None
        self._next_age_check = 0.0
        self.pending = 0
        """Unfinished deliveries."""
        self.finished = 0
        self.moved_aside = 0
        """Files moved aside by this process."""
        self.last_alive: float | None = None
        """The sign of life that was found at the opening."""
        self._last_row = 0

    @classmethod
    def open(cls, folder: Path | None, limits: HistoryLimits, now: float) -> Self:
        """Open the journal of a folder, or one in memory.

        A full disk is no reason to fail: the first write tries again. Raises JournalError for a folder that
        is missing, can't be written, or is in use by another receiver.
        """
        self = cls(folder and folder / FILE_NAME, limits)
        if folder is not None:
            self._lock = lock(folder)
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
        if self._database is not None:
            with contextlib.suppress(sqlite3.Error):
                self._database.close()
            self._database = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def write(self, batch: Batch, now: float) -> None:
        """Write and commit all of it, or nothing. Raises sqlite3.Error or OSError."""
        for _ in range(ROOM_ATTEMPTS):
            try:
                return self._write(batch, now)
            except sqlite3.DatabaseError as error:
                code = primary_code(error)
                if code in CORRUPT:
                    self._begin_anew(now, "corrupt", str(error))
                elif code != sqlite3.SQLITE_FULL:
                    raise
                elif not self._make_room(now):
                    if batch.records:
                        raise
                    return self._write_into_reserve(batch, now)
        return self._write(batch, now)

    def resumable(self, window: float, now: float) -> list[tuple[int, bool]]:
        """Return the rows to match again, oldest first, each with whether it is unfinished.

        Those are the unfinished ones, and of the finished ones that came ``window`` seconds before the last
        sign of life or later, the latest of each receiver and subject. Raises sqlite3.Error or OSError.
        """
        since = min(self.last_alive, now) - window if self.last_alive is not None else 0.0
        database = self._connect(now)
        rows = dict.fromkeys(
            (row for (row,) in database.execute("SELECT seq FROM delivery WHERE outcome IS NULL")), True
        )
        recent = database.execute(
            "SELECT max(seq) FROM delivery WHERE received >= ?"
            " GROUP BY receiver, subjects ORDER BY 1 DESC LIMIT ?",
            (since, self._limits.resumed),
        )
        for (row,) in recent:
            rows.setdefault(row, False)
        return sorted((row, owed) for row, owed in rows.items() if row <= self._last_row)

    def read(self, rows: Sequence[int], now: float) -> list[tuple[int, Arrival]]:
        """Return the deliveries in these rows, in the rows' order, without those that are gone meanwhile."""
        found = self._connect(now).execute(
            "SELECT seq, subjects, received, tried, id, receiver, source, event, sender_id FROM delivery"
            " WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY seq",
            (_encode(rows).decode(),),
        )
        return [
            (row, Arrival(id_, name, source, event, sender_id, _subjects.decode(subjects), received, tried))
            for row, subjects, received, tried, id_, name, source, event, sender_id in found
        ]

    def _connect(self, now: float) -> sqlite3.Connection:
        if self._database is not None:
            return self._database
        try:
            database = connect(self._path, self._limits.bytes)
        except NewerSchemaError as error:
            self._begin_anew(now, "newer", f"schema version {error} is of a later release")
            database = connect(self._path, self._limits.bytes)
        except sqlite3.DatabaseError as error:
            if primary_code(error) not in CORRUPT:
                raise
            self._begin_anew(now, "corrupt", str(error))
            database = connect(self._path, self._limits.bytes)
        self._database = database
        database.execute("BEGIN IMMEDIATE")  # shows now, not later, that it can be written
        total, finished, last = database.execute(
            "SELECT count(*), count(outcome), ifnull(max(seq), 0) FROM delivery"
        ).fetchone()
        self.finished, self.pending, self._last_row = finished, total - finished, last
        alive = database.execute("SELECT time FROM sign_of_life").fetchone()
        self.last_alive = alive and alive[0]
        database.execute("COMMIT")
        return database

    def _begin_anew(self, now: float, why: str, error: str) -> None:
        if self._database is not None:
            with contextlib.suppress(sqlite3.Error):
                self._database.close()
            self._database = None
        self.moved_aside += 1
        self.pending = self.finished = self._last_row = 0
        kept_as = move_aside(self._path, why, now) if self._path is not None else None
        log.error("journal_moved_aside", why=why, error=error, kept_as=str(kept_as))

    def _write(self, batch: Batch, now: float) -> None:
        database = self._connect(now)
        recorded = finished = superseded = 0
        with _transaction(database):
            if batch.records:
                recorded = execute_rows(database, RECORD, map(_row, batch.records))
            if batch.finishes:
                finished = execute_rows(database, FINISH, batch.finishes)
            if batch.supersedes:
                superseded = database.executemany(SUPERSEDE, batch.supersedes).rowcount
            if batch.alive is not None:
                database.execute(ALIVE, (batch.alive,))
            over = finished + superseded
            gone = self._trim(database, over, now)
        self.pending += recorded - over
        self.finished += over - gone

    def _write_into_reserve(self, batch: Batch, now: float) -> None:
        database = self._connect(now)
        set_limit(database, self._limits.bytes + RESERVE)
        try:
            self._write(batch, now)
        finally:
            set_limit(database, self._limits.bytes)

    def _trim(self, database: sqlite3.Connection, more: int, now: float) -> int:
        """Remove some of the finished deliveries that are too many or too old; return how many."""
        limit = self._limits.finished
        if self.finished + more > limit:
            # One hundredth at a time, and at least as many as are being added: looking for the oldest passes
            # over every unfinished row before them, which should not happen in each commit.
            excess = self.finished + more - limit + limit // 100
            return _delete(database, min(excess, max(TRIM_ROWS, 2 * more)))
        if now < self._next_age_check:
            return 0
        gone = _delete(database, TRIM_ROWS, before=now - self._limits.seconds)
        if gone < TRIM_ROWS:
            self._next_age_check = now + AGE_CHECK_SECONDS
        return gone

    def _make_room(self, now: float) -> bool:
        database = self._connect(now)
        with _transaction(database):
            gone = _delete(database, TRIM_ROWS)
        self.finished -= gone
        return gone > 0


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


def _delete(database: sqlite3.Connection, rows: int, before: float = float("inf")) -> int:
    return database.execute(TRIM, (before, rows)).rowcount


def _row(record: Record) -> tuple[object, ...]:
    arrival, matched = record
    try:
        subjects = _encode(arrival.subjects)
    except UnicodeEncodeError:
        subjects = _encode([Subject(kind, _text(url)) for kind, url in arrival.subjects])
    if b"@" in subjects:
        subjects = _USER_INFO.sub(rb"\1", subjects)
    return (
        arrival.id,
        arrival.received,
        arrival.receiver,
        arrival.source,
        _text(arrival.event[:TEXT]),
        _text(arrival.sender_id[:TEXT]),
        arrival.delivery_count,
        subjects.decode(),
        matched,
    )


def _text(text: str) -> str:
    """Return a sender's text without what UTF-8 can't hold: one row must not fail those beside it."""
    return text if text.isascii() else text.encode(errors="replace").decode()
