"""All metrics of the process, declared in one place; call sites only count.

Names are client-go's where it has one, else ``kargo_azure_receiver_*``. Labels are drawn from small sets that
are written out here and created up front, so that a rate starts at 0: no URL, path, repository or object's
name is ever a label. (One gauge has receivers' names, and a bound on them.) What can be read at any time is
read when it is scraped.
"""

from collections.abc import Callable, Iterable
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from controller.observability.callback_counter import CallbackCounter
from controller.runtime.informer.failures import WATCH_RESTART_REASONS, InformerObserver
from controller.runtime.queue.workqueue import QueueObserver

PREFIX = "kargo_azure_receiver"

KINDS = ("Warehouse", "ProjectConfig", "ClusterConfig", "Secret", "Promotion")
REFRESH_KINDS = ("Warehouse", "Promotion")
REFRESH_RESULTS = ("persisted", "rejected", "gone", "retried")
CATCH_UP_REASONS = ("outage", "replica_lost", "resumed")
VERBS = ("list", "watch", "get", "patch", "create", "delete")

_LATENCY = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 4.5, 5.0, 10.0)
"""Seconds: the reply timeout (4 s) and ACR's patience (5 s) are bounds, so that both can be read off."""
_LAG = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_QUEUE = (0.00001, 0.0001, 0.001, 0.01, 0.1, 1.0, 10.0, 60.0)
"""Seconds; client-go's, thinned out, with a last bound that an outage reaches."""
_REQUEST = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
_FANOUT = (0.0, 1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1000.0, 5000.0, 10000.0, 50000.0)


def _full(name: str) -> str:
    """Return the whole name: client-go's as it is, any other with PREFIX."""
    return name if name.startswith(("workqueue_", "rest_client_")) else f"{PREFIX}_{name}"


