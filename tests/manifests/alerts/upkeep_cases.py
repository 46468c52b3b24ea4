"""When an alert about the receiver itself fires, and when not: its replicas, caches, status, certificate."""

import pytest

from tests.manifests.alerts.series import WAREHOUSE, Case, of, ours

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
]
