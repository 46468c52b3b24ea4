"""Asking whether a right is missing: seldom, once for all who ask, and told once."""

import asyncio

import pytest
from structlog.testing import capture_logs

from controller.cluster.access import (
    FORGOTTEN,
    KEPT,
    REMEMBERED,
    REMEMBERED_GRANT,
    AccessReviewer,
)
from controller.kargo.objects import CLUSTER_CONFIGS, SECRETS, WAREHOUSES
from tests.support.clock import FakeClock
from tests.support.kube import FakeKube, refused


def asked(kube: FakeKube) -> list[dict[str, str]]:
    return [request.body["spec"]["resourceAttributes"] for request in kube.made("create")]


async def test_the_question() -> None:
    """Verb, group, resource, subresource and namespace are those of the request that was refused."""
    kube = FakeKube()
    access = AccessReviewer(kube, FakeClock())
    kube.denied = {("patch", "warehouses")}
    assert await access.allowed("patch", WAREHOUSES, "p") is False
    assert await access.allowed("patch", CLUSTER_CONFIGS, "", "status") is True
    assert await access.allowed("list", SECRETS, "q") is True
    group = "kargo.akuity.io"
    assert asked(kube) == [
        {"verb": "patch", "group": group, "resource": "warehouses", "namespace": "p"},
        {"verb": "patch", "group": group, "resource": "clusterconfigs", "subresource": "status"},
        {"verb": "list", "group": "", "resource": "secrets", "namespace": "q"},
    ]
    (body,) = {(each.body["apiVersion"], each.body["kind"]) for each in kube.made("create")}
    assert body == ("authorization.k8s.io/v1", "SelfSubjectAccessReview")


async def test_many_ask_once() -> None:
    """Ten thousand refused Warehouses are one question, also at the same moment, and one line."""
    kube = FakeKube()
    access = AccessReviewer(kube, FakeClock())
    kube.denied = {("patch", "warehouses")}
    with capture_logs() as lines:
        answers = await asyncio.gather(*(access.allowed("patch", WAREHOUSES, "p") for _ in range(200)))
        answers.append(await access.allowed("patch", WAREHOUSES, "p"))
    assert set(answers) == {False}
    assert len(asked(kube)) == 1
    assert [line["event"] for line in lines] == ["right_missing"]


@pytest.mark.parametrize(
    ("denied", "seconds"), [(True, REMEMBERED), (False, REMEMBERED_GRANT)], ids=["no", "yes"]
)
async def test_an_answer_is_kept_for_a_while(denied: bool, seconds: float) -> None:
    """Within that time nobody asks again, after it somebody does."""
    kube, clock = FakeKube(), FakeClock()
    access = AccessReviewer(kube, clock)
    kube.denied = {("patch", "warehouses")} if denied else set()
    await access.allowed("patch", WAREHOUSES, "p")
    await clock.advance(seconds - 0.1)
    await access.allowed("patch", WAREHOUSES, "p")
    assert len(asked(kube)) == 1
    await clock.advance(0.2)
    await access.allowed("patch", WAREHOUSES, "p")
    assert len(asked(kube)) == 2


async def test_no_answer_is_not_kept() -> None:
    """When the API server could not be asked, nothing is known, and the next asks again."""
    kube = FakeKube()
    access = AccessReviewer(kube, FakeClock())
    for failure in (refused(403), refused(500)):
        kube.fail(failure, times=1)
        with capture_logs() as lines:
            assert await access.allowed("patch", WAREHOUSES, "p") is None
        assert lines == []
    assert await access.allowed("patch", WAREHOUSES, "p") is True


async def test_a_right_that_is_lost_again_is_told_again() -> None:
    """Told once while it lasts; a request that was let through, or a yes, ends that."""
    kube, clock = FakeKube(), FakeClock()
    access = AccessReviewer(kube, clock)
    kube.denied = {("patch", "warehouses")}
    with capture_logs() as lines:
        for _ in range(3):
            await access.allowed("patch", WAREHOUSES, "p")
            await clock.advance(REMEMBERED + 1.0)
        assert len(lines) == 1
        access.granted("patch", WAREHOUSES, "p")
        await access.allowed("patch", WAREHOUSES, "p")
        assert len(lines) == 2
        await access.allowed("patch", WAREHOUSES, "q")
    assert [line["namespace"] for line in lines] == ["p", "p", "q"]


async def test_a_waiter_that_is_cancelled_harms_nobody() -> None:
    """The others still get their answer."""
    kube = FakeKube()
    access = AccessReviewer(kube, FakeClock())
    gone, there = (asyncio.create_task(access.allowed("patch", WAREHOUSES, "p")) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    assert await there is True
    assert len(asked(kube)) == 1


async def test_many_namespaces_are_not_remembered_for_good() -> None:
    """Old answers, and reports about namespaces that nobody asks about any more, make room."""
    kube, clock = FakeKube(), FakeClock()
    access = AccessReviewer(kube, clock)
    kube.denied = {("patch", "warehouses")}
    with capture_logs() as lines:
        for number in range(KEPT + 2):
            await access.allowed("patch", WAREHOUSES, f"p{number}")
        await clock.advance(FORGOTTEN + 1.0)
        await access.allowed("patch", WAREHOUSES, "another")
        assert len(lines) == KEPT + 3
        for _ in range(3):
            await clock.advance(REMEMBERED + 1.0)
            await access.allowed("patch", WAREHOUSES, "another")
        assert len(lines) == KEPT + 3
        await access.allowed("patch", WAREHOUSES, "p0")
        assert len(lines) == KEPT + 4
