"""The reconciler of refresh requests: coalesce, patch the annotation, retry, report.

A refresh is a change of one annotation. Requests for one target that wait at the same time are satisfied by
one patch; a request that comes while the target's patch is in flight is satisfied by the next, since only a
patch that started after the request can have told Kargo about it.
"""

import functools
import random
import time
from collections.abc import Hashable, Sequence
from typing import Protocol

import structlog

from controller.cluster.access import AccessReviewer
from controller.cluster.events import WARNING, EventRecorder
from controller.kargo.objects import PROMOTIONS, REFRESH_ANNOTATION, WAREHOUSES, Target
from controller.refreshing.batch import Batch, Settled
from controller.runtime.api.client import Client
from controller.runtime.api.errors import (
    ApiError,
    Conflict,
    ConnectionFailed,
    Forbidden,
    MalformedResponse,
    NotFound,
    ServerFault,
    StatusError,
    TooManyRequests,
    Unauthorized,
)
from controller.runtime.clock import Clock
from controller.runtime.queue.controller import Controller, Done, Outcome, Retry
from controller.runtime.queue.workqueue import WorkQueue

RIGHT_MISSING_RETRY = 30.0
"""Seconds between attempts while RBAC does not let us patch: a person has to act first."""

REFUSAL_SECONDS = 3.0
"""Seconds that a 403 must last, although RBAC grants the right, until it counts as an admission plugin's: an
API server that has just started refuses everything until it has read its roles. Less than the reply timeout,
so that the sender is told."""

REFUSAL_RETRY = 1.0
"""Seconds between attempts meanwhile."""

REFUSAL_REMEMBERED = 600.0
"""Seconds for which a refusal that was final is final at once when it comes again."""
REFUSALS_REMEMBERED = 10_000
"""Targets for which that is remembered."""

LONGEST_JOIN = 0.15
"""Seconds, see ``Refresher``: no event shall wait much longer because others came before it."""

LONGEST_RETRY_AFTER = 60.0
"""Seconds: a larger ``Retry-After`` is honoured up to here, so that no header can park a refresh for good."""

COMPLAINT_INTERVAL = 10.0
"""Seconds between log lines about refreshes that fail for now: an outage must not fill the log."""

_RESOURCES = {"Warehouse": WAREHOUSES, "Promotion": PROMOTIONS}

log = structlog.get_logger()


class RefreshMetrics(Protocol):
    """What the refresher counts."""

    def refreshed(self, kind: str, result: str) -> None:
        """One patch came to an end: ``persisted``, ``rejected``, ``gone`` or ``retried``."""

    def lag(self, seconds: float) -> None:
        """One event's refresh of one target was persisted so long after the event came."""


