"""A finding: one line of ``doctor``'s report."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import NamedTuple

from controller.cli.cluster import explained
from controller.runtime.api.errors import UNDECODABLE, ApiError, ConnectionFailed, Unauthorized

NAMED = 5
"""Objects that a line names where it is about many."""
NO_ACCESS = (ConnectionFailed, Unauthorized)
"""After these no other request would be answered either."""


class Level(Enum):
    """How bad it is."""

    OK = "ok"
    SKIPPED = "skipped"
    """Not looked at, and nothing is wrong with that: it can be seen elsewhere."""
    WARNING = "warning"
    """Something is lost, or could not be looked at; pushes still refresh."""
    ERROR = "error"
    """Some pushes refresh nothing."""


class Finding(NamedTuple):
    """What was found, and what to do. Neither ever holds a receiver's path or a value of a Secret."""

    level: Level
    subject: str
    text: str
    do: str = ""
    """Empty where nothing is to be done."""
    names: tuple[str, ...] = ()
    """All objects that it is about, if these may be many: the table shows the first ones."""

    def line(self) -> str:
        """Return the text as the table shows it."""
        return f"{self.text}: {some(self.names)}" if self.names else self.text


def ok(subject: str, text: str, do: str = "") -> Finding:
    """Return a finding that nothing is wrong."""
    return Finding(Level.OK, subject, text, do)


def skipped(subject: str, text: str, do: str) -> Finding:
    """Return a finding that nobody looked, with where to look."""
    return Finding(Level.SKIPPED, subject, text, do)


def warning(subject: str, text: str, do: str, names: Iterable[str] = ()) -> Finding:
    """Return a finding of level WARNING."""
    return Finding(Level.WARNING, subject, text, do, tuple(names))


def error(subject: str, text: str, do: str) -> Finding:
    """Return a finding of level ERROR."""
    return Finding(Level.ERROR, subject, text, do)


@contextlib.contextmanager
def unread(found: list[Finding], subject: str, do: str, level: Level = Level.WARNING) -> Iterator[None]:
    """Add a finding for what the API refuses meanwhile. Raises what ``NO_ACCESS`` names."""
    try:
        yield
    except NO_ACCESS:
        raise
    except (ApiError, *UNDECODABLE) as fault:
        found.append(Finding(level, subject, f"not checked: {explained(fault)}", do))


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: 1 error, 2 errors."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def some(names: Sequence[str]) -> str:
    """Return the first names of many."""
    left = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {left} more" if left > 0 else "")
