"""What a receiver's state, its status and its history are judged to be."""

from datetime import UTC, datetime

import pytest

from controller.cli.checks import receivers
from controller.cli.checks.findings import Level
from controller.cli.receivers import Receiver
from controller.kargo.objects import Config, Metadata, config_from
from controller.receivers.state import UNREADABLE_REASON, ReceiverState, State
from controller.receivers.status_plan import plan
from webhook.journal.history import Summary

BASE = "https://kargo.example.com"
SERVED = ReceiverState("az", State.SERVED, "a" * 64)


def config(state: ReceiverState, *, published: str = "", complete: bool = True) -> Config:
    """A Project's config, with the status that the receiver writes for a base URL."""
    meta = Metadata(name="shop", namespace="shop")
    spec = {"webhookReceivers": [{"name": "az", "azure": {"secretRef": {"name": "s"}}}]}
    found = config_from(meta, spec, None)
    if not published:
        return found
    planned = plan(found, [state], published)
    status = {"webhookReceivers": planned.entries}
    if complete and planned.condition:
        names = ("status", "reason", "message", "observedGeneration")
        status["conditions"] = [
            {"type": "AzureReceiversReady", **dict(zip(names, planned.condition, strict=True))}
        ]
    return config_from(meta, spec, status)


@pytest.mark.parametrize(
    ("state", "published", "level", "said"),
    [
        pytest.param(SERVED, BASE, Level.OK, "served, no second factor, status is right", id="fine"),
        pytest.param(SERVED, "", Level.WARNING, "status has no URL", id="not published"),
        pytest.param(SERVED, f"{BASE}/old", Level.WARNING, "of another base URL", id="other base URL"),
        pytest.param(
            SERVED._replace(message="too short", factors="an Authorization header"),
            BASE,
            Level.WARNING,
            "demands an Authorization header; too short",
            id="short secret",
        ),
        pytest.param(
            ReceiverState("az", State.FAULTY, message="no key"), "", Level.ERROR, "no key", id="faulty"
        ),
        pytest.param(
            ReceiverState("az", State.PENDING, reason=UNREADABLE_REASON, message="no right"),
            "",
            Level.WARNING,
            "not checked: no right",
            id="unreadable",
        ),
    ],
)
def test_one_receiver(state: ReceiverState, published: str, level: Level, said: str) -> None:
    """One line, which never holds its path."""
    held = config(state, published=published)
    (found,) = receivers.judge([held], [Receiver(held, state, None)], BASE)
    assert (found.subject, found.level) == ("shop/az", level)
    assert said in found.text
    assert "a" * 64 not in "".join(map(str, found))


def test_a_condition_that_is_not_as_computed() -> None:
    """Another fault than a wrong URL."""
    held = config(SERVED, published=BASE, complete=False)
    right, condition = receivers.judge([held], [Receiver(held, SERVED, None)], BASE)
    assert (right.level, condition.level) == (Level.OK, Level.WARNING)
    assert "AzureReceiversReady" in condition.text


def test_no_receivers_is_a_warning() -> None:
    """There is nothing to call."""
    assert [each.level for each in receivers.judge([], [], BASE)] == [Level.WARNING]


def test_what_came_last() -> None:
    """From the history, or where it is to be found."""
    came = {"shop/az": Summary(datetime.fromtimestamp(0.0, UTC), 200, "refreshed", last_event="push")}
    assert (
        receivers.judge_last("shop/az", came).text
        == "last delivery 1970-01-01T00:00:00.000Z: push, refreshed, answered 200"
    )
    assert "nothing came" in receivers.judge_last("shop/other", came).text
    (elsewhere,) = receivers.last_deliveries([], "")
    assert (elsewhere.level, elsewhere.text) == (Level.SKIPPED, "each replica's history is in its Pod")
    assert receivers.last_deliveries([], "/nowhere")[0].level is Level.WARNING
