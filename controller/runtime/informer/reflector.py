"""The list/watch state machine: what to do next, given what just happened. No I/O, no clock, no objects.

::

    Paused(Listing) ─Resumed─> Listing ─last Page─> Watching ─Advanced─> Watching (at a newer version)
         ^                      │ ^ │ ^                │  │ ^
         └──── ListFailed ──────┘ └─┘ └─ expired, once ┘  └─┘ WatchEnded: again from the same version,
                                 Page                          at once or after Paused(Watching)

Rules, and where they come from:

- A list comes first, and a watch never begins without the version of a complete list.
- Pages are collected; only the last one publishes. A failed page is asked for again with its own token.
  A token that the server no longer takes starts the pages again; there is no unpaged list.
- Expired (410) lists again at once, once. If it comes again before a watch has made progress: back off.
  Progress is a watch that lived a second or more and came to a newer version, or ended otherwise.
- A watch that broke goes on from its version: nothing is missed, and the server says 410 if it can't.
  Only where the server refuses the watch as such (403, 404, 400) is listing again the way to learn why.
- A watch that ends cleanly is followed by the next at once; if it lived under a second and brought no event,
  it counts as a failure, or a server that hangs up makes a hot loop. A bookmark is no event here.

Sources: client-go ``tools/cache/reflector.go``, kube-rs ``watcher.rs``.
"""

import enum
from dataclasses import dataclass, replace

PAGE = 500
"""Objects asked for in one page, as client-go's pager does."""
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
    """A page has been asked for."""

    token: str = ""
    version: str = ""
    """Of the list, as its first page says."""
    limit: int = PAGE
    expired: bool = False
    """This list answers an expiry, and nothing has made progress since."""


@dataclass(frozen=True)
class Watching:
    """A watch from ``version`` is open, or being opened."""

    version: str
    events: bool = False
    """It has brought an event."""
    advanced: bool = False
    """It has come to a newer version, by an event or a bookmark."""
    expired: bool = False
    """The list before it answered an expiry, and nothing has made progress since."""


@dataclass(frozen=True)
class Paused:
    """Waiting before going on with ``then``."""

    then: Listing | Watching


State = Listing | Watching | Paused


# Stimuli


@dataclass(frozen=True)
class Page:
    """A page came and was collected. An empty ``token`` means that it was the last."""

    token: str
    version: str


@dataclass(frozen=True)
class ListFailed:
    """A page did not come. ``retry_after``: seconds the server asks to wait."""

    failure: Failure
    retry_after: float | None = None


@dataclass(frozen=True)
class Absent:
    """There is no such kind, or no right to see it, and that counts as an empty list."""


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


@dataclass(frozen=True)
class Resumed:
    """A pause is over."""


Stimulus = Page | ListFailed | Absent | Advanced | WatchEnded | Resumed


# Instructions: to be carried out in order; the last of them yields the next stimulus.


class Pause(enum.Enum):
    """Why to wait; the driver knows how long."""

    START = enum.auto()
    """Before the first list: many informers start spread out."""
    BACKOFF = enum.auto()
    ABSENT = enum.auto()


@dataclass(frozen=True)
class Wait:
    """Wait, at least ``at_least`` seconds; then Resumed."""

    why: Pause
    at_least: float | None = None


@dataclass(frozen=True)
class ListPage:
    """Ask for a page. ``first``: forget the pages collected so far."""

    token: str
    limit: int

    @property
    def first(self) -> bool:
        """Whether this begins a list."""
        return not self.token


@dataclass(frozen=True)
class Publish:
    """Make the store equal to the collected pages."""


@dataclass(frozen=True)
class PublishEmpty:
    """Make the store empty."""


@dataclass(frozen=True)
class OpenWatch:
    """Watch from ``version`` until it ends."""

    version: str


Instruction = Wait | ListPage | Publish | PublishEmpty | OpenWatch
Step = tuple[State, tuple[Instruction, ...]]


def begin() -> Step:
    """Return the first state and what to do in it."""
    return _pause(Listing(), Pause.START)


def step(state: State, stimulus: Stimulus) -> Step:
    """Return the state that follows, and what to do now. Raises ValueError for what can't happen there."""
    match state, stimulus:
        case Paused(then=Listing() as then), Resumed():
            return _list(then)
        case Paused(then=Watching() as then), Resumed():
            return _watch(then)
        case Listing(), Page():
            return _page(state, stimulus)
        case Listing(), ListFailed():
            return _list_failed(state, stimulus)
        case Listing(), Absent():
            paused, wait = _pause(Listing(), Pause.ABSENT)
            return paused, (PublishEmpty(), *wait)
        case Watching(), Advanced(version, event):
            if version == state.version:  # a server that repeats itself makes no progress
                return state, ()
            return replace(state, version=version, events=state.events or event, advanced=True), ()
        case Watching(), WatchEnded():
            return _watch_ended(state, stimulus)
    raise ValueError(f"{stimulus} in {state}")


def _page(state: Listing, page: Page) -> Step:
    version = state.version or page.version
    if page.token:
        return _list(replace(state, token=page.token, version=version))
    watching, opening = _watch(Watching(version, expired=state.expired))
    return watching, (Publish(), *opening)


def _list_failed(state: Listing, stimulus: ListFailed) -> Step:
    match stimulus.failure:
        case Failure.EXPIRED:
            return _expired(state.expired, stimulus.retry_after, state.limit)
        case Failure.TOO_LARGE if state.limit > 1:
            return _list(replace(state, limit=state.limit // 2))
        case Failure.REFUSED:  # perhaps it is the token that is refused
            return _pause(replace(state, token="", version=""), Pause.BACKOFF, stimulus.retry_after)
        case _:
            return _pause(state, Pause.BACKOFF, stimulus.retry_after)


def _watch_ended(state: Watching, end: WatchEnded) -> Step:
    lived = end.lived >= SHORT_LIFE
    expired = state.expired and not (lived and (state.advanced or end.failure in (None, Failure.IDLE)))
    again = Watching(state.version, expired=expired)
    match end.failure:
        case Failure.EXPIRED:
            return _expired(expired, end.retry_after)
        case Failure.REFUSED | Failure.TOO_LARGE:  # the same request would bring the same answer
            return _pause(Listing(expired=expired), Pause.BACKOFF, end.retry_after)
        case Failure.RETRY:
            return _pause(again, Pause.BACKOFF, end.retry_after)
        case None | Failure.IDLE if not lived and not state.events:
            return _pause(again, Pause.BACKOFF)
        case None | Failure.IDLE:
            return _watch(again)


def _expired(before: bool, retry_after: float | None, limit: int = PAGE) -> Step:
    listing = Listing(limit=limit, expired=True)
    return _pause(listing, Pause.BACKOFF, retry_after) if before or retry_after else _list(listing)


def _list(state: Listing) -> Step:
    return state, (ListPage(state.token, state.limit),)


def _watch(state: Watching) -> Step:
    return state, (OpenWatch(state.version),)


def _pause(then: Listing | Watching, why: Pause, at_least: float | None = None) -> Step:
    return Paused(then), (Wait(why, at_least),)
