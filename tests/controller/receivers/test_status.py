"""Publishing status: written when it differs, from what is so now, and never fought over."""

import pytest

from controller.kargo.objects import PROJECT_CONFIGS
from tests.support.clock import FakeClock
from tests.support.kube import FakeKube, Request
from tests.support.publishing import SYSTEM, Publishing, azure, entry
from tests.support.secrets import LONG

OTHER = b"another-secret-of-some-length"
GITHUB = {"name": "gh", "path": "/webhooks/github/" + "0" * 64, "url": "u", "extra": {"a": [1]}}
READY = {"type": "Ready", "status": "True", "observedGeneration": 3}


@pytest.mark.parametrize("namespace", ["p", ""], ids=["ProjectConfig", "ClusterConfig"])
@pytest.mark.parametrize("secret_first", [True, False], ids=["Secret first", "config first"])
async def test_a_url_is_published(namespace: str, secret_first: bool) -> None:
    """Within 2 s of both being there, in either order, with one write when the Secret came first."""
    async with Publishing() as site:
        if secret_first:
            site.secret(namespace or SYSTEM)
            await site.run(1.0)
        site.config(namespace, azure("az"))
        if not secret_first:
            await site.run(1.0)
            site.secret(namespace or SYSTEM)
        await site.run(2.0)
        assert site.entries(namespace) == [entry(namespace, "az")]
        condition = site.condition(namespace)
        assert condition is not None
        assert (condition["status"], condition["reason"]) == ("True", "ReceiversServed")
        assert condition["lastTransitionTime"].startswith("2027-01-15T")
        if secret_first:
            assert len(site.writes()) == 1
        assert site.reasons()[-1] == "ReceiversServed"


async def test_a_secret_whose_watch_is_not_open_yet_is_waited_for() -> None:
    """Whoever has not seen a Secret change must not judge what another replica has written because of it."""
    async with Publishing() as site:
        site.settling.add(("p", "s"))
        site.secret("p")
        site.config("p", azure("az"))
        await site.run(10.0)
        assert site.writes() == []
        site.settling.clear()
        await site.run(1.0)
        assert site.entries("p") == [entry("p", "az")]


async def test_nothing_is_written_that_is_there() -> None:
    """Ten minutes of looking again and again, and a restart: not one write, and no Event."""
    async with Publishing() as site:
        site.secret("p")
        site.config("p", azure("az"))
        await site.run(2.0)
        writes, events = len(site.writes()), len(site.kube.events)
        for _ in range(60):
            site.status.changed(("p", "p"))
            await site.run(10.0, step=5.0)
        assert (len(site.writes()), len(site.kube.events)) == (writes, events)
        async with Publishing(site.kube) as restarted:
            await restarted.run(600.0, step=30.0)
        assert (len(site.writes()), len(site.kube.events)) == (writes, events)


async def test_everything_else_stays() -> None:
    """Entries of other types, Kargo's conditions, and every other field of status."""
    async with Publishing() as site:
        site.secret("p")
        status = {
            "webhookReceivers": [GITHUB],
            "conditions": [READY],
            "observedGeneration": 3,
            "x": {"y": 1},
        }
        site.config("p", {"name": "gh", "github": {}}, azure("az"), status=status)
        await site.run(2.0)
        stored = site.stored("p")
        assert stored["webhookReceivers"] == [GITHUB, entry("p", "az")]
        assert stored["conditions"][0] == READY
        assert (stored["observedGeneration"], stored["x"]) == (3, {"y": 1})
        for write in site.writes():
            assert set(write.body) == {"metadata", "status"}
            assert set(write.body["status"]) <= {"webhookReceivers", "conditions"}


async def test_a_concurrent_writer_loses_nothing() -> None:
    """What another writes between our read and our write: 409, computed again, both are there."""
    async with Publishing() as site:
        site.secret("p")
        site.config("p", {"name": "gh", "github": {}}, azure("az"))
        meddled: list[Request] = []

        def meddle(request: Request) -> None:
            if request.subresource == "status" and len(meddled) < 3:
                meddled.append(request)
                count = len(meddled)
                site.write("p", {"webhookReceivers": [GITHUB], "conditions": [READY], "count": count})

        site.kube.before = meddle
        await site.run(3.0)
        assert len(meddled) == 3
        assert site.entries("p") == [GITHUB, entry("p", "az")]
        assert READY in site.stored("p")["conditions"]
        assert site.stored("p")["count"] == 3
        assert site.writes_counted == {"conflict": 3, "written": 1}


