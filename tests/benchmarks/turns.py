"""Two processes that work in short turns, so that what the machine does from minute to minute meets both."""

import asyncio
import time
from typing import Any, NamedTuple

from e2e.controlplane.process import Process
from tests.benchmarks.stage import Stage, cpu_seconds

TURN = 0.3
"""Seconds. So few that a receiver, paused in the other's turn, finds in its socket what the watch brought
meanwhile: of a watch that nobody reads the API server keeps a bounded number of events; then it ends the
watch, and sends them once more to the next one, while the receiver has its turn."""
PATCHES = 400
"""As many as both sides make in a turn each."""
QUIET = 0.03
"""Seconds without processor time, after which the API server has nothing to do: three ticks."""
BUSY_LIMIT = 10.0


class Side(NamedTuple):
    """A process, and what is done once its work is."""

    process: Process
    work: "asyncio.Future[Any]"


async def in_turns(stage: Stage, *sides: Side) -> list[float]:
    """Let each side work while the others are paused, until all are done; return the seconds each had.

    A turn lasts until the API server has finished what that side asked for, else the other would pay for it.
    The API server's collections of garbage come between the turns; what they would take by themselves is
    counted to the sides in equal parts.
    """
    seconds = dict.fromkeys(sides, 0.0)
    for side in sides:
        side.process.pause()
    stage.collect()
    while left := [side for side in sides if not side.work.done()]:
        collecting = stage.collect_if_due(PATCHES)
        for side in left:
            seconds[side] += collecting / len(left)
            began = time.perf_counter()
            side.process.resume()
            await asyncio.wait({side.work}, timeout=TURN)
            side.process.pause()
            seconds[side] += await _idle(stage.plane.apiserver.pid) - began
        sides = sides[::-1]
    for side in seconds:
        side.process.resume()
        side.work.result()
    return list(seconds.values())


async def _idle(pid: int) -> float:
    """Wait until a process does nothing; return since when."""
    limit = time.perf_counter() + BUSY_LIMIT
    since, before = time.perf_counter(), cpu_seconds(pid)
    while (now := time.perf_counter()) < min(since + QUIET, limit):
        await asyncio.sleep(0.005)
        if (used := cpu_seconds(pid)) > before:
            since, before = now, used
    return since
