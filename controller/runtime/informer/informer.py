"""An informer: lists and watches one kind of object into a store, and calls handlers for each change.

``reflector.py`` decides, ``lister.py`` lists into ``mirror.py``, which keeps the store; ``freshness.py`` and
``informer_delays.py`` know the times. Here each step that was decided is taken, and the watch is read.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Generic, TypeVar

import structlog

from controller.runtime.api.client import Client
from controller.runtime.api.errors import (
    UNDECODABLE,
    ApiError,
    Forbidden,
    NotFound,
    status_error,
)
from controller.runtime.api.resource import Resource
from controller.runtime.api.wire import parse_event, parse_version
from controller.runtime.clock import Clock
from controller.runtime.informer import reflector
from controller.runtime.informer.error_reporter import ErrorReporter
from controller.runtime.informer.failures import WATCH_RESTART_REASONS, InformerObserver, classify
from controller.runtime.informer.freshness import Freshness
from controller.runtime.informer.informer_delays import ForbiddenRetry, InformerDelays
from controller.runtime.informer.lister import Lister
from controller.runtime.informer.mirror import Decode, Handler, Mirror
from controller.runtime.informer.reflector import Failure
from controller.runtime.informer.store import Store, Stored
from controller.runtime.informer.watch_turns import WatchTurn

__all__ = ["WATCH_RESTART_REASONS", "Decode", "ForbiddenRetry", "Handler", "Informer", "InformerObserver"]

log = structlog.get_logger()

T = TypeVar("T", bound=Stored)

IDLE_SECONDS = 120.0
"""Silence after which a watch's connection is taken for dead: bookmarks come about once a minute."""

ABSENCE_SECONDS = 60.0
"""How long a kind must be absent or forbidden until what is stored of it is taken for deleted: an API server
that starts answers 403 to all until it has read its roles, and 404 until it serves its CRDs."""


