"""``kargo-azure-receiver deliveries``: lists what came in and what became of it, from a data folder.

Reads only: beside a running receiver, after a crash, and from a folder that can't be written.
"""

import argparse
import contextlib
import datetime
import json
import os
import re
import sqlite3
import sys
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from webhook.arrival import Subject
from webhook.journal.schema import FILE_NAME, MIGRATIONS
from webhook.outcome import Outcome

DEFAULT_LIMIT = 50
READ_SECONDS = 5.0
"""How long to wait for a receiver that is just recovering its file after a crash."""
REPOSITORY_WIDTH = 70
"""Characters of a repository in the table; ``-o json`` has all of them."""

_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://(?:[^/@]*@)?")
_subjects = msgspec.json.Decoder(tuple[Subject, ...])


class HistoryError(Exception):
    """The history can't be read; the message is one line."""


class Entry(NamedTuple):
    """One delivery and its outcome."""

    id: str
    received: float
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
    seconds: float | None
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
    if not folder.is_dir():
        raise HistoryError(f"{folder} is not a folder")
    if not path.exists():
        raise HistoryError(f"{folder} holds no journal: {FILE_NAME} is missing")
    found: list[Entry] = []
    wanted = _bare(repository) if repository else None
    try:
        with contextlib.closing(_open(path)) as database:
            for entry in _entries(database, receiver, outcome):
                if wanted and not any(wanted in _bare(subject.url) for subject in entry.subjects):
                    continue
                if limit is not None and len(found) >= limit:
                    break
                found.append(entry)
    except (sqlite3.Error, msgspec.MsgspecError) as error:
        raise HistoryError(f"cannot read {path}: {' '.join(str(error).split())}") from error
    return found


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
    database = sqlite3.connect(location, uri=True, timeout=READ_SECONDS, isolation_level=None)
    try:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if not 0 < version <= len(MIGRATIONS):
            raise sqlite3.DatabaseError(
                f"its schema version is {version}, this release reads up to {len(MIGRATIONS)}"
            )
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
        (
            id_,
            received,
            name,
            source,
            event,
            sender_id,
            tried,
            subjects,
            matched,
            refreshed,
            rejected,
            became,
            seconds,
        ) = row
        yield Entry(
            id=id_,
            received=received,
            receiver=name,
            source=source,
            event=event,
            sender_id=sender_id,
            delivery_count=tried,
            subjects=_subjects.decode(subjects),
            matched=matched,
            refreshed=refreshed,
            rejected=rejected,
            outcome=Outcome(became),
            seconds=seconds,
        )


def _bare(url: str) -> str:
    """Return what is compared of a URL: no scheme, no user, no trailing ``/`` or ``.git``, in lower case."""
    return _SCHEME.sub("", url.strip().lower()).rstrip("/").removesuffix(".git")


def table(entries: Sequence[Entry]) -> str:
    """Return the entries as a table for a terminal, of which every character is printable."""
    rows = [("ID", "RECEIVED", "RECEIVER", "EVENT", "REPOSITORY", "MATCHED", "REFRESHED", "TOOK", "OUTCOME")]
    rows += [
        (
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
        for entry in entries
    ]
    clean = [[_printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*clean, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n"
        for row in clean
    )


def as_json(entries: Sequence[Entry]) -> str:
    """Return the entries as a JSON list, in ASCII: control characters are escaped."""
    return (
        json.dumps(
            [
                {
                    "id": entry.id,
                    "received": _when(entry.received),
                    "receiver": entry.receiver,
                    "source": entry.source,
                    "event": entry.event,
                    "senderId": entry.sender_id,
                    "deliveryCount": entry.delivery_count,
                    "subjects": [{"kind": subject.kind, "url": subject.url} for subject in entry.subjects],
                    "matched": entry.matched,
                    "refreshed": entry.refreshed,
                    "rejected": entry.rejected,
                    "outcome": entry.outcome.value,
                    "seconds": entry.seconds,
                }
                for entry in entries
            ],
            indent=2,
        )
        + "\n"
    )


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


def _printable(text: str) -> str:
    """Replace what a terminal might obey, colours and text direction included."""
    return (
        text
        if text.isprintable()
        else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    )


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
    """List deliveries; return the exit code: 0, or 2 with one line on stderr if there is nothing to read."""
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
    except HistoryError as error:
        sys.stderr.write(f"kargo-azure-receiver: {error}\n")
        return 2
    try:
        sys.stdout.write(as_json(entries) if arguments.output == "json" else table(entries))
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (``head``, say) has seen enough. Python must not fail once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _limit(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number
