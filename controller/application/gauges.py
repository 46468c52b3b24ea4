"""Connects the gauges that are read at scrape time with the parts they are read from."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from controller.application.informers import Informers
from controller.observability.metrics import Metrics, read_at_scrape
from controller.receivers.index import ReceiverIndex
from controller.receivers.state import State
from controller.refreshing.catch_up import CatchUp
from controller.refreshing.unhandled import HandledTracker
from controller.runtime.informer.informer import Informer
from controller.runtime.queue.workqueue import WorkQueue
from webhook.http.tls import Certificate
from webhook.journal.journal import Journal


def process_registry() -> CollectorRegistry:
    """Return a registry that has what Prometheus's client knows of any Python process."""
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    return registry


def export_queues(metrics: Metrics, queues: Iterable[WorkQueue[Any]]) -> None:
    """Read each workqueue's depth and the age of its work."""
    for queue in queues:
        read_at_scrape(metrics.queue_depth, queue.__len__, queue.name)
        read_at_scrape(metrics.queue_unfinished, queue.unfinished_seconds, queue.name)
        read_at_scrape(metrics.queue_longest, queue.longest_running_seconds, queue.name)


def export_informers(metrics: Metrics, informers: Informers) -> None:
    """Read the sizes and ages of what the informers hold."""
    for each in informers.informers:
        read_at_scrape(metrics.cache_objects, each.store.__len__, each.kind)
        read_at_scrape(metrics.cache_synced, partial(_is_synced, each), each.kind)
        read_at_scrape(metrics.watch_activity, each.silence, each.kind)
    secrets = informers.secrets
    read_at_scrape(metrics.cache_objects, secrets.__len__, "Secret")
    read_at_scrape(metrics.watch_activity, secrets.silence, "Secret")
    read_at_scrape(metrics.index_urls, informers.warehouse_index.__len__)
    for state in State:
        read_at_scrape(metrics.receivers, partial(_count, informers.receivers, state), state.value)


def export_unhandled(metrics: Metrics, tracker: HandledTracker) -> None:
    """Read what Kargo has not handled."""
    read_at_scrape(metrics.unhandled, tracker.__len__)
    read_at_scrape(metrics.oldest_unhandled, tracker.oldest)


def export_catch_up(metrics: Metrics, catch_up: CatchUp) -> None:
    """Read what a catch-up is still to do."""
    read_at_scrape(metrics.catch_up_outstanding, lambda: catch_up.outstanding)


def export_journal(metrics: Metrics, journal: Journal) -> None:
    """Read the journal's backlog and faults."""
    read_at_scrape(metrics.journal_pending, lambda: journal.pending)
    read_at_scrape(metrics.journal_failures, lambda: journal.failing)
    metrics.journal_write_failures.set_function(lambda: journal.failures)
    metrics.journal_moved_aside.set_function(lambda: journal.moved_aside)


def export_certificate(metrics: Metrics, certificate: Certificate) -> None:
    """Read when the TLS certificate ends, and how many others could not be used."""
    read_at_scrape(metrics.certificate_expiry, lambda: certificate.expires)
    metrics.certificates_refused.set_function(lambda: certificate.refused)


def _is_synced(informer: Informer[Any]) -> bool:
    return informer.has_synced


def _count(receivers: ReceiverIndex, state: State) -> int:
    return sum(each.state is state for _, each in receivers.all_states())
