"""What became of a delivery."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple


class Outcome(StrEnum):
    """What became of a delivery, in one word."""

    PENDING = "pending"
    """Something it matched is not refreshed yet."""
    REFRESHED = "refreshed"
    """The API server has stored the refresh of everything it matched."""
    UNMATCHED = "unmatched"
    """Nothing subscribes to its repository, or waits on its pull request."""
    PARTLY_REJECTED = "partly_rejected"
    """The API server refused some of the refreshes for good."""
    REJECTED = "rejected"
    """The API server refused all of them for good."""
    SUPERSEDED = "superseded"
    """Later deliveries for the same repository took over what was outstanding."""
    ANSWERED = "answered"
    """A ping, a handshake, or an event that asks for no refresh."""
    REFUSED = "refused"
    """Answered with an error, which says why."""


class NearMiss(NamedTuple):
    """A Warehouse that a delivery nearly matched."""

    warehouse: str
    """``namespace/name``."""
    key: str
    """The key of its subscription, without credentials; empty if its subscriptions can't be read."""
    why: str
    """What is different, in words."""


class NearMisses(NamedTuple):
    """The result of a search for near misses, the nearest first."""

    found: tuple[NearMiss, ...] = ()
    note: str = ""
    """Why there was no search, or why it was not finished."""


class Remarks(NamedTuple):
    """What people want to know of a delivery beside its outcome."""

    code: int | None = None
    """Status of the answer."""
    reason: str = ""
    """What the answer said beside the plain outcome."""
    near_misses: NearMisses | None = None
    names: Sequence[str] = ()
    """Names of the matched objects, where they differ from those that were recorded."""


NO_REMARKS = Remarks()


def outcome_of(matched: int, persisted: int, rejected: int) -> Outcome:
    """Return the outcome of a delivery for which nothing is outstanding any more."""
    if rejected:
        return Outcome.PARTLY_REJECTED if persisted else Outcome.REJECTED
    return Outcome.REFRESHED if matched else Outcome.UNMATCHED
