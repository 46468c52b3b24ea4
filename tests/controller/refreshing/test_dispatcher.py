"""From a delivery to refreshes: what is matched, once each, and what those who come late get."""

import pytest
from structlog.testing import capture_logs

from controller.kargo.objects import Target
from controller.kargo.warehouse import Warehouse
from controller.refreshing.dispatcher import Dispatcher
from controller.refreshing.recent_deliveries import WINDOW, RecentDeliveries
from controller.refreshing.target_index import TargetIndex
from controller.repositories.keys import pull_request_key, subscription_key
from tests.support.kube import unreachable
from tests.support.refreshing import Refreshing
from webhook.arrival import Subject

IMAGE = "contoso.azurecr.io/app"
GIT = "https://dev.azure.com/contoso/proj/_git/repo"
PULL_REQUEST = "https://dev.azure.com/contoso/proj/_git/repo/pullrequest/7"


class Site(Refreshing):
    """A dispatcher before a refresher, with indexes that a test fills."""

    def __init__(self) -> None:
        super().__init__()
        self.warehouses, self.promotions = TargetIndex(), TargetIndex()
        self.recent = RecentDeliveries()
        self.silent = 0.0
        """Seconds for which the watch has given no sign of life."""
        self.refreshed: dict[Target, float] = {}
        """Unix time of the last refresh of a target."""
        self.dispatcher = Dispatcher(
            warehouses=self.warehouses,
            promotions=self.promotions,
            refresher=self.refresher,
            recent=self.recent,
            silent=lambda: self.silent,
            refreshed=lambda target: self.refreshed.get(target, 0.0),
            clock=self.clock,
        )
        self.warehouses.on_enter(self.dispatcher.entered)

    def subscribe(self, namespace: str, name: str, *subscriptions: tuple[str, str]) -> Warehouse:
        """Create a Warehouse and have its informer see it."""
        target = self.target(name, namespace)
        keys = tuple(dict.fromkeys(subscription_key(kind, url) for kind, url in subscriptions))
        found = Warehouse(target, "uid", "1", keys, 0, "", "")
        self.warehouses.added(found)
        return found

    async def send(self, receiver: str, *subjects: Subject, delivery: str = "d") -> tuple[int, list[str]]:
        """Dispatch and see it through; return how many were matched, and what was patched."""
        before = len(self.kube.requests)
        refresh = self.dispatcher.dispatch(receiver, subjects, self.clock.time(), delivery=delivery)
        await self.clock.settle()
        assert refresh.done
        assert refresh.persisted == refresh.matched
        return refresh.matched, sorted(
            f"{each.namespace}/{each.name}" for each in self.kube.requests[before:]
        )


IMAGE_PUSH, GIT_PUSH = Subject("image", IMAGE), Subject("git", GIT)


@pytest.mark.parametrize(
    ("receiver", "subject", "patched"),
    [
        pytest.param("p/az", IMAGE_PUSH, ["p/chart", "p/image"], id="an image push, image and chart"),
        pytest.param("q/az", IMAGE_PUSH, ["q/image"], id="another Project"),
        pytest.param("cluster/az", IMAGE_PUSH, ["p/chart", "p/image", "q/image"], id="all Projects"),
        pytest.param("p/az", GIT_PUSH, ["p/git"], id="a git push, by another URL of the repository"),
        pytest.param("r/az", IMAGE_PUSH, [], id="a Project without Warehouses"),
        pytest.param("project:cluster/az", IMAGE_PUSH, [], id="a Project called cluster"),
        pytest.param("p/az", Subject("image", IMAGE + "2"), [], id="another repository"),
        pytest.param("p/az", Subject("image", "\x1f\ud800 %zz"), [], id="nonsense"),
        pytest.param("p/az", Subject("git", ""), [], id="nothing"),
    ],
)
async def test_matching(receiver: str, subject: Subject, patched: list[str]) -> None:
    """A Project's receiver reaches its Project, the ClusterConfig's all; the kind does not matter."""
    async with Site() as site:
        site.subscribe("p", "image", ("image", IMAGE))
        site.subscribe("p", "chart", ("chart", f"oci://{IMAGE}"))
        site.subscribe("p", "git", ("git", "git@ssh.dev.azure.com:v3/contoso/proj/repo"))
        site.subscribe("q", "image", ("image", f"{IMAGE}:latest"))
        assert await site.send(receiver, subject) == (len(patched), patched)


