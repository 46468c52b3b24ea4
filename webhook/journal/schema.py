"""The journal's database file: its schema, its versions, and how it is opened or put aside.

``PRAGMA user_version`` holds the schema's version. An older file is migrated. A newer one (somebody went back
to an older release) is moved aside like a corrupt one, so that going back works; what it held unfinished
is not refreshed by this process, and the log says so.
"""

import datetime
import fcntl
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import structlog

log = structlog.get_logger()

FILE_NAME = "deliveries.sqlite3"
LOCK_NAME = "deliveries.lock"

MIGRATIONS = (
    # Version 1. ``seq`` is the order of arrival: rows are appended, and the oldest are found first. The few
    # unfinished rows have no index of their own: they are looked for once, at start. A missing outcome is
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
)
"""Each brings the schema from the version of its position to the next."""

WAL_PAGES = 1000
"""Pages (4 MiB) after which the write-ahead log is copied into the database; SQLite's default."""
WAL_BYTES = 8 * 1024 * 1024
"""What is left of the write-ahead log's file after that, however long it had grown."""
BUSY_SECONDS = 10.0
"""How long a write waits for another process's: nobody but a person with a SQLite shell takes that lock."""

CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class JournalError(Exception):
    """The journal can't be opened or written; the message is one line for the operator."""


class NewerSchemaError(Exception):
    """The file was written by a later release."""


def primary_code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code, or 0 for an error of the Python module's own."""
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


def connect(path: Path | None, max_bytes: int) -> sqlite3.Connection:
    """Open (and create) the database, or one in memory; check and migrate it. In autocommit mode.

    ``max_bytes`` is the most the database may take, its write-ahead log not included.
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
        set_limit(database, max_bytes)
    except BaseException:
        database.close()
        raise
    return database


def set_limit(database: sqlite3.Connection, max_bytes: int) -> None:
    """Set the most the database may take from now on, if it does not take more already."""
    (page_size,) = database.execute("PRAGMA page_size").fetchone()
    database.execute(f"PRAGMA max_page_count = {max(16, max_bytes // page_size)}")


def move_aside(path: Path, why: str, now: float) -> Path:
    """Rename the file and its companions to ``<name>.<why>-<UTC time>``; return the new path.

    Raises OSError.
    """
    stamp = datetime.datetime.fromtimestamp(now, datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    target = path.with_name(f"{path.name}.{why}-{stamp}")
    number = 0
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}.{why}-{stamp}-{number}")
    for suffix in ("-wal", "-shm", ""):  # the database last: dying in between, the rest is done by the next
        source = path.with_name(path.name + suffix)
        if source.exists():
            source.rename(target.with_name(target.name + suffix))
    return target


def lock(folder: Path) -> int:
    """Keep other receivers out of the folder until the descriptor is closed.

    Raises JournalError: also for a folder that is missing or can't be written.
    """
    try:
        descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise JournalError(f"cannot use {folder} for the journal: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise JournalError(f"cannot use {folder} for the journal: another receiver is using it") from error
    return descriptor
