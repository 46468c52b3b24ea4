"""One push by Azure Storage Queue: it needs no URL and no way into the cluster, since the receiver pulls."""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from azure.storage.queue import QueueClient, generate_queue_sas

from e2e.controlplane import ControlPlaneError
from e2e.controlplane.binaries import Say
from e2e.controlplane.waiting import eventually
from e2e.tools import azurite
from e2e.tools.azurite import ACCOUNT, KEY, Azurite

QUEUE = "events"
_DONE_LIMIT = 20.0
"""Seconds until a message must be gone: an empty queue is looked at every 5 s."""


class DemoQueue:
    """A queue in a running Azurite."""

    def __init__(self, storage: Azurite) -> None:
        self.storage = storage
        self.url = storage.url(QUEUE)
        self._client = QueueClient.from_connection_string(storage.connection_string, QUEUE)
        self._client.create_queue()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def put(self, event: Any) -> float:
        """Put an event in, as Event Grid encodes it; return the seconds until it was worked off.

        Raises ControlPlaneError if it stays.
        """
        began = time.monotonic()
        self._client.send_message(base64.b64encode(json.dumps(event).encode()).decode())
        try:
            eventually(self._is_empty, _DONE_LIMIT)
        except AssertionError:
            raise ControlPlaneError(f"the message in {self.url} was not worked off") from None
        return time.monotonic() - began

    def _is_empty(self) -> bool:
        return self._client.get_queue_properties().approximate_message_count == 0

    def messages_url(self) -> str:
        """Where to POST a message today, with all that it takes."""
        until = datetime.now(UTC) + timedelta(days=1)
        return f"{self.url}/messages?{generate_queue_sas(ACCOUNT, QUEUE, KEY, permission='a', expiry=until)}"


@contextmanager
def demo_queue(folder: Path, say: Say) -> Iterator[DemoQueue | None]:
    """Run Azurite, which keeps its files in ``folder``; None, and one line, where it can't be had."""
    try:
        command = azurite.ensure(lambda text: say(f"  {text}"))
    except ControlPlaneError as error:
        say(f"  storage queue   left out: {error}")
        yield None
        return
    folder.mkdir()
    storage = Azurite(command, folder)
    storage.start()
    try:
        queue = DemoQueue(storage)
        yield queue
        queue.close()
    finally:
        storage.process.kill()
