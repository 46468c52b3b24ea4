"""A real public server on 127.0.0.1, over fakes."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from controller.runtime.clock import Clock
from tests.support.fakes import (
    FakeDispatcher,
    FakeJournal,
    FakeLookup,
    FakeReceiver,
    FakeRefresh,
    FakeWebhookMetrics,
    digest,
)
from tests.support.wire import Reply, Wire
from webhook.delivery import Deliveries
from webhook.endpoint import Endpoint
from webhook.http.server import WebhookServer
from webhook.http.tls import Certificate
from webhook.limits import Limits

PATH = "/azure/" + digest("kargo-demo/az")
"""The path of the one receiver that a Site serves."""

UNKNOWN_PATH = "/azure/" + "0" * 64
"""A path of the right shape that no Site serves."""

PING = b'{"id":"p1","timestamp":"2026-01-01T00:00:00Z","action":"ping"}'

PUSH = json.dumps(
    {
        "id": "e1",
        "timestamp": "2026-01-01T00:00:00Z",
        "action": "push",
        "target": {
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "size": 524,
            "digest": "sha256:" + "0" * 64,
            "repository": "app",
            "tag": "v1",
        },
        "request": {
            "id": "r1",
            "host": "example.azurecr.io",
            "method": "PUT",
            "useragent": "docker/27.0",
        },
    }
).encode()


class Site:
    """The server and all that it stands on."""

    def __init__(
        self,
        *refreshes: FakeRefresh,
        limits: Limits | None = None,
        certificate: Certificate | None = None,
        accepted: tuple[str, ...] = (),
        reply_seconds: float = 4.0,
        port: int = 0,
    ) -> None:
        self.lookup = FakeLookup(FakeReceiver("kargo-demo/az", accepted))
        self.dispatcher = FakeDispatcher(*refreshes)
        self.journal = FakeJournal()
        self.metrics = FakeWebhookMetrics()
        clock = Clock()
        self.deliveries = Deliveries(
            self.dispatcher, self.journal, self.metrics, clock=clock, reply_seconds=reply_seconds
        )
        self.endpoint = Endpoint(
            self.lookup, self.deliveries, self.metrics, clock=clock, limits=limits or Limits()
        )
        self.server = WebhookServer(self.endpoint, address="127.0.0.1", port=port, certificate=certificate)

    @property
    def port(self) -> int:
        """The server's port."""
        return self.server.port


@asynccontextmanager
async def running(site: Site) -> AsyncIterator[Site]:
    """Start the server; at the end stop it, and see that it left nothing behind."""
    tasks = asyncio.all_tasks()
    site.server.start()
    try:
        yield site
    finally:
        site.server.stop_accepting()
        await site.server.finished(0.0)
        await site.deliveries.close()
    for _ in range(5):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() <= tasks | {asyncio.current_task()}
    assert site.endpoint.gate.bytes == 0 or len(site.deliveries)


async def exchange(*requests: bytes, site: Site | None = None, limits: Limits | None = None) -> list[Reply]:
    """Send requests one after the other on one connection; return the answers."""
    async with running(site or Site(limits=limits)) as served:
        wire = await Wire.open(served.port)
        replies = []
        for data in requests:
            await wire.send(data)
            replies.append(await wire.reply(head=data.startswith(b"HEAD")))
        await wire.close()
        return replies
