"""``kargo-azure-receiver deliveries``: lists what came in and what became of it, from a data folder.

Reads only: beside a running receiver, after a crash, and from a folder that can't be written. A file that is
no journal, or a hostile one, is one line of error.
"""

import argparse
import contextlib
import datetime
import json
import os
import re
import sqlite3
import stat
import sys
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from controller.cli.table import table, write
from webhook.arrival import Subject
from webhook.journal.schema import FILE_NAME, MIGRATIONS
from webhook.outcome import Outcome
from webhook.redaction import without_credentials

NOTHING_MATCHED, FAILED = 3, 2
"""Exit codes."""
DEFAULT_LIMIT = 50
BUSY_SECONDS = 5.0
"""How long to wait for a receiver that is just recovering its file after a crash."""
READ_SECONDS = 30.0
"""How long one query may take: a full journal takes one or two."""
LONGEST_VALUE = 16 * 1024 * 1024
"""Bytes of one value: a delivery's subjects are as long as the body of a request at the most."""
REPOSITORY_WIDTH = 70
"""Characters of a repository in the table; ``-o json`` has all of them."""
HEADER = ("ID", "RECEIVED", "RECEIVER", "EVENT", "REPOSITORY", "MATCHED", "REFRESHED", "TOOK", "OUTCOME")

_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://(?:[^/@]*@)?")


class HistoryError(Exception):
    """The history can't be read; the message is one line."""


class Entry(NamedTuple):
    """One delivery and its outcome."""

    id: str
    received: Annotated[float, msgspec.Meta(ge=0, lt=1e11)]
    """Unix time in seconds."""
    receiver: str
    source: str
    event: str
    sender_id: str
    delivery_count: int | None
    """How often Event Grid had tried before; None from other senders."""
    subjects: tuple[Subject, ...]
    matched: int
    refreshed: int
    rejected: int
    outcome: Outcome
    seconds: Annotated[float, msgspec.Meta(ge=-1e11, lt=1e11)] | None
    """From its arrival until nothing of it was outstanding; None while something is."""


def read(
    folder: Path,
    *,
    receiver: str | None = None,
    repository: str | None = None,
    outcome: Outcome | None = None,
    limit: int | None = DEFAULT_LIMIT,
) -> list[Entry]:
    """Return the latest deliveries, the newest first.

    ``receiver`` is a whole name; ``repository`` a part of a repository's URL, or all of it, in any case and
    with or without scheme and user. Raises HistoryError.
    """
    path = folder / FILE_NAME
    found: list[Entry] = []
    wanted = _bare(repository) if repository else None
    try:
        _require_files(path)
        with contextlib.closing(_open(path)) as database:
            for entry in _entries(database, receiver, outcome):
                if wanted and not any(wanted in _bare(subject.url) for subject in entry.subjects):
                    continue
                if limit is not None and len(found) >= limit:
                    break
                found.append(entry)
    except OSError as error:
        raise HistoryError(f"cannot read {folder}: {error.strerror}") from error
    except (sqlite3.Error, msgspec.MsgspecError, RecursionError) as error:
        raise HistoryError(f"cannot read {path}: {' '.join(str(error).split())}") from error
    return found


def _require_files(path: Path) -> None:
    """Raise HistoryError or OSError unless there is a journal; a FIFO, say, would be waited for."""
    if not path.parent.is_dir():
        raise HistoryError(f"{path.parent} is not a folder")
    for suffix in ("", "-wal", "-shm"):
        file = path.with_name(path.name + suffix)
        try:
            if not stat.S_ISREG(file.stat().st_mode):
                raise HistoryError(f"cannot read {file}: it is not a regular file")
        except FileNotFoundError:
            if not suffix:
                raise HistoryError(f"{path.parent} holds no journal: {FILE_NAME} is missing") from None


def _open(path: Path) -> sqlite3.Connection:
    """Open the file for reading, whoever else has it open and in whatever state it was left."""
    location = f"file:{urllib.parse.quote(str(path.absolute()))}"
    try:
        return _connect(f"{location}?mode=ro")
    except sqlite3.OperationalError:
        # Where no file may be created, the write-ahead log's index can't be; without a log none is needed.
        wal = path.with_name(path.name + "-wal")
        if wal.exists() and wal.stat().st_size:
            raise
        return _connect(f"{location}?immutable=1")


