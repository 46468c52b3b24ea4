"""Makes a consumer for each queue of the settings; imports Azure's client only where there is one."""

import os

from controller.cli.settings import Settings
from controller.observability.metrics import Metrics
from controller.receivers.url import receiver_name
from webhook.endpoint import Endpoint
from webhook.queues.consumer import Consumer
from webhook.queues.ports import QueueSettingError


def consumers(options: Settings, endpoint: Endpoint, metrics: Metrics) -> list[Consumer]:
    """Return a consumer for each queue; must be called on the event loop. Raises QueueSettingError.

    Together they have at most as many messages in work as there are patches in flight, and one each.
    """
    if not options.queues:
        return []
    try:
        from webhook.queues.storage import StorageQueue
    except ImportError as error:
        raise QueueSettingError(
            "--queue needs the extra: pip install 'kargo-azure-receiver[queue]'"
        ) from error
    most = max(1, options.refresh_concurrency // len(options.queues))
    connection_string = os.environ.get("AZURE_STORAGE_CONNECTION_STRING")
    return [
        Consumer(
            StorageQueue(source.url, source.name, connection_string),
            endpoint,
            metrics,
            owner=_owner(source.project),
            most=most,
        )
        for source in options.queues
    ]


def _owner(project: str) -> str:
    """Return what stands before the slash in a receiver's name of this Project, or of all."""
    return receiver_name(project, "").removesuffix("/")