async def test_a_new_generation_is_observed_without_an_event() -> None:
    """A change of spec that alters nothing moves ``observedGeneration`` with one write, and says no more."""
    async with Publishing() as site:
        site.secret("p")
        for generation in (1, 2):
            site.config("p", azure("az"))
            metadata = site.kube.read(PROJECT_CONFIGS, "p", "p")["metadata"]
            metadata["generation"] = generation
            await site.run()
            condition = site.condition("p")
            assert condition is not None
            assert condition["observedGeneration"] == generation
        assert len(site.writes()) == 2
        assert site.reasons() == ["ReceiversServed"]
        assert not site.writes_counted["disputed"]


async def test_a_removed_receiver_loses_its_entry() -> None:
    """And the last one takes the condition with it."""
    async with Publishing() as site:
        site.secret("p")
        site.config("p", azure("a"), azure("b"))
        await site.run()
        site.config("p", azure("b"))
        await site.run()
        assert site.entries("p") == [entry("p", "b")]
        site.config("p")
        await site.run()
        assert site.entries("p") == []
        assert site.condition("p") is None


async def test_rotation() -> None:
    """The new URL is there within 2 s; rotated back, the old one is again."""
    async with Publishing() as site:
        site.secret("p")
        site.config("p", azure("az"))
        await site.run()
        for value in (OTHER, LONG, OTHER):
            site.secret("p", value=value)
            await site.run()
            assert site.entries("p") == [entry("p", "az", value)]
        assert not site.writes_counted["disputed"]


async def test_a_replica_that_lags_never_writes_an_old_url() -> None:
    """Secrets are read live just before a write."""
    async with Publishing() as ahead, Publishing(ahead.kube, clock=ahead.clock, seed=2) as behind:
        ahead.secret("p")
        ahead.config("p", azure("az"))
        await ahead.run()
        behind.see()
        ahead.secret("p", value=OTHER)
        await ahead.run()
        writes = len(ahead.writes())
        for _ in range(5):
            behind.see_configs()  # sees the new entry, and still has the old Secret
            await ahead.clock.advance(1.0)
        assert len(ahead.writes()) == writes
        assert ahead.entries("p") == [entry("p", "az", OTHER)]
        behind.see()
        await ahead.clock.advance(1.0)
        assert len(ahead.writes()) == writes
        assert behind.writes_counted == {}


async def test_a_secret_that_is_changed_back_by_way_of_another_replica() -> None:
    """What we wrote is no dispute when we have wanted something else since, whoever wrote that."""
    async with Publishing() as one, Publishing(one.kube, clock=one.clock, seed=2) as two:
        one.secret("p")
        one.config("p", azure("az"))
        await one.run()
        one.secret("p", value=OTHER)
        await two.run()  # writes while the first does not look
        assert one.entries("p") == [entry("p", "az", OTHER)]
        await one.run()
        one.secret("p")
        await one.run()
        assert one.entries("p") == [entry("p", "az")]
        assert not one.writes_counted["disputed"]


async def test_three_replicas_write_once() -> None:
    """Without a leader: one write for one change, the rest conflicts or nothing, and one Event."""
    kube = FakeKube()
    clock = FakeClock()
    async with (
        Publishing(kube, clock=clock, seed=1) as one,
        Publishing(kube, clock=clock, seed=2) as two,
        Publishing(kube, clock=clock, seed=3) as three,
    ):
        one.secret("p")
        one.config("p", azure("az"))
        for _ in range(40):
            for replica in (one, two, three):
                replica.see()
            await clock.advance(0.05)
        counts = one.writes_counted + two.writes_counted + three.writes_counted
        assert counts["written"] == 1
        assert not counts["disputed"]
        assert one.reasons() == ["ReceiversServed"]
