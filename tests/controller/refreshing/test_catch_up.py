"""Whom a catch-up refreshes, and at what pace."""

import asyncio
from collections.abc import Iterator

import pytest

from controller.cluster.replicas import Job
from controller.kargo.objects import Target
from controller.kargo.warehouse import Warehouse
from controller.receivers.index import ConfigKey
from controller.receivers.state import ReceiverState, State
from controller.refreshing.catch_up import CatchUp
from controller.repositories.keys import is_azure, subscription_key
from controller.runtime.informer.store import Store
from tests.support.kube import unreachable
from tests.support.refreshing import Refreshing

IMAGE = ("image", "contoso.azurecr.io/app")


class Receivers:
    """Receivers by namespace and state, as the index yields them."""

    def __init__(self) -> None:
        self.states: list[tuple[ConfigKey, ReceiverState]] = []

    def add(self, namespace: str, state: State = State.SERVED) -> None:
        self.states.append(((namespace, namespace or "cluster"), ReceiverState("azure", state)))

    def all_states(self) -> Iterator[tuple[ConfigKey, ReceiverState]]:
        return iter(self.states)


class Site(Refreshing):
    """A catch-up before a refresher, with Warehouses that a test makes."""

    def __init__(self, rate: float = 20.0) -> None:
        super().__init__()
        self.store: Store[Warehouse] = Store()
        self.receivers = Receivers()
        self.recorded: list[int] = []
        self.catch_up = CatchUp(
            warehouses=self.store,
            receivers=self.receivers,  # type: ignore[arg-type]
            refresher=self.refresher,
            refreshed=self.refreshed,
            clock=self.clock,
            rate=rate,
            record=lambda job, count: self.recorded.append(count),
        )
        self.job = Job("outage", self.clock.time() - 100.0, self.clock.time())

    def refreshed(self, target: Target) -> float:
        found = self.store.get(target.namespace, target.name)
        return 0.0 if found is None else found.refreshed

    def add(self, name: str, *subscriptions: tuple[str, str], namespace: str = "p", at: float = 0.0) -> None:
        keys = tuple(subscription_key(kind, url) for kind, url in subscriptions)
        target = self.target(name, namespace)
        self.store.put(Warehouse(target, f"uid-{name}", "1", keys, 0, "", "", refreshed=at))

    def names(self) -> list[str]:
        return [each.name for each in self.patches()]


async def made(site: Site, seconds: float = 60.0) -> None:
    """Make the catch-up to its end, within so many seconds."""
    running = asyncio.create_task(site.catch_up.make(site.job))
    await site.clock.advance(seconds)
    assert running.done()
    await running
    assert site.catch_up.outstanding == 0


@pytest.mark.parametrize(
    ("kind", "url", "expected"),
    [
        pytest.param("image", "contoso.azurecr.io/app:v1", True, id="acr"),
        pytest.param("image", "Contoso.azurecr.cn/app", True, id="sovereign"),
        pytest.param("image", "contoso.westeurope.geo.azurecr.io/app", True, id="regional"),
        pytest.param("chart", "oci://contoso.azurecr.io/charts/app", True, id="chart"),
        pytest.param("chart", "https://contoso.azurecr.io/helm/v1/repo", True, id="chart over HTTPS"),
        pytest.param("git", "https://dev.azure.com/o/p/_git/r", True, id="dev.azure.com"),
        pytest.param("git", "https://o@dev.azure.com/o/p/_git/r", True, id="with a user"),
        pytest.param("git", "git@ssh.dev.azure.com:v3/o/p/r", True, id="ssh"),
        pytest.param("git", "https://o.visualstudio.com/p/_git/r", True, id="visualstudio.com"),
        pytest.param("git", "o@vs-ssh.visualstudio.com:v3/o/p/r", True, id="the old ssh"),
        pytest.param("git", "https://dev.azure.com/o/p/_git/r?version=GBmain", True, id="with a query"),
        pytest.param("git", "https://tfs.example.com:8080/tfs/c/p/_git/r", True, id="Server"),
        pytest.param("git", "ssh://tfs.example.com:22/c/p/_git/r", True, id="Server by ssh"),
        pytest.param("git", "https://github.com/azure/dev.azure.com", False, id="a name in a path"),
        pytest.param("image", "ghcr.io/azurecr.io/app", False, id="a registry's name in a path"),
        pytest.param("image", "nginx", False, id="Docker Hub"),
        pytest.param("image", "myazurecr.io/app", False, id="no registry of ACR"),
    ],
)
def test_what_is_in_azure(kind: str, url: str, expected: bool) -> None:
    """ACR in every cloud, Azure DevOps in any form, Azure DevOps Server; nothing else."""
    assert is_azure(subscription_key(kind, url)) is expected


