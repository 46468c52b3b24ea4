"""What the page shows of the rest of the program: a Protocol, which the composition root satisfies.

Everything is computed from memory, on request, in one turn of the event loop.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec


class Pickup(StrEnum):
    """Whether Kargo has looked at a Warehouse since a delivery asked for it."""

    PICKED_UP = "picked_up"
    """Kargo has run discovery since then."""
    WAITING = "waiting"
    """The refresh stands in the Warehouse, and Kargo has not handled it yet."""
    NOT_REFRESHED = "not_refreshed"
    """The Warehouse has no refresh since then."""
    GONE = "gone"
    """There is no such Warehouse any more."""
    UNKNOWN = "unknown"
    """It is another kind of object, of which this is not known."""


class ReceiverState(msgspec.Struct, rename="camel", frozen=True):
    """One receiver as this replica sees it. No path, no URL: those are credentials."""

    name: str
    """``namespace/name``, or ``cluster/name``."""
    state: str
    """``served``, ``pending`` or ``faulty``."""
    problem: str = ""
    """What to fix, or a warning about a receiver that is served; empty if nothing is wrong."""
    second_factor: str = ""
    """The second factors that it demands, in words; empty for none."""


class Cache(msgspec.Struct, rename="camel", frozen=True):
    """What one replica knows of one kind of object."""

    kind: str
    objects: int
    synced: bool
    silent_seconds: float
    """Since the API server's last sign of life for it."""


class Queue(msgspec.Struct, rename="camel", frozen=True):
    """One workqueue."""

    name: str
    waiting: int
    longest_running_seconds: float


class StorageQueue(msgspec.Struct, rename="camel", frozen=True):
    """One Azure Storage Queue as this replica reads it."""

    receiver: str
    """``namespace/queue:ACCOUNT/QUEUE``, or ``cluster/…`` for a queue of all Projects."""
    problem: str
    """Which requests fail, and why; empty if none does."""
    since: datetime
    """Since when it has been well, or failing."""
    last_message: datetime | None
    """When the last message was received; None if there was none."""
    in_flight: int
    """Messages received and not yet deleted."""
    poison: int
    """Messages that this process set aside."""


class JournalState(msgspec.Struct, rename="camel", frozen=True):
    """The journal."""

    on_disk: bool
    pending: int
    """Deliveries with something outstanding."""
    kept: int
    """Deliveries in the history."""
    error: str = ""
    """Why it can't be written now; empty if it can."""
    moved_aside: int = 0
    """Unreadable files that this process moved aside."""


class Subject(msgspec.Struct, rename="camel", frozen=True):
    """What an event was about, as ``webhook.arrival.Subject``."""

    kind: str
    url: str


class Program(Protocol):
    """The running program, as far as the page shows it."""

    def not_ready(self) -> Sequence[str]:
        """Return what stands in the way of serving, each in a few words."""

    def receivers(self) -> Sequence[ReceiverState]:
        """Return every receiver's state, in no particular order."""

    def caches(self) -> Sequence[Cache]:
        """Return the caches."""

    def queues(self) -> Sequence[Queue]:
        """Return the workqueues."""

    def storage_queues(self) -> Sequence[StorageQueue]:
        """Return the Azure Storage Queues."""

    def unhandled(self) -> tuple[int, float]:
        """Return how many Warehouses wait for Kargo, and for how many seconds the oldest has."""

    def journal(self) -> JournalState:
        """Return the journal's state."""

    def pickup(self, kind: str, namespace: str, name: str, since: datetime) -> Pickup:
        """Return whether Kargo has picked an object's refresh up since a delivery came."""

    def matching(
        self, receiver: str, subjects: Sequence[Subject], most: int
    ) -> Sequence[tuple[str, str, str]]:
        """Return kind, namespace and name of what a delivery would match now, at most so many."""
