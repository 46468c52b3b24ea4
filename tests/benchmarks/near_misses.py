"""The look for near misses, over an index of 100,000 Warehouses: what others wait for it, and its memory.

Others are a task that asks for a turn of the event loop every millisecond. What it waits for is the processor
time that the loop spends on something else meanwhile: each step of an event would wait as long. (By the
clock it is late by what other processes take of the machine, too, and more so where this one works at all.)
"""

import asyncio
import time
import tracemalloc
from collections.abc import Iterator
from typing import NamedTuple

from controller.kargo.objects import Target
from controller.kargo.warehouse import Warehouse
from controller.refreshing.near_miss_scan import NearMissScan
from controller.refreshing.target_index import TargetIndex
from controller.runtime.clock import Clock
from tests.benchmarks import data
from tests.benchmarks.rows import Row
from tests.benchmarks.stage import median

WAREHOUSES = 100_000
ROUNDS = 5
SECONDS = 2.0
"""Of each measurement: scans one after the other, or none."""
EVENT = ("image", f"{data.REGISTRY}/nothing/subscribes/to-this")
MOST_MILLISECONDS = 1.0
"""One slice of half a millisecond, and as much again for the machine."""
MOST_MEGABYTES = 5.0


class _Lateness(NamedTuple):
    p99: float
    """Milliseconds of processor time."""
    clock: float
    """The same by the clock."""
    scans: int


def near_misses() -> Iterator[Row]:
    """How late others get their turns while one scan follows the other; how long one takes; its memory."""
    index = TargetIndex()
    for number in range(WAREHOUSES):
        of = data.seed(number)
        key = f"{data.REGISTRY}/{of.repository}/{number}"
        index.added(Warehouse(Target("Warehouse", of.namespace, of.name), "uid", "1", (key,), 0, "", ""))
    quiet, busy = [], []
    for _ in range(ROUNDS):
        quiet.append(asyncio.run(_lateness(index, scanning=False)))
        busy.append(asyncio.run(_lateness(index, scanning=True)))
    without, beside = median([each.p99 for each in quiet]), median([each.p99 for each in busy])
    yield Row(
        f"p99 of others' waits while looking through {WAREHOUSES:,} Warehouses",
        f"{beside:.2f} ms",
        f"{without:.2f} ms (no look)",
        target=f"≤ {MOST_MILLISECONDS:g} ms more",
        ok=beside - without <= MOST_MILLISECONDS,
    )
    yield Row(
        "the same by the clock",
        f"{median([each.clock for each in busy]):.2f} ms",
        f"{median([each.clock for each in quiet]):.2f} ms (no look)",
    )
    yield Row("one such look", f"{SECONDS * 1000 / median([each.scans for each in busy]):.0f} ms")
    most = asyncio.run(_memory(index)) / 1e6
    yield Row(
        "memory of one such look",
        f"{most:.1f} MB",
        target=f"≤ {MOST_MEGABYTES:g} MB",
        ok=most <= MOST_MEGABYTES,
    )


async def _lateness(index: TargetIndex, *, scanning: bool) -> _Lateness:
    scan = NearMissScan(index, Clock())
    end = time.perf_counter() + SECONDS
    scans = 0

    async def look() -> None:
        nonlocal scans
        while time.perf_counter() < end:
            await scan.scan("cluster/azure", (EVENT,))
            scans += 1

    looking = asyncio.ensure_future(look()) if scanning else None
    late, waited = [], []
    while (began := time.perf_counter()) < end:
        used = time.thread_time()
        await asyncio.sleep(0.001)
        waited.append(time.thread_time() - used)
        late.append(time.perf_counter() - began - 0.001)
    if looking is not None:
        await looking
    return _Lateness(_p99(waited), _p99(late), scans)


def _p99(seconds: list[float]) -> float:
    return sorted(seconds)[len(seconds) * 99 // 100] * 1000


async def _memory(index: TargetIndex) -> int:
    tracemalloc.start()
    await NearMissScan(index, Clock()).scan("cluster/azure", (EVENT,))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak
