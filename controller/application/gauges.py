"""Connects the gauges that are read at scrape time with the parts they are read from."""

from typing import Any, Protocol

from controller.application.informers import Informers
from controller.observability.metrics import Metrics, read_at_scrape
from controller.receivers.state import State
from controller.refreshing.unhandled import HandledTracker
from controller.runtime.clock import Clock
from controller.runtime.informer.informer import Informer
from controller.runtime.queue.workqueue import WorkQueue


class JournalState(Protocol):
    """What is measured of the journal."""

    @property
    def pending(self) -> int:
        """Accepted deliveries that are not finished."""

    @property
    def failing(self) -> bool:
        """Whether it can't be written just now."""

    @property
    def failures(self) -> int:
        """How often writing has failed."""

    @property
    def moved_aside(self) -> int:
        """How many unreadable files were moved aside."""


def export_queue(metrics: Metrics, queue: WorkQueue[Any]) -> None:
    """Read a workqueue's depth and the age of its work at scrape."""
    read_at_scrape(metrics.queue_depth, lambda: float(len(queue)), queue.name)
    read_at_scrape(metrics.queue_unfinished, queue.unfinished_seconds, queue.name)
    read_at_scrape(metrics.queue_longest, queue.longest_running_seconds, queue.name)


def export_informers(metrics: Metrics, informers: Informers, clock: Clock) -> None:
    """Read the sizes and ages of the informers at scrape."""
    for informer in informers.informers:

        def size(informer: Informer[Any] = informer) -> float:
            return float(len(informer.store))

        def silent(informer: Informer[Any] = informer) -> float:
            return max(0.0, clock.monotonic() - informer.last_activity)

        read_at_scrape(metrics.cache_objects, size, informer.kind)
        read_at_scrape(metrics.watch_activity, silent, informer.kind)

    def secrets_silent() -> float:
        last = informers.secrets.last_activity()
        return 0.0 if last is None else max(0.0, clock.monotonic() - last)

    read_at_scrape(metrics.cache_objects, lambda: float(len(informers.secrets)), "Secret")
    read_at_scrape(metrics.watch_activity, secrets_silent, "Secret")
    read_at_scrape(metrics.index_urls, lambda: float(len(informers.warehouse_index)))
    for state in State:

        def count(state: State = state) -> float:
            return float(sum(each.state is state for _, each in informers.receivers.all_states()))

        read_at_scrape(metrics.receivers, count, state.value)


def export_unhandled(metrics: Metrics, tracker: HandledTracker) -> None:
    """Read what Kargo has not handled at scrape."""
    read_at_scrape(metrics.unhandled, lambda: float(len(tracker)))
    read_at_scrape(metrics.oldest_unhandled, tracker.oldest)


def export_journal(metrics: Metrics, journal: JournalState) -> None:
    """Read the journal's backlog and faults at scrape."""
    read_at_scrape(metrics.journal_pending, lambda: float(journal.pending))
    read_at_scrape(metrics.journal_failures, lambda: float(journal.failing))
    metrics.journal_write_failures.set_function(lambda: float(journal.failures))
    metrics.journal_moved_aside.set_function(lambda: float(journal.moved_aside))
