"""What is logged of deliveries: bounded, printable, and without credentials."""

import traceback
from collections.abc import Sequence

import structlog

from webhook.arrival import Arrival, Subject
from webhook.limits import REPOSITORY_CHARACTERS
from webhook.outcome import NearMisses
from webhook.redaction import without_credentials

log = structlog.get_logger()


def log_fault(arrival: Arrival, error: BaseException) -> None:
    """Log a fault of our own: its type and where it happened, not its message, which may quote a payload."""
    frames = traceback.extract_tb(error.__traceback__)[-5:]
    where = [f"{frame.filename}:{frame.lineno}" for frame in frames]
    log.error(
        "request_failed",
        id=arrival.id,
        receiver=arrival.receiver,
        error=type(error).__name__,
        where=where,
    )


def printable(subjects: Sequence[Subject]) -> str:
    """Return what a delivery is about, for a log line: bounded, and without credentials."""
    text = clean(without_credentials(subjects[0].url))
    return text if len(subjects) == 1 else f"{text} and {len(subjects) - 1} more"


def near_misses_of(near: NearMisses | None) -> dict[str, object]:
    """Return near misses as fields of a log line; none where there is nothing to say."""
    if near is None:
        return {}
    found = [f"{miss.warehouse}: {miss.why}" for miss in near.found]
    return {
        **({"near_misses": found} if found else {}),
        **({"near_misses_note": near.note} if near.note else {}),
    }


def clean(text: str) -> str:
    """Return a sender's text with control characters replaced, cut to a line's length."""
    if len(text) > REPOSITORY_CHARACTERS:
        text = text[:REPOSITORY_CHARACTERS] + "…"
    if not text.isprintable():
        text = "".join(character if character.isprintable() else "�" for character in text)
    return text
