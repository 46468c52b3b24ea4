"""Deliveries, as the page and ``/api`` show them."""

from datetime import datetime

import msgspec

from webhook.admin.ports import Pickup, Subject


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
    """An object that a delivery nearly matched."""

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
    """The same in Unix seconds, not rounded: deliveries are sorted by this and the id."""
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
    """From its arrival to its end; None while something is outstanding."""
    targets: tuple[Target, ...] = ()
    targets_now: bool = False
    """Whether ``targets`` are what it would match now, since what it matched was not kept."""
    near_misses: tuple[NearMiss, ...] = ()
    near_note: str = ""
    """Why there was no search for near misses, or why it was not finished."""
    replica: str = ""
    """The replica that received it."""
