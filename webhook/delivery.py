"""One delivery, from an understood event to its answer and to its end in the journal.

The refreshes and the journal's commit run at the same time, within what is left of the reply budget. A 2xx is
answered only when nothing is outstanding, or when the journal holds what is. Knows nothing of HTTP.
"""

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import NamedTuple, Protocol

import structlog

from webhook import answers
from webhook.answers import Answer
from webhook.limits import REPLY_SECONDS, REPOSITORY_CHARACTERS, Limits
from webhook.ports import Dispatcher, Refresh, Subject, WebhookMetrics

log = structlog.get_logger()

HURRY_SECONDS = 0.5
"""With less than this left of the reply budget the journal writes the row at once: a 202 will need it."""

_USER_INFO = re.compile(r"//[^/]*@")


class Arrival(NamedTuple):
    """An event that concerns repositories or a pull request, as it came in."""

    id: str
    receiver: str
    """``namespace/name``, or ``cluster/name``."""
    source: str
    """Which kind of sender: one of a small fixed set."""
    event: str
    """Type of event: one of a small fixed set."""
    sender_id: str
    """The sender's own id of it, for a person who compares logs; empty if it gave none."""
    subjects: Sequence[Subject]
    received: float
    """Unix time in seconds at which its headers were read."""
    delivery_count: int | None = None
    """How often the sender tried before, where it says so (Event Grid)."""


class Journal(Protocol):
    """Keeps deliveries until they are done, though the process dies. Operations take effect in order."""

    def record(self, arrival: Arrival, matched: int) -> "asyncio.Future[bool]":
        """Queue the row before this returns. The result says whether it was committed; never an exception."""

    def hasten(self) -> None:
        """Note that an answer waits for a row."""

    def finish(self, delivery: str, *, matched: int, persisted: int, rejected: int, seconds: float) -> None:
        """Queue the outcome of a delivery with nothing outstanding, so many seconds after it came."""

    def supersede(self, delivery: str, by: Sequence[str]) -> None:
        """Queue that others carry what was outstanding; their rows are committed."""


class Delivery:
    """A delivery in progress, whether its sender is still waiting or not."""

    __slots__ = ("answered", "arrival", "began", "closed", "recorded", "refresh")

    def __init__(self, arrival: Arrival, began: float) -> None:
        self.arrival = arrival
        self.began = began
        """Monotonic time in seconds at which its headers were read."""
        self.refresh: Refresh
        self.recorded: asyncio.Future[bool]
        """Whether the journal holds an unfinished row of it, which would be taken up again after a crash."""
        self.answered: int | None = None
        """Status of its answer."""
        self.closed: asyncio.Future[None] | None = None
        """Made by whoever waits for it to leave the open ones."""


