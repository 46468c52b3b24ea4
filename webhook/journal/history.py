"""Reads the history: deliveries, and what came in and asked for no refresh.

The functions take an open database: of a file that another process writes (``reading.ask``), or the running
receiver's own (``Journal.read``).
"""

import math
import sqlite3
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, NamedTuple

import msgspec

from webhook.arrival import AGAIN, CATCH_UP, Subject
from webhook.journal import reading
from webhook.outcome import NearMisses, Outcome
from webhook.redaction import without_credentials

DAY_SECONDS = 24 * 3600.0
_LONG_AGO = datetime.min.replace(tzinfo=UTC)

_Time = Annotated[float, msgspec.Meta(ge=0, lt=1e11)]


class Entry(NamedTuple):
    """One row of the history."""

    id: str
    received: _Time
    """Unix time in seconds."""
    receiver: str
    """``namespace/name``, ``cluster/name``, ``queue:ACCOUNT/QUEUE``; empty for a catch-up."""
    source: str
    event: str
    sender_id: str
    delivery_count: int | None
    """How often Event Grid had tried before; None from other senders."""
    via: str
    """``http``, ``queue``, ``again`` or ``catch-up``."""
    repeats: str | None
    """Id of the delivery that this one dispatched anew."""
    subjects: tuple[Subject, ...]
    refs: tuple[str, ...]
    """Tags, digests, Git refs."""
    matched: int
    names: tuple[str, ...]
    """``namespace/name`` of the first matched objects."""
    refreshed: int
    rejected: int
    outcome: Outcome
    code: int | None
    """Status of the answer; None while it is not known, or where there was none."""
    reason: str | None
    seconds: Annotated[float, msgspec.Meta(ge=-1e11, lt=1e11)] | None
    """From its arrival to its end; None while something is outstanding."""
    near_misses: NearMisses | None


class Query(NamedTuple):
    """Selects rows of the history, the newest first; None, 0 and empty select all."""

    receiver: str | None = None
    """A whole name."""
    source: str | None = None
    event: str | None = None
    outcome: str | None = None
    """The value of an ``Outcome``."""
    repository: str | None = None
    """A part of a repository's URL, or all of it, in any case and with or without scheme and user."""
    text: str | None = None
    """A part of id, receiver, sender's id, repositories, refs, names or reason, in any case (ASCII only)."""
    since: float | None = None
    """Unix time in seconds."""
    before: float | None = None
    """Received earlier than this Unix time, or at the same and with a lesser id than ``before_id``."""
    before_id: str = ""
    limit: int = 50

    @property
    def filtered(self) -> bool:
        """Whether it selects less than everything."""
        return self != Query(before=self.before, before_id=self.before_id, limit=self.limit)


class Summary(msgspec.Struct, rename="camel", frozen=True):
    """What came to one receiver lately, without the deliveries of ``again``."""

    last_delivery: datetime | None = None
    last_code: int = 0
    """Status with which that one was answered; 0 if it is not known."""
    last_outcome: str = ""
    last_success: datetime | None = None
    """When the last delivery came that refreshed something."""
    answers: dict[str, int] = {}
    """Of the last 24 hours: how many of each status."""
    last_event: str = ""

    def with_(self, other: "Summary") -> "Summary":
        """Return the summary of what both summarize."""
        last = max(self, other, key=lambda each: each.last_delivery or _LONG_AGO)
        successes = [each.last_success for each in (self, other) if each.last_success is not None]
        answers = dict(Counter(self.answers) + Counter(other.answers))
        return msgspec.structs.replace(last, last_success=max(successes, default=None), answers=answers)


_SHOWN_AS = {"sender_id": "senderId", "delivery_count": "deliveryCount", "near_misses": "nearMisses"}
_TABLES = {
    "delivery": "SELECT id, received, receiver, source, event, sender_id, tried, via, repeats, subjects,"
    " refs, matched, names, persisted, rejected, ifnull(outcome, 'pending') AS outcome, code, reason,"
    " duration, near_misses FROM delivery",
    "notice": "SELECT id, received, receiver, source, event, sender_id, NULL AS tried, via, NULL AS repeats,"
    " '[]' AS subjects, NULL AS refs, matched, NULL AS names, matched AS persisted, 0 AS rejected, outcome,"
    " code, reason, duration, NULL AS near_misses FROM notice",
}
"""Selects the rows of each table with the same columns."""
_CAME_IN = f"via NOT IN ('{AGAIN}', '{CATCH_UP}')"
"""Sent by somebody: not dispatched anew, and no catch-up."""
_CLAUSES = {
    "since": "received >= :since",
    "until": "received <= :until AND (received < :until OR id < :id)",
    "receiver": "receiver = :receiver",
    "source": "source = :source",
    "event": "event = :event",
    "outcome": "outcome = :outcome",
    "repository": "instr(lower(subjects), :repository) AND EXISTS (SELECT 1 FROM json_each(subjects) AS one"
    " WHERE instr(lower(json_extract(one.value, '$[1]')), :repository))",
    "text": "instr(lower(id || ' ' || receiver || ' ' || sender_id || ' ' || subjects || ' '"
    " || ifnull(refs, '') || ' ' || ifnull(names, '') || ' ' || ifnull(reason, '')), :text)",
}
"""By parameter of a query, the condition that it adds."""


