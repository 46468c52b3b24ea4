"""What a workqueue reports for its metrics."""

from typing import Protocol


class QueueObserver(Protocol):
    """What client-go's ``workqueue_*`` metrics count; times are in seconds.

    The gauges are read when they are scraped: ``workqueue_depth`` is ``len(queue)``, and see
    ``WorkQueue.unfinished_seconds`` and ``WorkQueue.longest_running_seconds``.
    """

    def added(self) -> None:
        """A key is asked for and due (``workqueue_adds_total``); asked for again before it runs: no count."""

    def started(self, waited: float, /) -> None:
        """A worker got a key that had waited so long (``workqueue_queue_duration_seconds``)."""

    def finished(self, worked: float, /) -> None:
        """A worker was done with a key after so long (``workqueue_work_duration_seconds``)."""

    def retried(self) -> None:
        """A key went into backoff (``workqueue_retries_total``)."""


class Unobserved:
    """A QueueObserver that counts nothing."""

    def _ignore(self, seconds: float = 0.0, /) -> None:
        pass

    added = started = finished = retried = _ignore
