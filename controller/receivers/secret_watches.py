"""One watch for each Secret that an Azure receiver refers to; no other Secret is ever read.

Kargo grants the receiver its Secrets Project by Project, and the grant comes a moment after the Project: so a
refusal is tried again soon, concerns that receiver alone, and is reported once.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial

import structlog

from controller.kargo.objects import SECRETS, Secret, decode_secret
from controller.receivers.index import ConfigKey, SecretRef
from controller.receivers.secret_throttle import Slots, TokenBucket
from controller.receivers.state import UNREADABLE, SecretState
from controller.runtime.api.client import Client
from controller.runtime.api.errors import ApiError, Forbidden
from controller.runtime.clock import Clock
from controller.runtime.informer.informer import ForbiddenRetry, Informer, InformerObserver

FORBIDDEN_RATE = 32.0
"""Requests a second that refused Secrets may cost the API server in all: 1,000 of them, each every 31 s."""
FORBIDDEN_BURST = 2.0
"""With the rate, and what a report may overdraw, any one second sees under 40."""
FORBIDDEN_RETRY = ForbiddenRetry(fast=4.5)
"""Spread by a fifth, so that a right which comes in the first two minutes is noticed within 6 s."""
FIRST_READS = 10
"""First lists in flight: enough to read 1,000 Secrets in seconds, few enough to notice refusals early."""
OPENINGS = 10
"""Watches being opened at a time: a thousand at once cost 22 MB more memory, for good."""
SIGNS = 20
"""First reads looked back at: while most of them were refused, further ones are held to the rate above."""
YOUNG_SECONDS = 120.0
"""For so long a Secret wanted since the start goes before those of the start: its Project was just made, and
gets its right in a moment."""
OLD_RANK = 1000
"""The first rank of those that are not young. A first read, which may be granted, goes before a report, and
that before a retry; who was refused less often goes before the others."""
REPORT_RANK = OLD_RANK + 1
REPORT_COST = 3.0
"""Requests: reading the config, writing its status, an Event."""
KIND = "Secret"

log = structlog.get_logger()


class _Watch:
    """One Secret being watched. There may be a thousand."""

    __slots__ = (
        "informer",
        "paid",
        "problem",
        "reading",
        "ref",
        "refusals",
        "task",
        "tried",
        "young_until",
    )

    def __init__(self, ref: SecretRef) -> None:
        self.ref = ref
        self.informer: Informer[Secret]
        self.task: asyncio.Task[None] | None = None
        self.tried = False
        """The first list was answered, by the Secret or by a refusal."""
        self.reading = False
        """It holds one of the slots for first reads."""
        self.problem = ""
        self.paid = False
        """The first list waited for its turn among what is likely to be refused."""
        self.refusals = 0
        """Since it was last read."""
        self.young_until = 0.0
        """Monotonic seconds."""


class SecretWatches:
    """The Secrets that receivers refer to, each followed by an informer of its own."""

    def __init__(
        self,
        client: Client,
        *,
        clock: Clock,
        changed: Callable[[SecretRef], None],
        observer: InformerObserver | None = None,
    ) -> None:
        self._client = client
        self._clock = clock
        self._changed = changed
        self._observer = _OfMany(observer) if observer is not None else None
        self._wants: dict[ConfigKey, frozenset[SecretRef]] = {}
        self._uses: dict[SecretRef, int] = {}
        self._watches: dict[SecretRef, _Watch] = {}
        self._bucket = TokenBucket(clock, rate=FORBIDDEN_RATE, burst=FORBIDDEN_BURST)
        self._first_reads = Slots(FIRST_READS)
        # None until the start is over: each watch is a connection of its own with a handshake, and what
        # changes until it is open is sent then. The lists share a few connections.
        self._openings = Slots(0)
        self._signs: deque[bool] = deque(maxlen=SIGNS)
        self._reported: set[str] = set()
        self._group: asyncio.TaskGroup | None = None
        self._ending = asyncio.Event()
        self._starting = True
        self._untried: set[_Watch] = set()
        """Those that ``wait_tried`` waits for."""
        self._all_tried: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        """Return the number of Secrets that are known to exist."""
        return sum(len(watch.informer.store) for watch in self._watches.values())

    def want(self, owner: ConfigKey, refs: frozenset[SecretRef]) -> None:
        """Say which Secrets a config refers to now; replaces what it said before."""
        before = self._wants.get(owner, frozenset())
        if refs:
            self._wants[owner] = refs
        else:
            self._wants.pop(owner, None)
        for ref in refs - before:
            self._uses[ref] = self._uses.get(ref, 0) + 1
            if ref not in self._watches:
                self._begin(ref)
        for ref in before - refs:
            self._uses[ref] -= 1
            if not self._uses[ref]:
                del self._uses[ref]
                watch = self._watches.pop(ref)
                self._tried(watch)
                if watch.task is not None:
                    watch.task.cancel()

    def state(self, ref: SecretRef) -> SecretState:
        """Return what is known of a wanted Secret."""
        watch = self._watches.get(ref)
        if watch is None:
            return SecretState(known=False)
        if not watch.informer.has_synced:
            return SecretState(known=False, problem=watch.problem)
        return SecretState(True, watch.informer.store.get(*ref), watch.problem)

    def settling(self, ref: SecretRef) -> bool:
        """Whether a Secret may have changed since it was listed: its watch still waits for its turn."""
        watch = self._watches.get(ref)
        return watch is not None and watch.informer.awaits_turn

    async def wait_tried(self) -> None:
        """Return when each Secret wanted now was read, or refused, once: the end of the start.

        Only then, or when the wait is cancelled, the watches begin. To be called once.
        """
        self._starting = False
        self._untried = {watch for watch in self._watches.values() if not watch.tried}
        try:
            if self._untried:
                self._all_tried = asyncio.get_running_loop().create_future()
                await self._all_tried
        finally:
            for _ in range(OPENINGS):
                self._openings.give()

    def last_activity(self) -> float | None:
        """Return the oldest of the watches' last signs of life (monotonic seconds); None without watches."""
        return min((watch.informer.last_activity for watch in self._watches.values()), default=None)

    def report_later(self, callback: Callable[[], None]) -> None:
        """Call back when there is room to tell the API server of a Secret that can't be read."""
        self._bucket.call(callback, rank=REPORT_RANK, cost=REPORT_COST)

    async def run(self) -> None:
        """Follow the Secrets until cancelled. Raises what an informer raised: a bug."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for watch in self._watches.values():
                watch.task = group.create_task(self._follow(watch))
            await self._ending.wait()

    def _begin(self, ref: SecretRef) -> None:
        namespace, name = ref
        watch = _Watch(ref)
        if not self._starting:
            watch.young_until = self._clock.monotonic() + YOUNG_SECONDS
        watch.informer = Informer(
            self._client,
            SECRETS,
            decode_secret,
            kind=KIND,
            clock=self._clock,
            namespace=namespace,
            field_selector=f"metadata.name={name}",
            forbidden_retry=FORBIDDEN_RETRY,
            throttle=partial(self._try_again, watch),
            turns=self._openings,
            on_error=partial(self._failed, watch),
            on_recovered=partial(self._recovered, watch),
            on_caught_up=partial(self._read, watch),
            observer=self._observer,
        )
        watch.informer.add_handler(_Changes(partial(self._changed, ref)))
        self._watches[ref] = watch
        if self._group is not None:
            watch.task = self._group.create_task(self._follow(watch))

    async def _follow(self, watch: _Watch) -> None:
        """Run one informer; the first read waits for its turn."""
        await self._first_reads.take()
        watch.reading = True
        try:
            if self._signs and sum(self._signs) > len(self._signs) // 2:
                watch.paid = True
                await self._bucket.take(self._rank(watch))
            await watch.informer.run()
        finally:
            self._tried(watch)

    def _tried(self, watch: _Watch) -> None:
        """Note that the first list was answered, or never will be."""
        watch.tried = True
        if watch.reading:
            watch.reading = False
            self._first_reads.give()
        self._untried.discard(watch)
        if not self._untried and self._all_tried is not None and not self._all_tried.done():
            self._all_tried.set_result(None)

    def _rank(self, watch: _Watch) -> int:
        old = self._clock.monotonic() >= watch.young_until
        base = OLD_RANK + (watch.refusals > 0) if old else 0
        return base + min(watch.refusals, OLD_RANK - 1)

    # --- what a watch has to say ---

    async def _try_again(self, watch: _Watch) -> None:
        watch.refusals += 1
        await self._bucket.take(self._rank(watch))

    def _read(self, watch: _Watch) -> None:
        if not watch.tried:
            self._signs.append(False)
            self._tried(watch)
        # A list that finds no such Secret changes no object, yet now we know.
        self._changed(watch.ref)

    def _failed(self, watch: _Watch, error: ApiError) -> None:
        namespace, name = watch.ref
        if not isinstance(error, Forbidden):
            log.warning("secret_not_read", namespace=namespace, name=name, error=str(error))
            self._tried(watch)
            return
        if not watch.tried:
            self._signs.append(True)
            self._tried(watch)
            if not watch.paid:
                self._bucket.spend()
        watch.problem = UNREADABLE
        if namespace not in self._reported:
            self._reported.add(namespace)
            log.error("right_missing", verb=error.verb, resource="secrets", namespace=namespace)
        self._changed(watch.ref)

    def _recovered(self, watch: _Watch) -> None:
        namespace, name = watch.ref
        self._reported.discard(namespace)
        watch.refusals = 0
        if watch.problem:
            watch.problem = ""
            log.info("secret_readable", namespace=namespace, name=name)
            self._changed(watch.ref)


class _OfMany(InformerObserver):
    """Counts for all Secrets' informers; that one of them is synced says nothing about the kind."""

    def __init__(self, observer: InformerObserver) -> None:
        self._observer = observer

    def watch_restarted(self, kind: str, reason: str) -> None:
        """Count it."""
        self._observer.watch_restarted(kind, reason)

    def quarantined(self, kind: str) -> None:
        """Count it."""
        self._observer.quarantined(kind)


class _Changes:
    """A handler that only passes on that something changed."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed

    def added(self, obj: Secret) -> None:
        """Pass it on."""
        self._changed()

    def updated(self, old: Secret, new: Secret) -> None:
        """Pass it on."""
        self._changed()

    def deleted(self, obj: Secret) -> None:
        """Pass it on."""
        self._changed()
