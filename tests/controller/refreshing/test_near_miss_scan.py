"""The look through an index for near misses: what it finds, and that it leaves the event loop to others."""

import asyncio
import re
from collections.abc import Sequence

from controller.kargo.objects import Target
from controller.kargo.warehouse import UNREADABLE, Warehouse
from controller.refreshing.near_miss_scan import (
    LONGEST_SCAN,
    MOST_REPOSITORIES,
    PAUSE_SECONDS,
    SLICE_SECONDS,
    Found,
    NearMissScan,
)
from controller.refreshing.near_misses import MOST_NEAR_MISSES, Kind
from controller.refreshing.target_index import TargetIndex
from controller.repositories.keys import subscription_key
from tests.support.clock import FakeClock

APP = ("image", "contoso.azurecr.io/shop/app")
KEY = subscription_key(*APP)


class BusyClock(FakeClock):
    """A clock by which looking at one key takes some time."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def monotonic(self) -> float:
        self._now += self._seconds
        return self._now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._now += seconds
        await asyncio.sleep(0)


def index(*held: tuple[str, str, str]) -> TargetIndex:
    """Return an index of Warehouses: namespace, name and key."""
    filled = TargetIndex()
    for namespace, name, key in held:
        filled.added(Warehouse(Target("Warehouse", namespace, name), "uid", "1", (key,), 0, "", ""))
    return filled


def names(found: Found | None) -> list[tuple[Kind, str]]:
    assert found is not None
    return [(each.kind, f"{each.target.namespace}/{each.target.name}") for each in found.near_misses]


async def look(
    held: TargetIndex, *subjects: tuple[str, str], receiver: str = "p/azure", clock: FakeClock | None = None
) -> Found | None:
    """Look for near misses of an event, to the end."""
    return await NearMissScan(held, clock or BusyClock(0.0)).scan(receiver, subjects or (APP,))


async def test_each_kind_the_best_first() -> None:
    """The same repository elsewhere, then what is like it inside the scope, then what can't be read."""
    held = index(
        ("p", "odd", UNREADABLE),
        ("q", "not-ours-and-odd", UNREADABLE),
        ("p", "other-registry", subscription_key("image", "fabrikam.azurecr.io/shop/app")),
        ("p", "as-git", subscription_key("git", "https://contoso.azurecr.io/shop/app")),
        ("q", "elsewhere", KEY),
        ("q", "not-ours", subscription_key("image", "fabrikam.azurecr.io/shop/app")),
        ("p", "unlike", subscription_key("image", "contoso.azurecr.io/shop/db")),
    )
    assert names(await look(held)) == [
        (Kind.OUT_OF_SCOPE, "q/elsewhere"),
        (Kind.OTHER_KIND, "p/as-git"),
        (Kind.OTHER_PLACE, "p/other-registry"),
        (Kind.UNREADABLE, "p/odd"),
    ]


async def test_a_receiver_of_the_cluster_covers_all() -> None:
    """What a receiver covers is no near miss for being elsewhere, and may be one in any Project."""
    other = subscription_key("image", "fabrikam.azurecr.io/shop/app")
    held = index(("p", "one", other), ("q", "two", other))
    found = await look(held, receiver="cluster/azure")
    assert names(found) == [(Kind.OTHER_PLACE, "p/one"), (Kind.OTHER_PLACE, "q/two")]


async def test_few_of_many() -> None:
    """However many share a key, the first few are named, and the rest are not walked."""
    walked = 0

    class Counting(TargetIndex):
        def walk(self, key: str, *, only: str | None = None, without: str | None = None):  # type: ignore[no-untyped-def]
            nonlocal walked
            for target in super().walk(key, only=only, without=without):
                walked += 1
                yield target

    held = Counting()
    for number in range(1_000):
        target = Target("Warehouse", f"q{number % 3}", f"w{number}")
        held.added(Warehouse(target, "uid", "1", (KEY,), 0, "", ""))
    assert len(names(await look(held))) == MOST_NEAR_MISSES
    assert walked <= 2 * MOST_NEAR_MISSES


