"""The journal's SQL statements, and the rows that are their parameters."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from webhook.arrival import HTTP, Arrival, Subject
from webhook.outcome import Outcome, Remarks
from webhook.redaction import without_credentials

_encode = msgspec.json.Encoder().encode

TEXT = 300
"""Characters kept of a sender's id or event type."""


class Row(NamedTuple):
    """A delivery; its fields are the columns that ``RECORD`` fills."""

    id: str
    received: float
    receiver: str
    source: str
    event: str
    sender_id: str
    tried: int | None
    subjects: str
    """JSON."""
    matched: int
    via: str = HTTP
    refs: str | None = None
    """JSON."""
    names: str | None = None
    """Of the first objects matched, JSON."""
    repeats: str | None = None


class Notice(NamedTuple):
    """Something that came in and asked for no refresh; its fields are the columns that ``NOTE`` fills."""

    id: str
    received: float
    receiver: str
    source: str
    event: str
    sender_id: str
    via: str
    outcome: str
    code: int | None
    reason: str | None
    matched: int
    duration: float | None


class End(NamedTuple):
    """What became of a delivery; field by field the parameters of ``FINISH``."""

    id: str
    outcome: str
    persisted: int = 0
    rejected: int = 0
    duration: float | None = None
    matched: int | None = None
    """None leaves it as it was recorded."""
    superseded_by: str | None = None
    """Ids of the deliveries that took over what was outstanding, a JSON list."""
    code: int | None = None
    """Status of the answer; None leaves it as it was, as in the three below."""
    reason: str | None = None
    near_misses: str | None = None
    """JSON."""
    names: str | None = None


RECORD = (
    f"INSERT INTO delivery ({', '.join(Row._fields)})"  # noqa: S608
    f" VALUES ({', '.join('?' * len(Row._fields))}) ON CONFLICT DO NOTHING"
)
FINISH = (  # a superseded delivery is finished only if all its carriers have rows
    "UPDATE delivery SET outcome = ?2, persisted = ?3, rejected = ?4, duration = ?5,"
    " matched = ifnull(?6, matched), superseded_by = ?7, code = ifnull(?8, code),"
    " reason = ifnull(?9, reason), near_misses = ifnull(?10, near_misses), names = ifnull(?11, names)"
    " WHERE id = ?1 AND outcome IS NULL AND NOT EXISTS (SELECT 1 FROM json_each(?7) AS carrier"
    " WHERE NOT EXISTS (SELECT 1 FROM delivery AS row WHERE row.id = carrier.value))"
)
NOTE = (
    f"INSERT INTO notice ({', '.join(Notice._fields)})"  # noqa: S608
    f" VALUES ({', '.join('?' * len(Notice._fields))})"
)
ALIVE = "INSERT INTO sign_of_life VALUES (1, ?) ON CONFLICT DO UPDATE SET time = excluded.time"

PROJECT = "substr(receiver, 1, instr(receiver, '/') - 1)"
SUBJECT_BYTES = 1024
"""Bytes that one subject takes in memory beside its text while its delivery is unfinished."""
SIZE = (  # what ``size_of`` returns
    "length(CAST(subjects AS BLOB))"
    f" + {SUBJECT_BYTES} * (length(subjects) - length(replace(subjects, '[', '')))"
    " + ifnull(length(CAST(names AS BLOB)), 0)"
)

UNFINISHED = f"SELECT {PROJECT}, sum({SIZE}) FROM delivery WHERE outcome IS NULL GROUP BY 1"  # noqa: S608
RESUMABLE = (
    f"SELECT seq, outcome IS NULL, {SIZE}, subjects, id, receiver, source, event, sender_id, received, tried"  # noqa: S608
    " FROM delivery WHERE seq > ? AND seq <= ? AND (outcome IS NULL OR received >= ?) ORDER BY seq"
)
TRIM_OLD = (
    "DELETE FROM delivery WHERE seq IN"
    " (SELECT seq FROM delivery WHERE outcome IS NOT NULL AND received < ? ORDER BY seq LIMIT ?)"
)
TRIM_LARGEST = (  # the oldest of the Project whose finished deliveries take most: others keep theirs
    "DELETE FROM delivery WHERE seq IN"  # noqa: S608
    f" (SELECT seq FROM delivery WHERE outcome IS NOT NULL AND {PROJECT} ="
    f" (SELECT {PROJECT} FROM delivery WHERE outcome IS NOT NULL GROUP BY 1"
    " ORDER BY sum(length(subjects) + ifnull(length(names), 0) + 256) DESC LIMIT 1) ORDER BY seq LIMIT ?)"
)
TRIM_OLD_NOTICES = "DELETE FROM notice WHERE received < ?"
TRIM_NOTICES = (  # the oldest of the Project that has most of them
    "DELETE FROM notice WHERE seq IN"  # noqa: S608
    f" (SELECT seq FROM notice WHERE {PROJECT} ="
    f" (SELECT {PROJECT} FROM notice GROUP BY 1 ORDER BY count(*) DESC LIMIT 1) ORDER BY seq LIMIT ?)"
)
USED_BYTES = (
    "SELECT (page_count - freelist_count) * page_size"
    " FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()"
)


def row_of(arrival: Arrival, matched: int, names: Sequence[str] = ()) -> Row:
    """Return the row of a delivery, without credentials and with what a sender wrote cut to ``TEXT``."""
    subjects = [Subject(kind, _storable(without_credentials(url))) for kind, url in arrival.subjects]
    return Row(
        arrival.id,
        arrival.received,
        arrival.receiver,
        arrival.source,
        _storable(arrival.event[:TEXT]),
        _storable(arrival.sender_id[:TEXT]),
        arrival.delivery_count,
        _encode(subjects).decode(),
        matched,
        arrival.via,
        list_of(arrival.refs),
        list_of(names),
        arrival.repeats or None,
    )


def list_of(texts: Sequence[str]) -> str | None:
    """Return texts as a JSON list; None if there is none."""
    return _encode(texts).decode() if texts else None


def with_remarks(end: End, remarks: Remarks) -> End:
    """Return the end of a delivery with what people want to know of it."""
    near = remarks.near_misses
    return end._replace(
        code=remarks.code,
        reason=_storable(remarks.reason[:TEXT]) or None,
        near_misses=None if near is None else _storable(_encode(near).decode()),
        names=list_of(remarks.names),
    )


def notice_of(
    arrival: Arrival,
    outcome: Outcome,
    code: int | None = None,
    reason: str = "",
    matched: int = 0,
    seconds: float | None = None,
) -> Notice:
    """Return the notice of an arrival that asks for no refresh, with texts cut to ``TEXT``."""
    return Notice(
        arrival.id,
        arrival.received,
        arrival.receiver,
        arrival.source,
        _storable(arrival.event[:TEXT]),
        _storable(arrival.sender_id[:TEXT]),
        arrival.via,
        outcome.value,
        code,
        _storable(reason[:TEXT]) or None,
        matched,
        seconds,
    )


def size_of(row: Row) -> int:
    """Return the bytes that an unfinished delivery counts for; in memory it takes a few times as many."""
    text = row.subjects
    subjects = len(text if text.isascii() else text.encode()) + SUBJECT_BYTES * text.count("[")
    return subjects + len((row.names or "").encode())


def _storable(text: str) -> str:
    """Return a sender's text without what UTF-8 can't hold, which would fail the whole commit."""
    return text if text.isascii() else text.encode(errors="replace").decode()
