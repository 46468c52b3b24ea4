"""The reconciler of refresh requests: coalesce, patch the annotation, retry, report.

A refresh is a change of one annotation. Requests for one target that wait at the same time are satisfied by
one patch; a request that comes while the target's patch is in flight is satisfied by the next, since only a
patch that started after the request can have told Kargo about it.
"""

import functools
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from controller.cluster.access import AccessReviewer
from controller.cluster.events import WARNING, EventRecorder
from controller.kargo.objects import PROMOTIONS, REFRESH_ANNOTATION, WAREHOUSES, Target
from controller.observability.metrics import Metrics
from controller.refreshing.batch import Batch, Part, Settled
from controller.refreshing.verdicts import is_refusal, is_stored, verdict
from controller.runtime.api.client import Client
from controller.runtime.api.errors import ApiError, Forbidden, MalformedResponse
from controller.runtime.clock import Clock
from controller.runtime.queue.controller import Controller, Done, Outcome, Retry
from controller.runtime.queue.flows import Flow
from controller.runtime.queue.workqueue import WorkQueue

REFUSAL_SECONDS = 3.0
"""Seconds that a refusal must last, although RBAC grants the right, until it counts as an admission plugin's:
an API server that has just started refuses everything until it has read its roles. Less than the reply
timeout, so that the sender learns of it."""
REFUSAL_REMEMBERED = 600.0
"""Seconds for which a refusal that was final is final at once when it comes again."""
LONGEST_PAUSE = 0.15
"""Seconds, see ``Refresher``: no event shall wait much longer because others came before it."""
REPORT_INTERVAL = 10.0
"""Seconds between log lines about refreshes that fail for now: an outage must not fill the log."""

_RESOURCES = {"Warehouse": WAREHOUSES, "Promotion": PROMOTIONS}

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class _Record:
    """What is known of one target."""

    waiting: list[Part] = field(default_factory=list)
    """Those that asked for it since its last patch began."""
    in_flight: Sequence[Part] = ()
    """Those that the patch under way is for."""
    failing: bool = False
    """Its last patch failed, and will be repeated."""
    refused: float | None = None
    """Monotonic time since when it is refused although we have the right; None if the last patch was not."""


