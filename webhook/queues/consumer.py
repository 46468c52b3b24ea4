"""Reads one queue: receives messages, has each carried out, and deletes it when nothing of it is outstanding.

A message needs no journal: it stays in the queue, invisible, until everything it asks for is persisted. A
process that dies leaves it, and it is visible again within ``VISIBILITY_SECONDS``; received twice does no
harm.
"""

import asyncio
import functools
import random
from http import HTTPStatus
from typing import Any

import structlog
from tornado.httputil import HTTPHeaders

from webhook import answers
from webhook.answers import Answer
from webhook.arrival import QUEUE, Arrival
from webhook.delivery import Delivery
from webhook.endpoint import Endpoint
from webhook.outcome import Outcome
from webhook.payloads.reading import BadPayload
from webhook.queues.message import body_of
from webhook.queues.ports import Message, Queue, QueueFault, QueueMetrics, QueueRefused
from webhook.reporting import log_fault

VISIBILITY_SECONDS = 30
"""Seconds that a message is ours without renewal: a lost node's messages come back so soon."""
LONG_VISIBILITY_SECONDS = 300
"""The same where renewals are refused: longer than an API server is restarted, so that little is received in
vain."""
RENEWALS = 3
"""Renewals within the time for which a message is ours: two may fail."""
PAGE = 32
"""Messages of one request: the service gives no more."""
MOST_DEQUEUES = 10
"""A message that was received so often without an end goes to the poison queue.

An outage of the API server uses none of them up: what is in work is renewed, and nothing is received beyond
it. Where renewals are refused the count proves nothing, so nothing is poison by it.
"""
POLL_SECONDS, IDLE_SECONDS = 1.0, 5.0
"""Seconds between two looks at a queue in which something was just now, and at one that is empty for long."""
FAULT_SECONDS = 60.0
"""Seconds between two attempts at most while requests fail."""
FULL_SECONDS = 1.0
"""Seconds until a message is tried again whose Project is over its limits."""

log = structlog.get_logger()


