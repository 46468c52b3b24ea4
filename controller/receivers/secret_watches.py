"""One watch for each Secret that an Azure receiver refers to; no other Secret is ever read.

Kargo grants the receiver its Secrets Project by Project, and the grant comes a moment after the Project: so a
refusal is tried again soon, concerns that receiver alone, and is reported once.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import structlog

from controller.kargo.objects import SECRETS, Secret, decode_secret
from controller.receivers.secret_throttle import PACE, RequestPacer
from controller.receivers.state import UNREADABLE, SecretRef, SecretState
from controller.runtime.api.client import Client
from controller.runtime.api.errors import ApiError, Forbidden
from controller.runtime.clock import Clock
from controller.runtime.informer.informer import ForbiddenRetry, Informer, InformerObserver
from controller.runtime.informer.watch_turns import WatchTurn

FORBIDDEN_RETRY = ForbiddenRetry(fast=4.5, slow=25.0)
"""Spread by a fifth: a right that comes within two minutes is seen within 6 s, a later one within 30 s."""
PLACES = 5
"""First lists in flight, and watches being opened, at a time: a thousand handshakes at once cost 22 MB more
memory, for good."""
IDLE_SECONDS = 75.0
"""Silence after which a watch's connection is taken for dead: a bookmark comes every 61 s. Where that is
wrong, it costs one request, which opens the watch again."""
KIND = "Secret"

log = structlog.get_logger()


class _Watch:
    """One Secret being watched: its informer's handler."""

    def __init__(self, ref: SecretRef, changed: Callable[[], None]) -> None:
        self.ref = ref
        self.changed = changed
        self.informer: Informer[Secret]
        self.task: asyncio.Task[None] | None = None
        self.listing: WatchTurn
        """Held until the first list was answered."""
        self.opening: WatchTurn
        """Held while the watch is being opened."""
        self.tried = asyncio.get_running_loop().create_future()
        """Done once the first list was answered, by the Secret or by a failure, or never will be."""
        self.problem = ""
        self.asked = 0.0
        """When it was refused first, or tried again last (monotonic seconds)."""

    def _pass_on(self, *_: Secret) -> None:
        self.changed()

    added = updated = deleted = _pass_on


