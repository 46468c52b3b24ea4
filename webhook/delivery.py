"""One delivery: from an understood event, through its answer, to its end in the journal.

Refreshing and writing the journal's row run at the same time; the answer waits for them until the reply
budget is used up. It is a 2xx only if every refresh is persisted, or if the journal holds the delivery, so
that the next process would take it up. This module knows nothing of HTTP.
"""

import asyncio
import functools
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import structlog

from controller.runtime.clock import Clock
from webhook import answers
from webhook.answers import Answer
from webhook.arrival import Arrival
from webhook.journal.journal import Journal
from webhook.limits import REPLY_SECONDS, Limits
from webhook.outcome import NearMisses, Outcome, Remarks, outcome_of
from webhook.ports import Dispatcher, NearMissFinder, Refresh, WebhookMetrics
from webhook.reporting import clean, log_fault, near_misses_of, printable

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class Delivery:
    """A delivery in progress.

    One task runs ``answer`` (skipped when the delivery is resumed from the journal), then ``end``.
    """

    deliveries: "Deliveries"
    arrival: Arrival
    refresh: Refresh
    recorded: "asyncio.Future[bool]"
    """Whether the journal holds its unfinished row, from which the next process would resume it."""
    carriers: Sequence["Delivery"] = ()
    """Later deliveries that took over this one's unfinished refreshes; set by ``end``."""
    task: "asyncio.Task[None]" = field(init=False)
    _said: str = field(default="", init=False)
    """The answer's text, where it says more than the outcome does."""

    async def answer(self) -> Answer:
        """Wait for what the answer depends on, within the reply budget; return the answer."""
        deliveries, refresh, recorded = self.deliveries, self.refresh, self.recorded
        left = self.arrival.began + deliveries.reply_seconds - deliveries.clock.monotonic()
        # A retry may take long: it is not waited for. Where nothing matched, the row alone matters: after a
        # crash, a Warehouse that is seen later is matched with it.
        only_the_row = not refresh.matched or (refresh.failing and not refresh.done)
        if only_the_row:
            enough = asyncio.get_running_loop().create_future()
            recorded.add_done_callback(functools.partial(_wake, enough))
        else:
            enough = self._refreshed()
        timer = deliveries.clock.call_later(left, functools.partial(_wake, enough))
        try:
            await enough
        finally:
            timer.cancel()
        if not refresh.done and not (recorded.done() and recorded.result()):
            self._said = answers.text(deliveries.not_kept)
            return deliveries.not_kept
        answer = answers.refreshed(
            "promotion" if self.arrival.subjects[0].kind == "pull_request" else "warehouse",
            refresh.matched,
            refresh.persisted,
            refresh.rejected,
            done=refresh.done,
        )
        if answer.code != HTTPStatus.OK or refresh.rejected:
            self._said = answers.text(answer)
        return answer

    async def end(self, code: int | None = None) -> None:
        """Wait until nothing is outstanding; then close the journal's row, or mark it as superseded.

        ``code`` is the status of the answer, which has been sent; None for a delivery that is resumed.
        """
        deliveries, refresh, recorded = self.deliveries, self.refresh, self.recorded
        seconds, near = self._seconds(), None
        if not refresh.matched and deliveries.near_misses is not None:
            near = await deliveries.near_misses.find(self.arrival.receiver, self.arrival.subjects)
        if code is not None:
            self._log("delivery", seconds, near, code=code)
        if not refresh.done:
            refresh.detach()
            await self._refreshed()
        self.carriers = deliveries.open_among(refresh.superseded_by)
        if self.carriers:
            await asyncio.wait(
                (recorded,)
            )  # the journal writes in order, so our row is settled before theirs
        by = [carrier.arrival.id for carrier in self.carriers]
        if not recorded.done() or recorded.result():
            by = await self._rows_in_its_place()
            # A resumed delivery may match other objects than it did when it was recorded.
            remarks = Remarks(code, self._said, near, refresh.names if code is None else ())
            if by:
                deliveries.journal.supersede(self.arrival.id, by, remarks)
            else:
                deliveries.journal.finish(
                    self.arrival.id,
                    matched=refresh.matched,
                    persisted=refresh.persisted,
                    rejected=refresh.rejected,
                    seconds=seconds if near is not None else self._seconds(),
                    remarks=remarks,
                )
        elif code is not None:
            self._note(code)
        if by:
            log.debug("delivery_superseded", id=self.arrival.id, by=by)
        elif code != HTTPStatus.OK:
            self._log("delivery_completed", self._seconds(), near if code is None else None)

    def _note(self, code: int) -> None:
        """Have the history show a delivery that could not be recorded."""
        refresh = self.refresh
        refused = code >= HTTPStatus.BAD_REQUEST
        self.deliveries.journal.note(
            self.arrival,
            outcome=Outcome.REFUSED
            if refused
            else outcome_of(refresh.matched, refresh.persisted, refresh.rejected),
            code=code,
            reason=f"{printable(self.arrival.subjects)}: {self._said or 'not recorded'}",
            matched=refresh.matched,
            seconds=self._seconds(),
        )

    async def _rows_in_its_place(self) -> list[str]:
        """Return the ids of the carriers whose rows replace this one's; none if all refreshes are done.

        A carrier without a row would be lost in a crash. This row is then kept for it, until the carrier has
        ended, or until those that took over from the carrier have rows.
        """
        rows = []
        carriers = [*self.carriers]
        while carriers:
            carrier = carriers.pop(0)
            await asyncio.wait((carrier.recorded,))
            if carrier.recorded.result():
                rows.append(carrier.arrival.id)
            else:
                await asyncio.wait((carrier.task,))
                carriers += carrier.carriers
        return rows

    def _refreshed(self) -> "asyncio.Future[None]":
        """Return a new future, which is set once nothing is outstanding."""
        future = asyncio.get_running_loop().create_future()
        self.refresh.on_done(functools.partial(_wake, future))
        return future

    def _seconds(self) -> float:
        return self.deliveries.clock.monotonic() - self.arrival.began

    def _log(self, event: str, seconds: float, near: NearMisses | None = None, **more: object) -> None:
        arrival, refresh = self.arrival, self.refresh
        log.info(
            event,
            receiver=arrival.receiver,
            source=arrival.source,
            event_type=arrival.event,
            repository=printable(arrival.subjects),
            matched=refresh.matched,
            refreshed=refresh.persisted,
            rejected=refresh.rejected,
            seconds=round(seconds, 4),
            id=arrival.id,
            sender_id=clean(arrival.sender_id),
            **({} if arrival.delivery_count is None else {"delivery_count": arrival.delivery_count}),
            **near_misses_of(near),
            **more,
        )


