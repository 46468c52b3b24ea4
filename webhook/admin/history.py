"""The history as the page reads it: from the journal's file, on a connection and in a thread of its own.

A journal in memory has one connection only: it is read between two commits, and holds less.
"""

import asyncio
import contextlib
import sqlite3
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from webhook.admin.deliveries import Delivery, HistoryError, Query, Subject, Summary
from webhook.journal.journal import Journal
from webhook.journal.schema import FILE_NAME
from webhook.journal.thread import DaemonThread
from webhook.outcome import Outcome
from webhook.redaction import without_credentials

READ_SECONDS = 0.9
"""How long one query may take: a peer's page waits for a second."""
STEPS = 20_000
"""SQLite's steps between two looks at the clock."""

COLUMNS = (
    "id, received, receiver, source, event, sender_id, tried, subjects, matched, persisted, rejected,"
    " coalesce(outcome, 'pending') AS became, duration, superseded_by"
)
LIST = (
    f"SELECT {COLUMNS} FROM delivery WHERE (:receiver = '' OR receiver = :receiver)"  # noqa: S608
    " AND (:outcome = '' OR coalesce(outcome, 'pending') = :outcome)"
    " AND (:before IS NULL OR (received, id) < (:before, :before_id))"
    " AND (:repository = '' OR EXISTS (SELECT 1 FROM json_each(subjects) AS each"
    " WHERE instr(lower(each.value ->> 1), :repository)))"
    " ORDER BY received DESC, id DESC LIMIT :limit"
)
ONE = f"SELECT {COLUMNS} FROM delivery WHERE id = ?"  # noqa: S608
LAST = "SELECT receiver, max(received), max(CASE WHEN outcome = ? THEN received END) FROM delivery GROUP BY 1"
ANSWERS = (
    "SELECT receiver, coalesce(outcome, 'pending'), count(*) FROM delivery WHERE received >= ? GROUP BY 1, 2"
)

T = TypeVar("T")
_subjects = msgspec.json.Decoder(tuple[tuple[str, str], ...])
_ids = msgspec.json.Decoder(tuple[str, ...])


class JournalHistory:
    """Reads what came in, off the event loop; every method raises HistoryError, in one line."""

    def __init__(self, journal: Journal, folder: Path | None) -> None:
        """``folder`` is the journal's; None for one in memory."""
        self._journal = journal
        self._path = folder and folder / FILE_NAME
        self._thread = DaemonThread("history")

    async def deliveries(self, query: Query) -> Sequence[Delivery]:
        """Return a page of deliveries, the newest first."""
        wanted = {**query._asdict(), "repository": _bare(query.repository)}
        rows = await self._read(lambda database: database.execute(LIST, wanted).fetchall())
        return [_delivery(row) for row in rows]

    async def delivery(self, delivery: str) -> Delivery | None:
        """Return one delivery."""
        rows = await self._read(lambda database: database.execute(ONE, (delivery,)).fetchall())
        return _delivery(rows[0]) if rows else None

    async def summaries(self, since: datetime) -> Mapping[str, Summary]:
        """Return each receiver's last delivery and success, and its outcomes from ``since`` on."""

        def query(database: sqlite3.Connection) -> tuple[list[Any], list[Any]]:
            last = database.execute(LAST, (Outcome.REFRESHED.value,)).fetchall()
            return last, database.execute(ANSWERS, (since.timestamp(),)).fetchall()

        last, answers = await self._read(query)
        found = {receiver: Summary(_moment(came), _moment(done), {}) for receiver, came, done in last}
        for receiver, outcome, count in answers:
            if receiver in found:
                found[receiver].answers[outcome] = count
        return found

    async def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._path is None:
                return await self._journal.read(query)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, _from_file, self._path, query)
        except (sqlite3.Error, OSError) as error:
            raise HistoryError(f"the history can't be read: {' '.join(str(error).split())}") from error


def _from_file(path: Path, query: Callable[[sqlite3.Connection], T]) -> T:
    deadline = time.monotonic() + READ_SECONDS
    location = f"file:{urllib.parse.quote(str(path.absolute()))}?mode=ro"
    with contextlib.closing(sqlite3.connect(location, uri=True, timeout=READ_SECONDS)) as database:
        database.set_progress_handler(lambda: time.monotonic() > deadline, STEPS)
        return query(database)


def _delivery(row: Sequence[Any]) -> Delivery:
    id_, received, receiver, source, event, sender_id, tried, subjects, matched, persisted, *more = row
    rejected, outcome, seconds, superseded_by = more
    return Delivery(
        id=id_,
        received=datetime.fromtimestamp(received, UTC),
        unix=received,
        receiver=receiver,
        source=source,
        event=event,
        outcome=outcome,
        sender_id=sender_id,
        delivery_count=tried,
        # An earlier release took less out of URLs before it kept them.
        subjects=tuple(Subject(kind, without_credentials(url)) for kind, url in _subjects.decode(subjects)),
        matched=matched,
        refreshed=persisted,
        rejected=rejected,
        seconds=seconds,
        superseded_by=_ids.decode(superseded_by) if superseded_by else (),
    )


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _bare(repository: str) -> str:
    """Return what is compared of a repository: no scheme, no trailing ``/`` or ``.git``, in lower case."""
    return repository.lower().rpartition("://")[2].rstrip("/").removesuffix(".git")
