"""Renews this replica's Lease, and has a catch-up made when one is due and no other replica makes it.

Leases are help, not duty: without the right to them, or without an API server, everything else goes on.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import structlog

from controller.cluster import replicas
from controller.cluster.access import AccessReviewer
from controller.cluster.leases import LEASES, Lease, LeaseStore
from controller.cluster.replicas import EXPIRY_SECONDS, RENEW_SECONDS, Decision, Job, Replicas
from controller.runtime.api.errors import ApiError, Conflict, Forbidden, one_line
from controller.runtime.clock import Clock

ROUND_SECONDS = 10.0
"""For all requests of one round: what is slower counts as failed."""
RETRY_SECONDS = 3.0
"""After a failed round. With ROUND_SECONDS less than CHANCES rounds: once the API server is back, every
replica has renewed before another takes it for gone."""
FORBIDDEN_SECONDS = 30.0
RELEASE_SECONDS = 3.0

log = structlog.get_logger()


@dataclass(eq=False)
class LeaseKeeper:
    """Keeps the Lease of one replica.

    ``unfinished`` returns since when (Unix time) there is unfinished work, None if there is none.
    ``catch_up`` makes one and returns when it is complete; it is cancelled where it must begin anew.
    ``claimed`` is called with the reason of each catch-up that this replica takes on (``resumed``: another
    began it), ``failed`` for each renewal that failed.
    """

    store: LeaseStore
    name: str
    journal: str
    clock: Clock
    access: AccessReviewer
    unfinished: Callable[[], float | None]
    catch_up: Callable[[Job], Coroutine[Any, Any, None]]
    claimed: Callable[[str], None] = lambda reason: None
    failed: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self._wake = asyncio.Event()
        self._replicas = self._new()
        self._failing = False
        self._pausing = False
        self._job: Job | None = None
        self._task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Renew until cancelled, from the moment on at which this replica serves.

        Raises what a catch-up raised.
        """
        self._replicas = self._new()
        began = self.clock.monotonic()
        while True:
            now = self.clock.monotonic()
            if now - began > EXPIRY_SECONDS:
                self._replicas = self._new()  # the process stood still: nobody was served by it
            began = now
            pause = await self._round()
            timer = self.clock.call_later(pause, self._wake.set)
            await self._wake.wait()
            timer.cancel()
            self._wake.clear()

    async def pause(self) -> None:
        """Begin and go on with no catch-up any more: another replica does, once the Lease is released."""
        self._pausing = True
        await self._stop_job()

    async def release(self, *, until: float) -> None:
        """Release the Lease at an orderly end; this replica served ``until`` (Unix time)."""
        await self.pause()
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                leases = await self.store.read()
                for lease in self._replicas.released(leases, until=until, unfinished=self.unfinished()):
                    await self.store.write(lease)
        except (ApiError, TimeoutError) as error:
            log.warning("lease_not_released", error=one_line(error))

    def _new(self) -> Replicas:
        return Replicas(self.name, self.journal, served=self.clock.time())

    async def _round(self) -> float:
        """Read, decide, write; return the seconds until the next round."""
        try:
            async with asyncio.timeout(ROUND_SECONDS):
                leases = await self.store.read()
                decision = self._replicas.see(
                    leases,
                    monotonic=self.clock.monotonic(),
                    time=self.clock.time(),
                    unfinished=self.unfinished(),
                )
                await self.store.write(decision.own)
                await self._take_on(decision)
        except Conflict:
            return RETRY_SECONDS  # another replica was faster, or an earlier request of ours was carried out
        except (ApiError, TimeoutError) as error:
            return await self._missed(error)
        if self._failing:
            self._failing = False
            log.info("lease_renewed_again")
        return RENEW_SECONDS

    async def _missed(self, error: ApiError | TimeoutError) -> float:
        self._replicas.missed()
        self.failed()
        if (
            isinstance(error, Forbidden)
            # Logs the right that is missing, once.
            and await self.access.allowed(error.verb, LEASES, self.store.namespace) is False
        ):
            return FORBIDDEN_SECONDS
        if not self._failing:
            self._failing = True
            log.warning("lease_not_renewed", error=one_line(error))
        return RETRY_SECONDS

    async def _take_on(self, decision: Decision) -> None:
        held = decision.held
        if decision.claim is not None:
            await self.store.write(decision.claim)
            self._replicas.claimed()
            mine = decision.claim.holder == self.name
            self.claimed(decision.reason or "resumed")
            job = replicas.job_of(decision.claim)
            log.warning(
                "catch_up_due",
                reason=decision.reason or "resumed",
                seconds=round(job.until - job.since, 1),
                by=decision.claim.holder,
            )
            held = decision.claim if mine else None
        await self._work_on(held, written=decision.claim is not None)
        for name in decision.gone:
            await self.store.remove(name)

    async def _work_on(self, held: Lease | None, *, written: bool) -> None:
        """Begin, go on with or end the catch-up that JOB's Lease asks of this replica."""
        job = replicas.job_of(held) if held is not None else None
        if job is None or (self._job is not None and job.until != self._job.until):
            await self._stop_job()
        if held is None or job is None or self._pausing:
            return
        if self._task is None:
            self._job = job
            self._task = asyncio.get_running_loop().create_task(self.catch_up(job))
            self._task.add_done_callback(lambda _: self._wake.set())
        elif self._task.done() and not written:
            self._task.result()
            await self.store.write(replicas.finished(held, self.clock.time()))
            self._job = self._task = None

    async def _stop_job(self) -> None:
        task, self._task, self._job = self._task, None, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))
