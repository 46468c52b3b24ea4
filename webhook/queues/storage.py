"""One Azure Storage Queue, through Microsoft's client. The only module that imports it: the extra ``queue``.

The client's own retries are off, since the consumer decides when to try again. Whatever it raises may quote a
URL whose query is a credential, so that only the status and what stands before a query is kept of it.
"""

import asyncio
import base64
import contextlib
import re
from collections.abc import Awaitable, Sequence
from http import HTTPStatus
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit

import aiohttp
from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.core.pipeline import PipelineResponse
from azure.core.pipeline.transport import AioHttpTransport
from azure.storage.queue import QueueMessage
from azure.storage.queue.aio import QueueClient

from webhook.limits import MIB
from webhook.queues.ports import Message, MessageLost, QueueFault, QueueRefused, QueueSettingError

CONNECT_SECONDS, READ_SECONDS = 10, 10
"""Of one request: the service answers within two seconds, or throttles."""
REQUEST_SECONDS = 30.0
"""Of one request in all, with what it takes to get a token."""
MOST_BYTES = 4 * MIB
"""Of one answer: 32 messages of 64 KB are 2 MiB."""
_ERROR_CHARACTERS = 300
_QUERY = re.compile(r"\?\S*")
_UNAUTHENTICATED = "AuthenticationFailed"
_MESSAGES = b"<QueueMessagesList"
_HINTS = {
    _UNAUTHENTICATED: " (a wrong or expired credential, or a clock that is off by 15 minutes)",
    "AuthorizationPermissionMismatch": " (needs the role Storage Queue Data Contributor, or a SAS with rapu)",
}

T = TypeVar("T")


class _QueueMissing(QueueFault):
    pass


class _QueueExists(QueueFault):
    pass


_KINDS = {
    "MessageNotFound": MessageLost,
    "PopReceiptMismatch": MessageLost,
    "QueueNotFound": _QueueMissing,
}
"""Kinds of faults by the service's code.

https://learn.microsoft.com/rest/api/storageservices/queue-service-error-codes
"""


class _Answer(aiohttp.ClientResponse):
    """An answer of bounded size, which the client reads whole."""

    async def read(self) -> bytes:
        body = bytearray()
        async for chunk in self.content.iter_any():
            body += chunk
            if len(body) > MOST_BYTES:
                self.close()
                raise aiohttp.ClientPayloadError(f"an answer of more than {MOST_BYTES // MIB} MiB")
        return bytes(body)


class _Transport(AioHttpTransport):  # type: ignore[misc] # which it gets by __getattr__
    """The client's own transport, but for the answers."""

    session: aiohttp.ClientSession | None

    async def open(self) -> None:
        if self.session is None:
            jar = aiohttp.DummyCookieJar()
            self.session = aiohttp.ClientSession(
                response_class=_Answer, trust_env=True, cookie_jar=jar, auto_decompress=False
            )
        await super().open()


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
            transport=_Transport(connection_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS),
        )

    async def receive(self, most: int, visibility: int) -> Sequence[Message]:
        """Receive at most so many messages, invisible to others for ``visibility`` seconds."""
        return await _carry_out(self._receive(most, visibility))

    async def _receive(self, most: int, visibility: int) -> Sequence[Message]:
        found = self._client.receive_messages(
            messages_per_page=most,
            max_messages=most,
            visibility_timeout=visibility,
            raw_response_hook=_check_messages,
        )
        async for page in found.by_page():
            return [_message(each) async for each in page]
        return []

    async def renew(self, message: Message, visibility: int) -> Message:
        """Keep a message invisible for so many seconds from now."""
        renewed = await _carry_out(
            self._client.update_message(message.id, message.receipt, visibility_timeout=visibility)
        )
        return message._replace(receipt=str(renewed.pop_receipt))

    async def delete(self, message: Message) -> None:
        """Delete a message."""
        await _carry_out(self._client.delete_message(message.id, message.receipt))

    async def poison(self, message: Message) -> None:
        """Copy a message to the poison queue, which is made if it is missing."""
        try:
            await _carry_out(self._poison.send_message(message.text))
        except _QueueMissing:
            with contextlib.suppress(_QueueExists):  # another message has just made it
                await _carry_out(self._poison.create_queue())
            await _carry_out(self._poison.send_message(message.text))

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
    try:
        base64.b64decode(key, validate=True)
    except ValueError:
        raise QueueSettingError("AZURE_STORAGE_CONNECTION_STRING's AccountKey is not base64") from None
    if name.removeprefix("queue:").partition("/")[0] != account:
        raise QueueSettingError(f"AZURE_STORAGE_CONNECTION_STRING is of another account than {name}")
    return {"account_name": account, "account_key": key}


def _check_messages(response: PipelineResponse[Any, Any]) -> None:
    """Raise ValueError for an answer that another than the service has given, such as a network's login page.

    The client would take some of them for an empty queue.
    """
    answer = response.http_response
    if answer.status_code == HTTPStatus.OK and _MESSAGES not in answer.body()[:MIB]:
        raise ValueError("the answer is no list of messages")


async def _carry_out(request: Awaitable[T]) -> T:
    """Return the answer; raises QueueFault for whatever goes wrong."""
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            return await request
    except Exception as error:  # noqa: BLE001 - the client raises anything for an answer that it can't read
        _raise(error)


def _raise(error: Exception) -> NoReturn:
    given = getattr(error, "error_code", None)
    code = str(getattr(given, "value", given) or "")
    status = error.status_code if isinstance(error, HttpResponseError) else None
    if isinstance(error, ResourceExistsError):  # for a 204 too, which has no code
        raise _QueueExists(_clean(error)) from None
    if status is not None and status >= HTTPStatus.MULTIPLE_CHOICES:
        refused = status == HTTPStatus.FORBIDDEN and code != _UNAUTHENTICATED
        kind = QueueRefused if refused else _KINDS.get(code, QueueFault)
        raise kind(f"{status} {code}{_HINTS.get(code, '')}".strip()) from None
    raise QueueFault(_clean(error)) from None


def _clean(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    text = type(error).__name__ if lines[0].startswith("<") else lines[0]  # or an object, written out
    return _QUERY.sub("?…", text)[:_ERROR_CHARACTERS]
