"""A refresher on a stand-in API server, with its real queue and workers, on a clock that a test moves."""

import asyncio
import random
from collections import Counter
from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry

from controller.cluster.access import AccessReviewer
from controller.cluster.events import EventRecorder
from controller.kargo.objects import PROMOTIONS, REFRESH_ANNOTATION, WAREHOUSES, Target
from controller.observability.metrics import Metrics
from controller.refreshing.batch import Batch
from controller.refreshing.refresher import Refresher
from controller.runtime.queue.workqueue import WorkQueue
from tests.support.clock import FakeClock
from tests.support.kube import FakeKube, Request


class FakeRefreshMetrics(Metrics):
    """Remembers what was counted."""

    def __init__(self) -> None:
        super().__init__(CollectorRegistry(), version="test")
        self.results: Counter[tuple[str, str]] = Counter()
        self.lags: list[float] = []
        self.refresh_lag.observe = self.lags.append  # type: ignore[method-assign, assignment]

    def refreshed(self, kind: str, result: str) -> None:
        self.results[kind, result] += 1


class Refreshing:
    """Runs a refresher within ``async with``; ``clock.advance`` and ``clock.settle`` move it."""

    def __init__(self, *, workers: int = 4, seed: int = 1, kube: FakeKube | None = None) -> None:
        self.kube = kube or FakeKube()
        self.clock = FakeClock()
        self.metrics = FakeRefreshMetrics()
        self.events = EventRecorder(self.kube, self.clock)
        self.queue: WorkQueue[Target] = WorkQueue("refresh", self.clock, rng=random.Random(seed))
        self.refresher = Refresher(
            self.kube,
            self.queue,
            clock=self.clock,
            access=AccessReviewer(self.kube, self.clock),
            events=self.events,
            metrics=self.metrics,
            workers=workers,
            rng=random.Random(seed),
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self.refresher.controller.run()),
            asyncio.create_task(self.events.run()),
        ]
        await self.clock.settle()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        ends = await asyncio.gather(*self._tasks, return_exceptions=True)
        for end in ends:
            if error is None and isinstance(end, Exception):
                raise end

    def target(self, name: str, namespace: str = "p", kind: str = "Warehouse") -> Target:
        """Create a Warehouse, or another kind of object, on the API server; return it as a target."""
        self.kube.put(PROMOTIONS if kind == "Promotion" else WAREHOUSES, namespace, name)
        return Target(kind, namespace, name)

    def ask(self, *targets: Target, flow: str = "flow", delivery: str = "") -> Batch:
        """Request a refresh of targets for an event that comes now."""
        batch = self.refresher.batch(self.clock.monotonic(), delivery)
        self.refresher.request(targets, (flow,), batch)
        return batch

    def patches(self, name: str = "") -> list[Request]:
        """Return the patches that were begun, of one object if named."""
        return [each for each in self.kube.made("patch") if name in ("", each.name)]

    def value(self, target: Target) -> str | None:
        """Return an object's refresh annotation."""
        resource = PROMOTIONS if target.kind == "Promotion" else WAREHOUSES
        metadata = self.kube.read(resource, target.namespace, target.name)["metadata"]
        found: str | None = metadata.get("annotations", {}).get(REFRESH_ANNOTATION)
        return found


def stamp(patch: Request) -> str:
    """Return the value that a patch writes."""
    found: str = patch.body["metadata"]["annotations"][REFRESH_ANNOTATION]
    return found