class Deliveries:
    """Sees deliveries through.

    A delivery is open from ``begin`` until nothing of it is outstanding and its journal row says so. A
    superseded one is closed once the rows of those that carry it are committed or done, never before.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        journal: Journal,
        metrics: WebhookMetrics,
        *,
        reply_seconds: float = REPLY_SECONDS,
        limits: Limits | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dispatcher = dispatcher
        self._journal = journal
        self._metrics = metrics
        self._reply_seconds = reply_seconds
        self._now = now
        self._open: dict[str, Delivery] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._not_kept = answers.unavailable(
            "the event could neither be carried out in time nor be kept for later",
            (limits or Limits()).retry_after,
        )

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, arrival: Arrival, began: float) -> Delivery:
        """Request the refreshes and queue the journal row; returns at once.

        No patch starts before the row is queued: both happen here, with no ``await`` between.
        """
        delivery = Delivery(arrival, began)
        # Open before it is dispatched: that may supersede another, which then looks for it here.
        self._open[arrival.id] = delivery
        try:
            delivery.refresh = self._dispatch(arrival)
            matched = delivery.refresh.matched
            delivery.recorded = self._journal.record(arrival, matched)
        except BaseException:
            del self._open[arrival.id]
            raise
        self._metrics.matched(matched)
        return delivery

    async def reply(self, delivery: Delivery) -> Answer:
        """Wait as long as the sender does, and return its answer.

        If this is cancelled, the delivery goes on as if it had been answered.
        """
        try:
            answer = await self._wait(delivery)
        except BaseException:
            self._detach(delivery)
            raise
        # A turn later, when the answer has been written: the sender need not wait for a log line.
        asyncio.get_running_loop().call_soon(self._answered, delivery, answer.code)
        return answer

    def resume(self, arrival: Arrival, *, owed: bool) -> None:
        """Match and refresh again, at start, a delivery that the journal holds.

        ``owed`` says whether its row is an unfinished one; a finished one is resumed for the sake of
        Warehouses that were not seen in time, and its row stays as it is. The oldest go first.
        """
        delivery = Delivery(arrival, self._now())
        delivery.recorded = asyncio.get_running_loop().create_future()
        delivery.recorded.set_result(owed)
        self._open[arrival.id] = delivery
        delivery.refresh = self._dispatch(arrival)
        self._detach(delivery)

    async def close(self) -> None:
        """Stop waiting for what is open: the journal keeps it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _dispatch(self, arrival: Arrival) -> Refresh:
        return self._dispatcher.dispatch(
            arrival.receiver, arrival.subjects, arrival.received, delivery=arrival.id
        )

    async def _wait(self, delivery: Delivery) -> Answer:
        """Wait within the reply budget for the refreshes, and for the journal as far as it is needed."""
        refresh = delivery.refresh
        deadline = delivery.began + self._reply_seconds
        if refresh.done:
            if not refresh.matched:
                # Nothing to wait for, but a Warehouse that is seen later must find this delivery.
                await self._committed(delivery, deadline)
        elif not refresh.failing:
            left = deadline - self._now()
            if left < HURRY_SECONDS:
                self._journal.hasten()
            await refresh.wait(left)
        if not refresh.done and not await self._committed(delivery, deadline) and not refresh.done:
            return self._not_kept
        return answers.refreshed(
            "promotion" if delivery.arrival.subjects[0].kind == "pull_request" else "warehouse",
            refresh.matched,
            refresh.persisted,
            refresh.rejected,
            done=refresh.done,
        )

    def _answered(self, delivery: Delivery, code: int) -> None:
        delivery.answered = code
        self._log("delivery", delivery, code=code)
        self._detach(delivery)

    async def _committed(self, delivery: Delivery, deadline: float) -> bool:
        recorded = delivery.recorded
        if not recorded.done():
            self._journal.hasten()
            await asyncio.wait((recorded,), timeout=max(0.0, deadline - self._now()))
        return recorded.done() and recorded.result()

    def _detach(self, delivery: Delivery) -> None:
        """Nobody waits for the answer any more: follow what is outstanding to its end."""
        if delivery.refresh.done:
            self._end(delivery)
            return
        delivery.refresh.detach()
        loop = asyncio.get_running_loop()

        def done() -> None:
            # A turn later: what supersedes this one has not queued its own row yet.
            loop.call_soon(self._end, delivery)

        delivery.refresh.on_done(done)

    # --- the end of a delivery in the journal ---

    def _end(self, delivery: Delivery) -> None:
        """Nothing is outstanding here any more: say so in the journal."""
        open_ = map(self._open.get, delivery.refresh.superseded_by)
        carriers = [carrier for carrier in open_ if carrier is not None]
        if all(map(_stands, carriers)):
            self._close(delivery, carriers)
            return
        task = asyncio.get_running_loop().create_task(self._end_after(delivery, carriers))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end_after(self, delivery: Delivery, carriers: Sequence[Delivery]) -> None:
        standing = []
        for carrier in carriers:
            await asyncio.wait((carrier.recorded,))
            if _stands(carrier):
                standing.append(carrier)
            elif carrier.arrival.id in self._open:
                # Its row can't be written, or is none that would be taken up again: ours stands in for it
                # until what it carries is done.
                if carrier.closed is None:
                    carrier.closed = asyncio.get_running_loop().create_future()
                await asyncio.wait((carrier.closed,))
        self._close(delivery, standing)

    def _close(self, delivery: Delivery, carriers: Sequence[Delivery]) -> None:
        """End it as superseded by the carriers; without any, what it asked for is done."""
        arrival, recorded = delivery.arrival, delivery.recorded
        del self._open[arrival.id]
        if delivery.closed is not None:
            delivery.closed.set_result(None)
        by = tuple(carrier.arrival.id for carrier in carriers)
        if not recorded.done() or recorded.result():
            if by:
                self._journal.supersede(arrival.id, by)
            else:
                refresh = delivery.refresh
                self._journal.finish(
                    arrival.id,
                    matched=refresh.matched,
                    persisted=refresh.persisted,
                    rejected=refresh.rejected,
                    seconds=self._now() - delivery.began,
                )
        if by:
            log.debug("delivery_superseded", id=arrival.id, by=by)
        elif delivery.answered != HTTPStatus.OK:
            self._log("delivery_completed", delivery)

    def _log(self, event: str, delivery: Delivery, **more: object) -> None:
        arrival, refresh = delivery.arrival, delivery.refresh
        log.info(
            event,
            receiver=arrival.receiver,
            source=arrival.source,
            event_type=arrival.event,
            repository=printable(arrival.subjects),
            matched=refresh.matched,
            refreshed=refresh.persisted,
            rejected=refresh.rejected,
            seconds=round(self._now() - delivery.began, 4),
            id=arrival.id,
            sender_id=clean(arrival.sender_id),
            **({} if arrival.delivery_count is None else {"delivery_count": arrival.delivery_count}),
            **more,
        )


def _stands(carrier: Delivery) -> bool:
    """Whether the carrier's journal row is committed and would be taken up again after a crash."""
    return carrier.recorded.done() and carrier.recorded.result()


def printable(subjects: Sequence[Subject]) -> str:
    """Return what a delivery is about, fit for a log line: bounded, and without user info."""
    url = subjects[0].url
    if "@" in url:
        url = _USER_INFO.sub("//", url)
    text = clean(url)
    return text if len(subjects) == 1 else f"{text} and {len(subjects) - 1} more"


def clean(text: str) -> str:
    """Return a sender's text with control characters replaced, cut to a line's length."""
    if len(text) > REPOSITORY_CHARACTERS:
        text = text[:REPOSITORY_CHARACTERS] + "…"
    if not text.isprintable():
        text = "".join(character if character.isprintable() else "�" for character in text)
    return text
