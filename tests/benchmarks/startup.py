"""From start to ready, memory, and what it costs to keep up with status updates."""

import random
import time
from collections.abc import Iterator
from dataclasses import replace

from e2e.receiver import ReceiverProcess
from tests.benchmarks import seeding
from tests.benchmarks.bare import run
from tests.benchmarks.rows import Row, at_most, bounded
from tests.benchmarks.stage import Stage, cpu_seconds, median, peak_memory, say

ROUNDS = 5
"""Of starts, two where no row is judged by them; and of updates."""
MEMORY = {50_000: 150.0, 100_000: 240.0}
"""MB by number of Warehouses."""
UPDATES = 1_200
"""In each round: processor time comes in hundredths of a second, and is dearer while others want it."""
UPDATE_MICROSECONDS = 100.0


def startup(stage: Stage) -> Iterator[Row]:
    """Ready, memory, updates."""
    bare_seconds(stage)  # the API server's memory may have been reclaimed: the first list warms it
    bare, ready, memory = [], [], []
    size = 0
    for _ in range(ROUNDS if stage.warehouses in MEMORY else 2):
        for part in random.sample(("bare", "ready"), 2):
            stage.touch()
            stage.collect()
            if part == "bare":
                seconds, size = bare_seconds(stage)
                bare.append(seconds)
            else:
                began = time.perf_counter()
                with stage.receiver() as receiver:
                    ready.append(time.perf_counter() - began)
                    memory.append(peak_memory(receiver.process.pid))
        say(f"list {bare[-1]:.2f} s, ready {ready[-1]:.2f} s, peak {memory[-1]:.0f} MB")
    with stage.receiver() as receiver:
        yield from _updates(stage, receiver)
    count = f"{stage.warehouses:,} Warehouses"
    ratio = median(ready) / median(bare)
    named = stage.warehouses == 50_000
    row = at_most(
        f"start to ready, {count}",
        f"{median(ready):.2f} s",
        f"{median(bare):.2f} s (bare LIST, {size / 1e6:.0f} MB)",
        ratio,
        1.15,
    )
    yield row if named else Row(row.figure, row.value, row.ceiling, ratio, "≤ 1.15 times at 50,000")
    most = MEMORY.get(stage.warehouses)
    if most is not None:
        yield bounded(f"peak memory, {count}", median(memory), most, "MB")
    else:
        yield Row(f"peak memory, {count}", f"{median(memory):.0f} MB")


def bare_seconds(stage: Stage) -> tuple[float, int]:
    """How long the bare client takes to list all Warehouses, and how many bytes they are."""

    async def listing() -> tuple[float, int]:
        async with stage.client() as client:
            return await client.list_all()

    return run(listing())


def settle(receiver: ReceiverProcess) -> None:
    """Wait until the receiver has nothing to do, at most 20 s."""
    quiet = 0
    for _ in range(200):
        before = cpu_seconds(receiver.process.pid)
        time.sleep(0.1)
        quiet = quiet + 1 if cpu_seconds(receiver.process.pid) - before <= 0.011 else 0
        if quiet == 3:
            return


def _updates(stage: Stage, receiver: ReceiverProcess) -> Iterator[Row]:
    """CPU of the whole process while other statuses are written, less what it takes when nothing happens."""
    settle(receiver)
    pid = receiver.process.pid
    before, began = cpu_seconds(pid), time.perf_counter()
    time.sleep(3)
    idle = (cpu_seconds(pid) - before) / (time.perf_counter() - began)

    async def write(first: int) -> None:
        async with stage.admin() as client:
            numbers = (number * 7919 % stage.warehouses for number in range(first, first + UPDATES))
            await seeding.update_statuses(client, numbers, turn=1, at_once=16)

    ours, theirs = [], []
    with stage.bare_watch() as bare:
        for turn in range(ROUNDS):
            bare_before, before, began = cpu_seconds(bare), cpu_seconds(pid), time.perf_counter()
            run(write(turn * UPDATES))
            settle(receiver)
            seconds = time.perf_counter() - began
            theirs.append((cpu_seconds(bare) - bare_before) / UPDATES * 1e6)
            ours.append((cpu_seconds(pid) - before - idle * seconds) / UPDATES * 1e6)
    each, bare_each = median(ours), median(theirs)
    figure = f"CPU for one status update of 8 KB, {stage.warehouses:,} Warehouses"
    row = bounded(figure, each, UPDATE_MICROSECONDS, "µs")
    yield replace(row, ceiling=f"{bare_each:.0f} µs (aiohttp reads and drops it)", ratio=each / bare_each)