class Metrics(InformerObserver):
    """The metrics of one process, in a registry of their own."""

    def __init__(self, registry: CollectorRegistry, *, version: str) -> None:
        self.registry = registry
        self._declare_queues()
        self._declare_client()
        self._declare_webhook()
        self._declare_refreshing()
        self._declare_informers()
        self._declare_journal()
        self._declare_catch_up()
        self._declare_storage_queues()
        Info(f"{PREFIX}_build", "Version of the receiver.", registry=registry).info({"version": version})

    def _counter(self, name: str, text: str, *labels: str, seen: Iterable[tuple[str, ...]] = ()) -> Counter:
        """Declare a counter; the combinations of labels that are ``seen`` begin at 0."""
        counter = Counter(_full(name), text, labels, registry=self.registry)
        for values in seen:
            counter.labels(*values)
        return counter

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(_full(name), text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(_full(name), text, labels, buckets=buckets, registry=self.registry)

    def _declare_queues(self) -> None:
        self.queue_adds = self._counter("workqueue_adds", "Keys that became due.", "name")
        self.queue_retries = self._counter("workqueue_retries", "Retries.", "name")
        self.queue_wait = self._histogram(
            "workqueue_queue_duration_seconds",
            "How long a key waits before a worker takes it.",
            _QUEUE,
            "name",
        )
        self.queue_work = self._histogram(
            "workqueue_work_duration_seconds", "How long a worker has a key.", _QUEUE, "name"
        )
        self.queue_depth = self._gauge("workqueue_depth", "Keys waiting.", "name")
        self.queue_unfinished = self._gauge(
            "workqueue_unfinished_work_seconds", "Seconds of work in progress.", "name"
        )
        self.queue_longest = self._gauge(
            "workqueue_longest_running_processor_seconds", "Age of the oldest work in progress.", "name"
        )

    def _declare_client(self) -> None:
        self.client_requests = self._counter(
            "rest_client_requests", "Requests to the API server by HTTP status.", "code", "method"
        )
        self.client_duration = self._histogram(
            "rest_client_request_duration_seconds",
            "Time to the API server's answer; a watch's ends with its headers.",
            _REQUEST,
            "verb",
        )
        for verb in VERBS:
            self.client_duration.labels(verb.upper())

    def _declare_webhook(self) -> None:
        self.webhook_requests = self._counter(
            "webhook_requests",
            "Answered requests by sender, event and HTTP status.",
            *("source", "event", "code"),
            seen=(
                ("acr", "push", "200"),
                ("acr", "push", "202"),
                ("acr", "ping", "200"),
                ("azure-devops", "git.push", "200"),
                ("azure-devops", "git.push", "202"),
                ("unknown", "unknown", "400"),
                ("unknown", "unknown", "404"),
                ("unknown", "unknown", "503"),
            ),
        )
        self.webhook_duration = self._histogram(
            "webhook_request_duration_seconds",
            "Time from a request's headers to its answer.",
            _LATENCY,
            *("source", "event"),
        )
        self.matched_warehouses = self._histogram(
            "matched_warehouses", "Objects that one delivery matched.", _FANOUT
        )
        self.certificate_expiry = self._gauge(
            "certificate_expiry_timestamp_seconds", "Unix time at which the TLS certificate expires, or 0."
        )
        self.certificates_refused = CallbackCounter(
            _full("certificates_refused"),
            "New TLS certificate files that could not be used.",
            registry=self.registry,
        )

    def _declare_refreshing(self) -> None:
        self.refreshes = self._counter(
            "refresh",
            "Patches of the refresh annotation by what became of them.",
            *("kind", "result"),
            seen=product(REFRESH_KINDS, REFRESH_RESULTS),
        )
        self.refresh_lag = self._histogram(
            "refresh_lag_seconds", "Time from an event's arrival to the annotation being persisted.", _LAG
        )
        self.handled_lag = self._histogram(
            "handled_lag_seconds",
            "Time from the annotation being persisted to Kargo having handled it.",
            _LAG,
        )
        self.unhandled = self._gauge(
            "unhandled_refreshes", "Warehouses whose refresh Kargo has not handled yet."
        )
        self.oldest_unhandled = self._gauge(
            "oldest_unhandled_refresh_seconds",
            "Longest time that Kargo has left a Warehouse's refresh unhandled.",
        )
        self.status_writes = self._counter(
            "status_writes",
            "Writes of a config's status by result.",
            "result",
            seen=product(("written", "conflict", "refused", "disputed")),
        )

    def _declare_informers(self) -> None:
        self.cache_objects = self._gauge("cache_objects", "Objects in the cache.", "kind")
        self.cache_synced = self._gauge("cache_synced", "1 once the first list was handled.", "kind")
        self.cache_quarantined = self._counter(
            "cache_quarantined",
            "Versions of objects that could not be read and were left out.",
            "kind",
            seen=product(KINDS),
        )
        self.watch_activity = self._gauge(
            "watch_last_activity_seconds", "Seconds since the watch's last sign of life.", "kind"
        )
        self.watch_restarts = self._counter(
            "watch_restarts",
            "Watches that ended and began anew, by reason.",
            *("kind", "reason"),
            seen=product(KINDS, WATCH_RESTART_REASONS),
        )
        self.index_urls = self._gauge("index_urls", "Distinct repository keys in the index.")
        self.receivers = self._gauge("receivers", "Azure receivers by state.", "state")
        self.last_deliveries = self._gauge(
            "receiver_last_delivery_timestamp_seconds",
            "Unix time of the last delivery to each receiver that this replica knows of, or 0.",
            *("namespace", "receiver"),
        )

    def _declare_journal(self) -> None:
        self.journal_pending = self._gauge("journal_pending", "Accepted deliveries that are not finished.")
        self.journal_failures = self._gauge("journal_failing", "1 while the journal can't be written.")
        self.journal_write_failures = CallbackCounter(
            _full("journal_write_failures"), "Failed attempts to write the journal.", registry=self.registry
        )
        self.journal_moved_aside = CallbackCounter(
            _full("journal_moved_aside"),
            "Unreadable files of the journal moved aside.",
            registry=self.registry,
        )

    def _declare_catch_up(self) -> None:
        self.catch_ups = self._counter(
            "catch_ups", "Catch-ups taken on, by reason.", "reason", seen=product(CATCH_UP_REASONS)
        )
        self.catch_up_outstanding = self._gauge(
            "catch_up_outstanding_warehouses", "Warehouses that a catch-up is still to refresh."
        )
        self.lease_failures = self._counter("lease_renew_failures", "Failed attempts to renew the Lease.")

    def _declare_storage_queues(self) -> None:
        self.queue_messages = self._counter(
            "queue_messages", "Messages of Azure Storage Queues by what became of them.", "queue", "result"
        )
        self.queues_failing = self._gauge(
            "queue_failing", "1 while an Azure Storage Queue can't be read.", "queue"
        )

    # --- observers handed to the parts that count ---

    def queue(self, name: str) -> QueueObserver:
        """Return the counters of the workqueue of this name."""
        return QueueObserver(
            added=self.queue_adds.labels(name).inc,
            started=self.queue_wait.labels(name).observe,
            finished=self.queue_work.labels(name).observe,
            retried=self.queue_retries.labels(name).inc,
        )

    def api_request(self, verb: str, method: str, code: str, seconds: float) -> None:
        """Count a request to the API server that ended."""
        self.client_requests.labels(code, method).inc()
        self.client_duration.labels(verb.upper()).observe(seconds)

    def request(self, source: str, event: str, code: int, seconds: float) -> None:
        """Count an answered webhook request."""
        self.webhook_requests.labels(source, event, code).inc()
        self.webhook_duration.labels(source, event).observe(seconds)

    def matched(self, count: int) -> None:
        """Observe how many objects a delivery matched."""
        self.matched_warehouses.observe(count)

    def refreshed(self, kind: str, result: str) -> None:
        """Count a patch by its result."""
        self.refreshes.labels(kind, result).inc()

    def queue_message(self, queue: str, result: str) -> None:
        """Count a message of an Azure Storage Queue; the queues are those of the settings."""
        self.queue_messages.labels(queue, result).inc()

    def queue_failing(self, queue: str, *, failing: bool) -> None:
        """Note whether a queue can be read, and let its counters begin at 0."""
        self.queues_failing.labels(queue).set(int(failing))
        for result in ("done", "poison", "left"):
            self.queue_messages.labels(queue, result)

    def watch_restarted(self, kind: str, reason: str) -> None:
        """Count a watch that began anew."""
        self.watch_restarts.labels(kind, reason).inc()

    def quarantined(self, kind: str) -> None:
        """Count a version of an object that can't be read."""
        self.cache_quarantined.labels(kind).inc()


def read_at_scrape(gauge: Gauge, read: Callable[[], float], *labels: str) -> None:
    """Have a gauge read its value whenever it is scraped."""
    (gauge.labels(*labels) if labels else gauge).set_function(read)
