"""Reads one queue: receives messages, has each carried out, and deletes it when nothing of it is outstanding.

A message needs no journal: it stays in the queue, invisible, until everything it asks for is persisted. A
process that dies leaves it, and it is visible again within ``VISIBILITY_SECONDS``; received twice does no
harm.
"""

import asyncio
import random
from http import HTTPStatus

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
from webhook.queues.ports import Message, Queue, QueueFault, QueueMetrics
from webhook.reporting import log_fault

VISIBILITY_SECONDS = 30
"""Seconds that a message is ours without renewal: a lost node's messages come back so soon."""
RENEW_SECONDS = 10.0
"""Seconds between renewals: two may fail before the message is another's."""
PAGE = 32
"""Messages of one request: the service gives no more."""
MOST_DEQUEUES = 10
"""A message that was received so often without an end goes to the poison queue."""
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
        """Take ``owner``: the Project whose Warehouses are refreshed, ``cluster`` for all."""
        self._queue = queue
        self._endpoint = endpoint
        self._metrics = metrics
        self._receiver = f"{owner}/{queue.name}"
        self._most = most
        self._work: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._faults = 0
        metrics.queue_failing(queue.name, failing=False)

    def stop(self) -> None:
        """Receive no more; ``run`` returns when what is in work has ended."""
        self._stopping.set()

    async def run(self) -> None:
        """Read the queue until ``stop``; cancelled, it leaves what is in work to the queue."""
        idle = POLL_SECONDS
        try:
            while not self._stopping.is_set():
                if len(self._work) >= self._most:
                    await asyncio.wait(self._work, return_when=asyncio.FIRST_COMPLETED)
                    continue
                try:
                    messages = await self._queue.receive(
                        min(PAGE, self._most - len(self._work)), VISIBILITY_SECONDS
                    )
                except QueueFault as fault:
                    await self._pause(self._failed(fault))
                    continue
                self._recovered()
                for message in messages:
                    task = asyncio.get_running_loop().create_task(self._handle(message))
                    self._work.add(task)
                    task.add_done_callback(self._work.discard)
                idle = POLL_SECONDS if messages else min(IDLE_SECONDS, 1.5 * idle)
                await self._pause(0.0 if messages else idle)
            if self._work:
                await asyncio.wait(self._work)
        finally:
            for task in self._work:
                task.cancel()
            await self._queue.close()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

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
        work = asyncio.get_running_loop().create_task(self._carry_out(message))
        try:
            while not (await asyncio.wait((work,), timeout=RENEW_SECONDS))[0]:
                try:
                    message = await self._queue.renew(message, VISIBILITY_SECONDS)
                except QueueFault as fault:
                    log.debug("queue_message_not_renewed", queue=self._queue.name, error=str(fault))
        finally:
            work.cancel()
        reason = work.result()
        result = "left"
        try:
            if reason not in ("", "left"):
                log.warning(
                    "queue_message_poison", queue=self._queue.name, message_id=message.id, reason=reason
                )
                await self._queue.poison(message)
            if reason != "left":
                await self._queue.delete(message)
                result = "poison" if reason else "done"
        except QueueFault as fault:  # it comes again
            log.warning("queue_message_not_deleted", queue=self._queue.name, error=str(fault))
        self._metrics.queue_message(self._queue.name, result)

    async def _carry_out(self, message: Message) -> str:
        """Return nothing when all is persisted, ``left`` for a message to be left, else why it is poison."""
        arrival = self._endpoint.arrived()
        arrival.receiver, arrival.via = self._receiver, QUEUE
        if message.dequeued > MOST_DEQUEUES:
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
            await self._endpoint.clock.sleep(FULL_SECONDS)
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
            await delivery.settled()
            await delivery.end()
        finally:
            self._endpoint.release(delivery)
