"""The workqueue: which key is to be reconciled next, and by exactly one worker.

The queue holds keys, never objects: a key says "look at this again", and asking twice before anybody has
looked is asking once. What it guarantees, and where the rules are known from (docs/runtime.md, rows 19-24;
client-go util/workqueue; controller-runtime pkg/controller/priorityqueue):

- a key is handed to one worker at a time; asked for while a worker has it, it runs exactly once more after;
- round robin between flows, first in first out within one; asked for by two flows, once at the earlier turn;
- a delayed key runs at the earliest time asked for; ``add`` is the earliest of all;
- a key that failed (``add_rate_limited``) stays in backoff for its time, whoever asks for it meanwhile;
- a key has at most one pending run: it is waiting, or delayed, or to run again after the present one;
- after ``shut_down`` nothing new enters, delayed keys are forgotten, and what waits is still handed out.

One event loop, no locks: no method awaits between reading and changing state.
"""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

from controller.runtime.backoff import retry_delay
from controller.runtime.clock import Clock, Timer
from controller.runtime.queue.delays import Delays
from controller.runtime.queue.flows import Flows
from controller.runtime.queue.observer import QueueObserver, Unobserved

K = TypeVar("K", bound=Hashable)

DUE_AT_ONCE = 500
"""Delayed keys moved per timer call: 100,000 may be due together, and others want the event loop too."""


class ShutDown(Exception):  # noqa: N818 - an end, not an error
    """The queue is shut down and nothing waits any more."""


class _Run:
    """One key in the hands of a worker."""

    __slots__ = ("again", "asked", "flow", "started")

    def __init__(self, flow: Hashable, started: float) -> None:
        self.flow = flow
        self.started = started
        self.again: dict[Hashable, None] = {}
        """Flows that asked for the key meanwhile, in that order."""
        self.asked = 0.0
        """When the first of them did."""


