"""Kubernetes Events: what they say, how often, and that they never hold anything up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from controller.cluster.events import (
    MESSAGE_LIMIT,
    NORMAL,
    PAUSE,
    QUEUE_LIMIT,
    REPEAT_AFTER,
    WARNING,
    EventRecorder,
)
from tests.support.clock import FakeClock
from tests.support.kube import FakeKube, refused, unreachable


@asynccontextmanager
async def recording(kube: FakeKube, clock: FakeClock) -> AsyncIterator[EventRecorder]:
    """Run a recorder."""
    recorder = EventRecorder(kube, clock)
    task = asyncio.create_task(recorder.run())
    try:
        yield recorder
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def warn(
    recorder: EventRecorder,
    name: str = "w",
    message: str = "m",
    *,
    namespace: str = "p",
    repeat: bool = False,
) -> None:
    recorder.emit(WARNING, "Warehouse", namespace, name, "Refused", message, "uid-1", repeat=repeat)


async def test_an_event() -> None:
    """``kubectl describe`` finds it by the object it is about."""
    kube, clock = FakeKube(), FakeClock()
    async with recording(kube, clock) as recorder:
        warn(recorder)
        await clock.settle()
    (event,) = kube.events
    assert event["involvedObject"] == {
        "apiVersion": "kargo.akuity.io/v1alpha1",
        "kind": "Warehouse",
        "namespace": "p",
        "name": "w",
        "uid": "uid-1",
    }
    assert (event["type"], event["reason"], event["message"]) == ("Warning", "Refused", "m")
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2027-01-15T08:00:00Z"
    assert event["source"] == {"component": "kargo-azure-receiver"}
    assert kube.made("create")[0].namespace == "p"


async def test_about_the_cluster_config() -> None:
    """Events about what has no namespace live in ``default``."""
    kube, clock = FakeKube(), FakeClock()
    async with recording(kube, clock) as recorder:
        recorder.emit(NORMAL, "ClusterConfig", "", "cluster", "Served", "m")
        await clock.settle()
    assert kube.made("create")[0].namespace == "default"
    assert kube.events[0]["type"] == "Normal"
    assert "namespace" not in kube.events[0]["involvedObject"]


async def test_the_same_is_not_said_again_soon() -> None:
    """Unless it is meant to be; another object, or another message, is another Event."""
    kube, clock = FakeKube(), FakeClock()
    async with recording(kube, clock) as recorder:
        for _ in range(3):
            warn(recorder)
        warn(recorder, name="x")
        warn(recorder, message="n")
        await clock.advance(1.0)
        assert len(kube.events) == 3
        warn(recorder, repeat=True)
        await clock.advance(1.0)
        assert len(kube.events) == 4
        await clock.advance(REPEAT_AFTER)
        warn(recorder)
        await clock.advance(1.0)
        assert len(kube.events) == 5
    assert len({event["metadata"]["name"] for event in kube.events}) == 5


async def test_their_rate_is_bounded() -> None:
    """Ten thousand at once are sent one by one, and what is too many is dropped, with a line."""
    kube, clock = FakeKube(), FakeClock()
    async with recording(kube, clock) as recorder:
        with capture_logs() as lines:
            for number in range(QUEUE_LIMIT + 5):
                warn(recorder, name=f"w{number}")
        assert [line["event"] for line in lines] == ["event_dropped"] * 5
        await clock.advance(PAUSE * 10)
        assert 9 <= len(kube.events) <= 11


async def test_one_projects_flood_displaces_and_delays_nobody_elses() -> None:
    """A thousand rejected Warehouses of one Project: another's Event is the next to be sent."""
    kube, clock = FakeKube(), FakeClock()
    async with recording(kube, clock) as recorder:
        for number in range(1_000):
            warn(recorder, name=f"w{number}")
        with capture_logs() as lines:
            for namespace in ("q", "r"):
                warn(recorder, namespace=namespace)
        assert lines == []
        await clock.advance(PAUSE * 2)
        sent = [request.namespace for request in kube.made("create")]
        assert sent == ["p", "q", "r"]
        await clock.advance(PAUSE * QUEUE_LIMIT)
        assert len(kube.events) == QUEUE_LIMIT + 2


async def test_a_namespace_that_is_being_deleted_is_no_missing_right() -> None:
    """The API server answers 403 there, whatever the rights; elsewhere 403 means what it says."""
    kube, clock = FakeKube(), FakeClock()
    async with recording(kube, clock) as recorder:
        kube.fail(refused(403, causes=("NamespaceTerminating",)), namespace="going")
        kube.fail(refused(403), namespace="p")
        with capture_logs() as lines:
            warn(recorder, namespace="going")
            await clock.advance(1.0)
            assert lines == []
            warn(recorder)
            await clock.advance(1.0)
        assert [line["event"] for line in lines] == ["right_missing"]


async def test_long_messages_and_names_fit() -> None:
    """The API server takes 1,024 characters of message and 253 of name."""
    kube, clock = FakeKube(), FakeClock()
    async with recording(kube, clock) as recorder:
        warn(recorder, name="w" * 253, message="ü" * 5000)
        await clock.settle()
    (event,) = kube.events
    assert len(event["message"]) == MESSAGE_LIMIT
    assert event["message"].endswith("…")
    assert len(event["metadata"]["name"]) <= 253
    assert event["involvedObject"]["name"] == "w" * 253


async def test_a_missing_right_is_told_once() -> None:
    """Verb, resource and namespace; told anew when it had been there meanwhile."""
    kube, clock = FakeKube(), FakeClock()
    async with recording(kube, clock) as recorder:
        with capture_logs() as lines:
            kube.fail(refused(403))
            for number in range(5):
                warn(recorder, name=f"w{number}")
            await clock.advance(1.0)
            assert lines == [
                {
                    "event": "right_missing",
                    "log_level": "error",
                    "verb": "create",
                    "resource": "events",
                    "namespace": "p",
                }
            ]
            kube.heal()
            warn(recorder, name="fine")
            await clock.advance(1.0)
            kube.fail(refused(403))
            warn(recorder, name="again")
            await clock.advance(1.0)
            assert len(lines) == 2


@pytest.mark.parametrize("failure", [refused(500), refused(422), refused(404), unreachable])
async def test_a_failure_ends_nothing(failure: object) -> None:
    """An Event that can't be sent is a line in the log; the next one is sent."""
    kube, clock = FakeKube(), FakeClock()
    async with recording(kube, clock) as recorder:
        kube.fail(failure, times=1)  # type: ignore[arg-type]
        with capture_logs() as lines:
            warn(recorder)
            warn(recorder, name="next")
            await clock.advance(1.0)
    assert [line["event"] for line in lines] == ["event_not_sent"]
    assert [event["involvedObject"]["name"] for event in kube.events] == ["next"]