async def test_a_pull_request_refreshes_promotions() -> None:
    """In the receiver's scope, and no Warehouse."""
    async with Site() as site:

        class Waiting:
            def __init__(self, target: Target) -> None:
                self.target = target
                self.keys = (pull_request_key(PULL_REQUEST),)

        site.subscribe("p", "w", ("git", GIT))
        for namespace in ("p", "q"):
            site.promotions.added(Waiting(site.target("promo", namespace, "Promotion")))
        subject = Subject("pull_request", PULL_REQUEST)
        assert await site.send("p/az", subject) == (1, ["p/promo"])
        assert await site.send("cluster/az", subject) == (2, ["p/promo", "q/promo"])
        assert await site.send("r/az", subject) == (0, [])


async def test_what_several_subjects_match_is_counted_once() -> None:
    """A Warehouse that subscribes to two repositories of a batch is refreshed, and counted, once."""
    async with Site() as site:
        site.subscribe("p", "both", ("image", IMAGE), ("git", GIT))
        site.subscribe("p", "one", ("git", GIT))
        assert await site.send("p/az", IMAGE_PUSH, GIT_PUSH, IMAGE_PUSH) == (2, ["p/both", "p/one"])
        assert await site.send("p/az") == (0, [])


@pytest.mark.parametrize("at_once", [True, False], ids=["one request for them", "a request for each"])
async def test_a_project_that_floods_delays_another_by_a_patch(at_once: bool) -> None:
    """Projects take turns, however many repositories and receivers one of them spreads its events over."""
    count = 1_000
    async with Site() as site:
        pushes = [Subject("image", f"contoso.azurecr.io/app-{number}") for number in range(count)]
        for number, push in enumerate(pushes):
            site.subscribe("p", f"w{number}", ("image", push.url))
        site.subscribe("q", "single", ("image", IMAGE))
        now = site.clock.time()
        if at_once:
            site.dispatcher.dispatch("p/az", pushes, now, delivery="flood")
        else:
            for number, push in enumerate(pushes):
                site.dispatcher.dispatch(f"p/az{number % 7}", [push], now, delivery=f"flood-{number}")
        single = site.dispatcher.dispatch("q/az", [IMAGE_PUSH], now, delivery="single")
        for _ in range(count):
            await site.clock.settle()
        assert single.persisted == 1
        names = [patch.name for patch in site.patches()]
        assert names.index("single") <= 1
        assert len(names) == count + 1


# --- late knowledge ---


@pytest.mark.parametrize(
    ("silent", "waited", "late"),
    [
        pytest.param(0.0, 1.0, True, id="a moment later"),
        pytest.param(0.0, WINDOW - 1.0, True, id="just within five minutes"),
        pytest.param(0.0, WINDOW + 1.0, False, id="after five minutes"),
        pytest.param(3600.0, WINDOW + 3500.0, True, id="after an hour without a sign of life"),
        pytest.param(3600.0, WINDOW + 3700.0, False, id="but not before that"),
    ],
)
async def test_a_warehouse_that_is_seen_late(silent: float, waited: float, late: bool) -> None:
    """It is refreshed if a delivery came in the last five minutes; longer, if the watch has been silent."""
    async with Site() as site:
        await site.send("p/az", IMAGE_PUSH)
        await site.clock.advance(waited)
        site.silent = silent
        warehouse = site.subscribe("p", "w", ("image", IMAGE))
        await site.clock.settle()
        assert (site.value(warehouse.target) is not None) is late


@pytest.mark.parametrize("jump", [3600.0, -3600.0], ids=["forward", "back"])
@pytest.mark.parametrize(("waited", "late"), [(WINDOW - 1.0, True), (WINDOW + 1.0, False)], ids=str)
async def test_a_wall_clock_that_is_set_makes_no_delivery_older(
    jump: float, waited: float, late: bool
) -> None:
    """Five minutes are five minutes of a clock that nobody sets; so is the time from event to stored."""
    async with Site() as site:
        await site.send("p/az", IMAGE_PUSH)
        site.clock.set_wall_clock_by(jump)
        await site.clock.advance(waited)
        warehouse = site.subscribe("p", "w", ("image", IMAGE))
        await site.clock.settle()
        assert (site.value(warehouse.target) is not None) is late
        assert site.metrics.lags == ([waited] if late else [])


