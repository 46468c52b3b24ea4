"""Refreshing: whatever happens, every batch ends, and a patch that started later follows every request."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from controller.kargo.objects import WAREHOUSES, Target
from controller.refreshing.batch import Batch
from controller.refreshing.refresher import REFUSAL_REMEMBERED
from tests.support.aio import run
from tests.support.kube import Failure, refused, unreachable
from tests.support.refreshing import Refreshing

NAMES = "abcd"
FLOWS = ("one", "two")
FAILURES: dict[str, Failure] = {
    "503": refused(503),
    "429": refused(429, retry_after=3.0),
    "409": refused(409),
    "403": refused(403),
    "422": refused(422),
    "network": unreachable,
}

Step = tuple[str, object]
ASK = st.tuples(
    st.sampled_from(FLOWS), st.lists(st.sampled_from(NAMES), unique=True, max_size=4), st.booleans()
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), ASK),
        st.tuples(st.just("ask"), ASK),
        st.tuples(st.just("detach"), st.integers(0, 100)),
        st.tuples(
            st.just("fail"),
            st.tuples(st.sampled_from(sorted(FAILURES)), st.sampled_from(NAMES), st.integers(1, 3)),
        ),
        st.tuples(st.just("delete"), st.sampled_from(NAMES)),
        st.tuples(st.just("create"), st.sampled_from(NAMES)),
        st.tuples(st.just("gate"), st.booleans()),
        st.tuples(st.just("deny"), st.booleans()),
        st.tuples(st.just("yield"), st.integers(1, 4)),
        st.tuples(st.just("advance"), st.sampled_from([0.01, 0.5, 3.0, 40.0])),
    ),
    max_size=60,
)


@dataclass
class Asked:
    """A request, and how many API requests had begun when it came."""

    batch: Batch
    targets: tuple[Target, ...]
    mark: int


LATER_WITHOUT_ID: list[tuple[str, object]] = [
    ("ask", ("one", ["a", "b"], True)),
    ("yield", 2),
    ("ask", ("one", ["a"], False)),
    ("detach", 1),
]
"""The first may not carry on what the second asks for: its own patch of ``a`` has begun before."""


class Run:
    """Carries out steps and checks what must hold after each."""

    def __init__(self, site: Refreshing) -> None:
        self.site = site
        self.targets = {name: site.target(name) for name in NAMES}
        self.asked: list[Asked] = []
        self.ends: dict[int, int] = {}

    async def step(self, kind: str, value: object) -> None:
        site = self.site
        match kind, value:
            case "ask", (str(flow), list(names), bool(named)):
                number = len(self.asked)
                targets = tuple(self.targets[name] for name in names)
                delivery = f"d{number}" if named else ""
                self.asked.append(
                    Asked(site.ask(*targets, flow=flow, delivery=delivery), targets, len(site.kube.requests))
                )
                self.asked[-1].batch.on_done(lambda: self.end(number))
            case "detach", int(number):
                if self.asked:
                    self.asked[number % len(self.asked)].batch.detach()
            case "fail", (str(failure), str(name), int(times)):
                site.kube.fail(FAILURES[failure], verb="patch", name=name, times=times)
            case "delete", str(name):
                site.kube.objects.pop((WAREHOUSES.plural, "p", name), None)
            case "create", str(name):
                site.target(name)
            case "gate", bool(is_open):
                (site.kube.gate.set if is_open else site.kube.gate.clear)()
            case "deny", bool(denied):
                site.kube.denied = {("patch", "warehouses")} if denied else set()
            case "yield", int(turns):
                for _ in range(turns):
                    await asyncio.sleep(0)
            case "advance", float(seconds):
                await site.clock.advance(seconds)
        self.check()

    def end(self, number: int) -> None:
        """Note an end; what ends without another to carry it on was patched since it asked."""
        self.ends[number] = self.ends.get(number, 0) + 1
        asked = self.asked[number] if number < len(self.asked) else None
        if asked is None or asked.batch.superseded_by:
            return
        assert asked.batch.matched == asked.batch.persisted + asked.batch.rejected
        for target in asked.targets:
            begun = [each.name for each in self.site.kube.requests[asked.mark :] if each.verb == "patch"]
            assert target.name in begun

    def check(self) -> None:
        """Check what holds at any time."""
        self.site.refresher.validate()
        self.site.queue.validate()
        for number, asked in enumerate(self.asked):
            assert self.ends.get(number, 0) == int(asked.batch.done)

    async def finish(self) -> None:
        """Heal everything: all must end."""
        site = self.site
        site.kube.gate.set()
        site.kube.denied = set()
        await site.clock.advance(60.0)
        site.kube.heal()
        await site.clock.advance(100.0)
        self.check()
        assert all(asked.batch.done for asked in self.asked)
        await site.clock.advance(REFUSAL_REMEMBERED)
        assert not any(target in site.queue for target in self.targets.values())
        self.check()
        for asked in self.asked:
            self.follow(asked)

    def follow(self, asked: Asked) -> None:
        """A superseded request is carried by one that asked later for at least the same."""
        batch = asked.batch
        for delivery in batch.superseded_by:
            other = self.asked[int(delivery.removeprefix("d"))]
            assert set(asked.targets) <= set(other.targets)
            assert other.batch is not batch
            self.follow(other)


def carry_out(steps: Sequence[Step], *, workers: int, seed: int) -> None:
    """Run the steps from a fresh start to the end."""

    async def scenario() -> None:
        async with Refreshing(workers=workers, seed=seed) as site:
            this = Run(site)
            for kind, value in steps:
                await this.step(kind, value)
            await this.finish()

    run(scenario(), limit=60.0)


@settings(max_examples=120, deadline=None)
@given(STEPS, st.integers(1, 3))
@example(LATER_WITHOUT_ID, 1)
def test_every_request_is_followed_by_a_patch(steps: list[Step], workers: int) -> None:
    """Through refusals, outages, deletions and deliveries that give way: nothing is lost, all ends once."""
    carry_out(steps, workers=workers, seed=1)


@pytest.mark.parametrize("seed", range(3))
def test_a_long_day(seed: int) -> None:
    """The same over a few thousand random steps in one go."""
    rng = random.Random(seed)

    def step() -> Step:
        kind = rng.choices(
            ["ask", "detach", "fail", "delete", "create", "gate", "deny", "yield", "advance"],
            [40, 20, 6, 2, 6, 6, 3, 20, 6],
        )[0]
        value: object = {
            "ask": (rng.choice(FLOWS), rng.sample(NAMES, rng.randint(0, 4)), rng.random() < 0.8),
            "detach": rng.randrange(100_000),
            "fail": (rng.choice(sorted(FAILURES)), rng.choice(NAMES), rng.randint(1, 3)),
            "gate": rng.random() < 0.7,
            "deny": rng.random() < 0.3,
            "yield": rng.randint(1, 4),
            "advance": rng.choice([0.01, 0.5, 3.0, 40.0]),
        }.get(kind, rng.choice(NAMES))
        return kind, value

    carry_out([step() for _ in range(1500)], workers=2, seed=seed)
