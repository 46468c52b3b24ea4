"""One Azure Storage Queue, through Microsoft's client. The only module that imports it: the extra ``queue``.

The client's own retries are off, since the consumer decides when to try again. Whatever it raises may quote a
URL whose query is a credential, so that only the status and what stands before a query is kept of it.
"""

import contextlib
import re
from collections.abc import Awaitable, Sequence
from http import HTTPStatus
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit

import aiohttp
from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.queue import QueueMessage
from azure.storage.queue.aio import QueueClient

from webhook.queues.ports import Message, MessageLost, QueueFault, QueueRefused, QueueSettingError

CONNECT_SECONDS, READ_SECONDS = 10, 10
"""Of one request: the service answers within two seconds, or throttles."""
_ERROR_CHARACTERS = 300
_QUERY = re.compile(r"\?\S*")
_UNAUTHENTICATED = "AuthenticationFailed"
_LOST = frozenset({"MessageNotFound", "PopReceiptMismatch"})
_HINTS = {
    _UNAUTHENTICATED: " (a wrong or expired credential, or a clock that is off by 15 minutes)",
    "AuthorizationPermissionMismatch": " (needs the role Storage Queue Data Contributor, or a SAS with rapu)",
}

_FAULTS = (AzureError, aiohttp.ClientError, OSError, TimeoutError, ValueError)
"""What a request, or the token for it, may fail with: none of it may end the process."""

T = TypeVar("T")


class StorageQueue:
    """The queue at a URL such as ``https://ACCOUNT.queue.core.windows.net/QUEUE``."""

    def __init__(self, url: str, name: str, connection_string: str | None) -> None:
        """Use the SAS in the URL, else the connection string, else the Azure identity of this process.

        Raises QueueSettingError for a connection string that can't be used.
        """
        self.name = name
        parts = urlsplit(url)
        path, _, self._queue = parts.path.rstrip("/").rpartition("/")
        self._account = f"{parts.scheme}://{parts.netloc}{path}"
        self._credential: Any = None
        self._identity: Any = None
        if parts.query:
            self._account += f"?{parts.query}"
        elif connection_string:
            self._credential = _key(connection_string, name)
        else:
            from azure.identity.aio import DefaultAzureCredential

            self._credential = self._identity = DefaultAzureCredential()
        try:
            self._client = self._client_of(self._queue)
            self._poison = self._client_of(f"{self._queue}-poison")
        except ValueError as error:
            raise QueueSettingError(f"{name}: {_clean(error)}") from None

    def _client_of(self, queue: str) -> QueueClient:
        return QueueClient(
            self._account,
            queue,
            credential=self._credential,
            retry_total=0,
            connection_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
        )

    async def receive(self, most: int, visibility: int) -> Sequence[Message]:
        """Receive at most so many messages, invisible to others for ``visibility`` seconds."""
        try:
            found = self._client.receive_messages(
                messages_per_page=most, max_messages=most, visibility_timeout=visibility
            )
            async for page in found.by_page():
                return [_message(each) async for each in page]
        except _FAULTS as error:
            _raise(error)
        return []

    async def renew(self, message: Message, visibility: int) -> Message:
        """Keep a message invisible for so many seconds from now."""
        renewed = await _faults(
            self._client.update_message(message.id, message.receipt, visibility_timeout=visibility)
        )
        return message._replace(receipt=str(renewed.pop_receipt))

    async def delete(self, message: Message) -> None:
        """Delete a message; one that is gone is deleted."""
        try:
            await self._client.delete_message(message.id, message.receipt)
        except ResourceNotFoundError:
            return
        except _FAULTS as error:
            _raise(error)

    async def poison(self, message: Message) -> None:
        """Copy a message to the poison queue, which is made if it is missing."""
        try:
            await self._poison.send_message(message.text)
        except ResourceNotFoundError:
            with contextlib.suppress(ResourceExistsError):  # another message has just made it
                await _faults(self._poison.create_queue())
            await _faults(self._poison.send_message(message.text))
        except _FAULTS as error:
            _raise(error)

    async def close(self) -> None:
        """Close the connections."""
        for client in (self._client, self._poison, self._identity):
            if client is not None:
                await client.close()


def _message(given: QueueMessage) -> Message:
    text = given.content if isinstance(given.content, str) else ""
    return Message(str(given.id), str(given.pop_receipt), text, given.dequeue_count or 1)


def _key(connection_string: str, name: str) -> dict[str, str]:
    fields = dict(part.partition("=")[::2] for part in connection_string.strip().split(";"))
    account, key = fields.get("AccountName", ""), fields.get("AccountKey", "")
    if not account or not key:
        raise QueueSettingError("AZURE_STORAGE_CONNECTION_STRING has no AccountName or no AccountKey")
    if name.removeprefix("queue:").partition("/")[0] != account:
        raise QueueSettingError(f"AZURE_STORAGE_CONNECTION_STRING is of another account than {name}")
    return {"account_name": account, "account_key": key}


async def _faults(request: Awaitable[T]) -> T:
    try:
        return await request
    except ResourceExistsError:
        raise
    except _FAULTS as error:
        _raise(error)


def _raise(error: Exception) -> NoReturn:
    given = getattr(error, "error_code", None)
    code = str(getattr(given, "value", given) or "")
    if code in _LOST:
        raise MessageLost(code) from None
    if isinstance(error, HttpResponseError) and error.status_code is not None:
        refused = error.status_code == HTTPStatus.FORBIDDEN and code != _UNAUTHENTICATED
        kind = QueueRefused if refused else QueueFault
        raise kind(f"{error.status_code} {code}{_HINTS.get(code, '')}".strip()) from None
    raise QueueFault(_clean(error)) from None


def _clean(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return _QUERY.sub("?…", lines[0])[:_ERROR_CHARACTERS]
