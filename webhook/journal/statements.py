"""The journal's statements, and how one of them writes many rows in one go.

Python lets go of the interpreter's lock for each step of a statement, and then waits for its turn with the
event loop: a statement of 32 rows takes one such turn, ``executemany`` takes 32.
"""

import functools
import itertools
import sqlite3
from collections.abc import Iterable, Sequence

AT_ONCE = 32
"""Rows in one statement at the most. The rest goes by powers of two: six texts to be prepared, not 32."""

RECORD = (
    "INSERT INTO delivery (id, received, receiver, source, event, sender_id, tried, subjects, matched)"
    " VALUES {rows} ON CONFLICT DO NOTHING"
)
FINISH = (
    "UPDATE delivery SET outcome = it.column1, persisted = it.column2, rejected = it.column3,"
    " duration = it.column4, matched = it.column5 FROM (VALUES {rows}) AS it"
    " WHERE delivery.id = it.column6 AND delivery.outcome IS NULL"
)
SUPERSEDE = (  # only once all that carry it have a row
    "UPDATE delivery SET outcome = 'superseded', superseded_by = ?1 WHERE id = ?2 AND outcome IS NULL"
    " AND NOT EXISTS (SELECT 1 FROM json_each(?1) AS carrier"
    " WHERE NOT EXISTS (SELECT 1 FROM delivery AS row WHERE row.id = carrier.value))"
)
TRIM = (
    "DELETE FROM delivery WHERE seq IN"
    " (SELECT seq FROM delivery WHERE outcome IS NOT NULL AND received < ? ORDER BY seq LIMIT ?)"
)
ALIVE = "INSERT INTO sign_of_life VALUES (1, ?) ON CONFLICT DO UPDATE SET time = excluded.time"


def execute_rows(database: sqlite3.Connection, statement: str, rows: Iterable[Sequence[object]]) -> int:
    """Run a statement whose ``{rows}`` stands for the rows; return how many rows of the table it changed.

    Raises sqlite3.Error; to be called in a transaction, since some rows may then have been written.
    """
    left = list(rows)
    changed = 0
    while left:
        count = AT_ONCE
        while count > len(left):
            count //= 2
        part, left = left[:count], left[count:]
        values = tuple(itertools.chain.from_iterable(part))
        changed += database.execute(_text(statement, count, len(part[0])), values).rowcount
    return changed


@functools.cache
def _text(statement: str, rows: int, columns: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return statement.format(rows=", ".join([row] * rows))
