"""The list/watch state machine: what to do next, given what just happened. No I/O, no clock, no objects.

::

    Listing ─last Page─> Watching ─Advanced─> Watching (at a newer version)
      │ ^ ^                │  │ ^
      └─┘ └─ expired, once ┘  └─┘ WatchEnded: again from the same version
     Page, ListFailed, Absent

Each step may ask for a wait before the next request. Rules, and where they come from:

- A list comes first, and a watch never begins without the version of a complete list.
- Pages are collected; only the last one publishes. A failed page is asked for again with its own token.
  A token that the server no longer takes starts the pages again; there is no unpaged list.
- Expired (410) lists again at once, once. If it comes again before a watch has made progress: back off.
  Progress is a watch that lived a second or more and came to a newer version, or ended otherwise.
- A watch that broke goes on from its version: nothing is missed, and a server that can't answers 410.
  Only where the server refuses the watch as such (403, 404, 400) is listing again the way to learn why.
- A watch that ends cleanly is followed by the next at once; if it lived under a second and brought no event,
  it counts as a failure, or a server that hangs up makes a hot loop. A bookmark is no event here.

Sources: client-go ``tools/cache/reflector.go``, kube-rs ``watcher.rs``.
"""

import enum
from dataclasses import dataclass, replace

PAGE = 500
"""Objects asked for in one page, as client-go's pager does."""
SHRINK = 4
"""By which a page's limit is divided where the page was too large: each attempt reads up to the limit."""
SHORT_LIFE = 1.0
"""Seconds a watch must have lived for its clean end to need no delay."""


class Failure(enum.Enum):
    """What a failure means for the way on, whatever its cause."""

    EXPIRED = enum.auto()
    """The version or the continue token is too old."""
    RETRY = enum.auto()
    """The same request may work later: network, 401, 408, 429, 5xx, a malformed answer."""
    REFUSED = enum.auto()
    """The same request will not work: any other 4xx."""
    IDLE = enum.auto()
    """The connection of a watch is dead; it has taken long to notice, so don't wait longer."""
    TOO_LARGE = enum.auto()
    """A page has more bytes than the client takes."""


# States


@dataclass(frozen=True)
class Listing:
    """A page is to be asked for; without ``token``, the first, and what was collected is forgotten."""

    token: str = ""
    version: str = ""
    """Of the list, as its first page says."""
    limit: int = PAGE
    expired: bool = False
    """This list answers an expiry, and nothing has made progress since."""


@dataclass(frozen=True)
class Watching:
    """A watch from ``version`` is open, or to be opened."""

    version: str
    events: bool = False
    """It has brought an event."""
    advanced: bool = False
    """It has come to a newer version, by an event or a bookmark."""
    expired: bool = False
    """The list before it answered an expiry, and nothing has made progress since."""


State = Listing | Watching


# Stimuli


@dataclass(frozen=True)
class Page:
    """A page came and was collected. An empty ``token``: it was the last, and the list is published."""

    token: str
    version: str


@dataclass(frozen=True)
class ListFailed:
    """A page did not come. ``retry_after``: seconds the server asks to wait."""

    failure: Failure
    retry_after: float | None = None


@dataclass(frozen=True)
class Absent:
    """There is no such kind, or no right to see it: an empty list was published."""


@dataclass(frozen=True)
class Advanced:
    """A watch event was applied (``event``), or a bookmark came."""

    version: str
    event: bool = True


@dataclass(frozen=True)
class WatchEnded:
    """A watch is over, ``lived`` seconds after it was asked for; without ``failure`` it ended cleanly."""

    lived: float
    failure: Failure | None = None
    retry_after: float | None = None


Stimulus = Page | ListFailed | Absent | Advanced | WatchEnded


class Pause(enum.Enum):
    """Why to wait; the driver knows how long."""

    BACKOFF = enum.auto()
    ABSENT = enum.auto()


@dataclass(frozen=True)
class Wait:
    """Wait before the next request, at least ``at_least`` seconds."""

    why: Pause
    at_least: float | None = None


Step = tuple[State, Wait | None]


def step(state: State, stimulus: Stimulus) -> Step:
    """Return the state that follows and the wait before it. Raises ValueError for what can't happen."""
    match state, stimulus:
        case Listing(), Page(token, version):
            version = state.version or version
            if token:
                return replace(state, token=token, version=version), None
            return Watching(version, expired=state.expired), None
        case Listing(), ListFailed():
            return _list_failed(state, stimulus)
        case Listing(), Absent():
            return Listing(), Wait(Pause.ABSENT)
        case Watching(), Advanced(version, event):
            if version == state.version:  # a server that repeats itself makes no progress
                return state, None
            return replace(state, version=version, events=state.events or event, advanced=True), None
        case Watching(), WatchEnded():
            return _watch_ended(state, stimulus)
    raise ValueError(f"{stimulus} in {state}")


def _list_failed(state: Listing, stimulus: ListFailed) -> Step:
    backoff = Wait(Pause.BACKOFF, stimulus.retry_after)
    match stimulus.failure:
        case Failure.EXPIRED:
            return _expired(state.expired, stimulus.retry_after, state.limit)
        case Failure.TOO_LARGE if state.limit > 1:
            return replace(state, limit=max(1, state.limit // SHRINK)), None
        case Failure.REFUSED:  # perhaps it is the token that is refused
            return replace(state, token="", version=""), backoff
        case _:
            return state, backoff


def _watch_ended(state: Watching, end: WatchEnded) -> Step:
    lived = end.lived >= SHORT_LIFE
    expired = state.expired and not (lived and (state.advanced or end.failure in (None, Failure.IDLE)))
    again = Watching(state.version, expired=expired)
    backoff = Wait(Pause.BACKOFF, end.retry_after)
    match end.failure:
        case Failure.EXPIRED:
            return _expired(expired, end.retry_after)
        case Failure.REFUSED | Failure.TOO_LARGE:  # the same request would bring the same answer
            return Listing(expired=expired), backoff
        case Failure.RETRY:
            return again, backoff
        case _:  # a clean end, or an idle connection
            return again, None if lived or state.events else backoff


def _expired(before: bool, retry_after: float | None, limit: int = PAGE) -> Step:
    wait = Wait(Pause.BACKOFF, retry_after) if before or retry_after else None
    return Listing(limit=limit, expired=True), wait
