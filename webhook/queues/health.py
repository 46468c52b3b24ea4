"""Which requests to a queue fail just now: a log line when that begins and one when it ends, and pauses."""

import random
from typing import NamedTuple

import structlog

from controller.runtime.clock import Clock
from webhook.queues.ports import QueueFault, QueueMetrics

FAULT_SECONDS = 60.0
"""Seconds between two attempts at most while requests fail."""
FORGOTTEN_SECONDS = 600.0
"""Seconds after which a fault that was not met again counts as ended: no such request was sent since."""

RECEIVE, RENEW, DELETE, SET_ASIDE = "receive", "renew", "delete", "set_aside"
"""The requests, as they are logged."""

log = structlog.get_logger()


class _Fault(NamedTuple):
    error: str
    last: float
    """Monotonic time."""


class Health:
    """The health of one queue's requests. Each kind of request begins and ends to fail on its own."""

    def __init__(self, queue: str, metrics: QueueMetrics, clock: Clock) -> None:
        self._queue = queue
        self._metrics = metrics
        self._clock = clock
        self._faults: dict[str, _Fault] = {}
        self._pauses = 0
        self.since = clock.time()
        """Unix time since when all is well, or something fails."""
        metrics.queue_failing(queue, failing=False)

    @property
    def error(self) -> str:
        """What fails; empty if nothing does."""
        return "; ".join(f"{request}: {fault.error}" for request, fault in self._faults.items())

    def failed(self, request: str, fault: QueueFault) -> None:
        """Note that a request failed."""
        if not self._faults:
            self._turned(failing=True)
        if request not in self._faults:
            log.error("queue_failing", queue=self._queue, request=request, error=str(fault))
        self._faults[request] = _Fault(str(fault), self._clock.monotonic())

    def worked(self, request: str) -> None:
        """Note that a request succeeded."""
        if not self._faults:
            return
        old = self._clock.monotonic() - FORGOTTEN_SECONDS
        for each in [each for each, fault in self._faults.items() if each == request or fault.last < old]:
            del self._faults[each]
            log.info("queue_recovered", queue=self._queue, request=each)
            if not self._faults:
                self._turned(failing=False)

    def pause(self) -> float:
        """Return for how many seconds to receive nothing: longer each time while that, or deleting, fails.

        What can't be deleted comes again, and would be refreshed again each time.
        """
        if RECEIVE not in self._faults and DELETE not in self._faults:
            self._pauses = 0
            return 0.0
        self._pauses += 1
        return min(FAULT_SECONDS, 2.0 ** min(self._pauses - 1, 6)) * random.uniform(0.75, 1.0)  # noqa: S311

    def _turned(self, *, failing: bool) -> None:
        self.since = self._clock.time()
        self._metrics.queue_failing(self._queue, failing=failing)
