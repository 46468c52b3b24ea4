"""Refreshes every Warehouse that may have missed a push: which they are, and at what pace.

In nobody's way: the refreshes are the queue's lowest flow, so they use what events leave free. While the API
server does not take them, few are added to those that wait, so that its return is no storm.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import structlog

from controller.cluster.replicas import Job
from controller.kargo.objects import Target
from controller.kargo.warehouse import Warehouse
from controller.receivers.index import ReceiverIndex
from controller.receivers.state import State
from controller.refreshing.batch import Batch
from controller.refreshing.refresher import Refresher
from controller.repositories.keys import is_azure
from controller.runtime.clock import Clock
from controller.runtime.informer.store import Store
from controller.runtime.queue.flows import LOWEST

FLOW = (LOWEST, "catch-up", "")
LOOKED_AT = 500
"""Warehouses looked at between two turns of the event loop: some 3 ms."""
WINDOW_SECONDS = 2.0
"""How many refreshes may be outstanding: as many as are requested in this time."""
WAIT_SECONDS = 0.1
"""Between two looks for a free place among them."""
PATIENCE_SECONDS = 30.0
"""For one that is outstanding to take a place of those: a few that always fail must not hold up the rest."""

log = structlog.get_logger()


@dataclass(eq=False, kw_only=True)
class CatchUp:
    """Makes catch-ups, one at a time."""

    warehouses: Store[Warehouse]
    receivers: ReceiverIndex
    refresher: Refresher
    refreshed: Callable[[Target], float]
    """Returns the Unix time of a target's last refresh by whomever."""
    clock: Clock
    rate: float
    """Refreshes a second."""
    record: Callable[[Job, int], None] = lambda job, count: None
    """Is called when a catch-up has ended, with the number of its Warehouses."""
    outstanding: int = field(default=0, init=False)
    """Warehouses that are still to be refreshed."""

    async def make(self, job: Job) -> None:
        """Refresh each Warehouse that was not refreshed since ``job.until``; return once all are.

        So a catch-up that another replica began goes on where that one ended.
        """
        targets = await self._targets(job)
        self.outstanding = len(targets)
        log.info("catch_up_started", reason=job.reason, warehouses=len(targets))
        began = due = self.clock.monotonic()
        requested: dict[Batch, float] = {}
        """Those that are not settled, and when they were requested."""
        ended: Counter[str] = Counter()
        woken = asyncio.Event()

        def settled(batch: Batch) -> None:
            if requested.pop(batch, None) is None:
                return  # of a catch-up that was cancelled
            self.outstanding -= 1
            ended.update(refreshed=batch.persisted, rejected=batch.rejected)
            woken.set()

        try:
            for target in targets:
                due = max(due + 1 / self.rate, self.clock.monotonic())
                await self.clock.sleep(due - self.clock.monotonic())
                while not self._has_place(requested.values()):
                    await self.clock.sleep(WAIT_SECONDS)
                if self._is_fresh(target, job):  # an event came for it meanwhile
                    self.outstanding -= 1
                    continue
                batch = self.refresher.batch(None)
                self.refresher.request((target,), FLOW, batch)
                requested[batch] = self.clock.monotonic()
                batch.on_done(partial(settled, batch))
            while requested:
                woken.clear()
                await woken.wait()
        finally:
            self.outstanding = 0
            requested.clear()
        self.record(job, len(targets))
        seconds = round(self.clock.monotonic() - began, 1)
        log.info("catch_up_finished", reason=job.reason, warehouses=len(targets), seconds=seconds, **ended)

    async def _targets(self, job: Job) -> list[Target]:
        """Return the covered Warehouses with a subscription in Azure, the longest unrefreshed first."""
        covered = {
            key[0] or None for key, state in self.receivers.all_states() if state.state is State.SERVED
        }
        found = []
        warehouses = list(self.warehouses.values())
        for start in range(0, len(warehouses), LOOKED_AT):
            found += [
                (each.refreshed, each.target)
                for each in warehouses[start : start + LOOKED_AT]
                if (None in covered or each.namespace in covered)
                and any(map(is_azure, each.keys))
                and not self._is_fresh(each.target, job)
            ]
            await asyncio.sleep(0)
        return [target for _, target in sorted(found)]

    def _is_fresh(self, target: Target, job: Job) -> bool:
        """Whether it was refreshed since: but not in the future, as a user's annotation may say."""
        return job.until <= self.refreshed(target) <= self.clock.time()

    def _has_place(self, requested: Iterable[float]) -> bool:
        patient = self.clock.monotonic() - PATIENCE_SECONDS
        return sum(at > patient for at in requested) < max(1.0, self.rate * WINDOW_SECONDS)
