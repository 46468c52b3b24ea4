"""Reads one queue: receives messages, has each carried out, and deletes it when nothing of it is outstanding.

A message needs no journal: it stays in the queue, invisible, until everything it asks for is persisted by a
patch that began after it was received. A process that dies leaves it, and it is visible again a little later;
received twice does no harm.

Messages are carried out in batches: all that one look at the queue gives begin together, those that ask
for the same next to each other, and so share their Warehouses' patches (see ``Refresher``). So a full queue
costs one or two patches of each Warehouse for a batch, however many messages ask for it.
"""

import asyncio
import functools
import time
from collections.abc import Coroutine
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import structlog
from tornado.httputil import HTTPHeaders

from webhook import answers
from webhook.admin.ports import StorageQueue
from webhook.answers import Answer
from webhook.arrival import QUEUE, Arrival
from webhook.delivery import Delivery
from webhook.endpoint import Endpoint
from webhook.limits import MIB, TURN_SECONDS
from webhook.outcome import Outcome
from webhook.payloads.reading import BadPayload
from webhook.queues.health import DELETE, RECEIVE, SET_ASIDE, Health
from webhook.queues.in_flight import InFlight
from webhook.queues.message import body_of
from webhook.queues.ports import Message, MessageLost, Queue, QueueFault, QueueMetrics
from webhook.reporting import log_fault

PAGE = 32
"""Messages of one request: the service gives no more."""
BATCH_CHARACTERS = 8 * MIB
"""Text of a batch: 2,000 messages are some 4 MB; a message may have 64 KB."""
BATCH_SECONDS = 5.0
"""For which a batch is collected at most while there is more and more."""
MOST_DEQUEUES = 10
"""A message that was received so often without an end goes to the poison queue.

An outage of the API server uses none of them up: what is in flight is renewed, and nothing is received beyond
it. Where renewals are refused the count proves nothing, so nothing is poison by it.
"""
POLL_SECONDS, IDLE_SECONDS = 1.0, 5.0
"""Seconds between two looks at a queue in which something was just now, and at one that is empty for long."""
FULL_SECONDS = 1.0
"""Seconds until a message is tried again whose Project is over its limits."""
DELETIONS = 32
"""Messages that are deleted or set aside at a time."""

log = structlog.get_logger()


