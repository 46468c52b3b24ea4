"""The workqueue: which key is to be reconciled next, and by exactly one worker.

The queue holds keys, never objects: a key says "look at this again", and asking twice before anybody has
looked is asking once. What it guarantees, and where the rules are known from (docs/runtime.md, rows 19-24;
client-go util/workqueue; controller-runtime pkg/controller/priorityqueue):

- a key is handed to one worker at a time; asked for while a worker has it, it runs exactly once more after;
- flows take turns at each level, first in first out within one; asked for by two flows, once at the earlier
  turn;
- a delayed key runs at the earliest time asked for; ``add`` is the earliest of all;
- a key that failed, or pauses so that others may join its next run, waits for its time whoever asks for it;
- after ``shut_down`` nothing new enters, delayed keys are forgotten (those that pause run at once), and what
  waits is still handed out.

One event loop, no locks: no method awaits between reading and changing state.
"""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from controller.runtime.backoff import retry_delay
from controller.runtime.clock import Clock, Timer
from controller.runtime.queue.delays import Delays
from controller.runtime.queue.flows import Flow, Flows

K = TypeVar("K", bound=Hashable)

ONE_FLOW: Flow = ("",)
"""For queues that need no turns: every key is in this flow."""
DUE_AT_ONCE = 500
"""Delayed keys moved per timer call: 100,000 may be due together, and others want the event loop too."""


def _ignore(*unused: float) -> None:
    """Count nothing."""


@dataclass(frozen=True)
class QueueObserver:
    """What client-go's ``workqueue_*`` metrics count; times are in seconds.

    The gauges are read when they are scraped: ``workqueue_depth`` is ``len(queue)``, and see
    ``WorkQueue.unfinished_seconds`` and ``WorkQueue.longest_running_seconds``.
    """

    added: Callable[[], None] = _ignore
    """A key is asked for and due (``workqueue_adds_total``); asked for again before it runs: no count."""
    started: Callable[[float], None] = _ignore
    """A worker got a key that had waited so long (``workqueue_queue_duration_seconds``)."""
    finished: Callable[[float], None] = _ignore
    """A worker was done with a key after so long (``workqueue_work_duration_seconds``)."""
    retried: Callable[[], None] = _ignore
    """A key went into backoff (``workqueue_retries_total``)."""


class ShutDown(Exception):  # noqa: N818 - an end, not an error
    """The queue is shut down and nothing waits any more."""


@dataclass(slots=True)
class _Run:
    """One key in the hands of a worker."""

    flows: tuple[Flow, ...]
    """Those that asked for this run."""
    started: float
    again: dict[Flow, None] = field(default_factory=dict)
    """Those that asked for the key meanwhile, in that order."""
    asked: float = 0.0
    """When the first of them did."""