@dataclass(eq=False)
class SecretWatches:
    """The Secrets that receivers refer to, each followed by an informer of its own.

    ``changed`` is called with each Secret of which something else is known now.
    """

    client: Client
    clock: Clock
    changed: Callable[[SecretRef], None]
    observer: InformerObserver = field(default_factory=InformerObserver)

    def __post_init__(self) -> None:
        self.pacer = RequestPacer(self.clock)
        """For requests about Secrets that can't be read, the reports of it included."""
        self._watches: dict[SecretRef, _Watch] = {}
        # The first lists of the start have places of their own: a Secret that comes later need not wait for
        # a thousand others. No watch opens before they are over: each is a connection with a handshake, and
        # what changes until it is open is sent then.
        self._starting = True
        self._start_places = asyncio.Semaphore(PLACES)
        self._places = asyncio.Semaphore(0)
        self._unpaced = 0
        """Refused first lists for which no other one has been held back yet."""
        self._unreadable: Counter[str] = Counter()
        """Secrets that we may not read, by namespace."""
        self._group: asyncio.TaskGroup | None = None

    def __len__(self) -> int:
        """Return the number of Secrets that are known to exist."""
        return sum(len(watch.informer.store) for watch in self._watches.values())

    def follow(self, ref: SecretRef) -> None:
        """Begin to watch a Secret."""
        namespace, name = ref
        watch = self._watches[ref] = _Watch(ref, partial(self.changed, ref))
        watch.listing = WatchTurn(self._start_places if self._starting else self._places, self.clock)
        watch.opening = WatchTurn(self._places, self.clock, watch.changed)
        watch.informer = Informer(
            self.client,
            SECRETS,
            decode_secret,
            kind=KIND,
            clock=self.clock,
            namespace=namespace,
            field_selector=f"metadata.name={name}",
            forbidden_retry=FORBIDDEN_RETRY,
            idle_seconds=IDLE_SECONDS,
            throttle=partial(self._try_again, watch),
            turn=watch.opening,
            on_error=partial(self._failed, watch),
            on_recovered=partial(self._recovered, watch),
            on_caught_up=partial(self._read, watch),
            observer=self.observer,
        )
        watch.informer.add_handler(watch)
        if self._group is not None:
            watch.task = self._group.create_task(self._run(watch))

    def forget(self, ref: SecretRef) -> None:
        """End the watch of a Secret that was followed."""
        watch = self._watches.pop(ref)
        self._tried(watch)
        self._set_problem(watch, "")
        if watch.task is not None:
            watch.task.cancel()

    def state(self, ref: SecretRef) -> SecretState:
        """Return what is known of a Secret that is followed."""
        watch = self._watches[ref]
        if not watch.informer.has_synced:
            return SecretState(known=False, problem=watch.problem)
        return SecretState(
            True, watch.informer.store.get(*ref), watch.problem, settling=not watch.opening.over
        )

    async def wait_tried(self) -> None:
        """Return when each Secret followed now was read, or refused, once: the end of the start.

        Only then, or when the wait is cancelled, the watches begin. To be called once.
        """
        self._starting = False
        try:
            if self._watches:
                await asyncio.wait([watch.tried for watch in self._watches.values()])
        finally:
            for _ in range(PLACES):
                self._places.release()

    def silence(self) -> float:
        """Return for how many seconds the most silent watch has given no sign of life; 0 without watches."""
        return max((watch.informer.silence() for watch in self._watches.values()), default=0.0)

    async def run(self) -> None:
        """Follow the Secrets until cancelled. Raises what an informer raised: a bug."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for watch in self._watches.values():
                watch.task = group.create_task(self._run(watch))
            await asyncio.Event().wait()

    async def _run(self, watch: _Watch) -> None:
        """Run one informer; the first list waits for its turn."""
        await watch.listing.begin()
        try:
            if self._unpaced:  # somebody's list was refused, so ours may be too
                self._unpaced -= 1
                await self.pacer.first()
            await watch.informer.run()
        finally:
            self._tried(watch)

    async def _try_again(self, watch: _Watch) -> None:
        """Wait as long as all refused Secrets take for one attempt each: so none waits long for its turn."""
        due = watch.asked + self._unreadable.total() * PACE
        await self.clock.sleep(due - self.clock.monotonic())
        await self.pacer.again()
        watch.asked = self.clock.monotonic()

    def _tried(self, watch: _Watch) -> None:
        watch.listing.end()
        if not watch.tried.done():
            watch.tried.set_result(None)

    # --- what an informer reports ---

    def _read(self, watch: _Watch) -> None:
        self._tried(watch)
        # A list that finds no such Secret changes no object, yet now we know.
        watch.changed()

    def _failed(self, watch: _Watch, error: ApiError) -> None:
        namespace, name = watch.ref
        first = not watch.tried.done()
        if not isinstance(error, Forbidden):
            log.warning("secret_not_read", namespace=namespace, name=name, error=str(error))
            self._tried(watch)
            return
        self._unpaced += first
        self._tried(watch)
        if not self._unreadable[namespace]:
            log.error("right_missing", verb=error.verb, resource="secrets", namespace=namespace)
        self._set_problem(watch, UNREADABLE)
        watch.asked = self.clock.monotonic()
        watch.changed()

    def _recovered(self, watch: _Watch) -> None:
        if watch.problem:
            self._set_problem(watch, "")
            namespace, name = watch.ref
            log.info("secret_readable", namespace=namespace, name=name)
            watch.changed()

    def _set_problem(self, watch: _Watch, problem: str) -> None:
        namespace = watch.ref[0]
        self._unreadable[namespace] += bool(problem) - bool(watch.problem)
        if not self._unreadable[namespace]:
            del self._unreadable[namespace]
        watch.problem = problem
