"""The requests the framework makes of the Kubernetes API: list, watch, get, patch, create, delete.

The library (``kubernetes.aio``) is used for configuration, TLS, tokens and transport only (configuration.py,
transport.py); answers are judged here.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable

import aiohttp

from controller.runtime.api.configuration import load_configuration
from controller.runtime.api.errors import (
    ConnectionFailed,
    MalformedResponse,
    ResponseTooLarge,
    StatusError,
    WatchIdle,
    one_line,
    parse_retry_after,
    status_error,
)
from controller.runtime.api.lines import LineSplitter, LineTooLong
from controller.runtime.api.resource import Resource
from controller.runtime.api.transport import (
    LEAN,
    NETWORK_FAULTS,
    Configuration,
    Request,
    Transport,
    notice_dead_peer,
)
from controller.runtime.api.watch_batching import WatchBatching
from controller.runtime.api.wire import is_object
from controller.runtime.clock import Clock

__all__ = ["Client", "Configuration", "Resource", "load_configuration"]

CONNECT_SECONDS = 10.0
"""To connect and shake hands: a cluster's network answers in milliseconds or not at all."""
REQUEST_SECONDS = 30.0
"""For a request about one object, waiting for a free connection included."""
ACCEPT_SECONDS = 15.0
"""For a watch to be accepted: as long as a busy API server queues a request before it refuses it."""
LIST_SECONDS = 60.0
"""For one page of a list; an API server itself gives up on a request after so long."""
READ_SECONDS = 30.0
"""Between two pieces of a page. A timer for each piece costs more than one for the request."""
ANSWER_LIMIT = 16 * 1024 * 1024
"""Bytes of an answer: a page of 500 ordinary objects has 4 to 10 MB, the largest object 3 MB. A page is held
up to three times (in pieces, joined, and the next one), within a container's memory."""
ERROR_LIMIT = 1024 * 1024
"""Bytes that are read of an answer with an error status."""
CONCURRENCY = 128
"""Connections for requests; the library's default of 100 is for everything, watches included."""

METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1, application/json"
MERGE_PATCH = "application/merge-patch+json"