async def test_a_subscription_that_is_seen_late() -> None:
    """A known Warehouse that enters a repository's key is refreshed too; an unchanged one is not again."""
    async with Site() as site:
        old = site.subscribe("p", "w", ("git", GIT))
        await site.send("p/az", IMAGE_PUSH)
        new = Warehouse(old.target, "uid", "2", (*old.keys, subscription_key("image", IMAGE)), 1, "", "")
        with capture_logs() as lines:
            site.warehouses.updated(old, new)
            await site.clock.settle()
        assert len(site.patches()) == 1
        assert lines == [
            {
                "event": "late_warehouse_refreshed",
                "log_level": "info",
                "receiver": "p/az",
                "namespace": "p",
                "name": "w",
            }
        ]
        site.warehouses.updated(new, new)
        await site.clock.settle()
        assert len(site.patches()) == 1


@pytest.mark.parametrize(
    ("receiver", "late"), [("p/az", False), ("q/az", True), ("cluster/az", True)], ids=str
)
async def test_late_within_the_receivers_scope(receiver: str, late: bool) -> None:
    """A delivery to another Project's receiver wakes nobody."""
    async with Site() as site:
        await site.send(receiver, IMAGE_PUSH)
        warehouse = site.subscribe("q", "w", ("image", IMAGE))
        await site.clock.settle()
        assert (site.value(warehouse.target) is not None) is late


async def test_the_latecomer_takes_nobodys_place() -> None:
    """A late Warehouse's refresh must not end the delivery that it follows, which asks for more."""
    async with Site() as site:
        site.subscribe("p", "early", ("image", IMAGE))
        site.kube.fail(unreachable)
        refresh = site.dispatcher.dispatch("p/az", [IMAGE_PUSH], site.clock.time(), delivery="d")
        await site.clock.settle()
        refresh.detach()
        site.subscribe("p", "late", ("image", IMAGE))
        await site.clock.settle()
        assert not refresh.done
        again = site.dispatcher.dispatch("p/az", [IMAGE_PUSH], site.clock.time(), delivery="e")
        assert refresh.superseded_by == ("e",)
        assert again.matched == 2
        site.kube.heal()
        await site.clock.advance(10.0)
        assert again.persisted == 2


async def test_deliveries_are_forgotten() -> None:
    """What is too old for anybody is not kept."""
    async with Site() as site:
        for number in range(100):
            await site.send("p/az", Subject("image", f"contoso.azurecr.io/app-{number}"))
        assert len(site.recent) >= 100
        await site.clock.advance(WINDOW + 1.0)
        await site.send("p/az", GIT_PUSH)
        assert len(site.recent) == 1


# --- what an earlier process finished ---


async def test_what_was_refreshed_since_a_delivery_came_is_not_refreshed_again() -> None:
    """After a restart a finished delivery asks only for Warehouses whose refresh is older than it."""
    async with Site() as site:
        now = site.clock.time()
        ages = {"since": 9.0, "at once": 10.0, "before": 10.5, "in the future": -1.0, "never": now}
        for name, age in ages.items():
            warehouse = site.subscribe("p", name, ("image", IMAGE))
            site.refreshed[warehouse.target] = now - age
        site.dispatcher.remember("p/az", (IMAGE_PUSH,), now - 10.0)
        await site.clock.settle()
        assert sorted(each.name for each in site.kube.requests) == ["before", "in the future", "never"]


async def test_a_warehouse_that_is_seen_late_after_a_restart() -> None:
    """What an earlier process finished is remembered for as long as what this one dispatches."""
    async with Site() as site:
        for name, age in (("young", WINDOW - 1.0), ("old", WINDOW + 1.0)):
            subject = Subject("image", f"contoso.azurecr.io/{name}")
            site.dispatcher.remember("p/az", (subject,), site.clock.time() - age)
            site.subscribe("p", name, ("image", subject.url))
        await site.clock.settle()
        assert [each.name for each in site.kube.requests] == ["young"]
