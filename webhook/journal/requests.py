"""What the journal is asked to write, and how much of it is kept."""

from dataclasses import dataclass, field
from typing import NamedTuple

from webhook.arrival import Arrival


@dataclass(frozen=True, slots=True)
class HistoryLimits:
    """How much is kept of what is over. Unfinished deliveries are kept whatever these say."""

    finished: int = 100_000
    """Finished deliveries; at 250 bytes each about 30 MB."""
    seconds: float = 7 * 24 * 3600.0
    """Age of a finished delivery, from its arrival."""
    bytes: int = 192 * 1024 * 1024
    """Of the database: finished deliveries give way first, then new ones are refused. The write-ahead log
    comes on top: some MB."""
    resumed: int = 20_000
    """Finished deliveries matched again at start, the newest ones: a burst just before must not delay it."""


IN_MEMORY = HistoryLimits(finished=10_000, bytes=32 * 1024 * 1024)
"""Limits of a journal without a folder."""


class Record(NamedTuple):
    """A delivery, once understood."""

    arrival: Arrival
    matched: int


class Finish(NamedTuple):
    """A delivery's outcome; field by field the parameters of the statement."""

    outcome: str
    persisted: int
    rejected: int
    duration: float
    matched: int
    id: str


class Supersede(NamedTuple):
    """Others carry what was outstanding."""

    by: str
    """Their ids, a JSON list."""
    id: str


@dataclass(slots=True)
class Batch:
    """What one commit writes, in this order."""

    records: list[Record] = field(default_factory=list)
    finishes: list[Finish] = field(default_factory=list)
    supersedes: list[Supersede] = field(default_factory=list)
    alive: float | None = None
    """Last sign of life of the Warehouse watch, Unix seconds, if it is to be written."""

    def __bool__(self) -> bool:
        return bool(self.records or self.finishes or self.supersedes)
