"""An Azure Storage Queue in Azurite, with whatever a test does to it."""

import itertools
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueClient, generate_queue_sas

from e2e.tools.azurite import ACCOUNT, KEY, Azurite
from tests.support.receiver_process import ReceiverFactory, ReceiverProcess

_SENDERS = 8

_numbers = itertools.count(1)


class EventQueue:
    """A queue of a name of its own, made when it is entered."""

    def __init__(self, storage: Azurite) -> None:
        self.storage = storage
        self.queue = f"events-{next(_numbers)}"
        self.name = f"queue:{ACCOUNT}/{self.queue}"
        """As it is called in logs and metrics."""
        self.client = self._client(self.queue)

    def _client(self, queue: str) -> QueueClient:
        return QueueClient.from_connection_string(self.storage.connection_string, queue)

    def __enter__(self) -> Self:
        self.client.create_queue()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()

    def read_by(self, start: ReceiverFactory, *flags: str, port: int = 0) -> ReceiverProcess:
        """Start a receiver that reads it with the account's key: through a proxy at ``port`` if given."""
        # Not in asyncio's debug mode, which costs more than the work.
        key = self.storage.connection_string
        environment = {"AZURE_STORAGE_CONNECTION_STRING": key, "PYTHONASYNCIODEBUG": "", "LOG_LEVEL": "info"}
        return start(f"--queue={self.url(port)}", *flags, environment=environment)

    def url(self, port: int = 0) -> str:
        """Its URL, or its URL behind a proxy at ``port``."""
        url = self.storage.url(self.queue)
        return url.replace(f":{self.storage.port}/", f":{port}/") if port else url

    def sas(self, permission: str) -> str:
        """A SAS of this queue alone."""
        until = datetime.now(UTC) + timedelta(hours=1)
        return generate_queue_sas(ACCOUNT, self.queue, KEY, permission=permission, expiry=until)

    def send(self, *texts: str) -> None:
        """Put messages into it, one after the other."""
        for text in texts:
            self.client.send_message(text)

    def fill(self, texts: Iterable[str]) -> None:
        """Put many messages into it, several at a time."""
        with ThreadPoolExecutor(_SENDERS) as pool:
            list(pool.map(self.client.send_message, texts))

    def left(self) -> int:
        """How many messages are in it, visible or not."""
        return self.client.get_queue_properties().approximate_message_count or 0

    def poisoned(self) -> set[str]:
        """The texts in its poison queue; none if there is no such queue."""
        with self._client(f"{self.queue}-poison") as poison:
            try:
                return {str(message.content) for message in poison.receive_messages(visibility_timeout=1)}
            except ResourceNotFoundError:
                return set()
