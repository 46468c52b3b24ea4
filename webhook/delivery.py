"""One delivery, from an understood event to its answer and to its end in the journal.

The refreshes and the journal's commit run at the same time, within what is left of the reply budget. A 2xx is
answered only when nothing is outstanding, or when the journal holds what is. Knows nothing of HTTP.
"""

import asyncio
import functools
import re
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Protocol

import structlog

from webhook import answers
from webhook.alarms import Alarms
from webhook.answers import Answer
from webhook.arrival import Arrival, Subject
from webhook.limits import REPLY_SECONDS, REPOSITORY_CHARACTERS, Limits
from webhook.ports import Dispatcher, Refresh, WebhookMetrics

log = structlog.get_logger()

HURRY_SECONDS = 0.5
"""With less than this left of the reply budget the journal writes the row at once: a 202 will need it."""

_USER_INFO = re.compile(r"//[^/]*@")


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

    __slots__ = ("answered", "arrival", "began", "closed", "ready", "recorded", "refresh", "release")

    def __init__(self, arrival: Arrival, began: float, release: Callable[[], None]) -> None:
        self.arrival = arrival
        self.began = began
        """Monotonic time in seconds at which its headers were read."""
        self.release = release
        """To be called at its end: the memory that it took is free."""
        self.refresh: Refresh
        self.recorded: asyncio.Future[bool]
        """Whether the journal holds an unfinished row of it, which would be taken up again after a crash."""
        self.ready: Callable[[Delivery], None] | None = None
        """To be called when there is an answer, while the sender waits for it."""
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
        self._waiting: Alarms[Delivery] = Alarms(self._answerable)
        """Those whose senders wait, until their reply budget is used up."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._not_kept = answers.unavailable(
            "the event could neither be carried out in time nor be kept for later",
            (limits or Limits()).retry_after,
        )

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, arrival: Arrival, began: float, release: Callable[[], None] = lambda: None) -> Delivery:
        """Request the refreshes and queue the journal row; returns at once. ``release`` is called at the end.

        No patch starts before the row is queued: both happen here, with no ``await`` between.
        """
        delivery = Delivery(arrival, began, release)
        # Open before it is dispatched: that may supersede another, which then looks for it here.
        self._open[arrival.id] = delivery
        try:
            delivery.refresh = self._dispatch(arrival)
            matched = delivery.refresh.matched
            delivery.recorded = self._journal.record(arrival, matched)
        except BaseException:
            del self._open[arrival.id]
            release()
            raise
        self._metrics.matched(matched)
        return delivery

    def follow(self, delivery: Delivery, ready: Callable[[Delivery], None]) -> None:
        """Have ``ready`` called once there is an ``answer``, at the latest when the reply budget is used up.

        Never before this returns. (No task waits, since one for each delivery, with a timer and a future of
        its own, would take a twentieth of all processor time in a burst.)
        """
        delivery.ready = ready
        refresh, recorded = delivery.refresh, delivery.recorded
        left = delivery.began + self._reply_seconds - self._now()
        self._waiting.add(delivery, left)
        if not refresh.matched or (refresh.failing and not refresh.done):
            # Nothing to wait for, but a Warehouse that is seen later must find this delivery; or no point in
            # waiting for a retry.
            if not recorded.done():
                self._journal.hasten()
            recorded.add_done_callback(lambda _: self._answerable(delivery))
            return
        if left < HURRY_SECONDS and not refresh.done:
            self._journal.hasten()
        # A turn later each: a patch ends many, and knows nothing of senders.
        soon = asyncio.get_running_loop().call_soon
        refresh.on_done(functools.partial(soon, self._answerable, delivery))

    def answer(self, delivery: Delivery) -> Answer:
        """Return the answer to a sender that waits for no more than there is now; to be asked for once."""
        refresh = delivery.refresh
        if refresh.done or _stands(delivery):
            answer = answers.refreshed(
                "promotion" if delivery.arrival.subjects[0].kind == "pull_request" else "warehouse",
                refresh.matched,
                refresh.persisted,
                refresh.rejected,
                done=refresh.done,
            )
        else:
            answer = self._not_kept
        # A turn later, when the answer has been written: the sender need not wait for a log line.
        asyncio.get_running_loop().call_soon(self._answered, delivery, answer.code)
        return answer

    def give_up(self) -> None:
        """Answer nobody who still waits; the deliveries go on as if their senders had been answered."""
        for delivery in self._waiting.clear():
            delivery.ready = None
            self._detach(delivery)

    def resume(self, arrival: Arrival, *, owed: bool) -> None:
        """Match and refresh again, at start, a delivery that the journal holds.

        ``owed`` says whether its row is an unfinished one; a finished one is resumed for the sake of
        Warehouses that were not seen in time, and its row stays as it is. The oldest go first.
        """
        delivery = Delivery(arrival, self._now(), lambda: None)
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

    def _answerable(self, delivery: Delivery) -> None:
        """Whatever the sender waited for has come, or its time is up: whichever is first."""
        ready, delivery.ready = delivery.ready, None
        if ready is not None:
            self._waiting.discard(delivery)
            ready(delivery)

    def _answered(self, delivery: Delivery, code: int) -> None:
        delivery.answered = code
        self._log("delivery", delivery, code=code)
        self._detach(delivery)

    def _detach(self, delivery: Delivery) -> None:
        """Nobody waits for the answer any more: follow what is outstanding to its end."""
        if delivery.refresh.done:
            self._end(delivery)
            return
        delivery.refresh.detach()
        # A turn later: what supersedes this one has not queued its own row yet.
        soon = asyncio.get_running_loop().call_soon
        delivery.refresh.on_done(functools.partial(soon, self._end, delivery))

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
        delivery.release()
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


def _stands(delivery: Delivery) -> bool:
    """Whether a delivery's journal row is committed and would be taken up again after a crash."""
    return delivery.recorded.done() and delivery.recorded.result()


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
