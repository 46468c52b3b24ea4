"""The reader of a queue, on a clock that a test moves and a queue that does what the test says."""

import asyncio
import itertools
import json
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from tests.support.clock import FakeClock
from tests.support.fakes import FakeDispatcher, FakeJournal, FakeLookup, FakeRefresh, FakeWebhookMetrics
from webhook.delivery import Deliveries
from webhook.endpoint import Endpoint
from webhook.payloads.samples import image_push
from webhook.queues.consumer import (
    FAULT_SECONDS,
    IDLE_SECONDS,
    LONG_VISIBILITY_SECONDS,
    MOST_DEQUEUES,
    POLL_SECONDS,
    VISIBILITY_SECONDS,
    Consumer,
)
from webhook.queues.ports import Message, QueueFault, QueueRefused

PUSH = json.dumps(image_push("kargodemo.azurecr.io/app:1"))


class FakeQueue:
    """Gives its messages in order, and fails where ``fault`` is set for what is asked of it."""

    name = "queue:acct/events"

    def __init__(self, *messages: Message) -> None:
        self.messages = list(messages)
        self.faults: dict[str, QueueFault] = {}
        self.received: list[tuple[float, int, int]] = []
        self.renewed: list[Message] = []
        self.deleted: list[Message] = []
        self.poisoned: list[Message] = []
        self.closed = False
        self.clock = FakeClock()

    def _ask(self, what: str) -> None:
        if what in self.faults:
            raise self.faults[what]

    async def receive(self, most: int, visibility: int) -> Sequence[Message]:
        self.received.append((self.clock.monotonic(), most, visibility))
        self._ask("receive")
        given, self.messages = self.messages[:most], self.messages[most:]
        return given

    async def renew(self, message: Message, visibility: int) -> Message:
        self._ask("renew")
        self.renewed.append(message)
        return message._replace(receipt=f"{message.receipt}+")

    async def delete(self, message: Message) -> None:
        self._ask("delete")
        self.deleted.append(message)

    async def poison(self, message: Message) -> None:
        self._ask("poison")
        self.poisoned.append(message)

    async def close(self) -> None:
        self.closed = True


class Counted:
    """Counts what a consumer reports."""

    def __init__(self) -> None:
        self.results: list[str] = []
        self.failing: list[bool] = []

    def queue_message(self, queue: str, result: str) -> None:
        self.results.append(result)

    def queue_failing(self, queue: str, *, failing: bool) -> None:
        self.failing.append(failing)


