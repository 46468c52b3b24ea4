"""Reads the history for the page: from the journal's file, through its own connection and thread.

A journal in memory has one connection only, and holds less: it is read between two commits.
"""

import asyncio
import math
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from webhook.admin.deliveries import Delivery, NearMiss, Target
from webhook.admin.ports import Subject
from webhook.journal import history
from webhook.journal.history import Query, Summary
from webhook.journal.journal import Journal
from webhook.journal.reading import UNREADABLE, HistoryError, ask
from webhook.journal.thread import DaemonThread
from webhook.outcome import NearMisses

READ_SECONDS = 0.9
"""How long one query may take: another replica's page waits for a second."""
YOUNG_SECONDS = 300.0
"""Age of a delivery after which its outcome rarely changes."""
OLD_SECONDS = 600.0
"""How long a summary of older deliveries is used again; "the last 24 hours" may be longer by so much."""

T = TypeVar("T")


class JournalHistory:
    """Reads the history without blocking the event loop. Every method raises HistoryError, of one line."""

    def __init__(self, journal: Journal, folder: Path | None) -> None:
        """``folder`` is the journal's; None for one in memory."""
        self._journal = journal
        self._folder = folder
        self._thread = DaemonThread("history")
        self._old: Mapping[str, Summary] = {}
        """Summaries of what came before ``_old_until``, read at ``_old_at`` (Unix seconds)."""
        self._old_at = self._old_until = -math.inf

    async def deliveries(self, query: Query) -> Sequence[Delivery]:
        """Return a page of deliveries, the newest first."""
        return [_delivery(each) for each in await self._read(lambda it: history.entries(it, query))]

    async def delivery(self, delivery: str) -> Delivery | None:
        """Return one delivery."""
        found = await self._read(lambda database: history.entry(database, delivery))
        return _delivery(found) if found is not None else None

    async def summaries(self, now: datetime) -> Mapping[str, Summary]:
        """Return each receiver's summary, its answers those of the 24 hours before ``now``.

        Deliveries older than ``YOUNG_SECONDS`` are summarized every ``OLD_SECONDS`` only, or later if they
        can't be read: a full history takes a tenth of a second, on a busy machine longer than a page waits.
        """
        at = now.timestamp()
        if not 0 <= at - self._old_at < OLD_SECONDS:
            await self._read_old(at)
        since = self._old_until
        found = dict(self._old)
        for name, young in (await self._read(lambda it: history.summaries(it, at, since=since))).items():
            found[name] = found[name].with_(young) if name in found else young
        return found

    async def _read_old(self, now: float) -> None:
        until = now - YOUNG_SECONDS
        try:
            old = await self._read(lambda database: history.summaries(database, now, until=until))
        except HistoryError:
            if not self._old:
                raise
        else:
            self._old, self._old_at, self._old_until = old, now, until

    async def _read(self, question: Callable[[sqlite3.Connection], T]) -> T:
        if self._folder is not None:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, ask, self._folder, question, READ_SECONDS)
        try:
            return await self._journal.read(question)
        except UNREADABLE as error:
            raise HistoryError(f"cannot read the history: {' '.join(str(error).split())}") from error


def _delivery(entry: history.Entry) -> Delivery:
    pulls = any(subject.kind == "pull_request" for subject in entry.subjects)
    near = entry.near_misses or NearMisses()
    return Delivery(
        id=entry.id,
        received=datetime.fromtimestamp(entry.received, UTC),
        unix=entry.received,
        receiver=entry.receiver,
        source=entry.source,
        event=entry.event,
        outcome=entry.outcome.value,
        code=entry.code or 0,
        reason=entry.reason or "",
        via=entry.via,
        repeats=entry.repeats or "",
        sender_id=entry.sender_id,
        delivery_count=entry.delivery_count,
        subjects=tuple(Subject(*subject) for subject in entry.subjects),
        refs=entry.refs,
        matched=entry.matched,
        refreshed=entry.refreshed,
        rejected=entry.rejected,
        seconds=entry.seconds,
        targets=tuple(_target("Promotion" if pulls else "Warehouse", name) for name in entry.names),
        near_misses=tuple(
            NearMiss(miss.why, *_target("", miss.warehouse).place, miss.key) for miss in near.found
        ),
        near_note=near.note,
    )


def _target(kind: str, name: str) -> Target:
    namespace, _, rest = name.partition("/")
    return Target(kind, namespace, rest)