@dataclass(eq=False)
class Refresher:
    """Accepts requests to refresh targets, and sees each through.

    A target that was asked for during its patch pauses twice as long as that took, at most ``LONGEST_PAUSE``,
    before the next one: in a burst, those who were just answered come again and join, which makes fewer
    patches and more events a second (docs/performance.md).

    Invariants, checked by ``validate``, until the queue is shut down: a target has a record as long as
    somebody waits for it or its refusal is remembered; it is then waiting, delayed or in processing in the
    queue. A part of a batch stands in the records of as many targets as are outstanding in it, once in each;
    one that has ended stands in those of patches in flight at most. A flow's newest part is known until it
    ends.
    """

    client: Client
    queue: WorkQueue[Target]
    clock: Clock
    access: AccessReviewer
    events: EventRecorder
    metrics: Metrics
    workers: int
    rng: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        self._records: dict[Target, _Record] = {}
        self._newest: dict[Flow, Part] = {}
        """The newest delivery's part of each flow, unless that has ended."""
        self._last_micros = 0
        self._reported = -REPORT_INTERVAL
        self.controller: Controller[Target] = Controller(self.queue, self.reconcile, workers=self.workers)

    def batch(self, received: float | None, delivery: str = "") -> Batch:
        """Return an empty batch for the delivery of this id, of an event that came at this monotonic time.

        ``received`` is None for a refresh that no event asks for: it has no lag.
        """
        return Batch(received, delivery, self._detached)

    def request(self, targets: Sequence[Target], flow: Flow, batch: Batch) -> None:
        """Ask for a refresh of each target as a part of ``batch``; returns at once.

        ``flow`` is the path of the queue by which targets take turns; of one flow a later delivery (it must
        have an id) may take an earlier one's place.
        """
        part = batch.add(targets, flow)
        records, add = self._records, self.queue.add
        for target in targets:
            record = records.get(target)
            if record is None:
                record = records[target] = _Record()
            elif record.failing:
                batch.failing = True
            record.waiting.append(part)
            add(target, flow)
        if targets and batch.delivery:
            previous = self._newest.get(flow)
            self._newest[flow] = part
            if previous is not None and previous.batch.detached:
                self._replace(previous, part)

    async def reconcile(self, target: Target) -> Outcome:
        """Patch one target for everyone who asked so far."""
        record = self._records.get(target)
        if record is None or not record.waiting:  # only its refusal was remembered, and long enough
            self._records.pop(target, None)
            return Done()
        record.in_flight, record.waiting = record.waiting, []
        began = self.clock.monotonic()
        settled = Settled.PERSISTED
        try:
            await self._patch(target)
        except ApiError as error:
            outcome = await self._judge(target, record, error)
            if isinstance(outcome, Retry):
                record.waiting[:0] = [part for part in record.in_flight if part.outstanding]
                record.in_flight = ()
                record.failing = True
                self.metrics.refreshed(target.kind, "retried")
                if outcome.after is None or not is_refusal(error):
                    self._report_failing(target, error)  # the others: as a missing right, or once final
                return outcome
            if outcome is Settled.REJECTED:
                self._report_rejected(target, error)
            settled = outcome
        return self._settle(target, record, settled, self.clock.monotonic() - began)

    async def _patch(self, target: Target) -> None:
        """Change the annotation; raises ApiError, also for an answer that is not the changed object."""
        value = self._next_value()
        # Built by hand: both strings are ours and need no escaping.
        body = f'{{"metadata":{{"annotations":{{"{REFRESH_ANNOTATION}":"{value}"}}}}}}'.encode()
        resource, namespace, name = _RESOURCES[target.kind], target.namespace, target.name
        answer = await self.client.patch(
            resource, namespace=namespace, name=name, body=body, metadata_only=True
        )
        if not is_stored(answer, name, value):
            raise MalformedResponse(
                "the answer is not the changed object",
                verb="patch",
                resource=str(resource),
                namespace=namespace,
                name=name,
            )
        self.access.granted("patch", resource, namespace)

    async def _judge(self, target: Target, record: _Record, error: ApiError) -> Settled | Retry:
        """Find out what the verdict depends on."""
        refusal = is_refusal(error)
        allowed: bool | None = True
        if isinstance(error, Forbidden):
            allowed = await self.access.allowed("patch", _RESOURCES[target.kind], target.namespace)
        now = self.clock.monotonic()
        if not (refusal and allowed):
            record.refused = None
        elif record.refused is None:
            record.refused = now
        lasting = record.refused is not None and now - record.refused >= REFUSAL_SECONDS
        return verdict(error, allowed=allowed, lasting=lasting)

    def _report_failing(self, target: Target, error: ApiError) -> None:
        now = self.clock.monotonic()
        if now - self._reported < REPORT_INTERVAL:
            return
        self._reported = now
        log.warning(
            "refresh_failing",
            kind=target.kind,
            namespace=target.namespace,
            name=target.name,
            error=str(error),
            waiting=sum(record.failing for record in self._records.values()),
        )

    def _report_rejected(self, target: Target, error: ApiError) -> None:
        kind, namespace, name = target
        log.error("refresh_rejected", kind=kind, namespace=namespace, name=name, message=error.message)
        self.events.emit(
            WARNING,
            kind,
            namespace,
            name,
            "RefreshRejected",
            f"An event from Azure asks for a refresh, which the API server refuses: {error.message}",
        )

    def _settle(self, target: Target, record: _Record, how: Settled, took: float) -> Done:
        self.metrics.refreshed(target.kind, how.value)
        parts, record.in_flight = record.in_flight, ()
        record.failing = False
        if how is Settled.PERSISTED:
            record.refused = None
            now = self.clock.monotonic()
            for part in parts:
                if part.batch.received is not None:
                    self.metrics.refresh_lag.observe(max(0.0, now - part.batch.received))
        for part in parts:
            part.settle(how)
            if not part.outstanding and self._newest.get(part.flow) is part:
                del self._newest[part.flow]
        if record.waiting:
            return Done(pause=min(2 * took, LONGEST_PAUSE))
        if record.refused is not None:
            return Done(after=REFUSAL_REMEMBERED)
        del self._records[target]
        return Done()

    def _next_value(self) -> str:
        """Return an RFC 3339 time in UTC that this process never returned before.

        Microseconds from the clock, raised to be strictly increasing; three random digits below them keep
        two replicas apart.
        """
        micros = max(self._last_micros + 1, int(self.clock.time() * 1_000_000))
        self._last_micros = micros
        seconds, fraction = divmod(micros, 1_000_000)
        return f"{_date(seconds)}.{fraction:06d}{self.rng.randrange(1000):03d}Z"

    # --- one flow's deliveries take each other's place ---

    def _detached(self, part: Part) -> None:
        if not part.batch.delivery:
            return  # the newest with an id may be older, and have been patched for already
        newest = self._newest.get(part.flow)
        if newest is not None and newest is not part and part.outstanding:
            self._replace(part, newest)

    def _replace(self, old: Part, new: Part) -> None:
        """Let ``new`` carry what ``old`` still waits for, if it asks for all of it."""
        if old.targets != new.targets and not set(old.targets) <= set(new.targets):
            return
        for target in old.targets:
            record = self._records.get(target)
            if record is not None and old in record.waiting:
                record.waiting.remove(old)
        old.supersede(new.batch)

    def validate(self) -> None:
        """Check every invariant; raises AssertionError. For tests: walks everything."""
        counts: dict[Part, int] = {}
        for target, record in self._records.items():
            assert target in self.queue, f"nobody would look at {target}"  # noqa: S101
            carried = [*record.waiting, *record.in_flight]
            assert carried or record.refused is not None, f"{target} is of no use"  # noqa: S101
            assert len(set(carried)) == len(carried)  # noqa: S101
            assert all(part.outstanding for part in record.waiting)  # noqa: S101
            for part in carried:
                assert target in part.targets  # noqa: S101
                counts[part] = counts.get(part, 0) + 1
        for part, count in counts.items():
            assert part.outstanding in (0, count)  # noqa: S101
            assert part.batch.outstanding == sum(each.outstanding for each in part.batch.parts)  # noqa: S101
        for flow, part in self._newest.items():
            assert part.flow == flow and part in counts and part.outstanding  # noqa: S101, PT018


@functools.lru_cache(maxsize=1)
def _date(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