class Consumer:
    """Reads one queue until ``stop``; at most ``most`` messages are in work at a time."""

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
        self._work: set[asyncio.Task[None]] = set()
        self._messages: dict[str, Message] = {}
        """Those in work by id, each with its newest receipt."""
        self._stopping: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._faults = 0
        self._refused = False
        """Whether renewals are refused."""
        metrics.queue_failing(queue.name, failing=False)

    def stop(self) -> None:
        """Receive no more; ``run`` returns when what is in work has ended."""
        if not self._stopping.done():
            self._stopping.set_result(None)

    async def run(self) -> None:
        """Read the queue until ``stop``; cancelled, it leaves what is in work to the queue."""
        idle = POLL_SECONDS
        try:
            while not self._stopping.done():
                if len(self._work) >= self._most:
                    await asyncio.wait(self._work, return_when=asyncio.FIRST_COMPLETED)
                    continue
                try:
                    messages = await self._queue.receive(
                        min(PAGE, self._most - len(self._work)), self._visibility
                    )
                except QueueFault as fault:
                    await self._wait(self._failed(fault), self._stopping)
                    continue
                self._recovered()
                for message in messages:
                    self._take(message)
                idle = POLL_SECONDS if messages else min(IDLE_SECONDS, 1.5 * idle)
                await self._wait(0.0 if messages else idle, self._stopping)
            if self._work:
                await asyncio.wait(self._work)
        finally:
            for task in self._work:
                task.cancel()
            await asyncio.gather(*self._work, return_exceptions=True)
            await self._queue.close()

    @property
    def _visibility(self) -> int:
        return LONG_VISIBILITY_SECONDS if self._refused else VISIBILITY_SECONDS

    async def _wait(self, seconds: float, end: "asyncio.Future[Any]") -> bool:
        """Wait for ``end``, at most so long; return whether it has come."""
        sleep = asyncio.get_running_loop().create_task(self._clock.sleep(seconds))
        try:
            await asyncio.wait((end, sleep), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
        return end.done()

    def _take(self, message: Message) -> None:
        """Begin with a message, unless it is in work already and was not renewed in time."""
        known = message.id in self._messages
        self._messages[message.id] = message
        if not known:
            task = asyncio.get_running_loop().create_task(self._handle(message))
            self._work.add(task)
            task.add_done_callback(functools.partial(self._ended, message.id))

    def _ended(self, message_id: str, task: "asyncio.Task[None]") -> None:
        self._work.discard(task)
        del self._messages[message_id]
        error = None if task.cancelled() else task.exception()
        if error is not None:  # the message comes again
            log.error("queue_message_failed", queue=self._queue.name, error=type(error).__name__)

    def _failed(self, fault: QueueFault) -> float:
        """Note that receiving failed; return for how many seconds to wait."""
        if not self._faults:
            log.error("queue_failing", queue=self._queue.name, error=str(fault))
            self._metrics.queue_failing(self._queue.name, failing=True)
        self._faults += 1
        return min(FAULT_SECONDS, 2.0 ** min(self._faults - 1, 6)) * random.uniform(0.75, 1.0)  # noqa: S311

    def _recovered(self) -> None:
        if self._faults:
            self._faults = 0
            log.info("queue_recovered", queue=self._queue.name)
            self._metrics.queue_failing(self._queue.name, failing=False)

    async def _handle(self, message: Message) -> None:
        """See a message through, keeping it invisible meanwhile."""
        # Where renewals are refused, what is only late comes again and again: no reason to set it aside.
        worn_out = message.dequeued > MOST_DEQUEUES and await self._renew(message.id)
        work = asyncio.get_running_loop().create_task(self._carry_out(message, worn_out=worn_out))
        try:
            while not await self._wait(self._visibility / RENEWALS, work):
                await self._renew(message.id)
        finally:
            work.cancel()
        reason = work.result()
        result = "left" if reason == "left" else await self._dispose(message.id, reason)
        self._metrics.queue_message(self._queue.name, result)

    async def _renew(self, message_id: str) -> bool:
        """Keep a message in work invisible; return False if renewals are refused."""
        message = self._messages[message_id]
        try:
            renewed = await self._queue.renew(message, self._visibility)
        except QueueRefused as fault:
            if not self._refused:
                log.warning("queue_renewal_refused", queue=self._queue.name, error=str(fault))
            self._refused = True
            return False
        except QueueFault as fault:
            log.debug("queue_message_not_renewed", queue=self._queue.name, error=str(fault))
            return True
        self._refused = False
        if self._messages[message_id] is message:  # else it was received once more meanwhile
            self._messages[message_id] = renewed
        return True

    async def _dispose(self, message_id: str, reason: str) -> str:
        """Delete a message, poison (for a reason) once it is in the other queue; return what became of it."""
        name = self._queue.name
        try:
            if reason:
                log.warning("queue_message_poison", queue=name, message_id=message_id, reason=reason)
                await self._queue.poison(self._messages[message_id])
            await self._queue.delete(self._messages[message_id])
        except QueueFault as fault:  # it comes again
            log.warning("queue_message_not_deleted", queue=name, message_id=message_id, error=str(fault))
            return "left"
        return "poison" if reason else "done"

    async def _carry_out(self, message: Message, *, worn_out: bool) -> str:
        """Return nothing when all is persisted, ``left`` for a message to be left, else why it is poison."""
        arrival = self._endpoint.arrived()
        arrival.receiver, arrival.via = self._receiver, QUEUE
        if worn_out:
            return self._note(arrival, f"it was received {message.dequeued - 1} times without an end")
        try:
            body = body_of(message.text)
        except BadPayload as error:
            return self._note(arrival, str(error))
        while True:
            try:
                outcome = self._endpoint.act(arrival, HTTPHeaders(), body)
            except Exception as error:  # noqa: BLE001 - a fault of ours with one message is not the others'
                log_fault(arrival, error)
                return "left"
            if not (isinstance(outcome, Answer) and outcome.code == HTTPStatus.SERVICE_UNAVAILABLE):
                break
            await self._clock.sleep(FULL_SECONDS)
        if isinstance(outcome, Answer):
            if outcome.code != HTTPStatus.OK:
                return self._note(arrival, answers.text(outcome))
            self._note(arrival, answers.text(outcome), Outcome.ANSWERED)
            return ""
        self._endpoint.deliveries.start(outcome, self._see_through(outcome))
        await asyncio.wait((outcome.task,))
        ended = not outcome.task.cancelled() and outcome.task.exception() is None
        return "" if ended else "left"

    def _note(self, arrival: Arrival, reason: str, outcome: Outcome = Outcome.REFUSED) -> str:
        """Have the history show a message that asked for no refresh; return the reason."""
        self._endpoint.deliveries.journal.note(arrival, outcome=outcome, reason=reason)
        return reason

    async def _see_through(self, delivery: Delivery) -> None:
        try:
            # Before ``end`` no later delivery takes this one's place: it is deleted for what was persisted.
            refreshed = asyncio.Event()
            delivery.refresh.on_done(refreshed.set)
            await refreshed.wait()
            await delivery.end()
        finally:
            self._endpoint.release(delivery)
