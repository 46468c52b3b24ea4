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
from webhook.queues.consumer import IDLE_SECONDS, MOST_DEQUEUES, PAGE, POLL_SECONDS, Consumer
from webhook.queues.health import FAULT_SECONDS
from webhook.queues.in_flight import LONG_VISIBILITY_SECONDS, VISIBILITY_SECONDS
from webhook.queues.ports import Message, MessageLost, QueueFault, QueueRefused

PUSH = json.dumps(image_push("kargodemo.azurecr.io/app:1"))
MOST = 4 * PAGE


class FakeQueue:
    """Gives its messages in order, and fails where ``fault`` is set for what is asked of it."""

    name = "queue:acct/events"

    def __init__(self, *messages: Message) -> None:
        self.messages = list(messages)
        self.faults: dict[str, QueueFault] = {}
        self.received: list[tuple[float, int, int]] = []
        self.renewing: asyncio.Event | None = None
        self.renewed_at: list[tuple[float, Message]] = []
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
        if self.renewing is not None:
            await self.renewing.wait()
        self.renewed_at.append((self.clock.monotonic(), message))
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

    def __init__(self, queue: FakeQueue, *refreshes: FakeRefresh, most: int = MOST) -> None:
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
        assert [each.receipt for each in world.queue.deleted] == ["m1-1"]
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
    """An hour without the API server: what is in flight stays ours, and no more than that is received."""
    refreshes = [FakeRefresh(1) for _ in range(MOST)]
    messages = [message(f"m{number}") for number in range(MOST + 1)]
    async with World(FakeQueue(*messages), *refreshes) as world:
        first = world.clock.monotonic()
        await world.clock.advance(3600.0)
        assert len(world.queue.received) == MOST / PAGE
        for id_ in ("m0", f"m{MOST - 1}"):
            times = [first, *(at for at, renewed in world.queue.renewed_at if renewed.id == id_)]
            gaps = [later - at for at, later in itertools.pairwise(times)]
            assert gaps[0] <= VISIBILITY_SECONDS / 2
            assert max(gaps) <= LONG_VISIBILITY_SECONDS / 2, "two renewals could not fail"
            assert len(gaps) < 60, "an outage is no flood of renewals"
        for refresh in refreshes:
            refresh.persist()
        await world.clock.advance(1.0)
        assert world.counted.results == ["done"] * (MOST + 1)
        receipts = {each.id: each.receipt for each in world.queue.deleted}
        assert receipts["m1"].startswith("m1-1+"), "deleted with an old receipt"


async def test_a_renewal_and_the_end_meet() -> None:
    """A renewal makes the receipt before it invalid: the message is deleted with the one that it gives."""
    refresh, queue = FakeRefresh(1), FakeQueue(message())
    queue.renewing = asyncio.Event()
    async with World(queue, refresh) as world:
        await world.clock.advance(VISIBILITY_SECONDS / 2)
        refresh.persist()
        await world.clock.settle()
        assert not queue.deleted
        queue.renewing.set()
        await world.clock.settle()
        assert [each.receipt for each in queue.deleted] == ["m1-1+"]


async def test_a_batch_begins_together() -> None:
    """What waits in the queue begins at once, those that ask for the same one after the other."""
    pushes = [
        json.dumps(image_push(f"kargodemo.azurecr.io/app-{number % 3}:1")) for number in range(PAGE * 3)
    ]
    queue = FakeQueue(*(message(f"m{number}", text) for number, text in enumerate(pushes)))
    refreshes = [FakeRefresh(1) for _ in pushes]
    async with World(queue, *refreshes) as world:
        urls = [subjects[0].url for _, subjects, *_ in world.dispatcher.dispatched]
        assert urls == sorted(urls)
        assert len(urls) == len(pushes)


async def test_one_message_does_not_wait_for_others() -> None:
    """In a queue that is otherwise empty it is carried out as soon as it is received."""
    async with World(FakeQueue(message())) as world:
        assert len(world.queue.received) == 1
        assert world.counted.results == ["done"]


async def test_room_for_few_is_not_enough() -> None:
    """While one Warehouse holds messages up, more is received in large batches only."""
    stuck = [FakeRefresh(1) for _ in range(MOST)]
    queue = FakeQueue(*(message(f"m{number}") for number in range(2 * MOST)))
    async with World(queue, *stuck) as world:
        for refresh in stuck[: MOST // 2 - 1]:
            refresh.persist()
        await world.clock.advance(60.0)
        assert len(queue.messages) == MOST
        stuck[-1].persist()
        await world.clock.advance(60.0)
        assert not queue.messages


async def test_what_can_not_be_deleted_is_received_seldom() -> None:
    """It comes again each time: one line, and a refresh a minute instead of one a second."""
    queue = FakeQueue()
    queue.faults["delete"] = QueueFault("403")
    with capture_logs() as logs:
        async with World(queue) as world:
            for number in range(60):
                queue.messages = [message(dequeued=number % MOST_DEQUEUES)]
                await world.clock.advance(10.0)
            assert len(queue.received) < 20
            del queue.faults["delete"]
            queue.messages = [message()]
            await world.clock.advance(FAULT_SECONDS)
            assert world.counted.results[-1] == "done"
            assert world.counted.failing == [False, True, False]
    assert [line["event"] for line in logs if line["log_level"] in ("error", "warning")] == ["queue_failing"]


async def test_a_message_that_another_replica_has() -> None:
    """A message that was lost to another replica meanwhile is no fault of the queue."""
    queue = FakeQueue(message())
    queue.faults["delete"] = MessageLost("PopReceiptMismatch")
    with capture_logs() as logs:
        async with World(queue) as world:
            assert world.counted.results == ["left"]
            assert world.counted.failing == [False]
    assert not [line for line in logs if line["event"] == "queue_failing"]


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
            assert [each.receipt for each in queue.deleted] == ["m1-2"]
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
    assert [line["event"] for line in logs] == ["queue_message_poison", "queue_failing", "queue_message_left"]


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