@dataclass(eq=False)
class Deliveries:
    """Begins deliveries, and owns their tasks.

    A delivery is open from ``start`` until its task ends. By then nothing of it is outstanding, and its row
    in the journal says so. A superseded delivery that has a row ends only after its carriers' rows are
    committed or finished. So in an outage, only the newest delivery of each flow stays open.
    """

    dispatcher: Dispatcher
    journal: Journal
    metrics: WebhookMetrics
    clock: Clock
    reply_seconds: float = REPLY_SECONDS
    limits: Limits = field(default_factory=Limits)
    near_misses: NearMissFinder | None = None

    def __post_init__(self) -> None:
        self.not_kept = answers.unavailable(
            "the event could neither be carried out in time nor be kept for later",
            self.limits.retry_after,
        )
        self._open: dict[str, Delivery] = {}

    def __len__(self) -> int:
        return len(self._open)

    def oldest(self) -> float | None:
        """Return when (Unix time) the first of the open deliveries came; None if there is none."""
        first = next(iter(self._open.values()), None)
        return None if first is None else first.arrival.received

    def open_among(self, ids: Iterable[str]) -> list[Delivery]:
        """Return those of these deliveries that have not ended."""
        return [self._open[id_] for id_ in ids if id_ in self._open]

    def begin(self, arrival: Arrival) -> Delivery:
        """Request the refreshes and queue the journal row; returns at once. ``start`` must follow.

        No patch starts before the row is queued: both happen here, with no ``await`` between.
        """
        refresh = self._dispatch(arrival)
        matched = refresh.matched
        delivery = Delivery(self, arrival, refresh, self.journal.record(arrival, matched, refresh.names))
        self.metrics.matched(matched)
        return delivery

    def start(self, delivery: Delivery, life: Coroutine[Any, Any, None]) -> None:
        """Run ``life``, which sees the delivery through to its end, as the delivery's task."""
        self._open[delivery.arrival.id] = delivery
        delivery.task = asyncio.get_running_loop().create_task(life)
        delivery.task.add_done_callback(functools.partial(self._ended, delivery))

    def resume(self, arrival: Arrival, *, owed: bool) -> None:
        """Match and refresh again a delivery that an earlier process left in the journal.

        ``owed`` says whether its row is unfinished. A finished one is only matched with Warehouses that the
        earlier process may not have seen.
        """
        if not owed:
            self.dispatcher.remember(arrival.receiver, arrival.subjects, arrival.received)
            return
        arrival.began = self.clock.monotonic() - max(0.0, self.clock.time() - arrival.received)
        recorded = asyncio.get_running_loop().create_future()
        recorded.set_result(True)
        delivery = Delivery(self, arrival, self._dispatch(arrival), recorded)
        self.start(delivery, delivery.end())

    async def close(self) -> None:
        """Stop waiting for what is open: the journal keeps it."""
        tasks = [delivery.task for delivery in self._open.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _dispatch(self, arrival: Arrival) -> Refresh:
        return self.dispatcher.dispatch(
            arrival.receiver, arrival.subjects, arrival.received, delivery=arrival.id
        )

    def _ended(self, delivery: Delivery, task: "asyncio.Task[None]") -> None:
        del self._open[delivery.arrival.id]
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log_fault(delivery.arrival, error)


def _wake(future: "asyncio.Future[None]", *_: object) -> None:
    if not future.done():
        future.set_result(None)