def _connect(location: str) -> sqlite3.Connection:
    database = sqlite3.connect(location, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    deadline = time.monotonic() + READ_SECONDS
    try:
        database.set_progress_handler(lambda: time.monotonic() > deadline, 100_000)
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if not 0 < version <= len(MIGRATIONS):
            raise sqlite3.DatabaseError(
                f"its schema version is {version}, this release reads up to {len(MIGRATIONS)}"
            )
        kind = database.execute("SELECT type FROM sqlite_master WHERE name = 'delivery'").fetchone()
        if kind != ("table",):
            raise sqlite3.DatabaseError("it holds no table of deliveries")
    except BaseException:
        database.close()
        raise
    return database


def _entries(database: sqlite3.Connection, receiver: str | None, outcome: Outcome | None) -> Iterator[Entry]:
    rows = database.execute(
        "SELECT id, received, receiver, source, event, sender_id, tried, subjects, matched, persisted,"
        " rejected, coalesce(outcome, 'pending') AS became, duration FROM delivery"
        " WHERE (?1 IS NULL OR receiver = ?1) AND (?2 IS NULL OR became = ?2) ORDER BY seq DESC",
        (receiver, outcome.value if outcome else None),
    )
    for row in rows:
        subjects = msgspec.json.decode(row[7]) if isinstance(row[7], str) else None
        entry = msgspec.convert((*row[:7], subjects, *row[8:]), Entry)
        # An earlier release took less out of URLs before it kept them.
        safe = tuple(Subject(kind, without_credentials(url)) for kind, url in entry.subjects)
        yield entry._replace(subjects=safe)


def _bare(url: str) -> str:
    """Return what is compared of a URL: no scheme, no user, no trailing ``/`` or ``.git``, in lower case."""
    return _SCHEME.sub("", url.strip().lower()).rstrip("/").removesuffix(".git")


def _cells(entry: Entry) -> tuple[str, ...]:
    return (
        entry.id,
        _when(entry.received),
        entry.receiver,
        f"{entry.source}/{entry.event}",
        _repository(entry.subjects),
        str(entry.matched),
        str(entry.refreshed),
        "" if entry.seconds is None else _took(entry.seconds),
        entry.outcome.value,
    )


def _as_json(entry: Entry) -> dict[str, object]:
    return {
        "id": entry.id,
        "received": _when(entry.received),
        "receiver": entry.receiver,
        "source": entry.source,
        "event": entry.event,
        "senderId": entry.sender_id,
        "deliveryCount": entry.delivery_count,
        "subjects": [subject._asdict() for subject in entry.subjects],
        "matched": entry.matched,
        "refreshed": entry.refreshed,
        "rejected": entry.rejected,
        "outcome": entry.outcome.value,
        "seconds": entry.seconds,
    }


def _when(seconds: float) -> str:
    time = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _took(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 120:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}h{minutes % 60}m" if minutes >= 60 else f"{minutes}m{rest}s"


def _repository(subjects: Sequence[Subject]) -> str:
    if not subjects:
        return ""
    url = subjects[0].url
    text = url if len(url) <= REPOSITORY_WIDTH else url[: REPOSITORY_WIDTH - 1] + "…"
    return text if len(subjects) == 1 else f"{text} and {len(subjects) - 1} more"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of ``deliveries``."""
    parser.add_argument(
        "--data-dir",
        metavar="FOLDER",
        default=os.environ.get("DATA_DIR"),
        help="the receiver's data folder [DATA_DIR]",
    )
    parser.add_argument(
        "--receiver", metavar="NAME", help="only of this receiver: namespace/name, cluster/name"
    )
    parser.add_argument("--repository", metavar="TEXT", help="only for repositories whose URL contains this")
    parser.add_argument("--outcome", choices=[each.value for each in Outcome], help="only with this outcome")
    parser.add_argument(
        "-n",
        "--limit",
        metavar="N",
        type=_limit,
        default=DEFAULT_LIMIT,
        help=f"at most so many, the newest; 0: all (default: {DEFAULT_LIMIT})",
    )
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table", help="(default: table)")


def run(arguments: argparse.Namespace) -> int:
    """List deliveries; return the exit code: 0, 2 with one line on stderr, or 3 if no delivery matches."""
    try:
        if not arguments.data_dir:
            raise HistoryError("say where the journal is: --data-dir FOLDER, or DATA_DIR")
        entries = read(
            Path(arguments.data_dir),
            receiver=arguments.receiver,
            repository=arguments.repository,
            outcome=Outcome(arguments.outcome) if arguments.outcome else None,
            limit=arguments.limit or None,
        )
        filtered = bool(arguments.receiver or arguments.repository or arguments.outcome)
        if arguments.output == "json":
            write(json.dumps([_as_json(entry) for entry in entries], indent=2) + "\n")
        elif entries:
            write(table(HEADER, map(_cells, entries)))
        else:
            write("no delivery matches\n" if filtered else "no deliveries yet\n")
    except HistoryError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"cannot write the list: {error.strerror}")
    return 0 if entries or not filtered else NOTHING_MATCHED


def _fail(message: str) -> int:
    sys.stderr.write(f"kargo-azure-receiver: {message}\n")
    return FAILED


def _limit(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is no number of deliveries")
    return number
