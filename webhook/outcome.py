"""What became of a delivery."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple


class Outcome(StrEnum):
    """A bounded set, for filters and for people."""

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
    """Later deliveries for the same repository carry what was outstanding."""
    ANSWERED = "answered"
    """A ping, a handshake, or an event that asks for no refresh."""
    REFUSED = "refused"
    """Answered with an error, which says why."""


class NearMiss(NamedTuple):
    """A Warehouse that a delivery nearly matched."""

    warehouse: str
    """``namespace/name``."""
    key: str
    """What its subscription is compared as, without credentials; empty if its subscriptions can't be read."""
    why: str
    """What is different, in words."""


class NearMisses(NamedTuple):
    """What a look for near misses found, the best first."""

    found: tuple[NearMiss, ...] = ()
    note: str = ""
    """Why there was no look, or none to the end."""


class Remarks(NamedTuple):
    """What people want to know of a delivery beside its outcome."""

    code: int | None = None
    """Status of the answer."""
    reason: str = ""
    """What the answer said beside the plain outcome."""
    near_misses: NearMisses | None = None
    names: Sequence[str] = ()
    """Of matched objects, where they differ from those recorded at first."""


NO_REMARKS = Remarks()


def outcome_of(matched: int, persisted: int, rejected: int) -> Outcome:
    """Return the outcome of a delivery for which nothing is outstanding any more."""
    if rejected:
        return Outcome.PARTLY_REJECTED if persisted else Outcome.REJECTED
    return Outcome.REFRESHED if matched else Outcome.UNMATCHED
