"""Makes a consumer for each queue of the settings; imports Azure's client only where there is one."""

import asyncio
import os

from controller.cli.settings import Settings
from controller.observability.metrics import Metrics
from controller.process.manager import Manager
from controller.receivers.url import receiver_name
from webhook.admin.ports import StorageQueue
from webhook.endpoint import Endpoint
from webhook.queues.consumer import PAGE, Consumer
from webhook.queues.ports import Queue, QueueSettingError


def open_queues(options: Settings) -> list[Queue]:
    """Return the queues of the settings, not connected yet; must be called on the event loop.

    Raises QueueSettingError.
    """
    if not options.queues:
        return []
    try:
        from webhook.queues.storage import StorageQueue
    except ImportError as error:
        raise QueueSettingError(
            "--queue needs the extra: pip install 'kargo-azure-receiver[queue]'"
        ) from error
    connection_string = os.environ.get("AZURE_STORAGE_CONNECTION_STRING")
    return [StorageQueue(source.url, source.name, connection_string) for source in options.queues]


def consumers(options: Settings, endpoint: Endpoint, metrics: Metrics) -> list[Consumer]:
    """Return a consumer for each queue; must be called on the event loop. Raises QueueSettingError.

    Together they have at most a page of messages in flight for each patch that may be, and a page each. Just
    as many messages as patches would leave little to share: 64 messages for 50 Warehouses are 50 patches.
    """
    most = PAGE * max(1, options.refresh_concurrency // max(1, len(options.queues)))
    return [
        Consumer(queue, endpoint, metrics, owner=_owner(source.project), most=most)
        for source, queue in zip(options.queues, open_queues(options), strict=True)
    ]


class Reading:
    """The reading of all queues."""

    def __init__(self, options: Settings, endpoint: Endpoint, metrics: Metrics) -> None:
        """Make the consumers; must be called on the event loop. Raises QueueSettingError."""
        self._consumers = consumers(options, endpoint, metrics)
        self._tasks: list[asyncio.Task[None]] = []

    def states(self) -> list[StorageQueue]:
        """Return how each queue is."""
        return [consumer.state() for consumer in self._consumers]

    def start(self, manager: Manager) -> None:
        """Have messages received."""
        self._tasks = [manager.start("queue", consumer.run()) for consumer in self._consumers]

    def stop(self, manager: Manager) -> None:
        """Have no more messages received; what is in work goes on."""
        for task, consumer in zip(self._tasks, self._consumers, strict=True):
            manager.may_end(task)
            consumer.stop()

    async def finished(self, seconds: float) -> None:
        """Wait until nothing is in work, at most so long."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=max(0.0, seconds))


def _owner(project: str) -> str:
    """Return what stands before the slash in a receiver's name of this Project, or of all."""
    return receiver_name(project, "").removesuffix("/")
