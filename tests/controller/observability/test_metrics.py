"""Metrics: the names that dashboards rely on, and labels that nobody can blow up."""

import re
from dataclasses import dataclass
from types import SimpleNamespace
from typing import cast

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from controller.application.gauges import export_certificate, export_journal
from controller.observability import metrics
from controller.observability.callback_counter import CallbackCounter
from controller.observability.metrics import PREFIX, Metrics, read_at_scrape
from webhook.http.tls import Certificate
from webhook.journal.journal import Journal

NAMES = {
    **{
        f"workqueue_{name}": {"name"}
        for name in (
            "depth",
            "adds_total",
            "queue_duration_seconds",
            "work_duration_seconds",
            "retries_total",
            "unfinished_work_seconds",
            "longest_running_processor_seconds",
        )
    },
    "rest_client_requests_total": {"code", "method"},
    "rest_client_request_duration_seconds": {"verb"},
    f"{PREFIX}_webhook_requests_total": {"source", "event", "code"},
    f"{PREFIX}_webhook_request_duration_seconds": {"source", "event"},
    f"{PREFIX}_refresh_total": {"kind", "result"},
    f"{PREFIX}_refresh_lag_seconds": set(),
    f"{PREFIX}_handled_lag_seconds": set(),
    f"{PREFIX}_unhandled_refreshes": set(),
    f"{PREFIX}_oldest_unhandled_refresh_seconds": set(),
    f"{PREFIX}_matched_warehouses": set(),
    f"{PREFIX}_cache_objects": {"kind"},
    f"{PREFIX}_cache_synced": {"kind"},
    f"{PREFIX}_watch_last_activity_seconds": {"kind"},
    f"{PREFIX}_watch_restarts_total": {"kind", "reason"},
    f"{PREFIX}_index_urls": set(),
    f"{PREFIX}_receivers": {"state"},
    f"{PREFIX}_receiver_last_delivery_timestamp_seconds": {"namespace", "receiver"},
    f"{PREFIX}_journal_pending": set(),
    f"{PREFIX}_journal_failing": set(),
    f"{PREFIX}_journal_write_failures_total": set(),
    f"{PREFIX}_journal_moved_aside_total": set(),
    f"{PREFIX}_build_info": {"version"},
}
"""Every metric that the README promises, by name, with its labels."""
HISTOGRAMS = {
    name for name in NAMES if name.endswith(("duration_seconds", "lag_seconds", "matched_warehouses"))
}


def used() -> Metrics:
    """Return metrics of which each was counted once."""
    found = Metrics(CollectorRegistry(), version="1.2.3")
    queue = found.queue("refresh")
    queue.added()
    queue.started(0.1)
    queue.finished(0.2)
    queue.retried()
    for gauge in (found.queue_depth, found.queue_unfinished, found.queue_longest):
        read_at_scrape(gauge, lambda: 1.0, "refresh")
    found.api_request("patch", "PATCH", "200", 0.1)
    found.request("acr", "push", 200, 0.1)
    found.matched(3)
    found.refreshed("Warehouse", "persisted")
    found.refresh_lag.observe(1.0)
    found.handled_lag.observe(1.0)
    found.status_writes.labels("written").inc()
    found.watch_restarted("Warehouse", "expired")
    found.quarantined("Warehouse")
    for gauge in (found.cache_objects, found.cache_synced, found.watch_activity):
        read_at_scrape(gauge, lambda: 1.0, "Warehouse")
    read_at_scrape(found.receivers, lambda: 1.0, "served")
    found.last_deliveries.labels("kargo-demo", "azure").set(1.0)
    return found


def scraped(found: Metrics) -> dict[str, list[dict[str, str]]]:
    """Return the samples of a scrape: name -> labels of each."""
    samples: dict[str, list[dict[str, str]]] = {}
    for line in generate_latest(found.registry).decode().splitlines():
        if not line.startswith("#"):
            name, labels = re.match(r"(\w+)(?:{(.*)})? ", line).groups()  # type: ignore[union-attr]
            samples.setdefault(name, []).append(dict(re.findall(r'(\w+)="([^"]*)"', labels or "")))
    return samples


@pytest.mark.parametrize("name", sorted(NAMES))
def test_names(name: str) -> None:
    """A scrape has every metric of the manual, under its name, with its labels and no others."""
    samples = scraped(used())
    parts = [f"{name}_bucket", f"{name}_sum", f"{name}_count"] if name in HISTOGRAMS else [name]
    for part in parts:
        assert part in samples
        for labels in samples[part]:
            assert set(labels) - {"le"} == NAMES[name]


def test_bounds_show_both_timeouts() -> None:
    """What took longer than the reply timeout (4 s), or than ACR waits (5 s), can be read off."""
    buckets = scraped(used())[f"{PREFIX}_webhook_request_duration_seconds_bucket"]
    assert {"4.0", "5.0"} <= {labels["le"] for labels in buckets}