async def test_looks_in_slices_and_pauses_between() -> None:
    """One slice takes half a millisecond; before and after, others have their turn for longer."""
    held = index(*(("p", f"w{number}", f"contoso.azurecr.io/{number}/app") for number in range(1_000)))
    clock = BusyClock(0.000_01)
    assert len(names(await look(held, clock=clock))) == MOST_NEAR_MISSES
    slices = 1_000 * 0.000_01 / SLICE_SECONDS
    assert slices - 1 <= len(clock.slept) <= slices + 2
    assert set(clock.slept) == {PAUSE_SECONDS}


async def test_the_list_of_all_keys_is_a_turn_of_its_own() -> None:
    """A large one takes longer than a slice: nothing is looked at in the same turn."""
    looked_at: list[str] = []

    class Listed(TargetIndex):
        def walk(self, key: str, *, only: str | None = None, without: str | None = None):  # type: ignore[no-untyped-def]
            looked_at.append(key)
            return super().walk(key, only=only, without=without)

    held = Listed()
    held.added(Warehouse(Target("Warehouse", "p", "w"), "uid", "1", (f"{KEY}/app",), 0, "", ""))
    clock = BusyClock(0.000_01)
    looking = asyncio.ensure_future(NearMissScan(held, clock).scan("p/azure", (APP,)))
    await asyncio.sleep(0)
    assert (clock.slept, looked_at) == ([PAUSE_SECONDS], [UNREADABLE, UNREADABLE])
    await looking
    assert f"{KEY}/app" in looked_at


async def test_ends_in_time_with_what_it_has() -> None:
    """A cluster too large to look through leaves a note of how far it came."""
    held = index(*(("p", f"w{number}", f"contoso.azurecr.io/{number}/app") for number in range(1_000)))
    found = await look(held, clock=BusyClock(LONGEST_SCAN / 100))
    assert names(found)
    assert found is not None
    assert re.fullmatch(r"looked at \d+ of 1000 subscribed repositories only", found.note)


async def test_one_at_a_time_and_none_once_stopped() -> None:
    """A second event's is skipped with a note; ``stop`` ends the one under way."""
    held = index(*(("p", f"w{number}", f"contoso.azurecr.io/{number}/app") for number in range(1_000)))
    clock = BusyClock(0.000_1)
    scan = NearMissScan(held, clock)
    first = asyncio.ensure_future(scan.scan("p/azure", (APP,)))
    await asyncio.sleep(0)
    assert await scan.scan("p/azure", (APP,)) == Found(
        note="not looked for: another event's were being looked for"
    )
    scan.stop()
    ended = await first
    assert ended is not None
    assert "subscribed repositories only" in ended.note
    assert await scan.scan("p/azure", (APP,)) == Found(note="not looked for: the receiver is stopping")


async def test_keys_may_come_and_go_meanwhile() -> None:
    """What leaves the index while it is looked through is not named."""
    held = index(*(("p", f"w{number}", f"contoso.azurecr.io/{number}/app") for number in range(100)))
    clock = BusyClock(SLICE_SECONDS)
    looking = asyncio.ensure_future(NearMissScan(held, clock).scan("p/azure", (APP,)))
    await asyncio.sleep(0)
    for number in range(50, 100):
        target = Target("Warehouse", "p", f"w{number}")
        key = f"contoso.azurecr.io/{number}/app"
        held.deleted(Warehouse(target, "uid", "1", (key,), 0, "", ""))
    assert {int(name.removeprefix("p/w")) for _, name in names(await looking)} <= set(range(50))


async def test_several_repositories_and_pull_requests() -> None:
    """The first few repositories are looked for in one go; pull requests are not."""
    held = index(("q", "elsewhere", KEY))
    pull = ("pull_request", "https://dev.azure.com/contoso/shop/_git/app/pullrequest/1")
    assert await look(held, pull) is None
    many: Sequence[tuple[str, str]] = [("image", f"contoso.azurecr.io/{n}") for n in range(MOST_REPOSITORIES)]
    found = await look(held, APP, pull, *many)
    assert names(found) == [(Kind.OUT_OF_SCOPE, "q/elsewhere")]
    assert found is not None
    assert found.note == "looked for the first 5 of 6 repositories only"