class Client:
    """One API server, as one user.

    Requests share a pool of ``concurrency`` connections. Lists and watches have connections of their own, as
    many as they need. Changes are recorded under the name ``field_manager``. Every method raises ApiError:
    ConnectionFailed, MalformedResponse or a StatusError. The constructor needs a running event loop and
    raises ConfigurationError if a certificate can't be loaded.

    ``observe`` is called for each request that ended, for client-go's ``rest_client_*`` metrics: with verb
    (``list``, ``watch``, ``get``, ``patch``, ``create``, ``delete``), HTTP method, HTTP status or
    ``<error>``, and its seconds, to a watch's headers or to the end of any other answer.

    Must be closed.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        clock: Clock,
        observe: Callable[[str, str, str, float], None] | None = None,
        concurrency: int = CONCURRENCY,
        user_agent: str = "",
        field_manager: str = "",
        answer_limit: int = ANSWER_LIMIT,
    ) -> None:
        self._observe = observe
        self._clock = clock
        self._answer_limit = answer_limit
        self._field_manager = field_manager
        small = aiohttp.ClientTimeout(total=REQUEST_SECONDS, sock_connect=CONNECT_SECONDS)
        page = aiohttp.ClientTimeout(total=LIST_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
        self._requests = Transport(configuration, max(1, concurrency), small, user_agent)
        self._streams = Transport(configuration, 0, page, user_agent)  # 0: as many as there are informers

    async def close(self) -> None:
        """Close all connections."""
        await self._requests.close()
        await self._streams.close()

    async def list_page(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        field_selector: str | None = None,
        label_selector: str | None = None,
        limit: int,
        continue_token: str | None = None,
    ) -> bytes:
        """Return one page of a consistent list, as JSON.

        No resourceVersion is ever given: the list is the newest state, and never goes back in time.
        """
        query = {
            "limit": str(limit),
            "fieldSelector": field_selector,
            "labelSelector": label_selector,
            "continue": continue_token,
        }
        return await self._send(Request("list", "GET", resource, namespace, query=query), self._streams)

    async def get(self, resource: Resource, *, namespace: str | None = None, name: str) -> bytes:
        """Return one object, as JSON."""
        return await self._object(Request("get", "GET", resource, namespace, name))

    async def patch(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        name: str,
        body: bytes,
        subresource: str | None = None,
        metadata_only: bool = False,
    ) -> bytes:
        """Apply a JSON merge patch (RFC 7386) and return the object, or just its metadata."""
        return await self._object(
            Request(
                "patch",
                "PATCH",
                resource,
                namespace,
                name,
                subresource,
                query={"fieldManager": self._field_manager},
                accept=METADATA_ONLY if metadata_only else LEAN,
                body=body,
                content_type=MERGE_PATCH,
            )
        )

    async def create(self, resource: Resource, *, namespace: str | None = None, body: bytes) -> bytes:
        """Create an object (or ask a review) and return it."""
        return await self._object(Request("create", "POST", resource, namespace, body=body))

    async def delete(self, resource: Resource, *, namespace: str | None = None, name: str) -> None:
        """Delete an object; NotFound is raised like any other refusal."""
        await self._send(Request("delete", "DELETE", resource, namespace, name), self._requests)

    async def watch(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        field_selector: str | None = None,
        version: str,
        timeout_seconds: int,
        idle_seconds: float,
        opened: Callable[[], None] | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """Yield the lines of a watch that begins after ``version``; end when the server ends it.

        ``opened`` is called once the server has accepted it; ``timeout_seconds`` is the server's bound.
        Raises WatchIdle when nothing has come for ``idle_seconds``, and ApiError as all methods do. Iterate
        within ``contextlib.aclosing``, which closes the connection.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(timeout_seconds),
            "fieldSelector": field_selector,
        }
        request = Request("watch", "GET", resource, namespace, query=query)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=idle_seconds)
        started = self._clock.monotonic()
        code = "<error>"
        try:
            async with asyncio.timeout(ACCEPT_SECONDS):  # ``sock_read`` would wait for the idle bound
                response = await self._streams.send(request, timeout)
            code = str(response.status)
        except TimeoutError as error:
            raise ConnectionFailed(f"no answer within {ACCEPT_SECONDS:g} s", **request.about) from error
        finally:
            self._count(request, code, started)
        try:
            if response.status != 200:
                raise await self._refusal(response, request)
            notice_dead_peer(response)
            if opened is not None:
                opened()
            splitter, batching = LineSplitter(), WatchBatching(response)
            async for chunk in response.content.iter_any():
                lines = splitter.feed(chunk)
                for line in lines:
                    yield line
                if lines:
                    await batching.pause(len(chunk))
        except LineTooLong:
            raise ResponseTooLarge("a line is beyond the limit", **request.about) from None
        except TimeoutError as error:
            raise WatchIdle(f"nothing received for {idle_seconds:g} s", **request.about) from error
        except NETWORK_FAULTS as error:
            raise ConnectionFailed(one_line(error), **request.about) from error
        finally:
            response.close()

    async def _object(self, request: Request) -> bytes:
        """Send a request whose answer must be the object: a proxy's page with a 200 is no success."""
        body = await self._send(request, self._requests)
        if not is_object(body, request.name):
            raise MalformedResponse("the answer is not the object", **request.about)
        return body

    async def _send(self, request: Request, transport: Transport) -> bytes:
        """Send a request and return its whole answer."""
        started = self._clock.monotonic()
        code = "<error>"
        try:
            response = await transport.send(request)
            try:
                if not 200 <= response.status < 300:
                    refusal = await self._refusal(response, request)
                    code = str(response.status)
                    raise refusal
                answer = await _read(response, self._answer_limit, request)
                code = str(response.status)
                return answer
            except NETWORK_FAULTS as error:
                raise ConnectionFailed(one_line(error), **request.about) from error
            finally:
                response.release()  # back to the pool if it was read to its end, else closed
        finally:
            self._count(request, code, started)

    async def _refusal(self, response: aiohttp.ClientResponse, request: Request) -> StatusError:
        body = b""
        with contextlib.suppress(MalformedResponse, *NETWORK_FAULTS):  # the status alone says enough
            body = await _read(response, ERROR_LIMIT, request)
        retry_after = parse_retry_after(response.headers.get("Retry-After"), self._clock.time())
        return status_error(response.status, body, retry_after=retry_after, **request.about)

    def _count(self, request: Request, code: str, started: float) -> None:
        if self._observe is not None:
            self._observe(request.verb, request.method, code, self._clock.monotonic() - started)


async def _read(response: aiohttp.ClientResponse, limit: int, request: Request) -> bytes:
    chunks, size = [], 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > limit:
            response.close()
            raise ResponseTooLarge(f"the answer is larger than {limit} bytes", **request.about)
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
