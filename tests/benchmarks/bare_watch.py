"""The bare watch: aiohttp reads a watch of Warehouses and throws it away. Run as a program by the suite."""

import asyncio
import ssl
from http import HTTPStatus

import aiohttp
import uvloop

from tests.benchmarks.program import read_options

PATH = "/apis/kargo.akuity.io/v1alpha1/warehouses"


async def read(server: str, ca: str, token: str) -> None:
    """Read until killed; begin again as any informer does."""
    tls = ssl.create_default_context(cafile=ca)
    headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"}
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(
        server, headers=headers, timeout=timeout, read_bufsize=2**21, raise_for_status=True
    ) as session:
        while True:
            try:
                async with session.get(PATH, params={"limit": "1"}, ssl=tls) as response:
                    version = (await response.json())["metadata"]["resourceVersion"]
                query = {"watch": "true", "resourceVersion": version}
                async with session.get(PATH, params=query, ssl=tls) as response:
                    async for _ in response.content.iter_any():
                        pass
            except aiohttp.ClientResponseError as error:
                if error.status != HTTPStatus.TOO_MANY_REQUESTS:  # said while a CRD's storage is made anew
                    raise
            await asyncio.sleep(0.1)  # the API server ends a watch that it can't serve in time


def main() -> None:
    """Read the command line."""
    options = read_options()
    uvloop.run(read(options.server, options.ca, options.token))


if __name__ == "__main__":
    main()