@dataclass(eq=False)
class WorkQueue(Generic[K]):
    """Keys to reconcile. A flow is a path (see ``flows``); those of one queue have the same length.

    Invariants, checked by ``validate``: a key that waits is neither delayed nor in processing; a key in
    processing that is to run again is not delayed; a timer is set whenever a key is delayed; shut down,
    nothing is delayed and no worker sleeps.
    """

    name: str
    clock: Clock
    observer: QueueObserver = field(default_factory=QueueObserver)
    rng: random.Random = field(default_factory=random.Random)
    """Spreads retries out."""

    def __post_init__(self) -> None:
        self._now = self.clock.monotonic
        self._waiting: Flows[K] = Flows()
        self._delays: Delays[K] = Delays()
        self._processing: dict[K, _Run] = {}
        self._failures: dict[K, int] = {}
        self._timer: Timer | None = None
        self._timer_due = 0.0
        self._getters: deque[asyncio.Future[None]] = deque()
        self._shut_down = False

    def __len__(self) -> int:
        """Return the number of waiting keys; delayed ones and those in processing are not among them."""
        return len(self._waiting)

    def __contains__(self, key: K) -> bool:
        """Whether the key is waiting, delayed or in processing."""
        return key in self._waiting or key in self._delays or key in self._processing

    def add(self, key: K, flow: Flow = ONE_FLOW) -> None:
        """Ask for a key at its flow's next turn."""
        if self._shut_down:
            return
        delay = self._delays.get(key)
        if delay is not None:
            if delay.held:
                self._delays.join(key, flow)
                return
            self._delays.cancel(key)
        self._enqueue(key, (flow,))

    def add_after(self, key: K, delay: float, flow: Flow = ONE_FLOW) -> None:
        """Ask for a key in ``delay`` seconds (at once if not positive), unless it is to run earlier."""
        if delay <= 0:
            self.add(key, flow)
        elif not self._shut_down and not self._is_pending(key):
            self._delay(key, delay, (flow,), held=False)

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
        key, flows, since = self._waiting.take()
        now = self._now()
        self._processing[key] = _Run(flows, now)
        self.observer.started(now - since)
        return key

    def done(self, key: K, *, after: float | None = None, pause: float = 0.0) -> None:
        """End the run of a key, which succeeded or failed for good: its next failure is the first again.

        Ignored for a key that nobody processes. If nobody asked for the key during the run, it runs again in
        ``after`` seconds (None: when somebody asks). If somebody did, it runs again after a ``pause`` in
        seconds: who asks during that shares the run.
        """
        run = self._end(key)
        if run is None:
            return
        self._failures.pop(key, None)
        if run.again and pause > 0 and not self._shut_down:
            self._delay(key, pause, tuple(run.again), held=True)
        elif run.again:
            for flow in run.again:
                self._waiting.put(key, flow, run.asked)
            self._wake()
        elif after is not None and not self._shut_down:
            self._delay(key, after, run.flows, held=False)

    def retry(self, key: K, *, after: float | None = None) -> None:
        """End the run of a key, which failed, and put it in backoff.

        For ``after`` seconds if given (a server's Retry-After), else for a time that doubles with each
        failure. Who asked for it during the run, or asks in the meantime, gets the retry: a run of its own
        would only fail earlier.
        """
        run = self._end(key)
        if run is None:
            return
        self.observer.retried()
        if self._shut_down:
            return
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay = retry_delay(failures, rng=self.rng) if after is None else after
        self._delay(key, delay, (*run.flows, *run.again), held=True)

    def shut_down(self) -> None:
        """Ignore new keys and forget delayed ones; what waits, or pauses, is still handed out."""
        self._shut_down = True
        for key, delay in self._delays:
            if delay.held and key not in self._failures:
                self._enqueue(key, delay.flows)
        self._delays.clear()
        self._failures.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._getters:
            self._wake()

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
        for key, run in self._processing.items():
            assert key not in self._waiting, f"{key!r} could be handed out twice"  # noqa: S101
            assert not (run.again and key in self._delays)  # noqa: S101
        for key, _ in self._delays:
            assert key not in self._waiting  # noqa: S101
        due = self._delays.next_due()
        assert due is None or (self._timer is not None and self._timer_due <= due)  # noqa: S101
        if self._shut_down:
            assert due is None and not self._getters  # noqa: S101, PT018

    def _is_pending(self, key: K) -> bool:
        run = self._processing.get(key)
        return key in self._waiting or (run is not None and bool(run.again))

    def _enqueue(self, key: K, flows: Iterable[Flow]) -> None:
        run = self._processing.get(key)
        now = self._now()
        if run is not None:
            if not run.again:
                run.asked = now
                self.observer.added()
            run.again.update(dict.fromkeys(flows))
            return
        for flow in flows:
            if self._waiting.put(key, flow, now):
                self.observer.added()
                self._wake()

    def _end(self, key: K) -> _Run | None:
        run = self._processing.pop(key, None)
        if run is not None:
            self.observer.finished(self._now() - run.started)
        return run

    def _wake(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    def _delay(self, key: K, seconds: float, flows: tuple[Flow, ...], *, held: bool) -> None:
        self._delays.put(key, self._now() + seconds, flows, held=held)
        self._arm()

    def _arm(self) -> None:
        due = self._delays.next_due()
        if due is None or (self._timer is not None and self._timer_due <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = due
        self._timer = self.clock.call_later(max(0.0, due - self._now()), self._move_due)

    def _move_due(self) -> None:
        self._timer = None
        now = self._now()
        for _ in range(DUE_AT_ONCE):
            due = self._delays.pop_due(now)
            if due is None:
                break
            self._enqueue(*due)
        self._arm()