class Refresher:
    """Accepts requests to refresh targets, and sees each through.

    A target that was asked for during its patch waits twice as long as that took, at most ``LONGEST_JOIN``,
    before the next one: in a burst, those who were just answered come again and join, which makes fewer
    patches and more events a second (docs/performance.md).

    Invariants: a target in ``_asked`` is waiting, delayed or in processing in the queue; every batch with
    something outstanding is in ``_asked`` for it or in the hands of the patch in flight.
    """

    def __init__(
        self,
        client: Client,
        queue: WorkQueue[Target],
        *,
        clock: Clock,
        access: AccessReviewer,
        events: EventRecorder,
        metrics: RefreshMetrics,
        workers: int,
        rng: random.Random | None = None,
    ) -> None:
        self._client = client
        self._queue = queue
        self._clock = clock
        self._access = access
        self._events = events
        self._metrics = metrics
        self._rng = rng or random.Random()  # noqa: S311 - makes values of two replicas differ, no secret
        self._asked: dict[Target, list[Batch]] = {}
        self._failing: set[Target] = set()
        self._hot: dict[Target, float] = {}
        """Targets asked for during a patch that has succeeded, and the seconds that it took."""
        self._refused: dict[Target, float] = {}
        """When (monotonic seconds) a target was first refused although we have the right."""
        self._flows: dict[Hashable, Batch] = {}
        self._last_stamp = 0
        self._complained = -COMPLAINT_INTERVAL
        self.controller: Controller[Target] = Controller(queue, self.reconcile, workers=workers)

    @property
    def failing(self) -> int:
        """Number of targets whose retry is waiting."""
        return len(self._failing)

    def request(
        self, targets: Sequence[Target], flow: Hashable, received: float, delivery: str = ""
    ) -> Batch:
        """Ask for a refresh of each target; returns at once.

        ``flow`` names the receiver and repository: flows are served in turn, and of one flow a later
        delivery (it must have an id) may take an earlier one's place. ``received`` is the Unix time at which
        the event came, for the lag.
        """
        batch = Batch(targets, flow, received, self._detached, delivery)
        if not targets:
            return batch
        asked, failing, add = self._asked, self._failing, self._queue.add
        for target in targets:
            waiting = asked.get(target)
            if waiting is None:
                asked[target] = [batch]
            else:
                waiting.append(batch)
            add(target, flow)
        batch.failing = bool(failing) and not failing.isdisjoint(targets)
        if not delivery:
            return batch
        previous = self._flows.get(flow)
        self._flows[flow] = batch
        batch.on_done(lambda: self._forget_flow(batch))
        if previous is not None and previous.detached and not previous.done:
            self._replace(previous, batch)
        return batch

    async def reconcile(self, target: Target) -> Outcome:
        """Patch one target for everyone who asked so far."""
        took = self._hot.pop(target, 0.0)
        if took > 0:
            await self._clock.sleep(min(2 * took, LONGEST_JOIN))
        batches = self._asked.pop(target, None)
        if batches is None:
            return Done()
        value = self._stamp()
        began = self._clock.monotonic()
        # Built by hand: both strings are ours and need no escaping.
        body = f'{{"metadata":{{"annotations":{{"{REFRESH_ANNOTATION}":"{value}"}}}}}}'.encode()
        resource = _RESOURCES[target.kind]
        try:
            await self._client.patch(
                resource,
                namespace=target.namespace,
                name=target.name,
                body=body,
                metadata_only=True,
            )
        except ApiError as error:
            return await self._failed(target, batches, error)
        self._access.granted("patch", resource, target.namespace)
        self._settle(target, batches, Settled.PERSISTED)
        if target in self._asked:
            self._hot[target] = self._clock.monotonic() - began
        now = self._clock.time()
        for batch in batches:
            self._metrics.lag(max(0.0, now - batch.received))
        return Done()

    async def _failed(self, target: Target, batches: list[Batch], error: ApiError) -> Outcome:
        """Decide by the API server's answer whether to try again, and when."""
        match error:
            case NotFound() if error.names(target.name):
                self._settle(target, batches, Settled.GONE)
                return Done()
            case Forbidden():
                allowed = await self._access.allowed("patch", _RESOURCES[target.kind], target.namespace)
                if allowed is False:
                    return self._retry(target, batches, RIGHT_MISSING_RETRY)
                if allowed is None:
                    return self._retry(target, batches, None)
                if not self._lasting(target):
                    since = self._refused[target]
                    outcome = self._retry(target, batches, REFUSAL_RETRY)
                    self._refused[target] = since
                    return outcome
            case (
                TooManyRequests()
                | Conflict()
                | Unauthorized()
                | ServerFault()
                | ConnectionFailed()
                | MalformedResponse()
                # Not ours to judge: the path itself is unknown for now (the CRD is being replaced).
                | NotFound()
                | StatusError(status=408)
            ):
                self._complain(target, error)
                after = getattr(error, "retry_after", None)
                return self._retry(target, batches, min(after, LONGEST_RETRY_AFTER) if after else None)
        log.error(
            "refresh_rejected",
            kind=target.kind,
            namespace=target.namespace,
            name=target.name,
            message=error.message,
        )
        self._events.emit(
            WARNING,
            _RESOURCES[target.kind],
            target.kind,
            target.namespace,
            target.name,
            "RefreshRejected",
            f"An event from Azure asks for a refresh, which the API server refuses: {error.message}",
        )
        self._settle(target, batches, Settled.REJECTED)
        return Done()

    def _settle(self, target: Target, batches: list[Batch], how: Settled) -> None:
        self._failing.discard(target)
        if how is not Settled.REJECTED:
            self._refused.pop(target, None)
        self._metrics.refreshed(target.kind, how.value)
        for batch in batches:
            batch.settle(how)

    def _retry(self, target: Target, batches: list[Batch], after: float | None) -> Outcome:
        self._metrics.refreshed(target.kind, "retried")
        self._failing.add(target)
        self._refused.pop(target, None)
        unfinished = [batch for batch in batches if not batch.done]
        self._asked[target] = unfinished + self._asked.get(target, [])
        return Retry(after)

    def _lasting(self, target: Target) -> bool:
        """Whether this target has been refused for so long, or was lately, that the refusal counts."""
        now = self._clock.monotonic()
        since = self._refused.get(target)
        if since is None or now - since > REFUSAL_REMEMBERED:
            if len(self._refused) >= REFUSALS_REMEMBERED:
                self._refused.clear()
            since = self._refused[target] = now
        return now - since >= REFUSAL_SECONDS

    def _complain(self, target: Target, error: ApiError) -> None:
        now = self._clock.monotonic()
        if now - self._complained >= COMPLAINT_INTERVAL:
            self._complained = now
            log.warning(
                "refresh_failing",
                kind=target.kind,
                namespace=target.namespace,
                name=target.name,
                error=str(error),
                waiting=len(self._failing) + 1,
            )

    # --- one flow's deliveries take each other's place ---

    def _detached(self, batch: Batch) -> None:
        newest = self._flows.get(batch.flow)
        if newest is not None and newest is not batch and not batch.done and not newest.done:
            self._replace(batch, newest)

    def _replace(self, old: Batch, new: Batch) -> None:
        """Let ``new`` carry what ``old`` still waits for, if it asks for all of it."""
        if old.targets != new.targets and not set(old.targets) <= set(new.targets):
            return
        for target in old.targets:
            waiting = self._asked.get(target)
            if waiting is not None and old in waiting:
                waiting.remove(old)
        old.supersede(new)

    def _forget_flow(self, batch: Batch) -> None:
        if self._flows.get(batch.flow) is batch:
            del self._flows[batch.flow]

    def _stamp(self) -> str:
        """Return an RFC 3339 time in UTC that this process never returned before.

        Microseconds from the clock, raised to be strictly increasing; three random digits below them keep
        two replicas apart.
        """
        micros = max(self._last_stamp + 1, int(self._clock.time() * 1_000_000))
        self._last_stamp = micros
        seconds, fraction = divmod(micros, 1_000_000)
        date = _date(seconds)
        return f"{date}.{fraction:06d}{self._rng.randrange(1000):03d}Z"


@functools.lru_cache(maxsize=1)
def _date(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
