"""Events by Azure Storage Queue: from enqueuing to annotation, and messages a second beside Azurite."""

import asyncio
import json
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from azure.storage.queue import QueueMessage, generate_queue_sas
from azure.storage.queue.aio import QueueClient

from e2e.controlplane import ControlPlaneError
from e2e.kargo import API
from e2e.tools import azurite
from e2e.tools.azurite import ACCOUNT, KEY, Azurite
from tests.benchmarks.bare import run
from tests.benchmarks.data import HOT, REGISTRY, seed
from tests.benchmarks.rows import Row, at_least, skipped
from tests.benchmarks.stage import Stage, median, peak_memory, say
from webhook.payloads.samples import image_push

QUEUES = 20
"""Queues that are read at once, so that many can be empty for long while only one event is under way."""
ROUNDS = 5
"""Events for each of them."""
IDLE, BUSY = (12.0, 18.0), (0.0, 1.5)
"""Seconds between two events: more than until a queue is looked at least often, and less."""
MESSAGES = 5_000
SENDERS = 16
WORKERS = 32
"""Deletions in flight, at the ceiling too."""
LIMIT = 300.0
"""Seconds for all messages to be worked off."""
QUEUE = "events"
DONE = "kargo_azure_receiver_queue_messages_total"


def storage_queues(stage: Stage) -> Iterator[Row]:
    """Single events, then a queue that is full."""
    try:
        command = azurite.ensure(say)
    except ControlPlaneError as error:
        yield skipped("events by Storage Queue", str(error))
        return
    folder = stage.plane.folder / "azurite"
    folder.mkdir()
    storage = Azurite(command, folder)
    storage.start()
    try:
        run(_prepare(storage))
        yield from _latency(stage, storage, "idle for 12 s and more", IDLE)
        yield from _latency(stage, storage, "with an event each second", BUSY)
        yield _throughput(stage, storage)
    finally:
        storage.process.kill()


def _client(storage: Azurite, queue: str) -> QueueClient:
    return QueueClient.from_connection_string(storage.connection_string, queue)


def _flag(storage: Azurite, queue: str) -> str:
    until = datetime.now(UTC) + timedelta(hours=1)
    sas = generate_queue_sas(ACCOUNT, queue, KEY, permission="raup", expiry=until)
    return f"--queue={storage.url(queue)}?{sas}"


def _message(number: int) -> str:
    return json.dumps(image_push(f"{REGISTRY}/{seed(number % HOT).repository}:1.0.{number}"))


async def _prepare(storage: Azurite) -> None:
    for queue in (QUEUE, *_names()):
        async with _client(storage, queue) as client:
            await client.create_queue()


def _names() -> list[str]:
    return [f"{QUEUE}-{number}" for number in range(QUEUES)]


async def _fill(storage: Azurite) -> None:
    async with _client(storage, QUEUE) as client:

        async def send(first: int) -> None:
            for number in range(first, MESSAGES, SENDERS):
                await client.send_message(_message(number))

        await asyncio.gather(*(send(first) for first in range(SENDERS)))


def _latency(stage: Stage, storage: Azurite, which: str, pauses: tuple[float, float]) -> Iterator[Row]:
    """Events at moments that have nothing to do with the receiver's polling, each for another Warehouse."""
    with stage.receiver(*(_flag(storage, queue) for queue in _names())):
        seconds = sorted(run(_events(stage, storage, pauses)))
    p99 = seconds[int(len(seconds) * 0.99)]
    say(f"queue {which}: {seconds[0]:.2f} s to {seconds[-1]:.2f} s")
    yield Row(f"event by queue, {which}: enqueued to annotation, median", f"{median(seconds):.2f} s")
    yield Row(f"event by queue, {which}: p99", f"{p99:.2f} s of {len(seconds)}")


async def _events(stage: Stage, storage: Azurite, pauses: tuple[float, float]) -> list[float]:
    async with stage.client() as api:

        async def one(number: int, queue: str) -> list[float]:
            path, seconds = f"{API}/namespaces/{seed(number).namespace}/warehouses/{seed(number).name}", []
            async with _client(storage, queue) as client:
                for _ in range(ROUNDS):
                    await asyncio.sleep(random.uniform(*pauses))
                    before = await api.annotation(path)
                    began = time.perf_counter()
                    await client.send_message(_message(number))
                    async with asyncio.timeout(LIMIT):
                        while await api.annotation(path) == before:  # noqa: ASYNC110 - the API server sets no Event
                            await asyncio.sleep(0.02)
                    seconds.append(time.perf_counter() - began)
            return seconds

        found = await asyncio.gather(*(one(number, queue) for number, queue in enumerate(_names())))
    return [each for seconds in found for each in seconds]


def _throughput(stage: Stage, storage: Azurite) -> Row:
    """A full queue worked off by the receiver, and by a client that only gets and deletes.

    The receiver stands still while the queue is filled: had it begun before the clock, only deletions were
    left to be measured. The client has a turn before it and one after it, of which the better one counts.
    """
    with stage.receiver(_flag(storage, QUEUE)) as receiver:
        receiver.process.pause()
        first = _ceiling(storage)
        run(_fill(storage))
        began = time.perf_counter()
        receiver.process.resume()
        while (count := receiver.metric(DONE, result="done")) < MESSAGES:
            if time.perf_counter() - began > LIMIT:
                raise TimeoutError(f"{count:.0f} of {MESSAGES} messages are done")
            time.sleep(0.1)
        mine = MESSAGES / (time.perf_counter() - began)
        patches = receiver.metric("kargo_azure_receiver_refresh_total", kind="Warehouse", result="persisted")
        most = peak_memory(receiver.process.pid)
        receiver.process.pause()
        second = _ceiling(storage)
    best = max(first, second)
    say(f"{MESSAGES:,} messages for {HOT} Warehouses: {patches:,.0f} patches, {most:.0f} MB")
    say(f"get and delete, nothing else: {first:,.0f} and {second:,.0f} messages/s")
    return at_least(
        f"{MESSAGES:,} messages for {HOT} Warehouses by queue",
        f"{mine:,.0f} messages/s",
        f"{best:,.0f} (get and delete, nothing else)",
        mine / best,
        0.5,
    )


def _ceiling(storage: Azurite) -> float:
    """Messages a second that a client gets and deletes."""
    run(_fill(storage))
    began = time.perf_counter()
    run(_empty(storage))
    return MESSAGES / (time.perf_counter() - began)


async def _empty(storage: Azurite) -> None:
    """Get all messages as fast as they come, and delete them beside that, as many at once as the receiver."""
    room = asyncio.Semaphore(WORKERS)
    async with _client(storage, QUEUE) as client, asyncio.TaskGroup() as deletions:

        async def delete(message: QueueMessage) -> None:
            async with room:
                await client.delete_message(message)

        while True:
            found = client.receive_messages(
                messages_per_page=32, max_messages=32, visibility_timeout=int(LIMIT)
            )
            messages = [message async for message in found]
            if not messages:
                break
            for message in messages:
                deletions.create_task(delete(message))