class World:
    """A consumer of a queue, over fakes; use as a context manager."""

    def __init__(self, queue: FakeQueue, *refreshes: FakeRefresh, most: int = 8) -> None:
        self.queue, self.clock, self.counted = queue, queue.clock, Counted()
        self.journal, self.dispatcher = FakeJournal(), FakeDispatcher(*refreshes)
        metrics = FakeWebhookMetrics()
        deliveries = Deliveries(self.dispatcher, self.journal, metrics, clock=self.clock)
        endpoint = Endpoint(FakeLookup(), deliveries, metrics, clock=self.clock)
        self.consumer = Consumer(queue, endpoint, self.counted, owner="cluster", most=most)

    async def __aenter__(self) -> "World":
        self.task = asyncio.create_task(self.consumer.run())
        await self.clock.settle()
        return self

    async def __aexit__(self, *unused: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        assert self.queue.closed


def message(id_: str = "m1", text: str = PUSH, dequeued: int = 1) -> Message:
    """A message as it is received."""
    return Message(id_, f"{id_}-{dequeued}", text, dequeued)


async def test_deleted_once_all_is_persisted() -> None:
    """Not before the last of its Warehouses is."""
    refresh = FakeRefresh(2)
    async with World(FakeQueue(message()), refresh) as world:
        assert world.dispatcher.dispatched[0][0] == "cluster/queue:acct/events"
        refresh.persist()
        await world.clock.advance(1.0)
        assert not world.queue.deleted
        refresh.persist()
        await world.clock.settle()
        assert world.queue.deleted == [message()]
        assert world.counted.results == ["done"]


async def test_polls_slower_while_it_is_empty() -> None:
    """From 1 s to 5 s, and at once where there was something."""
    async with World(FakeQueue()) as world:
        await world.clock.advance(60.0)
        times = [at for at, *_ in world.queue.received]
        gaps = [later - at for at, later in itertools.pairwise(times)]
        assert POLL_SECONDS <= gaps[0] < gaps[1] < IDLE_SECONDS == gaps[-1]
        world.queue.messages = [message()]
        await world.clock.advance(IDLE_SECONDS)
        assert world.counted.results == ["done"]


async def test_faults_back_off_to_a_minute_and_are_two_lines() -> None:
    """One when they begin, one when they end; then it is read as often as before."""
    queue = FakeQueue()
    queue.faults["receive"] = QueueFault("503 ServerBusy")
    with capture_logs() as logs:
        async with World(queue) as world:
            await world.clock.advance(600.0)
            assert world.counted.failing == [False, True]
            times = [at for at, *_ in queue.received]
            assert 0.75 * FAULT_SECONDS <= times[-1] - times[-2] <= FAULT_SECONDS
            assert times[1] - times[0] <= 1.0
            del queue.faults["receive"]
            queue.messages = [message()]
            await world.clock.advance(FAULT_SECONDS)
            assert world.counted.failing == [False, True, False]
            assert world.counted.results == ["done"]
    assert [line["event"] for line in logs if line["event"].startswith("queue_")] == [
        "queue_failing",
        "queue_recovered",
    ]


async def test_renewed_in_an_outage_that_uses_no_dequeues_up() -> None:
    """An hour without the API server: what is in work stays ours, and no more than that is received."""
    refreshes = [FakeRefresh(1), FakeRefresh(1)]
    async with World(FakeQueue(message("m1"), message("m2"), message("m3")), *refreshes, most=2) as world:
        await world.clock.advance(3600.0)
        assert len(world.queue.received) == 1
        assert len(world.queue.renewed) >= 2 * 3600 / VISIBILITY_SECONDS
        for refresh in refreshes:
            refresh.persist()
        await world.clock.advance(1.0)
        assert world.counted.results == ["done"] * 3
        receipts = {each.id: each.receipt for each in world.queue.deleted}
        assert receipts["m1"].startswith("m1-1+"), "deleted with an old receipt"


async def test_without_the_right_to_renew() -> None:
    """One warning, longer visibility; what comes again is in work once, deleted by its newest receipt."""
    refresh = FakeRefresh(1)
    queue = FakeQueue(message())
    queue.faults["renew"] = QueueRefused("403 AuthorizationPermissionMismatch")
    with capture_logs() as logs:
        async with World(queue, refresh) as world:
            await world.clock.advance(VISIBILITY_SECONDS)
            queue.messages = [message(dequeued=2)]
            await world.clock.advance(3600.0)
            assert queue.received[-1][2] == LONG_VISIBILITY_SECONDS
            assert len(world.dispatcher.dispatched) == 1
            refresh.persist()
            await world.clock.settle()
            assert queue.deleted == [message(dequeued=2)]
            # Granted meanwhile:
            del queue.faults["renew"]
            world.dispatcher.refreshes = [FakeRefresh(1)]
            queue.messages = [message("m2")]
            await world.clock.advance(LONG_VISIBILITY_SECONDS)
            assert queue.received[-1][2] == VISIBILITY_SECONDS
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["queue_renewal_refused"]


@pytest.mark.parametrize(("dequeued", "result"), [(MOST_DEQUEUES, "done"), (MOST_DEQUEUES + 1, "poison")])
async def test_dequeued_too_often(dequeued: int, result: str) -> None:
    """After 10 times it is set aside, and not carried out again."""
    async with World(FakeQueue(message(dequeued=dequeued))) as world:
        assert world.counted.results == [result]
        assert len(world.dispatcher.dispatched) == (result == "done")
        assert len(world.queue.poisoned) == (result == "poison")
        assert len(world.queue.deleted) == 1


async def test_a_late_message_is_no_poison_where_renewals_are_refused() -> None:
    """It came so often only because it could not be kept: it is carried out."""
    queue = FakeQueue(message(dequeued=MOST_DEQUEUES + 30))
    queue.faults["renew"] = QueueRefused("403")
    async with World(queue) as world:
        assert world.counted.results == ["done"]
        assert not queue.poisoned


async def test_poison_that_can_not_be_set_aside_stays() -> None:
    """It is not deleted; the history and the log have the reason."""
    queue = FakeQueue(message(text="neither"))
    queue.faults["poison"] = QueueFault("404")
    with capture_logs() as logs:
        async with World(queue) as world:
            assert world.counted.results == ["left"]
            assert not queue.deleted
            assert "neither JSON nor base64" in world.journal.notices[0][3]
    assert [line["event"] for line in logs] == ["queue_message_poison", "queue_message_not_deleted"]


async def test_a_fault_of_ours_leaves_the_message() -> None:
    """The others are carried out all the same."""
    queue = FakeQueue(message("m1"), message("m2"))
    world = World(queue)
    faults = iter([ZeroDivisionError()])

    def fail_once() -> None:
        for fault in faults:
            raise fault

    world.dispatcher.on_dispatch = fail_once
    with capture_logs() as logs:
        async with world:
            assert sorted(world.counted.results) == ["done", "left"]
            assert [each.id for each in queue.deleted] == ["m2"]
    assert "request_failed" in {line["event"] for line in logs}


async def test_a_shutdown_leaves_what_is_in_work() -> None:
    """After ``stop`` nothing is received; what ends in time is deleted, the rest stays in the queue."""
    first, second = FakeRefresh(1), FakeRefresh(1)
    queue = FakeQueue(message("m1"), message("m2"))
    async with World(queue, first, second) as world:
        world.consumer.stop()
        received = len(queue.received)
        queue.messages = [message("m3")]
        first.persist()
        await world.clock.advance(20.0)
        assert len(queue.received) == received
        assert not world.task.done()
    assert [each.id for each in queue.deleted] == ["m1"]
