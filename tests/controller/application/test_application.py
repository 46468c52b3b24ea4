"""The start and the end of the whole receiver, against an API server made of bytes."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, MutableSequence
from typing import Any

from structlog.testing import capture_logs

from controller.application.application import Application
from controller.process.manager import Manager
from controller.receivers.url import receiver_digest
from tests.support.apiserver import ApiServer, Connection, page, watch
from tests.support.settings import parse
from webhook.journal.journal import Journal

CONFIG: dict[str, Any] = {
    "apiVersion": "kargo.akuity.io/v1alpha1",
    "kind": "ProjectConfig",
    "metadata": {"name": "demo", "namespace": "demo", "resourceVersion": "1", "uid": "u"},
    "spec": {"webhookReceivers": [{"name": "az", "azure": {"secretRef": {"name": "s"}}}]},
}

SECRET: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "s", "namespace": "demo", "resourceVersion": "1", "uid": "s"},
    "data": {"secret": "czNjcmV0"},
}


@contextlib.asynccontextmanager
async def starting(server: ApiServer) -> AsyncIterator[tuple[Manager, Application]]:
    """Build a receiver on free ports."""
    options = parse(["--bind-address=127.0.0.1", "--port=0", "--admin-port=0", "--publish-status=false"], {})
    async with server:
        journal = await Journal.open(None)
        manager = Manager()
        manager.at_end("journal", journal.close)
        application = Application(options, "test", server.configuration(), journal)
        manager.at_end("client", application.client.close)
        yield manager, application
    gc.unfreeze()  # what the receiver exempts from collection, while this process goes on


async def test_asked_to_stop_while_secrets_are_read_never_serves() -> None:
    """SIGTERM in that time ends the process: no port is opened only to be drained and closed."""
    reading = asyncio.Event()

    async def script(connection: Connection) -> None:
        if connection.request.path.endswith("/secrets"):
            reading.set()
            await asyncio.Event().wait()
        elif connection.request.verb == "watch":
            await watch()(connection)
        else:
            configs = connection.request.path.endswith("/projectconfigs")
            await page([CONFIG] if configs else [])(connection)

    async with starting(ApiServer(script)) as (manager, application):
        with capture_logs() as logs:
            running = asyncio.create_task(manager.run(application.run(manager)))
            await asyncio.wait_for(reading.wait(), 10.0)
            manager.ask_to_stop()
            await asyncio.wait_for(running, 10.0)
    assert not {"serving", "stopping"} & {entry["event"] for entry in logs}


async def test_asked_twice_to_stop_closes_the_connections() -> None:
    """The second SIGTERM shortens the waiting, but also closes a request's connection."""

    async def script(connection: Connection) -> None:
        kind = connection.request.path.rsplit("/", 1)[-1]
        items = {"projectconfigs": [CONFIG], "secrets": [SECRET]}.get(kind, [])
        await (watch() if connection.request.verb == "watch" else page(items))(connection)

    path = f"/azure/{receiver_digest('demo', 'az', b's3cret')}"
    async with starting(ApiServer(script)) as (manager, application):
        with capture_logs() as logs:
            running = asyncio.create_task(manager.run(application.run(manager)))
            port = await asyncio.wait_for(serving(logs), 10.0)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            head = f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
            writer.write(head.encode())
            assert b"100" in await reader.readuntil(b"\r\n\r\n")  # in progress, and its body never comes
            manager.ask_to_stop()
            await asyncio.sleep(0.01)
            manager.ask_to_stop()
            await asyncio.wait_for(running, 10.0)
            assert await asyncio.wait_for(reader.read(), 2.0) == b""
            writer.close()


async def serving(logs: MutableSequence[Any]) -> int:
    """Wait until the public port is open, and return it."""
    while True:
        for entry in list(logs):
            if entry["event"] == "serving":
                return int(entry["port"])
        await asyncio.sleep(0.01)