class Consumer:
    """Reads one queue until ``stop``; at most ``most`` messages are in flight at a time."""

    def __init__(
        self, queue: Queue, endpoint: Endpoint, metrics: QueueMetrics, *, owner: str, most: int
    ) -> None:
        """Take ``owner``: the Project whose Warehouses are refreshed, ``cluster`` for all.

        Must be called on the event loop.
        """
        self._queue = queue
        self._endpoint = endpoint
        self._metrics = metrics
        self._receiver = f"{owner}/{queue.name}"
        self._most = most
        self._clock = endpoint.clock
        self._health = Health(queue.name, metrics, self._clock)
        self._in_flight = InFlight(queue, self._health, self._clock)
        self._tasks: set[asyncio.Task[None]] = set()
        self._deletions = asyncio.Semaphore(DELETIONS)
        self._stopping = asyncio.Event()
        self._turn_began = 0.0
        self._last_message: datetime | None = None
        self._poison = 0

    def state(self) -> StorageQueue:
        """Return how the queue is, for people."""
        return StorageQueue(
            self._receiver,
            self._health.error,
            datetime.fromtimestamp(self._health.since, UTC),
            self._last_message,
            len(self._in_flight),
            self._poison,
        )

    def stop(self) -> None:
        """Receive no more; ``run`` returns when what is in flight has ended."""
        self._stopping.set()

    async def run(self) -> None:
        """Read the queue until ``stop``; cancelled, it leaves what is in flight to the queue."""
        keeping = asyncio.get_running_loop().create_task(self._in_flight.keep())
        idle = POLL_SECONDS
        try:
            while not self._stopping.is_set():
                # Not before there is room for many: small batches share little.
                await self._in_flight.wait_below(self._most // 2 + 1)
                batch, more = await self._receive()
                await self._begin(batch)
                idle = POLL_SECONDS if batch else min(IDLE_SECONDS, 1.5 * idle)
                await self._rest(self._health.pause() or (0.0 if more else idle))
            await self._in_flight.wait_below(1)
        finally:
            for task in (keeping, *self._tasks):
                task.cancel()
            await asyncio.gather(keeping, *self._tasks, return_exceptions=True)
            await self._queue.close()

    async def _rest(self, seconds: float) -> None:
        """Wait so long, or until ``stop``."""
        loop = asyncio.get_running_loop()
        ends = [loop.create_task(self._clock.sleep(seconds)), loop.create_task(self._stopping.wait())]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in ends:
                task.cancel()

    async def _receive(self) -> tuple[list[Message], bool]:
        """Receive what there is, as far as there is room for it; return also whether there may be more."""
        batch: list[Message] = []
        characters, until = 0, self._clock.monotonic() + BATCH_SECONDS
        while True:
            wanted = min(PAGE, self._most - len(self._in_flight))
            try:
                page = await self._queue.receive(wanted, self._in_flight.visibility)
            except QueueFault as fault:
                self._health.failed(RECEIVE, fault)
                return batch, False
            self._health.worked(RECEIVE)
            if page:
                self._last_message = datetime.fromtimestamp(self._clock.time(), UTC)
            batch += [message for message in page if self._in_flight.add(message)]
            characters += sum(len(message.text) for message in page)
            if len(page) < wanted:
                return batch, False
            if (
                len(self._in_flight) >= self._most
                or characters >= BATCH_CHARACTERS
                or self._clock.monotonic() >= until
                or self._stopping.is_set()
            ):
                return batch, True

    async def _begin(self, batch: list[Message]) -> None:
        """Begin with each message of a batch."""
        understood: list[tuple[Arrival, Message]] = []
        for message in batch:
            await self._give_way()
            arrival = self._endpoint.arrived()
            arrival.receiver, arrival.via = self._receiver, QUEUE
            try:
                answer = await self._understand(arrival, message)
            except Exception as error:  # noqa: BLE001 - a fault of ours with one message is not the others'
                self._left(arrival, message, error)
                continue
            if answer is None:
                self._in_flight.forget_text(message.id)
                understood.append((arrival, message))
            else:
                self._answered(arrival, message, answer)
        understood.sort(key=lambda each: tuple(each[0].subjects))
        for arrival, message in understood:
            await self._give_way()
            try:
                delivery = await self._delivery(arrival)
            except Exception as error:  # noqa: BLE001 - as above
                self._left(arrival, message, error)
                continue
            self._endpoint.deliveries.start(delivery, self._see_through(delivery, message.id))
            self._own(delivery.task, message.id)

    async def _give_way(self) -> None:
        """Let others have the event loop after ``TURN_SECONDS``."""
        if time.perf_counter() - self._turn_began >= TURN_SECONDS:
            await asyncio.sleep(0)
            self._turn_began = time.perf_counter()

    async def _understand(self, arrival: Arrival, message: Message) -> Answer | None:
        """Return the answer to a message that asks for no refresh; None for one that does."""
        # Where renewals are refused, what is only late comes again and again: no reason to set it aside.
        if message.dequeued > MOST_DEQUEUES and await self._in_flight.renew(message.id):
            return answers.bad_payload(f"it was received {message.dequeued - 1} times without an end")
        try:
            return self._endpoint.understand(arrival, HTTPHeaders(), body_of(message.text))
        except BadPayload as error:
            return answers.bad_payload(str(error))

    async def _delivery(self, arrival: Arrival) -> Delivery:
        """Begin a delivery as soon as there is room for it: all of a queue wait for the same."""
        subjects = arrival.subjects
        while True:
            begun = self._endpoint.begin(arrival)
            if isinstance(begun, Delivery):
                return begun
            arrival.subjects = subjects
            await self._clock.sleep(FULL_SECONDS)

    def _answered(self, arrival: Arrival, message: Message, answer: Answer) -> None:
        """Have the history show a message that asks for no refresh, and be rid of it."""
        reason = answers.text(answer)
        well = answer.code == HTTPStatus.OK
        outcome = Outcome.ANSWERED if well else Outcome.REFUSED
        self._endpoint.deliveries.journal.note(arrival, outcome=outcome, reason=reason)
        end = self._end(message.id, "" if well else reason)
        self._own(asyncio.get_running_loop().create_task(end), message.id)

    def _left(self, arrival: Arrival, message: Message, error: Exception) -> None:
        log_fault(arrival, error)
        self._in_flight.drop(message.id)
        self._metrics.queue_message(self._queue.name, "left")

    def _own(self, task: "asyncio.Task[None]", message_id: str) -> None:
        self._tasks.add(task)
        task.add_done_callback(functools.partial(self._ended, message_id))

    def _ended(self, message_id: str, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._in_flight.drop(message_id)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("queue_message_failed", queue=self._queue.name, error=type(error).__name__)
        if error is not None or task.cancelled():
            self._metrics.queue_message(self._queue.name, "left")

    async def _see_through(self, delivery: Delivery, message_id: str) -> None:
        try:
            # Before ``end`` no later delivery takes this one's place: it is deleted for what was persisted.
            refreshed = asyncio.Event()
            delivery.refresh.on_done(refreshed.set)
            await refreshed.wait()
            await delivery.end()
        finally:
            self._endpoint.release(delivery)
        await self._end(message_id, "")

    async def _end(self, message_id: str, reason: str) -> None:
        """Delete a message; one that is poison, for a reason, once it is in the other queue."""
        name, result = self._queue.name, "done"
        try:
            async with self._deletions, self._in_flight.newest(message_id) as message:
                if reason:
                    result = "poison"
                    log.warning("queue_message_poison", queue=name, message_id=message_id, reason=reason)
                    await self._try(SET_ASIDE, self._queue.poison(message))
                    self._poison += 1
                await self._try(DELETE, self._queue.delete(message))
        except QueueFault as fault:  # it comes again
            log.debug("queue_message_left", queue=name, message_id=message_id, error=str(fault))
            result = "left"
        self._metrics.queue_message(name, result)

    async def _try(self, request: str, sent: Coroutine[Any, Any, None]) -> None:
        try:
            await sent
        except MessageLost:
            raise
        except QueueFault as fault:
            self._health.failed(request, fault)
            raise
        self._health.worked(request)