@dataclass(eq=False)
class Informer(Generic[T]):
    """A store that follows one kind of object: in a namespace or in all, or the one a field selector names.

    ``run`` must be called once. Everything happens on one event loop.
    """

    client: Client
    resource: Resource
    decode: Decode[T]
    """``decode(raw, known)`` turns the JSON of one object into what is kept; ``known(namespace, name)`` looks
    up what is stored. It raises ``msgspec.MsgspecError`` for an object that it can't: that one is quarantined
    (see Mirror). In a list it is not called for an object whose stored version is the same."""
    _: KW_ONLY
    kind: str
    clock: Clock
    namespace: str | None = None
    field_selector: str | None = None
    absent_is_empty: bool = False
    """A list answered by 403 or 404 counts as an empty one; it is tried again about every 30 s. Where
    something is stored, only once that has lasted a minute (ABSENCE_SECONDS). Otherwise every failure is
    backed off, 0.8 to 30 s, without end, and what is stored stays."""
    forbidden_retry: ForbiddenRetry | None = None
    """Other delays after a 403."""
    idle_seconds: float = IDLE_SECONDS
    throttle: Callable[[], Awaitable[None]] | None = None
    """Is awaited before each list that follows a 403; informers may share one."""
    turn: WatchTurn | None = None
    """Is taken to open a watch; informers may share places."""
    on_error: Callable[[ApiError], None] | None = None
    """Is called when listing begins to fail, and again only when it fails in another way (another class or
    status). Without it the informer logs that itself. A watch that breaks is no such error: it goes on from
    where it was."""
    on_recovered: Callable[[], None] | None = None
    on_caught_up: Callable[[], None] | None = None
    """Is called each time a break ends: see ``freshness.py`` for what that is exactly."""
    observer: InformerObserver = field(default_factory=InformerObserver)
    rng: random.Random | None = None

    def __post_init__(self) -> None:
        self._scope: dict[str, Any] = {"namespace": self.namespace, "field_selector": self.field_selector}
        self._turn = self.turn or WatchTurn(None, self.clock)
        self._errors = ErrorReporter(self._bound_log, self.on_error, self.on_recovered)
        self._delays = InformerDelays(self.forbidden_retry, self.rng)
        self._mirror: Mirror[T] = Mirror(self.decode, kind=self.kind, quarantined=self.observer.quarantined)
        self._lister = Lister(self.client, self.resource, self._scope, self._mirror, self.clock)
        self._freshness = Freshness(self.clock, self.on_caught_up)
        self._synced = asyncio.Event()
        self._state: reflector.State = reflector.Listing()
        self._error: ApiError | None = None  # of the last request, if it failed
        self._absent_since: float | None = None

    @property
    def store(self) -> Store[T]:
        """What is known; live and read-only."""
        return self._mirror.store

    def add_handler(self, handler: Handler[T]) -> None:
        """Call ``handler`` for every change; to be added before ``run``."""
        self._mirror.handlers.append(handler)

    @property
    def has_synced(self) -> bool:
        """Whether the first list was handled, by the handlers too. Never False again."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Return once ``has_synced``."""
        await self._synced.wait()

    @property
    def last_activity(self) -> float:
        """Monotonic time up to which the store follows the API server; see ``freshness.py``."""
        return self._freshness.last_activity

    def silence(self) -> float:
        """Return for how many seconds the watch has given no sign of life."""
        return max(0.0, self.clock.monotonic() - self.last_activity)

    @property
    def caught_up(self) -> bool:
        """False at first, and whenever a watch broke until that is made up for; see ``freshness.py``."""
        return self._freshness.caught_up

    async def run(self) -> None:
        """List and watch until cancelled. Raises only what a handler raises, or a bug."""
        try:
            while True:
                if isinstance(self._state, reflector.Listing):
                    stimulus = await self._list(self._state)
                else:
                    stimulus = await self._watch(self._state.version)
                self._state, wait = reflector.step(self._state, stimulus)
                if wait is not None:
                    delay = self._delays.seconds(wait, self._error, self.clock.monotonic())
                    await self.clock.sleep(delay)
        finally:
            self._lister.drop()
            self._freshness.broken()

    # Listing

    async def _list(self, listing: reflector.Listing) -> reflector.Stimulus:
        if self.throttle is not None and isinstance(self._error, Forbidden):
            await self.throttle()
        try:
            page = await self._lister.page(listing)
        except ApiError as error:
            return await self._list_failed(listing, error)
        if not page.token:
            await self._publish()
            self._error = None
            self._absent_since = None
            self._delays.succeeded()
            self._errors.worked("list", objects=len(self.store))
        return page

    async def _list_failed(self, listing: reflector.Listing, error: ApiError) -> reflector.Stimulus:
        self._error = error
        failure, _ = classify(error)
        smaller = failure is Failure.TOO_LARGE and listing.limit > 1
        if failure is not Failure.EXPIRED and not smaller:  # those are answered by another list at once
            self._errors.failed("list", error, stored=len(self.store))
        if self.absent_is_empty and isinstance(error, Forbidden | NotFound) and self._absence_lasts():
            self._mirror.begin_list()
            await self._publish()
            return reflector.Absent()
        self._freshness.broken()
        return reflector.ListFailed(failure, error.retry_after)

    def _absence_lasts(self) -> bool:
        now = self.clock.monotonic()
        if self._absent_since is None:
            self._absent_since = now
        return not len(self.store) or now - self._absent_since >= ABSENCE_SECONDS

    async def _publish(self) -> None:
        await self._mirror.publish()
        if not self._synced.is_set():
            self._synced.set()
            self._log_progress("synced", objects=len(self.store))
        # Last, since ``on_caught_up`` may ask whether the first list was handled.
        self._freshness.listed(self._lister.begun)

    # Watching

    async def _watch(self, version: str) -> reflector.WatchEnded:
        await self._turn.begin()
        started = self.clock.monotonic()
        ended: ApiError | None = None
        try:
            lines = self.client.watch(
                self.resource,
                **self._scope,
                version=version,
                timeout_seconds=self._delays.watch_seconds(),
                idle_seconds=self.idle_seconds,
                opened=self._opened,
            )
            async with contextlib.aclosing(lines):
                async for line in lines:
                    self._line(line)
        except ApiError as error:
            ended = error
            if isinstance(error, Forbidden):  # others pass; a right must be reported missing
                self._errors.failed("watch", error, stored=len(self.store))
        finally:
            self._turn.end()
        self._freshness.broken()
        self._error = ended
        lived = self.clock.monotonic() - started
        failure, reason = (None, self._clean_end(lived)) if ended is None else classify(ended)
        self.observer.watch_restarted(self.kind, reason)
        if reason != "closed":
            self._log_progress("watch_ended", reason=reason, error=str(ended or ""), lived=round(lived, 3))
        return reflector.WatchEnded(lived, failure, None if ended is None else ended.retry_after)

    def _clean_end(self, lived: float) -> str:
        events = isinstance(self._state, reflector.Watching) and self._state.events
        return "short" if lived < reflector.SHORT_LIFE and not events else "closed"

    def _line(self, line: bytes) -> None:
        """Handle one line of the watch. Raises StatusError for an ERROR event."""
        self._freshness.heard()
        try:
            event = parse_event(line)
            if event.type in ("ADDED", "MODIFIED", "DELETED"):
                self._advance(self._mirror.apply(event.type, event.object), event=True)
            elif event.type == "BOOKMARK":
                self._advance(parse_version(event.object), event=False)
                self._freshness.bookmark()
            elif event.type == "ERROR":
                raise status_error(
                    None,
                    event.object,
                    verb="watch",
                    resource=str(self.resource),
                    namespace=self.namespace,
                )
            else:
                self._bound_log().warning("watch_event_unknown", type=event.type[:32])
        except UNDECODABLE as error:
            self._bound_log().warning("watch_event_malformed", error=type(error).__name__, bytes=len(line))

    def _advance(self, version: str, *, event: bool) -> None:
        if version:  # after the event was applied: never is a version passed whose event was not
            self._state, _ = reflector.step(self._state, reflector.Advanced(version, event))

    def _opened(self) -> None:
        self._turn.end()
        self._errors.worked("watch")
        self._freshness.opened()

    # Logging

    def _log_progress(self, event: str, **data: Any) -> None:
        """Log at info; at debug where the owner reports errors itself, having hundreds of informers."""
        bound = self._bound_log()
        (bound.info if self.on_error is None else bound.debug)(event, **data)

    def _bound_log(self) -> Any:
        # Bound when there is something to log: most of hundreds of informers never have.
        return log.bind(kind=self.kind, namespace=self.namespace)
