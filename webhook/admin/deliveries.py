"""Deliveries as the page and ``/api`` show them, and the Protocol of the history that they come from."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

import msgspec

from webhook.admin.ports import Pickup


class Subject(msgspec.Struct, rename="camel", frozen=True):
    """What an event was about."""

    kind: str
    url: str


class Target(msgspec.Struct, rename="camel", frozen=True):
    """An object that a delivery matched."""

    kind: str
    namespace: str
    name: str
    pickup: Pickup = Pickup.UNKNOWN

    @property
    def place(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.namespace, self.name


class NearMiss(msgspec.Struct, rename="camel", frozen=True):
    """An object that it nearly matched."""

    why: str
    """In a few words."""
    namespace: str
    name: str
    subscription: str = ""


class Delivery(msgspec.Struct, rename="camel", frozen=True):
    """One call of a receiver, or one message of a queue; lists leave the targets out."""

    id: str
    received: datetime
    unix: float
    """The same in Unix seconds, not rounded: by this and the id deliveries are in order."""
    receiver: str
    source: str
    event: str
    outcome: str
    code: int = 0
    """Status of the answer; 0 if it is not known."""
    reason: str = ""
    """Why it was refused or ignored."""
    via: str = "http"
    """``http``, ``queue``, ``again`` or ``catch-up``."""
    repeats: str = ""
    """Id of the delivery that this one dispatched anew."""
    sender_id: str = ""
    delivery_count: int | None = None
    subjects: tuple[Subject, ...] = ()
    refs: tuple[str, ...] = ()
    """Tags, digests, Git refs."""
    matched: int = 0
    refreshed: int = 0
    rejected: int = 0
    seconds: float | None = None
    """From its arrival until nothing of it was outstanding."""
    targets: tuple[Target, ...] = ()
    targets_now: bool = False
    """Whether they are what it would match now, since what it matched is not kept."""
    near_misses: tuple[NearMiss, ...] = ()
    near_note: str = ""
    """Why there was no look for near misses, or none to the end."""
    replica: str = ""
    """Which replica received it."""


class Summary(msgspec.Struct, rename="camel", frozen=True):
    """What one receiver did lately; deliveries that were dispatched anew by hand are not counted."""

    last_delivery: datetime | None = None
    last_code: int = 0
    """Status with which that one was answered; 0 if it is not known."""
    last_outcome: str = ""
    last_success: datetime | None = None
    answers: dict[str, int] = {}
    """Of the last 24 hours: how many of each status."""


class Query(NamedTuple):
    """Which deliveries are wanted, the newest first."""

    receiver: str = ""
    repository: str = ""
    """A part of a repository's URL."""
    text: str = ""
    """In id, receiver, sender's id, repositories, refs, names or reason."""
    outcome: str = ""
    before: float | None = None
    """Received earlier than this Unix time, or at the same and with a lesser id than ``before_id``."""
    before_id: str = ""
    limit: int = 50


class History(Protocol):
    """Reads what came in, off the event loop. Raises HistoryError, in one line."""

    async def deliveries(self, query: Query) -> Sequence[Delivery]:
        """Return a page of deliveries."""

    async def delivery(self, delivery: str) -> Delivery | None:
        """Return one delivery with all that is known of it."""

    async def summaries(self, now: datetime) -> Mapping[str, Summary]:
        """Return each receiver's summary, its answers those of the 24 hours before ``now``."""
