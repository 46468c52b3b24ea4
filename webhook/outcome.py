"""What became of a delivery."""

from enum import StrEnum


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


def outcome_of(matched: int, persisted: int, rejected: int) -> Outcome:
    """Return the outcome of a delivery for which nothing is outstanding any more."""
    if rejected:
        return Outcome.PARTLY_REJECTED if persisted else Outcome.REJECTED
    return Outcome.REFRESHED if matched else Outcome.UNMATCHED
