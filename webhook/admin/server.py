"""The admin port: metrics, health and the page. Never exposed outside the cluster."""

import asyncio
import gzip
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import choose_encoder, gzip_accepted
from tornado import httpserver, web

from webhook.admin import api, pages
from webhook.admin.fleet import Fleet
from webhook.admin.handler import Handler, Unknown
from webhook.http.listener import bind
from webhook.limits import ADMIN_BODY, ADMIN_IDLE_SECONDS, Limits

Missing = Callable[[], Sequence[str]]
"""Returns what stands in the way, each in a few words; empty if nothing does."""


class AdminServer:
    """Serves metrics, health and the page on one address.

    ``alive`` and ``ready`` are called at each request; the answer is a 503 that names what they return, if
    anything.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        alive: Missing,
        ready: Missing,
        fleet: Fleet,
        address: str,
        port: int,
    ) -> None:
        self._address = address
        self._port = port
        self._fleet = fleet
        self._server = httpserver.HTTPServer(
            web.Application(
                [
                    ("/metrics", _Metrics, {"registry": registry}),
                    ("/livez", _Health, {"missing": alive}),
                    ("/readyz", _Health, {"missing": ready}),
                    *api.routes(fleet.own),
                    *pages.routes(fleet),
                ],
                default_handler_class=Unknown,
                log_function=lambda handler: None,
            ),
            max_body_size=ADMIN_BODY,
            max_header_size=Limits().headers,
            idle_connection_timeout=ADMIN_IDLE_SECONDS,
            body_timeout=Limits().body_seconds,
        )

    @property
    def port(self) -> int:
        """The port that is bound: the one asked for, or the kernel's choice if that was 0."""
        return self._port

    def start(self) -> None:
        """Bind and serve. Raises ServerError, in one line, if the address can't be had."""
        listening = bind(self._address, self._port, Limits().backlog)
        self._port = int(listening.getsockname()[1])
        self._server.add_socket(listening)

    async def close(self) -> None:
        """Stop serving, and close every connection."""
        self._server.stop()
        await self._server.close_all_connections()
        await self._fleet.close()


class _Metrics(Handler):
    def initialize(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    async def get(self, *args: str) -> None:
        encode, content_type = choose_encoder(self.request.headers.get("Accept", ""))
        self.set_header("Content-Type", content_type)
        zipped = gzip_accepted(self.request.headers.get("Accept-Encoding", ""))
        if zipped:
            self.set_header("Content-Encoding", "gzip")
        values = _Values([*self._registry.collect()])

        def body() -> bytes:
            text = encode(values)
            return gzip.compress(text, compresslevel=1) if zipped else text

        # Writing the series of 1,000 receivers takes 10 ms: too long for the event loop.
        self.finish(await asyncio.to_thread(body))


class _Values(NamedTuple):
    """What a registry held at one moment; encoders accept it as a registry."""

    families: Sequence[Metric]

    def collect(self) -> Sequence[Metric]:
        return self.families


class _Health(Handler):
    def initialize(self, missing: Missing) -> None:
        self._missing = missing

    def get(self, *args: str) -> None:
        missing = list(self._missing())
        code = HTTPStatus.SERVICE_UNAVAILABLE if missing else HTTPStatus.OK
        self.answer(code, {"ok": not missing, "missing": missing})
