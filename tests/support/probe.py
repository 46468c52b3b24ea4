"""Proof of refreshes: every value of every Warehouse's annotation, seen by a watch of our own.

It watches the API server directly, past any proxy, and goes on from the same version after a break. Only an
API server that was started anew may know that version no more: what was written and overwritten in between is
not seen then, and the next value is marked as listed. A value names the moment at which its patch began, by
this machine's clock: a value stamped after a delivery was sent, and seen no sooner than stamped, is a refresh
for that delivery.
"""

import asyncio
import json
import ssl
import time
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import aiohttp

from e2e import kargo
from e2e.controlplane import ControlPlane
from e2e.kargo.project import REFRESH_ANNOTATION
from tests.support.background import Background

PAUSE = 0.1
"""Seconds between attempts while the API server is down."""


@dataclass(frozen=True)
class Sighting:
    """One value that a Warehouse had."""

    uid: str
    value: str
    stamp: int
    """The moment that the value names, in microseconds of Unix time."""
    seen: int
    """When it was seen, likewise."""
    version: int
    listed: bool
    """Whether it was found by a list: there may have been others before it, unseen."""


class Probe:
    """Collects the sightings of all Warehouses in one namespace, or in all, from its start on."""

    def __init__(self, plane: ControlPlane, background: Background, namespace: str | None = None) -> None:
        self._plane = plane
        self._background = background
        scope = f"/namespaces/{namespace}" if namespace else ""
        self._path = f"{kargo.API}{scope}/warehouses"
        config = json.loads(plane.kubeconfig.read_text("utf-8"))
        self._headers = {"Authorization": f"Bearer {config['users'][0]['user']['token']}"}
        self._session: aiohttp.ClientSession | None = None
        self._running: Future[None] | None = None
        self._versions: dict[str, int] = {}
        self.sightings: dict[str, list[Sighting]] = {}
        """By namespace/name, and by UID too: oldest first."""

    def start(self) -> Self:
        """Begin to watch; returns once the present state is known."""
        version = self._background.call(self._begin())
        self._running = self._background.start(self._follow(version))
        return self

    def close(self) -> None:
        """End the watch."""
        if self._running is not None:
            self._running.cancel()
        if self._session is not None:
            self._background.call(self._session.close())

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def look(self) -> None:
        """List all Warehouses now and add what the watch has not told yet."""
        self._background.call(self._list())

    def refreshed(self, key: str, since: int) -> Sighting | None:
        """Return the first value whose patch began at ``since`` or later; ``key``: namespace/name, or UID."""
        for sighting in self.sightings.get(key, ()):
            if sighting.stamp >= since and sighting.seen >= sighting.stamp:
                return sighting
        return None

    def missing(self, owed: Iterable[str], since: int) -> list[str]:
        """Return those of ``owed`` that have had no refresh that began at ``since`` or later."""
        return [key for key in owed if not self._last_is_after(key, since) and not self.refreshed(key, since)]

    def patches(self) -> int:
        """Return how many values were seen in all."""
        return sum(len({each.version for each in many}) for key, many in self.sightings.items() if "/" in key)

    def _last_is_after(self, key: str, since: int) -> bool:
        sightings = self.sightings.get(key)
        return sightings is not None and since <= sightings[-1].stamp <= sightings[-1].seen

    async def _begin(self) -> str:
        tls = ssl.create_default_context(cafile=str(self._plane.ca))
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=tls),
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
            read_bufsize=4 * 1024 * 1024,
        )
        return await self._list()

    async def _list(self) -> str:
        assert self._session is not None
        async with self._session.get(self._plane.url + self._path) as answer:
            answer.raise_for_status()
            body = await answer.json()
        for item in body["items"]:
            self._see(item, listed=True)
        return str(body["metadata"]["resourceVersion"])

    async def _follow(self, version: str) -> None:
        assert self._session is not None
        while True:
            query = {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": version}
            try:
                async with self._session.get(self._plane.url + self._path, params=query) as answer:
                    if answer.status == 410:
                        version = await self._list()
                        continue
                    answer.raise_for_status()
                    async for line in answer.content:
                        event = json.loads(line)
                        if event["type"] == "ERROR":
                            version = await self._list()
                            break
                        version = event["object"]["metadata"]["resourceVersion"]
                        if event["type"] in ("ADDED", "MODIFIED"):
                            self._see(event["object"], listed=False)
            except (aiohttp.ClientError, OSError, ValueError, TimeoutError):
                await asyncio.sleep(PAUSE)

    def _see(self, item: Any, *, listed: bool) -> None:
        meta = item["metadata"]
        value = meta.get("annotations", {}).get(REFRESH_ANNOTATION)
        stamp = micros(value) if value else None
        if stamp is None:
            return
        uid, version = meta["uid"], int(meta["resourceVersion"])
        if self._versions.get(uid, 0) >= version:
            return
        self._versions[uid] = version
        for key in (uid, f"{meta['namespace']}/{meta['name']}"):
            many = self.sightings.setdefault(key, [])
            if not many or many[-1].value != value or many[-1].uid != uid:
                many.append(Sighting(uid, value, stamp, now(), version, listed))


def now() -> int:
    """Return Unix time in whole microseconds."""
    return time.time_ns() // 1000


def micros(value: str) -> int | None:
    """Return an RFC 3339 time as whole microseconds of Unix time; None if it is none."""
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return int(moment.replace(microsecond=0).timestamp()) * 1_000_000 + moment.microsecond
