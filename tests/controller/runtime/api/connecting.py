"""What the client's tests share: a client of a server that sends bytes."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from controller.runtime.api.client import Client, Resource
from tests.support.apiserver import ApiServer
from tests.support.clock import FakeClock

WAREHOUSES = Resource("kargo.akuity.io", "v1alpha1", "warehouses")
SECRETS = Resource("", "v1", "secrets")


@contextlib.asynccontextmanager
async def connected(server: ApiServer, **options: Any) -> AsyncIterator[Client]:
    client = Client(server.configuration(), clock=FakeClock(), **options)
    try:
        yield client
    finally:
        await client.close()


async def lines(client: Client, *, idle_seconds: float = 20.0, **options: Any) -> list[bytes]:
    """Watch until the end and return every line."""
    stream = client.watch(WAREHOUSES, version="5", timeout_seconds=300, idle_seconds=idle_seconds, **options)
    async with contextlib.aclosing(stream):
        return [line async for line in stream]
