"""Each alert fires for what it is about, says so in words a person can use, and keeps quiet otherwise."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests.manifests.alerts.conftest import rules, run
from tests.support.manifests import ROOT

P = "kargo_azure_receiver_"
JOB = 'job="kargo-azure-receiver", namespace="kargo"'


class Case(NamedTuple):
    """Series by name and labels, each with promtool's notation of its values."""

    alert: str
    series: dict[str, str]
    minute: int
    labels: dict[str, str] | None
    """Of the alert that fires at that minute; None: none does."""
    summary: str = ""
    description: str = ""
    every: str = "1m"
    """Between two values."""


def of(name: str, labels: str = "", pod: str = "a") -> str:
    """One series of one replica."""
    return f'{name}{{{JOB}, pod="{pod}"{", " + labels if labels else ""}}}'


def ours(name: str, labels: str = "", pod: str = "a") -> str:
    return of(P + name, labels, pod)


def histogram(name: str, slow_from: str, counts: dict[str, str]) -> dict[str, str]:
    """Buckets of a histogram: ``counts`` by upper bound."""
    return {ours(f"{name}_bucket", f'le="{bound}"'): values for bound, values in counts.items()} | {
        ours(f"{name}_bucket", 'le="+Inf"'): slow_from
    }


def last_delivery(project: str, pod: str = "a") -> str:
    """The last delivery to a Project's receiver, with the labels that Prometheus gives it."""
    labels = f'exported_namespace="{project}", receiver="azure"'
    return ours("receiver_last_delivery_timestamp_seconds", labels, pod)


HOUR = 3600
WAREHOUSE = 'kind="Warehouse"'
RETRIED = ours("refresh_total", f'{WAREHOUSE}, result="retried"')
PERSISTED = ours("refresh_total", f'{WAREHOUSE}, result="persisted"')

