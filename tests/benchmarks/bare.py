"""The bare client: what aiohttp alone gets out of this API server, on the receiver's kind of event loop."""

import asyncio
import re
import ssl
import time
from collections.abc import Coroutine, Iterable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
import msgspec
import uvloop

from controller.kargo.objects import REFRESH_ANNOTATION
from e2e.kargo import API
from tests.benchmarks.data import Seed

T = TypeVar("T")

PAGE = 500
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

_CONTINUE = re.compile(rb'"metadata":\{"continue":"([A-Za-z0-9+/=_-]+)",[^{}]*\}\}\s*\Z')
"""The continue token, as API servers write it: at the end of a page."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on the receiver's kind of event loop."""
    return uvloop.run(work)


class BareClient:
    """One user of the API server. Use as an asynchronous context manager."""

    def __init__(self, server: str, ca: str, token: str) -> None:
        self._base = server
        self._headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"}
        self._tls = ssl.create_default_context(cafile=ca)
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            self._base,
            connector=aiohttp.TCPConnector(limit=0, ssl=self._tls),
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=120),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def list_all(self, path: str = f"{API}/warehouses") -> tuple[float, int]:
        """List in pages and decode nothing; return seconds and bytes."""
        began = time.perf_counter()
        size, token = 0, ""
        while True:
            query = {"limit": str(PAGE), **({"continue": token} if token else {})}
            async with self._session.get(path, params=query) as response:
                body = await response.read()
                response.raise_for_status()
            size += len(body)
            found = _CONTINUE.search(body, max(0, len(body) - 2048))
            token = found[1].decode() if found else ""
            if not token:
                return time.perf_counter() - began, size

    async def patch(self, of: Seed, value: str) -> None:
        """Change the refresh annotation as the receiver does."""
        body = f'{{"metadata":{{"annotations":{{"kargo.akuity.io/refresh":"{value}"}}}}}}'
        async with self._session.patch(
            f"{API}/namespaces/{of.namespace}/warehouses/{of.name}?fieldManager=bench",
            data=body,
            headers={"Content-Type": "application/merge-patch+json", "Accept": METADATA_ONLY},
        ) as response:
            await response.read()
            response.raise_for_status()

    async def annotation(self, path: str) -> str:
        """Return a Warehouse's refresh annotation; empty if it has none."""
        async with self._session.get(path, headers={"Accept": METADATA_ONLY}) as response:
            response.raise_for_status()
            metadata = (await response.json())["metadata"]
        return str(metadata.get("annotations", {}).get(REFRESH_ANNOTATION, ""))

    async def patch_all(self, seeds: Sequence[Seed], at_once: int) -> float:
        """Patch each of them, so many at once; return seconds."""
        began = time.perf_counter()
        stamp = str(began)
        await spread((self.patch(of, stamp) for of in seeds), at_once)
        return time.perf_counter() - began

    async def send(
        self, method: str, path: str, body: object, content_type: str = "application/json"
    ) -> None:
        """Create or change one object; raises for any answer but 2xx."""
        async with self._session.request(
            method, path, data=msgspec.json.encode(body), headers={"Content-Type": content_type}
        ) as response:
            await response.read()
            response.raise_for_status()

    async def send_all(
        self,
        method: str,
        requests: Iterable[tuple[str, object]],
        *,
        at_once: int = 32,
        content_type: str = "application/json",
    ) -> None:
        """Send many, so many at once; the bodies are made one at a time."""
        await spread((self.send(method, path, body, content_type) for path, body in requests), at_once)


async def spread(work: Iterable[Coroutine[Any, Any, None]], at_once: int) -> None:
    """Run coroutines, so many at once; the first error ends it."""
    rest = iter(work)

    async def worker() -> None:
        for each in rest:
            await each

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(worker())
