"""The journal's database file: its schema and versions, how it is opened, and how it is moved aside.

``PRAGMA user_version`` holds the schema's version. An older file is migrated. A newer one (somebody went back
to an older release) is moved aside like a corrupt one, so that going back works. This process does not
refresh what it held unfinished, and the log says so.
"""

import datetime
import fcntl
import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

FILE_NAME = "deliveries.sqlite3"
LOCK_NAME = "deliveries.lock"

MIGRATIONS = (
    # Version 1. ``seq`` is the order of arrival: rows are appended, and the oldest are found first. The few
    # unfinished rows have no index of their own, since they are searched only at start. A missing outcome is
    # Outcome.PENDING. ``tried`` is Event Grid's count of earlier attempts.
    """
    CREATE TABLE delivery (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        received REAL NOT NULL,
        receiver TEXT NOT NULL,
        source TEXT NOT NULL,
        event TEXT NOT NULL,
        sender_id TEXT NOT NULL,
        tried INTEGER,
        subjects TEXT NOT NULL,
        matched INTEGER NOT NULL,
        outcome TEXT,
        persisted INTEGER NOT NULL DEFAULT 0,
        rejected INTEGER NOT NULL DEFAULT 0,
        duration REAL,
        superseded_by TEXT
    );
    CREATE TABLE sign_of_life (one INTEGER PRIMARY KEY CHECK (one = 1), time REAL NOT NULL);
    """,
    # Version 2. For people only: what was pushed (``refs``) and what it matched (``names``), both JSON lists,
    # how it came in, how it was answered. ``notice`` holds what came in and asked for no refresh.
    """
    ALTER TABLE delivery ADD COLUMN via TEXT NOT NULL DEFAULT 'http';
    ALTER TABLE delivery ADD COLUMN refs TEXT;
    ALTER TABLE delivery ADD COLUMN names TEXT;
    ALTER TABLE delivery ADD COLUMN repeats TEXT;
    ALTER TABLE delivery ADD COLUMN code INTEGER;
    ALTER TABLE delivery ADD COLUMN reason TEXT;
    ALTER TABLE delivery ADD COLUMN near_misses TEXT;
    CREATE INDEX delivery_received ON delivery (received);
    CREATE TABLE notice (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL,
        received REAL NOT NULL,
        receiver TEXT NOT NULL,
        source TEXT NOT NULL,
        event TEXT NOT NULL,
        sender_id TEXT NOT NULL,
        via TEXT NOT NULL,
        outcome TEXT NOT NULL,
        code INTEGER,
        reason TEXT,
        matched INTEGER NOT NULL DEFAULT 0,
        duration REAL
    );
    CREATE INDEX notice_received ON notice (received);
    """,
    # Version 3. The journal's own id: shows whether a process has found the journal of an earlier one.
    """
    CREATE TABLE identity (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL);
    INSERT INTO identity VALUES (1, lower(hex(randomblob(16))));
    """,
)
"""Each brings the schema from the version of its position to the next."""

WAL_PAGES = 1000
"""Pages (4 MiB) after which the write-ahead log is copied into the database; SQLite's default."""
WAL_BYTES = 8 * 1024 * 1024
"""To which the write-ahead log's file is cut after that."""
BUSY_SECONDS = 10.0
"""How long a write waits for another process: only a person with a SQLite shell takes that lock."""

LOCK_SECONDS = 10.0
"""How long to wait until another receiver leaves the folder: a Pod deleted by force may still be ending."""
LOCK_POLL_SECONDS = 0.1

CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class JournalError(Exception):
    """The journal can't be opened or written; the message is one line for the operator."""


class NewerSchemaError(Exception):
    """The file was written by a later release."""


def primary_code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code; 0 for an error of Python's sqlite3 module."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def migrate(database: sqlite3.Connection, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Bring the schema to the newest version, each step whole or not at all.

    Raises NewerSchemaError, and what sqlite3 raises.
    """
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > len(migrations):
        raise NewerSchemaError(version)
    for number, script in enumerate(migrations[version:], start=version + 1):
        try:
            database.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;")
        except sqlite3.Error:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise


def connect(path: Path | None) -> sqlite3.Connection:
    """Open (and create) the database, or one in memory; check and migrate it. In autocommit mode.

    Raises NewerSchemaError, and what sqlite3 raises: also for a file damaged anywhere.
    """
    database = sqlite3.connect(
        ":memory:" if path is None else path, timeout=BUSY_SECONDS, isolation_level=None, cached_statements=32
    )
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA temp_store = MEMORY")  # the root file system may be read-only
        database.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
        database.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            error = sqlite3.DatabaseError(" ".join(found.split()))
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
        migrate(database)
    except BaseException:
        database.close()
        raise
    return database


def move_aside(path: Path, why: str, now: float, max_bytes: int) -> Path | None:
    """Rename the file and its companions to ``<name>.<why>-<UTC time>``; return the new path.

    A file that was moved aside before is deleted. If the file is larger than ``max_bytes`` it is deleted
    too, and None returned. Raises OSError.
    """
    for earlier in _moved_aside(path):
        earlier.unlink()
    stamp = datetime.datetime.fromtimestamp(now, datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    target = path.with_name(f"{path.name}.{why}-{stamp}")
    # The database last: if the process dies in between, the next one does the rest.
    sources = [path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", "")]
    sources = [source for source in sources if source.exists()]
    keep = sum(source.stat().st_size for source in sources) <= max_bytes
    for source in sources:
        if keep:
            source.rename(target.with_name(source.name.replace(path.name, target.name)))
        else:
            source.unlink()
    return target if keep else None


def moved_aside_bytes(path: Path | None) -> int:
    """Return the size in bytes of the files that were moved aside; 0 for no path. Raises OSError."""
    return sum(file.stat().st_size for file in _moved_aside(path)) if path is not None else 0


def _moved_aside(path: Path) -> list[Path]:
    return [*path.parent.glob(f"{path.name}.corrupt-*"), *path.parent.glob(f"{path.name}.newer-*")]


def lock(folder: Path) -> int:
    """Keep other receivers out of the folder until the descriptor is closed.

    Waits ``LOCK_SECONDS`` for one that is about to end, as the Pod before this one may be.
    Raises JournalError: also for a folder that is missing or can't be written.
    """
    try:
        descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise JournalError(f"cannot use {folder} for the journal: {error.strerror}") from error
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if time.monotonic() < deadline:
                time.sleep(LOCK_POLL_SECONDS)
                continue
            os.close(descriptor)
            raise JournalError(
                f"cannot use {folder} for the journal: another receiver is using it"
            ) from error
        return descriptor