CASES = [
    pytest.param(
        Case(
            "Down",
            {of("up"): "1 1 0x20", of("up", pod="b"): "1 0x20"},
            8,
            {"severity": "critical"},
            "No replica answers Prometheus",
            "No replica of the receiver has been scraped for 5 minutes."
            " Azure's events may be lost: ACR never retries.",
        ),
        id="down",
    ),
    pytest.param(Case("Down", {of("up"): "1x20", of("up", pod="b"): "0x20"}, 15, None), id="one-replica-up"),
    pytest.param(
        Case(
            "CacheNotSynced",
            {ours("cache_synced", WAREHOUSE): "0x20", ours("cache_synced", WAREHOUSE, "b"): "1x20"},
            6,
            {"severity": "critical", "namespace": "kargo", "kind": "Warehouse"},
            "Warehouse is not listed yet",
            "1 replica(s) wait for the first list of Warehouse. Until then they serve nothing.",
        ),
        id="cache-not-synced",
    ),
    pytest.param(
        Case("CacheNotSynced", {ours("cache_synced", WAREHOUSE): "0 0 0 1x20"}, 10, None), id="synced-in-time"
    ),
    pytest.param(
        Case(
            "WatchStale",
            {
                ours("watch_last_activity_seconds", WAREHOUSE): "0+60x20",
                ours("watch_last_activity_seconds", WAREHOUSE, "b"): "5x20",
            },
            12,
            {"severity": "critical", "namespace": "kargo", "kind": "Warehouse"},
            "The watch of Warehouse is silent",
            "A replica has heard nothing of Warehouse for 12m 0s: it serves what it knew then.",
        ),
        id="watch-stale",
    ),
    pytest.param(
        Case("WatchStale", {ours("watch_last_activity_seconds", WAREHOUSE): "0 60 120 0 60 90x20"}, 20, None),
        id="watch-alive",
    ),
    pytest.param(
        Case(
            "RefreshFailing",
            {RETRIED: "0+6x30", PERSISTED: "100x30"},
            20,
            {"severity": "critical", "namespace": "kargo", "kind": "Warehouse"},
            "Refreshes of Warehouses fail and are retried",
            "For 10 minutes at least one of ten patches of the refresh annotation has failed."
            " They are retried until they succeed.",
        ),
        id="refresh-failing",
    ),
    pytest.param(
        Case("RefreshFailing", {RETRIED: "0+1x30", PERSISTED: "0+60x30"}, 25, None), id="a-few-conflicts"
    ),
    pytest.param(
        Case("RefreshFailing", {RETRIED: "0+9x5 45x30", PERSISTED: "10x40"}, 14, None), id="a-short-outage"
    ),
    pytest.param(
        Case(
            "RefreshRejected",
            {ours("refresh_total", f'{WAREHOUSE}, result="rejected"'): "0 0 1x20"},
            5,
            {"severity": "warning", "namespace": "kargo", "kind": "Warehouse"},
            "The API server rejects refreshes of Warehouses",
            "1 refresh(es) within 15 minutes were rejected for good.",
        ),
        id="refresh-rejected",
    ),
    pytest.param(
        Case(
            "RefreshSlow",
            histogram(
                "refresh_lag_seconds", "0+100x30", {"0.1": "0+90x30", "30": "0+90x30", "60": "0+100x30"}
            ),
            20,
            {"severity": "warning", "namespace": "kargo"},
            "Refreshes come late",
            "One of a hundred refreshes takes longer than 57s from the event to the annotation.",
        ),
        id="refresh-slow",
    ),
    pytest.param(
        Case(
            "RefreshSlow",
            histogram(
                "refresh_lag_seconds", "0+1000x30", {"0.1": "0+900x30", "30": "0+995x30", "60": "0+1000x30"}
            ),
            20,
            None,
        ),
        id="one-in-two-hundred-slow",
    ),
    pytest.param(
        Case(
            "RefreshUnhandled",
            {
                ours("oldest_unhandled_refresh_seconds"): "0+60x40",
                ours("oldest_unhandled_refresh_seconds", pod="b"): "0+60x40",
                ours("unhandled_refreshes"): "3x40",
            },
            25,
            {"severity": "warning", "namespace": "kargo"},
            "Kargo does not pick up refreshes",
            "A Warehouse has asked for 25m 0s to be refreshed, and Kargo's controller has not done it.",
        ),
        id="refresh-unhandled",
    ),
    pytest.param(
        Case("RefreshUnhandled", {ours("oldest_unhandled_refresh_seconds"): "0+60x10 0+60x10"}, 19, None),
        id="refresh-handled-in-time",
    ),
    pytest.param(
        Case(
            "HandlingSlow",
            histogram("handled_lag_seconds", "0+10x60", {"300": "0+5x60", "600": "0+10x60"}),
            45,
            {"severity": "warning", "namespace": "kargo"},
            "Kargo is slow to pick up refreshes",
            "One of ten refreshes waits longer than 9m 0s for Kargo's controller.",
        ),
        id="handling-slow",
    ),
    pytest.param(
        Case(
            "JournalFailing",
            {ours("journal_failing"): "0 1x10", ours("journal_failing", pod="b"): "0x11"},
            5,
            {"severity": "critical", "namespace": "kargo"},
            "The journal can't be written",
            "What is accepted now would be lost with the process."
            " Events that can't be refreshed in time get a 503.",
        ),
        id="journal-failing",
    ),
    pytest.param(
        Case(
            "JournalGrowing",
            {ours("journal_pending"): "0 80x60", ours("journal_pending", pod="b"): "0 90x60"},
            40,
            {"severity": "warning", "namespace": "kargo"},
            "Accepted deliveries pile up",
            "For half an hour never fewer than 170 accepted deliveries were unfinished.",
        ),
        id="journal-growing",
    ),
    pytest.param(
        Case("JournalGrowing", {ours("journal_pending"): "0 5000x10 0 5000x50"}, 24, None),
        id="journal-emptied",
    ),
    pytest.param(
        Case(
            "JournalMovedAside",
            {ours("journal_moved_aside_total"): "1x10", ours("journal_moved_aside_total", pod="b"): "0x10"},
            1,
            {"severity": "warning", "namespace": "kargo", "pod": "a"},
            "A journal could not be read",
            "a began a new journal. What the old one held unfinished is not refreshed."
            " Fires until the process ends.",
        ),
        id="journal-moved-aside-at-start",
    ),
    pytest.param(
        Case("JournalMovedAside", {ours("journal_moved_aside_total"): "1 1 _ 0x10"}, 8, None),
        id="journal-well-since-restart",
    ),
    pytest.param(
        Case(
            "RequestsRejected",
            {ours("webhook_requests_total", 'source="azure-devops", event="git.push", code="400"'): "0+4x30"},
            20,
            {"severity": "warning", "namespace": "kargo", "code": "400"},
            "Requests are answered with 400",
            "60 requests within 15 minutes."
            " Azure DevOps puts a subscription on probation after such answers.",
        ),
        id="requests-rejected",
    ),
    pytest.param(
        Case(
            "RequestsRejected",
            {
                ours("webhook_requests_total", 'source="unknown", event="unknown", code="404"'): "0+90x30",
                ours("webhook_requests_total", 'source="acr", event="push", code="202"'): "0+90x30",
                ours("webhook_requests_total", 'source="unknown", event="unknown", code="503"'): "0 5x30",
            },
            25,
            None,
        ),
        id="answers-as-they-should-be",
    ),
    pytest.param(
        Case(
            "UnknownPath",
            {ours("webhook_requests_total", 'source="unknown", event="unknown", code="404"'): "0+2x60"},
            60,
            {"severity": "info", "namespace": "kargo"},
            "Requests to URLs that do not exist",
            "120 within an hour: a URL from before a Secret was changed, or somebody who guesses.",
        ),
        id="unknown-path",
    ),
    pytest.param(
        Case(
            "ReceiverFaulty",
            {
                ours("receivers", 'state="faulty"'): "2x20",
                ours("receivers", 'state="faulty"', "b"): "2x20",
                ours("receivers", 'state="served"'): "9x20",
                ours("receivers", 'state="pending"'): "1 0x20",
            },
            12,
            {"severity": "warning", "namespace": "kargo", "state": "faulty"},
            "2 receiver(s) are faulty",
            "Their URLs are not served: a Secret is missing, wrong or can't be read.",
        ),
        id="receiver-faulty",
    ),
    pytest.param(
        Case(
            "StatusNotPublished",
            {ours("status_writes_total", 'result="disputed"'): "0 1x20"},
            5,
            {"severity": "warning", "namespace": "kargo", "result": "disputed"},
            "URLs can't be published in status: disputed",
            "Users read their URL from status.webhookReceivers, which may be missing or wrong."
            " Webhooks work all the same.",
        ),
        id="status-not-published",
    ),
    pytest.param(
        Case("StatusNotPublished", {ours("status_writes_total", 'result="conflict"'): "0+9x20"}, 15, None),
        id="lost-races",
    ),
    pytest.param(
        Case(
            "ObjectsUnreadable",
            {ours("cache_quarantined_total", WAREHOUSE): "0 1x20"},
            5,
            {"severity": "warning", "namespace": "kargo", "kind": "Warehouse"},
            "A Warehouse can't be read",
            "Objects of an unexpected form were left out, and are not refreshed or served.",
        ),
        id="objects-unreadable",
    ),
    pytest.param(
        Case(
            "QueueFailing",
            {ours("queue_failing", 'queue="queue:acct/q"'): "1x20"},
            8,
            {"severity": "warning", "namespace": "kargo", "queue": "queue:acct/q"},
            "queue:acct/q can't be read",
            "Events wait in the queue; those that come by HTTP are not affected.",
        ),
        id="queue-failing",
    ),
    pytest.param(
        Case(
            "QueuePoison",
            {ours("queue_messages_total", 'queue="queue:acct/q", result="poison"'): "0x5 2x20"},
            8,
            {"severity": "warning", "namespace": "kargo", "queue": "queue:acct/q"},
            "Messages of queue:acct/q were set aside",
            "They are in its poison queue, since they can't be understood or never came to an end.",
        ),
        id="queue-poison",
    ),
    pytest.param(
        Case(
            "CertificateExpiring",
            {ours("certificate_expiry_timestamp_seconds"): f"{10 * 86400 + 7200}x120"},
            120,
            {"severity": "warning", "namespace": "kargo"},
            "The certificate is not being renewed",
            "It expires in 10d 0h 0m 0s.",
        ),
        id="certificate-expiring",
    ),
    pytest.param(
        Case(
            "CertificateExpired",
            {
                ours("certificate_expiry_timestamp_seconds"): "90000x120",
                ours("certificate_expiry_timestamp_seconds", pod="b"): f"{90 * 86400}x120",
            },
            60,
            {"severity": "critical", "namespace": "kargo"},
            "The certificate is about to expire",
            "1d 0h 0m 0s are left. After that Azure refuses to deliver.",
        ),
        id="certificate-expired",
    ),
    pytest.param(
        Case("CertificateExpired", {ours("certificate_expiry_timestamp_seconds"): "0x120"}, 60, None),
        id="no-tls",
    ),
    pytest.param(
        Case(
            "CaughtUp",
            {
                ours("catch_ups_total", 'reason="outage"'): "0 1x20",
                ours("catch_ups_total", 'reason="resumed"'): "0x20",
            },
            5,
            {"severity": "warning", "namespace": "kargo", "reason": "outage"},
            "What may have been missed is refreshed: outage",
            "No replica served for more than 30 s (outage), or one was lost with what it had accepted"
            " (replica_lost). All Warehouses concerned are refreshed once.",
        ),
        id="caught-up",
    ),
    pytest.param(
        Case("CaughtUp", {ours("catch_ups_total", 'reason="resumed"'): "0 1x20"}, 5, None), id="resumed"
    ),
    pytest.param(
        Case(
            "LeaseNotRenewed",
            {
                ours("lease_renew_failures_total"): "0+2x40",
                ours("lease_renew_failures_total", pod="b"): "0x40",
            },
            30,
            {"severity": "warning", "namespace": "kargo"},
            "Replicas can't renew their Leases",
            "Webhooks work all the same. But if a replica is lost now, or all are down, what was missed is"
            " not found out.",
        ),
        id="lease-not-renewed",
    ),
    pytest.param(
        Case("LeaseNotRenewed", {ours("lease_renew_failures_total"): "0 3 6 9x30"}, 20, None),
        id="a-short-outage-of-the-api-server",
    ),
    pytest.param(
        Case(
            "CertificateRefused",
            {ours("certificates_refused_total"): "0 1x20"},
            5,
            {"severity": "warning", "namespace": "kargo"},
            "A new certificate can't be used",
            "The old one stays in use until it expires.",
        ),
        id="certificate-refused",
    ),
    pytest.param(
        Case(
            "Silent",
            {last_delivery("shop"): f"{HOUR}x240", last_delivery("shop", "b"): f"{30 * HOUR}x240"},
            199 * 60,
            {
                "severity": "info",
                "namespace": "kargo",
                "exported_namespace": "shop",
                "receiver": "azure",
            },
            "Nothing comes to shop/azure any more",
            "The last delivery to this receiver was 7d 1h 0m 0s ago. Does Azure still call its URL?",
            "1h",
        ),
        id="silent-at-every-replica",
    ),
    pytest.param(
        Case(
            "Silent",
            {last_delivery("shop"): f"{30 * HOUR}x60", last_delivery("shop", "c"): "_x61 0x240"},
            199 * 60,
            {
                "severity": "info",
                "namespace": "kargo",
                "exported_namespace": "shop",
                "receiver": "azure",
            },
            "Nothing comes to shop/azure any more",
            "The last delivery to this receiver was 7d 1h 0m 0s ago. Does Azure still call its URL?",
            "1h",
        ),
        id="silent-and-its-pods-are-new",
    ),
    pytest.param(
        Case(
            "Silent",
            {last_delivery("shop"): f"{HOUR}x240", last_delivery("shop", "b"): f"{33 * HOUR}x240"},
            199 * 60,
            None,
            every="1h",
        ),
        id="heard-of-by-one-replica",
    ),
    pytest.param(
        Case(
            "Silent",
            {last_delivery("unused"): "0x240", last_delivery("deleted"): f"{HOUR}x150"},
            199 * 60,
            None,
            every="1h",
        ),
        id="never-used-or-gone",
    ),
]


