"""Events by Azure Storage Queue: from enqueuing to annotation, and messages a second beside Azurite."""

import asyncio
import json
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from azure.storage.queue import QueueMessage, generate_queue_sas
from azure.storage.queue.aio import QueueClient

from controller.kargo.objects import REFRESH_ANNOTATION
from e2e.controlplane import ControlPlaneError
from e2e.kargo import API
from e2e.tools import azurite
from e2e.tools.azurite import ACCOUNT, KEY, Azurite
from tests.benchmarks.bare import run
from tests.benchmarks.data import HOT, REGISTRY, seed
from tests.benchmarks.rows import Row, at_least, skipped
from tests.benchmarks.stage import Stage, median, say
from webhook.payloads.samples import image_push

EVENTS = 40
MESSAGES = 2_000
SENDERS = 16
WORKERS = 64
"""Deletions in flight at the ceiling: the receiver's default."""
LIMIT = 300.0
"""Seconds for all messages to be worked off."""
QUEUE = "events"


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
        yield from _latency(stage, storage)
        yield _throughput(stage, storage)
    finally:
        storage.process.kill()


def _client(storage: Azurite) -> QueueClient:
    return QueueClient.from_connection_string(storage.connection_string, QUEUE)


def _flag(storage: Azurite) -> str:
    until = datetime.now(UTC) + timedelta(hours=1)
    sas = generate_queue_sas(ACCOUNT, QUEUE, KEY, permission="raup", expiry=until)
    return f"--queue={storage.url(QUEUE)}?{sas}"


def _message(number: int) -> str:
    return json.dumps(image_push(f"{REGISTRY}/{seed(number % HOT).repository}:1.0.{number}"))


async def _prepare(storage: Azurite) -> None:
    async with _client(storage) as client:
        await client.create_queue()


async def _fill(storage: Azurite) -> None:
    async with _client(storage) as client:

        async def send(first: int) -> None:
            for number in range(first, MESSAGES, SENDERS):
                await client.send_message(_message(number))

        await asyncio.gather(*(send(first) for first in range(SENDERS)))


def _latency(stage: Stage, storage: Azurite) -> Iterator[Row]:
    """One event at a time, at moments that have nothing to do with the receiver's polling."""
    with stage.receiver(_flag(storage)):
        seconds = sorted(run(_events(stage, storage)))
    p99 = seconds[int(len(seconds) * 0.99)]
    yield Row("one event by queue: enqueued to annotation, median", f"{median(seconds):.2f} s")
    yield Row("one event by queue: enqueued to annotation, p99", f"{p99:.2f} s of {len(seconds)}")


async def _events(stage: Stage, storage: Azurite) -> list[float]:
    seconds = []
    async with _client(storage) as client:
        for number in range(EVENTS):
            await asyncio.sleep(random.uniform(0, 2))
            before = _annotation(stage, number)
            began = time.perf_counter()
            await client.send_message(_message(number))
            while _annotation(stage, number) == before:
                if time.perf_counter() - began > LIMIT:
                    raise TimeoutError("an event by queue refreshes nothing")
                await asyncio.sleep(0.005)
            seconds.append(time.perf_counter() - began)
    return seconds


def _annotation(stage: Stage, number: int) -> object:
    of = seed(number % HOT)
    found = stage.plane.api.get(f"{API}/namespaces/{of.namespace}/warehouses/{of.name}")
    return found["metadata"].get("annotations", {}).get(REFRESH_ANNOTATION)


def _throughput(stage: Stage, storage: Azurite) -> Row:
    """A full queue worked off by the receiver, and by a client that only gets and deletes."""
    run(_fill(storage))
    began = time.perf_counter()
    run(_empty(storage))
    best = MESSAGES / (time.perf_counter() - began)
    run(_fill(storage))
    done = "kargo_azure_receiver_queue_messages_total"
    with stage.receiver(_flag(storage)) as receiver:
        began = time.perf_counter()
        first = receiver.metric(done, result="done")  # some are done by the time it is ready
        while (count := receiver.metric(done, result="done")) < MESSAGES:
            if time.perf_counter() - began > LIMIT:
                raise TimeoutError(f"{count:.0f} of {MESSAGES} messages are done")
            time.sleep(0.05)
        mine = (MESSAGES - first) / (time.perf_counter() - began)
        patches = receiver.metric("kargo_azure_receiver_refresh_total", kind="Warehouse", result="persisted")
    say(f"{MESSAGES:,} messages for {HOT} Warehouses: {patches:,.0f} patches")
    return at_least(
        f"{MESSAGES:,} messages for {HOT} Warehouses by queue",
        f"{mine:,.0f} messages/s",
        f"{best:,.0f} (get and delete, nothing else)",
        mine / best,
        0.5,
    )


async def _empty(storage: Azurite) -> None:
    """Get and delete all messages, so many at a time as the receiver would."""
    room = asyncio.Semaphore(WORKERS)
    tasks: set[asyncio.Task[None]] = set()
    async with _client(storage) as client:

        async def delete(message: QueueMessage) -> None:
            async with room:
                await client.delete_message(message)

        while True:
            found = client.receive_messages(messages_per_page=32, max_messages=32)
            messages = [message async for message in found]
            if not messages:
                break
            tasks |= {asyncio.create_task(delete(message)) for message in messages}
            while len(tasks) >= WORKERS:
                _, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.gather(*tasks)