async def test_whom() -> None:
    """What a served receiver covers and what is in Azure, unless it was refreshed since."""
    site = Site()
    site.receivers.add("p")
    site.receivers.add("q", State.FAULTY)
    now = site.clock.time()
    site.add("wanted", IMAGE)
    site.add("one of several", ("image", "nginx"), ("git", "https://dev.azure.com/o/p/_git/r"))
    site.add("elsewhere", ("image", "ghcr.io/team/app"))
    site.add("not served", IMAGE, namespace="q")
    site.add("refreshed since", IMAGE, at=now)
    site.add("refreshed before", IMAGE, at=now - 1.0)
    site.add("dated in the future", IMAGE, at=now + 1e6)
    async with site:
        await made(site)
    assert sorted(site.names()) == ["dated in the future", "one of several", "refreshed before", "wanted"]
    assert site.recorded == [4]


async def test_cluster_config_covers_all() -> None:
    """Its receivers match Warehouses of every Project."""
    site = Site()
    site.receivers.add("")
    site.add("a", IMAGE, namespace="p")
    site.add("b", IMAGE, namespace="q")
    async with site:
        await made(site)
    assert sorted(site.names()) == ["a", "b"]


async def test_the_pace() -> None:
    """So many a second and no more; the metric shows what is left."""
    site = Site(rate=10.0)
    site.receivers.add("")
    for number in range(100):
        site.add(f"w-{number}", IMAGE)
    async with site:
        running = asyncio.create_task(site.catch_up.make(site.job))
        await site.clock.advance(5.0)
        assert len(site.names()) == pytest.approx(50, abs=1)
        assert site.catch_up.outstanding == pytest.approx(50, abs=1)
        await site.clock.advance(6.0)
        assert running.done()
    assert len(site.names()) == len(set(site.names())) == 100


async def test_an_event_is_enough() -> None:
    """A Warehouse that is refreshed while the catch-up is under way is not refreshed again by it."""
    site = Site(rate=1.0)
    site.receivers.add("")
    for name in ("a", "b", "c"):
        site.add(name, IMAGE)
    async with site:
        running = asyncio.create_task(site.catch_up.make(site.job))
        await site.clock.advance(1.0)
        site.add("c", IMAGE, at=site.clock.time())
        await site.clock.advance(5.0)
        assert running.done()
    assert site.names() == ["a", "b"]


async def test_an_api_server_that_is_away_is_no_cause_of_a_storm() -> None:
    """What waits for its return is what was asked for in two seconds, and a little more every 30 s."""
    site = Site(rate=20.0)
    site.receivers.add("")
    for number in range(1000):
        site.add(f"w-{number}", IMAGE)
    site.kube.fail(unreachable, verb="patch")
    async with site:
        running = asyncio.create_task(site.catch_up.make(site.job))
        await site.clock.advance(59.0)
        assert len(set(site.names())) <= 80
        site.kube.heal()
        await site.clock.advance(60.0)
        assert running.done()
    assert len(set(site.names())) == 1000


async def test_one_that_always_fails_does_not_hold_up_the_others() -> None:
    """It stays outstanding, and all others are refreshed."""
    site = Site()
    site.receivers.add("")
    for number in range(200):
        site.add(f"w-{number}", IMAGE)
    site.kube.fail(unreachable, verb="patch", name="w-7")
    async with site:
        running = asyncio.create_task(site.catch_up.make(site.job))
        await site.clock.advance(15.0)
        assert not running.done()
        assert site.catch_up.outstanding == 1
        running.cancel()
        await site.clock.settle()
    assert site.catch_up.outstanding == 0
