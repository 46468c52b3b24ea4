"""Events that concern a thousand and ten thousand Warehouses, and single events meanwhile."""

import asyncio
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

from e2e.receiver import ReceiverProcess
from tests.benchmarks.bare import run
from tests.benchmarks.data import FAN_OUTS, Seed, seed
from tests.benchmarks.rows import Row, at_most
from tests.benchmarks.sender import Connection, Reply, git_request, image_request, send_one
from tests.benchmarks.stage import Stage, median, say
from tests.benchmarks.startup import settle

CONCURRENCIES = (16, 64)
"""In which the bare client looks for its best, once in each. It is judged by other runs: the better of two
may be luck."""
ROUNDS = {1_000: 4, 10_000: 2}
"""Means over so many."""
LEAD = 400
"""Patches after a collection of the API server's garbage and before what is measured, so that the next one is
in the middle of a thousand: at their end, it would fall into some and not into others."""
LIMIT = 300.0
REPLY_TIMEOUT = 4.0 + 0.5
"""Seconds: the reply timeout, and what a loaded machine may add."""


def fan_outs(stage: Stage, receiver: ReceiverProcess) -> Iterator[Row]:
    """Both fan-outs; then the larger one once more, with single events meanwhile."""
    best_at = 0
    for count in FAN_OUTS:
        if count > stage.warehouses:
            continue
        seeds = [seed(number) for number in range(count)]
        best_at = best_at or _best_concurrency(stage, receiver, seeds)
        bare: list[float] = []
        ours: list[tuple[float, Reply]] = []
        turns = [turn for _ in range(ROUNDS[count]) for turn in random.sample(("bare", "ours"), 2)]
        for turn in turns:
            _lead(stage, receiver, seeds)
            if turn == "bare":
                bare.append(_paused(stage, receiver, seeds, best_at))
            else:
                ours.append(run(_fan_out(receiver, _message(stage, count))))
                settle(receiver)
        best, took = mean(bare), mean(seconds for seconds, _ in ours)
        answered = max(reply.seconds for _, reply in ours)
        statuses = {reply.status for _, reply in ours}
        yield at_most(
            f"fan-out to {count:,}: complete",
            f"{took:.2f} s",
            f"{best:.2f} s (bare client, {best_at} at once)",
            took / best,
            1.1,
        )
        in_time = statuses <= {200, 202} and answered <= REPLY_TIMEOUT
        said = "/".join(map(str, sorted(statuses)))
        yield Row(
            f"fan-out to {count:,}: answered",
            f"{said} in {answered:.2f} s",
            target="≤ 4 s (reply timeout)",
            ok=in_time,
            used=answered / REPLY_TIMEOUT,
        )
    if stage.warehouses > FAN_OUTS[-1] // 2:
        yield run(_singles(stage, receiver))


def _message(stage: Stage, count: int) -> bytes:
    if count == FAN_OUTS[0]:
        return git_request(stage.path, "fleet")
    return image_request(stage.path, "charts/common")


def _best_concurrency(stage: Stage, receiver: ReceiverProcess, seeds: list[Seed]) -> int:
    took = {}
    for at_once in CONCURRENCIES:
        _lead(stage, receiver, seeds)
        took[at_once] = _paused(stage, receiver, seeds, at_once)
    say(f"bare client: { ({at: round(len(seeds) / seconds) for at, seconds in took.items()}) } patches/s")
    return min(took, key=lambda at_once: took[at_once])


def _lead(stage: Stage, receiver: ReceiverProcess, seeds: list[Seed]) -> None:
    stage.collect()
    _paused(stage, receiver, seeds[:LEAD], CONCURRENCIES[-1])


def _paused(stage: Stage, receiver: ReceiverProcess, seeds: list[Seed], at_once: int) -> float:
    """Have the bare client patch while the receiver is paused; return its seconds."""
    receiver.process.pause()
    try:
        return _bare(stage, seeds, at_once)
    finally:
        receiver.process.resume()
        settle(receiver)


def _bare(stage: Stage, seeds: list[Seed], at_once: int) -> float:
    async def patch() -> float:
        async with stage.client() as client:
            await client.patch_all(seeds[:at_once], at_once)  # connections are open, as the receiver's are
            return await client.patch_all(seeds, at_once)

    return run(patch())


async def _fan_out(receiver: ReceiverProcess, message: bytes) -> tuple[float, Reply]:
    """Return when everything was persisted, in seconds after the event, and the answer."""
    log = receiver.process.log
    start = log.stat().st_size
    reply = await send_one(receiver.port, message)
    if reply.status == 200:
        return reply.seconds, reply
    return await _completed(log, start), reply


async def _completed(log: Path, start: int) -> float:
    """Wait for the log line that says that a delivery is complete; return the seconds in it."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        await asyncio.sleep(0.1)
        with log.open("rb") as file:
            file.seek(start)
            for line in file:
                if b'"delivery_completed"' in line and line.endswith(b"\n"):
                    return float(json.loads(line)["seconds"])
    raise TimeoutError("the fan-out is not complete")


async def _singles(stage: Stage, receiver: ReceiverProcess) -> Row:
    """Single events, one after the other, while the largest fan-out is under way."""
    fan_out = asyncio.ensure_future(_fan_out(receiver, _message(stage, FAN_OUTS[-1])))
    await asyncio.sleep(0.1)
    connection = await Connection.open(receiver.port)
    seconds = []
    number = 0
    while not fan_out.done():
        number = (number + 7919) % stage.warehouses
        reply = await connection.send(image_request(stage.path, seed(number).repository))
        assert reply.status == 200, reply
        seconds.append(reply.seconds)
    connection.close()
    await fan_out
    seconds.sort()
    p99 = seconds[int(len(seconds) * 0.99)]
    return Row(
        f"single events during a fan-out to {FAN_OUTS[-1]:,}: p99",
        f"{p99 * 1e3:.0f} ms of {len(seconds)}",
        f"median {median(seconds) * 1e3:.0f} ms",
        None,
        "≤ 1 s",
        p99 <= 1.0,
        p99,
    )