class WorkQueue(Generic[K]):
    """Keys to reconcile.

    Invariants, checked by ``validate``: a key that waits is neither delayed nor in processing; a key in
    processing that is to run again is not delayed; a timer is set whenever a key is delayed; shut down,
    nothing is delayed and no worker sleeps.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        *,
        observer: QueueObserver | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.name = name
        self._now = clock.monotonic
        self._clock = clock
        self._observer: QueueObserver = observer or Unobserved()
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries out, guards nothing
        self._waiting: Flows[K] = Flows()
        self._delays: Delays[K] = Delays()
        self._processing: dict[K, _Run] = {}
        self._failures: dict[K, int] = {}
        self._timer: Timer | None = None
        self._timer_due = 0.0
        self._getters: deque[asyncio.Future[None]] = deque()
        self._drainers: set[asyncio.Future[None]] = set()
        self._shut_down = False
        self._forced = False

    def __len__(self) -> int:
        """Return the number of waiting keys; delayed ones and those in processing are not among them."""
        return len(self._waiting)

    @property
    def delayed(self) -> int:
        """Number of keys that wait for their time."""
        return len(self._delays)

    @property
    def processing(self) -> int:
        """Number of keys in the hands of workers."""
        return len(self._processing)

    @property
    def shutting_down(self) -> bool:
        """Whether ``shut_down`` was called."""
        return self._shut_down

    def add(self, key: K, flow: Hashable = None) -> None:
        """Ask for a key at its flow's next turn. ``None`` is a flow like any other."""
        if self._waiting.join(key, flow) or self._shut_down:
            return
        delay = self._delays.get(key)
        if delay is not None:
            if delay.backoff:
                self._delays.join(key, flow)
                return
            self._delays.cancel(key)
        self._enqueue(key, (flow,))

    def add_after(self, key: K, delay: float, flow: Hashable = None) -> None:
        """Ask for a key in ``delay`` seconds (at once if not positive), unless it is to run earlier."""
        if delay <= 0:
            self.add(key, flow)
        elif not self._shut_down and not self._is_pending(key):
            self._delays.put(key, self._now() + delay, flow, backoff=False)
            self._arm()

    def add_rate_limited(self, key: K, flow: Hashable = None, *, after: float | None = None) -> None:
        """Count a failure of the key and put it in backoff.

        For ``after`` seconds if given (a server's Retry-After), else for a time that doubles with each
        failure until ``forget``. Without ``flow``, a key in processing comes back to the flow it ran in. Who
        asked for it during the failed run gets the retry: a run of its own would only fail earlier.
        """
        if self._shut_down:
            return
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        self._observer.retried()
        if key in self._waiting:
            return
        run = self._processing.get(key)
        delay = retry_delay(failures, rng=self._rng) if after is None else after
        self._delays.put(key, self._now() + delay, run.flow if run and flow is None else flow, backoff=True)
        if run:
            for asking in run.again:
                self._delays.join(key, asking)
            run.again.clear()
        self._arm()

    def forget(self, key: K) -> None:
        """Start its backoff from the beginning: the key succeeded, or failed for good."""
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """Return how often in a row the key failed."""
        return self._failures.get(key, 0)

    def is_delayed(self, key: K) -> bool:
        """Whether the key waits for its time: in backoff, or added by ``add_after``."""
        return key in self._delays

    async def get(self) -> K:
        """Wait for a key to process; the caller must call ``done`` with it, whatever happens.

        Raises ShutDown when the queue is shut down and nothing waits.
        """
        while not self._waiting:
            if self._shut_down:
                raise ShutDown(self.name)
            getter = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                # Cancelled before its wake-up: leave the line. After: what it was woken for is another's.
                if getter.cancelled():
                    with contextlib.suppress(ValueError):  # a wake-up has passed over it already
                        self._getters.remove(getter)
                else:
                    self._wake()
                raise
        key, flow, since = self._waiting.take()
        now = self._now()
        self._processing[key] = _Run(flow, now)
        self._observer.started(now - since)
        return key

    def done(self, key: K) -> None:
        """End the processing of a key; one that nobody processes is ignored."""
        run = self._processing.pop(key, None)
        if run is None:
            return
        self._observer.finished(self._now() - run.started)
        if run.again and not self._forced:
            for flow in run.again:
                self._waiting.put(key, flow, run.asked)
            self._wake()
        self._release_drainers()

    def shut_down(self) -> None:
        """Ignore new keys, forget delayed ones, let workers have those that wait. A second call forces.

        Forced: waiting keys are dropped too and ``drain`` returns; keys in processing stay their workers'.
        """
        self._forced = self._shut_down
        self._shut_down = True
        self._delays.clear()
        self._failures.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._forced:
            self._waiting.clear()
        while self._getters:
            self._wake()
        self._release_drainers()

    async def drain(self) -> None:
        """Shut down (unless that was done) and wait until nothing is waiting or in processing."""
        if not self._shut_down:
            self.shut_down()
        while not self._is_drained():
            drainer = asyncio.get_running_loop().create_future()
            self._drainers.add(drainer)
            try:
                await drainer
            finally:
                self._drainers.discard(drainer)

    def unfinished_seconds(self) -> float:
        """Seconds of work in progress, over all keys (``workqueue_unfinished_work_seconds``)."""
        now = self._now()
        return sum(now - run.started for run in self._processing.values())

    def longest_running_seconds(self) -> float:
        """Age of the oldest run in progress, or 0 (``workqueue_longest_running_processor_seconds``)."""
        now = self._now()
        return max((now - run.started for run in self._processing.values()), default=0.0)

    def validate(self) -> None:
        """Check every invariant; raises AssertionError. For tests: walks everything."""
        self._waiting.validate()
        self._delays.validate()
        for key in self._processing:
            assert key not in self._waiting, f"{key!r} could be handed out twice"  # noqa: S101
            assert not (self._processing[key].again and key in self._delays)  # noqa: S101
        due = self._delays.next_due()
        assert due is None or (self._timer is not None and self._timer_due <= due)  # noqa: S101
        if self._shut_down:
            assert due is None and not self._getters  # noqa: S101, PT018

    def _is_pending(self, key: K) -> bool:
        run = self._processing.get(key)
        return key in self._waiting or (run is not None and bool(run.again))

    def _enqueue(self, key: K, flows: Iterable[Hashable]) -> None:
        run = self._processing.get(key)
        if run is None:
            now = self._now()
            for flow in flows:
                self._waiting.put(key, flow, now)
            self._observer.added()
            self._wake()
            return
        if not run.again:
            run.asked = self._now()
            self._observer.added()
        run.again.update(dict.fromkeys(flows))

    def _wake(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    def _arm(self) -> None:
        due = self._delays.next_due()
        if due is None or (self._timer is not None and self._timer_due <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = due
        self._timer = self._clock.call_later(max(0.0, due - self._now()), self._move_due)

    def _move_due(self) -> None:
        self._timer = None
        now = self._now()
        for _ in range(DUE_AT_ONCE):
            due = self._delays.pop_due(now)
            if due is None:
                break
            self._enqueue(*due)
        self._arm()

    def _is_drained(self) -> bool:
        return self._forced or not (self._waiting or self._processing)

    def _release_drainers(self) -> None:
        if self._shut_down and self._is_drained():
            for drainer in self._drainers:
                if not drainer.done():
                    drainer.set_result(None)
