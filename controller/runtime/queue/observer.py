"""What a workqueue reports for its metrics."""

from collections.abc import Callable
from dataclasses import dataclass


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
