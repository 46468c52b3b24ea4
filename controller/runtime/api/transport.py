"""Sends HTTP requests with the library's session and credentials, and nothing of the library in between.

``ApiClient.call_api`` would copy the headers, encode the body once more and search it for its type: with
``param_serialize`` before it, a fifth of what a patch costs in the client.
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from aiohttp.http import HttpProcessingError
from kubernetes.aio.client import Configuration
from yarl import URL

from controller.runtime.api.configuration import CREDENTIAL_FAULTS, api_client
from controller.runtime.api.errors import ConnectionFailed, one_line
from controller.runtime.api.resource import Resource

__all__ = ["NETWORK_FAULTS", "Configuration", "Transport"]

# What aiohttp raises besides: ssl's errors and refused connections are OSErrors, timeouts TimeoutErrors.
NETWORK_FAULTS = (aiohttp.ClientError, HttpProcessingError, OSError, TimeoutError)


JSON = "application/json"
# 1.36 does not know the parameter and takes the next; 1.37 leaves out managedFields, a third of many objects.
LEAN = f"{JSON};drop=metadata.managedFields, {JSON}"

KEEPALIVE = (15, 5, 3)
"""Seconds of silence before the kernel asks whether the peer is there, between two questions, and how many
may go unanswered. A dead watch ends after 30 s at a packet each 15 s; client-go's HTTP/2 pings take 45 s."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request to the API; of ``query``, what is None or empty is left out."""

    verb: str
    method: str
    resource: Resource
    namespace: str | None = None
    name: str | None = None
    subresource: str | None = None
    query: Mapping[str, str | None] = field(default_factory=dict)
    accept: str = LEAN
    body: bytes | None = None
    content_type: str = JSON

    @property
    def about(self) -> dict[str, Any]:
        """The arguments by which an ApiError names the request."""
        what = f"{self.resource}/{self.subresource}" if self.subresource else str(self.resource)
        return {
            "verb": self.verb,
            "resource": what,
            "namespace": self.namespace or None,
            "name": self.name,
        }

    @property
    def target(self) -> str:
        """The path and query of its URL."""
        path = self.resource.path(self.namespace, self.name, self.subresource)
        query = urlencode({key: value for key, value in self.query.items() if value}, quote_via=quote)
        return f"{path}?{query}" if query else path


def notice_dead_peer(response: aiohttp.ClientResponse) -> None:
    """Have the kernel end the connection of an answer that does not end, once its peer is gone."""
    connection = response.connection  # None if the answer has ended already
    transport = connection.transport if connection is not None else None
    found = transport.get_extra_info("socket") if transport is not None else None
    if found is None or not hasattr(socket, "TCP_KEEPIDLE"):
        return
    found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    for option, value in zip(options, KEEPALIVE, strict=True):
        found.setsockopt(socket.IPPROTO_TCP, option, value)


class Transport:
    """A pool of connections to one API server, as one user; 0 ``connections`` sets no limit.

    ``bounds`` are the times that a request may take unless it says otherwise. The constructor needs a running
    event loop and raises ConfigurationError if a certificate can't be loaded.
    """

    def __init__(
        self,
        configuration: Configuration,
        connections: int,
        bounds: aiohttp.ClientTimeout,
        user_agent: str = "",
    ) -> None:
        self._bounds = bounds
        self._api = api_client(configuration, connections, user_agent)
        client = self._api.rest_client
        # The library makes it for its first request; made here, it is closed by the library all the same.
        self._session = client.pool_manager = client._create_pool_manager()  # noqa: SLF001  documented as a hook
        self.configuration = own = self._api.configuration
        self._options: dict[str, Any] = {}
        if own.tls_server_name:
            self._options["server_hostname"] = own.tls_server_name
        if client.proxy:
            self._options["proxy"] = client.proxy
        if client.proxy_headers:
            self._options["proxy_headers"] = client.proxy_headers

    async def close(self) -> None:
        """Close all connections."""
        await self._api.close()  # type: ignore[no-untyped-call]

    async def send(
        self, request: Request, bounds: aiohttp.ClientTimeout | None = None
    ) -> aiohttp.ClientResponse:
        """Send a request and return the answer once its headers are there. Raises ConnectionFailed."""
        target = request.target
        headers = {"Accept": request.accept, "Content-Type": request.content_type}
        try:
            await self._api.update_params_for_auth(
                headers, None, ["BearerToken"], target, request.method, None
            )
        except CREDENTIAL_FAULTS as error:
            raise ConnectionFailed(
                f"cannot read the credentials: {one_line(error)}", **request.about
            ) from error
        try:
            return await self._session.request(
                request.method,
                URL(f"{self.configuration.host}{target}", encoded=True),
                headers=headers,
                data=request.body,
                timeout=bounds or self._bounds,
                **self._options,
            )
        except NETWORK_FAULTS as error:
            raise ConnectionFailed(one_line(error), **request.about) from error