def test_rates_begin_at_zero() -> None:
    """What is known beforehand is there before it is counted: the first failure is a rise."""
    samples = scraped(Metrics(CollectorRegistry(), version="1"))
    refreshes = {(labels["kind"], labels["result"]) for labels in samples[f"{PREFIX}_refresh_total"]}
    assert refreshes == {
        (kind, result)
        for kind in ("Warehouse", "Promotion")
        for result in ("persisted", "rejected", "gone", "retried")
    }
    verbs = {labels["verb"] for labels in samples["rest_client_request_duration_seconds_count"]}
    assert verbs == {"LIST", "WATCH", "GET", "PATCH", "CREATE", "DELETE"}
    assert {labels["result"] for labels in samples[f"{PREFIX}_status_writes_total"]} == {
        "written",
        "conflict",
        "refused",
        "disputed",
    }


def test_labels_are_bounded() -> None:
    """No label could hold a URL, a path, a repository or an object's name, but for a receiver's."""
    names = {label for samples in scraped(used()).values() for labels in samples for label in labels}
    assert names == {
        *("name", "code", "method", "verb", "source", "event", "kind", "result", "reason", "state"),
        *("version", "le", "namespace", "receiver"),
    }
    series = sum(len(samples) for samples in scraped(used()).values())
    assert series < 400


def test_counting() -> None:
    """What is counted is what a scrape shows."""
    found = used()
    value = found.registry.get_sample_value
    assert value("workqueue_adds_total", {"name": "refresh"}) == 1
    assert value("workqueue_queue_duration_seconds_sum", {"name": "refresh"}) == 0.1
    assert value("workqueue_work_duration_seconds_sum", {"name": "refresh"}) == 0.2
    assert value("workqueue_retries_total", {"name": "refresh"}) == 1
    assert value("rest_client_requests_total", {"code": "200", "method": "PATCH"}) == 1
    assert value("rest_client_request_duration_seconds_count", {"verb": "PATCH"}) == 1
    labels = {"source": "acr", "event": "push", "code": "200"}
    assert value(f"{PREFIX}_webhook_requests_total", labels) == 1
    assert value(f"{PREFIX}_matched_warehouses_sum") == 3
    assert value(f"{PREFIX}_refresh_total", {"kind": "Warehouse", "result": "persisted"}) == 1
    assert value(f"{PREFIX}_cache_synced", {"kind": "Warehouse"}) == 1
    assert value(f"{PREFIX}_build_info", {"version": "1.2.3"}) == 1


def test_the_certificate_is_seen() -> None:
    """Its end is a gauge, and new files that could not be used are a counter."""
    found = Metrics(CollectorRegistry(), version="1")
    value = found.registry.get_sample_value
    assert value(f"{PREFIX}_certificate_expiry_timestamp_seconds") == 0
    assert value(f"{PREFIX}_certificates_refused_total") == 0
    certificate = SimpleNamespace(expires=5e9, refused=0)
    export_certificate(found, cast("Certificate", certificate))
    certificate.refused += 1
    assert value(f"{PREFIX}_certificate_expiry_timestamp_seconds") == 5e9
    assert value(f"{PREFIX}_certificates_refused_total") == 1


def test_gauges_are_read_when_scraped() -> None:
    """A gauge shows what is so now, not what was so when somebody last thought of it."""
    found = Metrics(CollectorRegistry(), version="1")
    depth = [1.0, 7.0]
    read_at_scrape(found.queue_depth, lambda: depth.pop(), "refresh")
    value = found.registry.get_sample_value
    assert [value("workqueue_depth", {"name": "refresh"}) for _ in range(2)] == [7.0, 1.0]


@dataclass
class FakeJournal:
    """What is measured of a journal."""

    pending: int = 0
    failing: bool = False
    failures: int = 0
    moved_aside: int = 0


def test_the_journals_faults_are_counted() -> None:
    """How often writing failed, and files that were moved aside, are counters: alerts take their rise."""
    found, journal = Metrics(CollectorRegistry(), version="1"), FakeJournal()
    names = [f"{PREFIX}_journal_{name}_total" for name in ("write_failures", "moved_aside")]
    value = found.registry.get_sample_value
    assert [value(name) for name in names] == [0, 0]
    export_journal(found, cast("Journal", journal))
    journal.failures, journal.moved_aside = 3, 1
    assert [value(name) for name in names] == [3, 1]
    types = [
        line.split()[2:] for line in generate_latest(found.registry).decode().splitlines() if "TYPE" in line
    ]
    assert {tuple(line) for line in types} >= {(name, "counter") for name in names}


def test_a_counter_read_at_scrape_has_its_name_for_itself() -> None:
    """A second metric of the name is refused at start, not found in a broken scrape."""
    registry = CollectorRegistry()
    CallbackCounter("x", "X.", registry=registry)
    with pytest.raises(ValueError, match="Duplicated"):
        CallbackCounter("x", "X.", registry=registry)


def test_two_processes_worth_of_metrics_do_not_meet() -> None:
    """Each has a registry of its own, as tests and embedding need it."""
    assert metrics.Metrics(CollectorRegistry(), version="1").registry is not used().registry