def entries(database: sqlite3.Connection, query: Query) -> list[Entry]:
    """Return the rows that a query selects, the newest first. Raises sqlite3.Error."""
    statement, wanted = _newest("*", query)
    return [_entry(row) for row in database.execute(statement, wanted)]


def repeatable(database: sqlite3.Connection, query: Query) -> list[str]:
    """Return the ids of the rows that a query selects and that can be dispatched anew. Raises sqlite3.Error.

    Rows that ``again`` made are left out: else the same query would dispatch more each time.
    """
    statement, wanted = _newest("id, received", query, "subjects != '[]'", f"via != '{AGAIN}'")
    return [id_ for id_, _ in database.execute(statement, wanted)]


def _newest(columns: str, query: Query, *clauses: str) -> tuple[str, dict[str, object]]:
    """Return the statement for a query with further conditions, and its parameters.

    Each table gives its newest rows by its index; a union of the whole tables would have to be sorted.
    """
    where, wanted = _where(query, *clauses)
    order = "ORDER BY received DESC, id DESC LIMIT :limit"
    parts = (f"SELECT * FROM (SELECT {columns} FROM ({rows}){where} {order})" for rows in _TABLES.values())  # noqa: S608
    return f"{' UNION ALL '.join(parts)} {order}", wanted


def _where(query: Query, *clauses: str) -> tuple[str, dict[str, object]]:
    """Return the WHERE clause for a query with further conditions, and its parameters."""
    wanted: dict[str, object] = {
        "since": query.since,
        "until": query.before,
        "id": query.before_id,
        "receiver": query.receiver or None,
        "source": query.source or None,
        "event": query.event or None,
        "outcome": query.outcome or None,
        "repository": reading.bare(query.repository) if query.repository else None,
        "text": query.text.lower() if query.text else None,
        "limit": query.limit or -1,
    }
    asked = [*clauses, *(clause for name, clause in _CLAUSES.items() if wanted.get(name) is not None)]
    return f" WHERE {' AND '.join(asked)}" if asked else "", wanted


def entry(database: sqlite3.Connection, id_: str) -> Entry | None:
    """Return the row with this id, or None."""
    for rows in _TABLES.values():
        row = database.execute(f"SELECT * FROM ({rows}) WHERE id = ? LIMIT 1", (id_,)).fetchone()  # noqa: S608
        if row is not None:
            return _entry(row)
    return None


def summaries(
    database: sqlite3.Connection, now: float, *, since: float = 0.0, until: float = math.inf
) -> dict[str, Summary]:
    """Return each receiver's summary of what came from ``since`` until before ``until`` (Unix times).

    Catch-ups and deliveries of ``again`` are left out: nobody called the receiver for those.
    """
    found: dict[str, Summary] = {}
    for table, refreshed in (("delivery", "persisted > 0"), ("notice", "0")):
        # One statement, since each reads the whole table. Columns beside max() are of the newest row.
        for receiver, received, event, outcome, code, success, count in database.execute(
            "SELECT receiver, max(received), event, ifnull(outcome, 'pending'), code,"  # noqa: S608
            f" {refreshed} AS success, sum(received >= ?) FROM {table} WHERE {_CAME_IN}"
            " AND received >= ? AND received < ? GROUP BY receiver, code, success",
            (now - DAY_SECONDS, since, until),
        ):
            answers = {str(code): count} if code is not None and count else {}
            moment = datetime.fromtimestamp(received, UTC)
            one = Summary(moment, code or 0, outcome, moment if success else None, answers, event)
            found[receiver] = one if receiver not in found else found[receiver].with_(one)
    return found


def as_json(each: Entry) -> dict[str, object]:
    """Return an entry as values of JSON, under the names that people see."""
    near = each.near_misses
    shown = each._asdict() | {
        "received": reading.when(each.received),
        "subjects": [subject._asdict() for subject in each.subjects],
        "near_misses": near and {"found": [miss._asdict() for miss in near.found], "note": near.note},
    }
    return {_SHOWN_AS.get(name, name): value for name, value in shown.items()}


def _entry(row: Sequence[object]) -> Entry:
    values = [*row]
    for column in ("subjects", "refs", "names", "near_misses"):
        at = Entry._fields.index(column)
        text = values[at]
        missing: object = None if column in ("subjects", "near_misses") else ()
        values[at] = msgspec.json.decode(text) if isinstance(text, str) else missing
    found = msgspec.convert(values, Entry)
    # An earlier release kept some credentials in URLs.
    safe = tuple(Subject(kind, without_credentials(url)) for kind, url in found.subjects)
    return found._replace(subjects=safe)
