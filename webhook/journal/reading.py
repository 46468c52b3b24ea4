"""Opens a journal's file for reading: beside a running receiver, after a crash, or on a read-only disk.

A file that is no journal, or a hostile one, gives an error of one line. Nothing is created or changed.
"""

import contextlib
import datetime
import re
import sqlite3
import stat
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from webhook.journal.schema import FILE_NAME, MIGRATIONS

T = TypeVar("T")

BUSY_SECONDS = 5.0
"""How long to wait for a receiver that is recovering its file after a crash."""
READ_SECONDS = 30.0
"""How long one query may take: a full journal takes one or two."""
PROGRESS_STEPS = 20_000
"""Steps of SQLite after which the time is checked: about a millisecond."""
LONGEST_VALUE = 16 * 1024 * 1024
"""Bytes of one value: a delivery's subjects are no longer than a request's body."""
UNREADABLE = (sqlite3.Error, OSError, msgspec.MsgspecError, RecursionError)
"""What a query of the history may raise."""

_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://(?:[^/@]*@)?")
_FIRST_VERSION = """
CREATE TEMP VIEW delivery AS SELECT *, 'http' AS via, NULL AS refs, NULL AS names, NULL AS repeats,
    NULL AS code, NULL AS reason, NULL AS near_misses FROM main.delivery;
CREATE TEMP TABLE notice (id, received, receiver, source, event, sender_id, via, outcome, code, reason,
    matched, duration);
"""
"""Gives a file of schema version 1, which no receiver of this release has migrated, today's columns."""


class HistoryError(Exception):
    """The history can't be read; the message is one line."""


def ask(folder: Path, question: Callable[[sqlite3.Connection], T], seconds: float | None = None) -> T:
    """Return what ``question`` finds in the journal of a folder, within ``seconds``. Raises HistoryError."""
    path = folder / FILE_NAME
    seconds = READ_SECONDS if seconds is None else seconds
    try:
        _require_files(path)
        with contextlib.closing(_open(path, seconds)) as database:
            return question(database)
    except OSError as error:
        raise HistoryError(f"cannot read {folder}: {error.strerror}") from error
    except UNREADABLE as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
            raise HistoryError(f"cannot read {path}: it takes longer than {seconds:g} s") from error
        raise HistoryError(f"cannot read {path}: {' '.join(str(error).split())}") from error


def bare(url: str) -> str:
    """Return a URL in lower case without scheme, user, trailing ``/`` and ``.git``, for comparison."""
    return _SCHEME.sub("", url.strip().lower()).rstrip("/").removesuffix(".git")


def when(seconds: float) -> str:
    """Return a Unix time for people and programs: RFC 3339, UTC."""
    stamp = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _require_files(path: Path) -> None:
    """Raise HistoryError or OSError unless there are the files of a journal; opening a FIFO would hang."""
    try:
        is_folder = stat.S_ISDIR(path.parent.stat().st_mode)  # is_dir() hides errors since Python 3.14
    except (FileNotFoundError, NotADirectoryError):
        is_folder = False
    if not is_folder:
        raise HistoryError(f"{path.parent} is not a folder")
    for suffix in ("", "-wal", "-shm"):
        file = path.with_name(path.name + suffix)
        try:
            if not stat.S_ISREG(file.stat().st_mode):
                raise HistoryError(f"cannot read {file}: it is not a regular file")
        except FileNotFoundError:
            if not suffix:
                raise HistoryError(f"{path.parent} holds no journal: {FILE_NAME} is missing") from None


def _open(path: Path, seconds: float) -> sqlite3.Connection:
    """Open the file for reading, whoever else has it open and in whatever state it was left."""
    location = f"file:{urllib.parse.quote(str(path.absolute()))}"
    try:
        return _connect(f"{location}?mode=ro", seconds)
    except sqlite3.OperationalError:
        # SQLite can't create the write-ahead log's index on a read-only disk; without a log it needs none.
        wal = path.with_name(path.name + "-wal")
        if wal.exists() and wal.stat().st_size:
            raise
        return _connect(f"{location}?immutable=1", seconds)


def _connect(location: str, seconds: float) -> sqlite3.Connection:
    database = sqlite3.connect(location, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    deadline = time.monotonic() + seconds
    try:
        database.set_progress_handler(lambda: time.monotonic() > deadline, PROGRESS_STEPS)
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if not 0 < version <= len(MIGRATIONS):
            raise sqlite3.DatabaseError(
                f"its schema version is {version}, this release reads up to {len(MIGRATIONS)}"
            )
        kinds = dict(
            database.execute("SELECT name, type FROM main.sqlite_master WHERE name IN ('delivery', 'notice')")
        )
        if kinds.pop("delivery", None) != "table" or kinds.pop("notice", "table") != "table":
            raise sqlite3.DatabaseError("it holds no table of deliveries")
        if version == 1:
            database.executescript(_FIRST_VERSION)
    except BaseException:
        database.close()
        raise
    return database
