"""What the informer's tests share: an object to store, a handler that records, an informer that runs."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from controller.runtime.api.client import ANSWER_LIMIT, Client, Resource
from controller.runtime.informer.informer import Informer, InformerObserver
from tests.support.apiserver import ApiServer
from tests.support.clock import FakeClock

WAREHOUSES = Resource("kargo.akuity.io", "v1alpha1", "warehouses")


class Thing(msgspec.Struct):
    """A stored object with one field of its own."""

    namespace: str
    name: str
    uid: str
    version: str
    value: int


class _Spec(msgspec.Struct):
    value: int = 0


class _Meta(msgspec.Struct, rename="camel"):
    name: str
    resource_version: str
    uid: str
    namespace: str = ""


class _Wire(msgspec.Struct):
    metadata: _Meta
    spec: _Spec


@dataclass
class Recorder(InformerObserver):
    """Records what a handler, an InformerObserver and the callbacks are told, and what was decoded."""

    changes: list[tuple[str, ...]] = field(default_factory=list)
    decoded: list[str] = field(default_factory=list)
    restarts: list[str] = field(default_factory=list)
    quarantines: int = 0
    caught_up: int = 0
    on_change: Callable[[], None] = lambda: None
    on_decode: Callable[[], None] = lambda: None

    def added(self, obj: Thing) -> None:
        self._change("added", obj.name, obj.version)

    def updated(self, old: Thing, new: Thing) -> None:
        self._change("updated", new.name, old.version, new.version)

    def deleted(self, obj: Thing) -> None:
        self._change("deleted", obj.name, obj.version)

    def _change(self, *change: str) -> None:
        self.changes.append(change)
        self.on_change()

    def watch_restarted(self, kind: str, reason: str) -> None:
        self.restarts.append(reason)

    def quarantined(self, kind: str) -> None:
        self.quarantines += 1

    def on_caught_up(self) -> None:
        self.caught_up += 1

    def decode(self, raw: msgspec.Raw, known: Callable[[str, str], Thing | None]) -> Thing | None:
        self.on_decode()
        wire = msgspec.json.decode(raw, type=_Wire)
        meta = wire.metadata
        self.decoded.append(f"{meta.name}@{meta.resource_version}")
        if wire.spec.value < 0:
            return None  # not to be kept
        return Thing(meta.namespace, meta.name, meta.uid, meta.resource_version, wire.spec.value)


@dataclass
class Running:
    """An informer at work on a byte-level API server."""

    informer: Informer[Thing]
    recorder: Recorder
    clock: FakeClock
    server: ApiServer
    task: asyncio.Task[None]

    @property
    def names(self) -> list[str]:
        """``name@version`` of all stored objects, sorted."""
        return sorted(f"{obj.name}@{obj.version}" for obj in self.informer.store.values())

    def behind(self) -> bool:
        """Whether the informer has not caught up."""
        return not self.informer.caught_up

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once ``condition`` holds; fail after 5 s, or if the informer has ended."""
        deadline = asyncio.get_running_loop().time() + 5.0
        while not condition():
            if self.task.done():
                self.task.result()
                raise AssertionError("the informer ended")
            late = asyncio.get_running_loop().time() > deadline
            assert not late, (self.server.verbs, self.names, self.recorder)
            await asyncio.sleep(0.001)

    async def requests(self, count: int) -> None:
        """Return once the server has got ``count`` requests."""
        await self.until(lambda: len(self.server.requests) >= count)

    async def paused(self) -> float:
        """Wait until the informer waits before another attempt; return for how many seconds."""
        await self.until(lambda: bool(self.clock.pending))
        return self.clock.pending[0]

    async def resume(self) -> None:
        """Let the pause that the informer is in pass."""
        await self.clock.advance(await self.paused())


@contextlib.asynccontextmanager
async def informing(
    server: ApiServer, *, answer_limit: int = ANSWER_LIMIT, **options: Any
) -> AsyncIterator[Running]:
    """Run an informer against ``server`` on a clock that stands still, until the block is left."""
    clock, recorder = FakeClock(), Recorder()
    async with server:
        client = Client(server.configuration(), clock=clock, answer_limit=answer_limit)
        informer: Informer[Thing] = Informer(
            client,
            WAREHOUSES,
            recorder.decode,
            kind="Warehouse",
            clock=clock,
            observer=recorder,
            on_caught_up=recorder.on_caught_up,
            **{"rng": random.Random(1), **options},
        )
        informer.add_handler(recorder)
        task = asyncio.create_task(informer.run())
        try:
            yield Running(informer, recorder, clock, server, task)
        finally:
            task.cancel()
            await asyncio.wait([task])
            await client.close()
            if not task.cancelled():
                task.result()