@pytest.mark.parametrize("case", CASES)
def test_alert(case: Case, promtool: Path, rules_file: Path) -> None:
    """The alert fires as it should, once for all replicas, with words that are filled in."""
    name = f"KargoAzureReceiver{case.alert}"
    expected = []
    if case.labels is not None:
        annotations = {"summary": case.summary, "description": case.description}
        expected.append({"exp_labels": case.labels, "exp_annotations": annotations})
    test = {
        "interval": case.every,
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "alert_rule_test": [{"eval_time": f"{case.minute}m", "alertname": name, "exp_alerts": expected}],
    }
    file = rules_file.with_name("test.yaml")
    tests = {"rule_files": [rules_file.name], "evaluation_interval": case.every, "tests": [test]}
    file.write_text(yaml.safe_dump(tests))
    passed, output = run(promtool, "test", "rules", str(file))
    assert passed, output


def test_every_alert_is_tested() -> None:
    """No rule without a case in which it fires."""
    fired = {f"KargoAzureReceiver{case.values[0].alert}" for case in CASES if case.values[0].labels}  # type: ignore[union-attr]
    assert fired == {rule["alert"] for rule in rules()}


def test_promtool_finds_nothing_wrong(promtool: Path, rules_file: Path) -> None:
    """The rules are valid for a real Prometheus."""
    passed, output = run(promtool, "check", "rules", str(rules_file))
    assert passed, output


def test_every_alert_has_a_paragraph_in_the_runbook() -> None:
    """Whoever is woken by an alert finds what to look at and do, and there are no stale paragraphs."""
    text = (ROOT.parent / "docs" / "operations.md").read_text("utf-8")
    headings = {
        heading.lower() for heading in re.findall(r"^### (KargoAzureReceiver\w+)$", text, re.MULTILINE)
    }
    assert headings == {rule["alert"].lower() for rule in rules()}
