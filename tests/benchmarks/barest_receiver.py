"""The barest receiver: a Tornado handler that awaits one patch with aiohttp and answers.

No index (the URL says which Warehouse), no queue, no journal, no retries, no metrics, no log. Whatever the
real receiver does beside this costs the difference. Run as a program by the suite, under the same senders.
"""

import asyncio
import logging
import ssl
import time

import aiohttp
import msgspec
import tornado.web
import uvloop

from tests.benchmarks.program import read_options

API = "/apis/kargo.akuity.io/v1alpha1"


class Push(tornado.web.RequestHandler):
    """POST /NAMESPACE/NAME: patch that Warehouse."""

    async def post(self, namespace: str, name: str) -> None:
        """Decode the event, since nobody can do without; patch; answer."""
        msgspec.json.decode(self.request.body)
        value = f"{time.time_ns()}"
        body = f'{{"metadata":{{"annotations":{{"kargo.akuity.io/refresh":"{value}"}}}}}}'
        session: aiohttp.ClientSession = self.application.settings["session"]
        async with session.patch(
            f"{API}/namespaces/{namespace}/warehouses/{name}?fieldManager=barest", data=body
        ) as response:
            await response.read()
            response.raise_for_status()
        self.set_header("Content-Type", "application/json")
        self.finish(b'{"msg":"refreshed 1 warehouse(s)"}')


class Ping(tornado.web.RequestHandler):
    """POST /ping: answer."""

    async def post(self) -> None:
        """Decode the event and answer."""
        msgspec.json.decode(self.request.body)
        self.set_header("Content-Type", "application/json")
        self.finish(b'{"msg":"ping event received, webhook is configured correctly"}')


async def serve(port: int, server: str, ca: str, token: str) -> None:
    """Serve until killed."""
    logging.getLogger("tornado.access").setLevel(logging.ERROR)
    tls = ssl.create_default_context(cafile=ca)
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
        "Accept-Encoding": "identity",
        "Content-Type": "application/merge-patch+json",
    }
    connector = aiohttp.TCPConnector(limit=0, ssl=tls)
    async with aiohttp.ClientSession(server, connector=connector, headers=headers) as session:
        routes = [(r"/ping", Ping), (r"/([a-z0-9-]+)/([a-z0-9-]+)", Push)]
        tornado.web.Application(routes, session=session).listen(port, "127.0.0.1")
        await asyncio.Event().wait()


def main() -> None:
    """Read the command line."""
    options = read_options("port")
    uvloop.run(serve(int(options.port), options.server, options.ca, options.token))


if __name__ == "__main__":
    main()
