"""Renewing on time, faults that are reported once, and one catch-up that is begun, ended, handed on."""

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from controller.cluster.access import AccessReviewer
from controller.cluster.lease_keeper import LeaseKeeper
from controller.cluster.leases import LEASES, Lease, LeaseStore
from controller.cluster.replicas import JOB, Job
from controller.runtime.api.errors import ApiError
from tests.support.clock import FakeClock
from tests.support.kube import FakeKube, Request, refused, unreachable


class Stored(LeaseStore):
    """Leases in memory, with versions as an API server has them."""

    def __init__(self) -> None:
        self.namespace = "kargo"
        self.leases: dict[str, Lease] = {}
        self.fault: ApiError | None = None
        self._count = 0

    async def read(self) -> list[Lease]:
        if self.fault is not None:
            raise self.fault
        return list(self.leases.values())

    async def write(self, lease: Lease) -> None:
        known = self.leases.get(lease.name)
        if (known.version if known else "") != lease.version:
            raise refused(409)(Request("patch", LEASES, self.namespace, lease.name))
        self.put(lease)

    async def remove(self, name: str) -> None:
        self.leases.pop(name, None)

    def put(self, lease: Lease) -> None:
        self._count += 1
        notes = {note: text for note, text in lease.notes.items() if text}
        self.leases[lease.name] = replace(lease, version=str(self._count), notes=notes)


class Site:
    """A keeper on a clock that a test moves."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = Stored()
        self.kube = FakeKube()
        self.jobs: list[Job] = []
        self.claimed: list[str] = []
        self.failures = 0
        self.done = asyncio.Event()
        self.unfinished: float | None = None
        self.keeper = LeaseKeeper(
            self.store,
            name="pod",
            journal="journal",
            clock=self.clock,
            access=AccessReviewer(self.kube, self.clock),
            unfinished=lambda: self.unfinished,
            catch_up=self.catch_up,
            claimed=self.claimed.append,
            failed=self.fail,
        )

    async def catch_up(self, job: Job) -> None:
        self.jobs.append(job)
        await self.done.wait()

    def fail(self) -> None:
        self.failures += 1

    def gone(self, seconds: float = 60.0) -> None:
        """Leave the Lease of a replica that ended so long ago."""
        ended = self.clock.time() - seconds
        self.store.put(Lease("gone", holder="", acquired=ended - 100.0, renewed=ended))

    def fault(self, status: int) -> ApiError:
        return refused(status)(Request("list", LEASES, "kargo", ""))


async def running(site: Site, seconds: float) -> "asyncio.Task[None]":
    task = asyncio.create_task(site.keeper.run())
    await site.clock.advance(seconds)
    return task


async def ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait((task,))


async def test_renewed_every_ten_seconds_with_a_flag() -> None:
    """Holder, times, and since when something is unfinished."""
    site = Site()
    began = site.clock.time()
    task = await running(site, 25.0)
    lease = site.store.leases["pod"]
    assert (lease.holder, lease.acquired, lease.renewed - began) == ("pod", began, 20.0)
    assert lease.moment("unfinished-since") is None
    site.unfinished = began + 24.0
    await site.clock.advance(20.0)
    site.unfinished = began + 44.0
    await site.clock.advance(10.0)
    assert site.store.leases["pod"].moment("unfinished-since") == began + 24.0
    await ended(task)


async def test_a_catch_up_is_made_once_and_its_end_is_recorded() -> None:
    """Begun at once, marked as finished when it is complete, and not begun again."""
    site = Site()
    site.gone()
    task = await running(site, 0.0)
    assert [job.reason for job in site.jobs] == ["outage"]
    await site.clock.advance(30.0)
    assert site.store.leases[JOB].moment("finished") is None
    site.done.set()
    await site.clock.advance(0.1)
    assert site.store.leases[JOB].moment("finished") is not None
    await site.clock.advance(100.0)
    assert len(site.jobs) == 1
    assert site.claimed == ["outage"]
    await ended(task)


async def test_a_catch_up_begins_anew_when_more_was_lost() -> None:
    """Another replica found a loss meanwhile: what was refreshed before that does not count."""
    site = Site()
    site.gone()
    task = await running(site, 15.0)
    job = site.store.leases[JOB]
    site.store.put(replace(job, notes={**job.notes, "to": "2099-01-01T00:00:00Z"}))
    await site.clock.advance(10.0)
    assert len(site.jobs) == 2
    await ended(task)


async def test_an_orderly_end_hands_the_catch_up_on() -> None:
    """Both Leases are released, and the replica's says what is left."""
    site = Site()
    site.gone()
    task = await running(site, 15.0)
    until = site.clock.time()
    await site.keeper.pause()
    await ended(task)
    site.unfinished = until - 3.0
    await site.keeper.release(until=until)
    assert {lease.holder for lease in site.store.leases.values()} == {""}
    assert site.store.leases["pod"].renewed == until
    assert site.store.leases["pod"].moment("unfinished-since") == until - 3.0
    assert site.store.leases[JOB].moment("finished") is None


async def test_without_the_right_there_is_one_log_line() -> None:
    """And everything else goes on."""
    site = Site()
    site.kube.denied.add(("list", "leases"))
    site.store.fault = site.fault(403)
    with capture_logs() as logs:
        task = await running(site, 600.0)
    assert [line["event"] for line in logs] == ["right_missing"]
    assert not task.done()
    site.store.fault = None
    await site.clock.advance(40.0)
    assert "pod" in site.store.leases
    await ended(task)


async def test_an_api_server_that_is_away_is_reported_once() -> None:
    """When it begins and when it ends; failures are counted."""
    site = Site()
    task = await running(site, 5.0)
    site.store.fault = unreachable(Request("list", LEASES, "kargo", ""))
    with capture_logs() as logs:
        await site.clock.advance(300.0)
        site.store.fault = None
        await site.clock.advance(10.0)
    assert [line["event"] for line in logs] == ["lease_not_renewed", "lease_renewed_again"]
    assert site.failures > 50
    assert site.claimed == []
    await ended(task)


async def test_a_process_that_stood_still_served_nobody() -> None:
    """A frozen process finds out as one that starts does."""
    site = Site()
    task = await running(site, 5.0)
    site.clock.freeze(120.0)
    await site.clock.advance(60.0)
    assert site.claimed == ["outage"]
    await ended(task)


async def test_what_a_catch_up_raises_ends_the_process() -> None:
    """A bug is not hidden."""
    site = Site()
    site.gone()

    async def fail(job: Job) -> None:
        raise ValueError("a bug")

    site.keeper.catch_up = fail
    task = asyncio.create_task(site.keeper.run())
    await site.clock.advance(11.0)
    with pytest.raises(ValueError, match="a bug"):
        await task
