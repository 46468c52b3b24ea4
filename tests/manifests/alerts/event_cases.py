"""When an alert about events, their refreshes and their way in fires, and when not."""

import pytest

from tests.manifests.alerts.series import (
    HOUR,
    PERSISTED,
    RETRIED,
    WAREHOUSE,
    Case,
    histogram,
    last_delivery,
    ours,
)

CASES = [
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
