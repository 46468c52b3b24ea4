"""Events that concern a thousand and ten thousand Warehouses, and single events meanwhile."""

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

from controller.runtime.informer import WATCH_RESTART_REASONS
from e2e.receiver import ReceiverProcess
from tests.benchmarks.bare import run
from tests.benchmarks.data import FAN_OUTS, Seed, seed
from tests.benchmarks.rows import Row, at_most
from tests.benchmarks.sender import Connection, Reply, git_request, image_request, send_one
from tests.benchmarks.stage import Stage, median, peak_memory, say
from tests.benchmarks.startup import settle

CONCURRENCIES = (16, 64)
"""In which the bare client looks for its best, once in each. It is judged by other runs: the better of two
may be luck."""
ROUNDS = {1_000: 4, 10_000: 2}
"""Means over so many; even numbers."""
LIMIT = 300.0
REPLY_TIMEOUT = 4.0 + 0.5
"""Seconds: the reply timeout, and what a loaded machine may add."""


def fan_outs(stage: Stage) -> Iterator[Row]:
    """Both fan-outs, in turns with the bare client; then the larger one once more, with single events."""
    best_at = 0
    most = 0.0
    for count in FAN_OUTS:
        if count > stage.warehouses:
            continue
        seeds = [seed(number) for number in range(count)]
        best_at = best_at or _best_concurrency(stage, seeds)
        bare: list[float] = []
        ours: list[tuple[float, Reply]] = []
        for _ in range(ROUNDS[count] // 2):
            # In this order a machine that becomes steadily slower or faster does so for both alike.
            bare.append(_bare_turn(stage, seeds, best_at))
            with _warm(stage) as receiver:
                for _ in range(2):
                    _place_collection(stage, count)
                    settle(receiver)
                    ours.append(run(_fan_out(receiver, _message(stage, count))))
                    say(f"fan-out to {count:,}: {ours[-1][0]:.2f} s, watches ended: {_ended(receiver):.0f}")
                most = max(most, peak_memory(receiver.process.pid))
            bare.append(_bare_turn(stage, seeds, best_at))
            say(f"bare client: {bare[-2]:.2f} and {bare[-1]:.2f} s")
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
        with _warm(stage) as receiver:
            yield run(_singles(stage, receiver))
            most = max(most, peak_memory(receiver.process.pid))
    yield Row("peak memory after a fan-out", f"{most:.0f} MB")


def _ended(receiver: ReceiverProcess) -> float:
    """How many watches of Warehouses have ended: what the API server sends once more then costs a lot."""
    name = "kargo_azure_receiver_watch_restarts_total"
    return sum(receiver.metric(name, kind="Warehouse", reason=reason) for reason in WATCH_RESTART_REASONS)


def _message(stage: Stage, count: int) -> bytes:
    if count == FAN_OUTS[0]:
        return git_request(stage.path, "fleet")
    return image_request(stage.path, "charts/common")


def _best_concurrency(stage: Stage, seeds: list[Seed]) -> int:
    took = {}
    for at_once in CONCURRENCIES:
        took[at_once] = _bare_turn(stage, seeds, at_once)
    say(f"bare client: { ({at: round(len(seeds) / seconds) for at, seconds in took.items()}) } patches/s")
    return min(took, key=lambda at_once: took[at_once])


def _bare_turn(stage: Stage, seeds: list[Seed], at_once: int) -> float:
    _place_collection(stage, len(seeds))
    return _bare(stage, seeds, at_once)


def _place_collection(stage: Stage, count: int) -> None:
    """Have the API server's collection of garbage due in the middle of so many patches, or not among them.

    At their end, it would fall into some and not into others, and take a third of a fan-out to 1,000.
    """
    stage.collect()
    lead = stage.room() - count // 2
    if 0 < lead < count:
        _bare(stage, [seed(number) for number in range(lead)], CONCURRENCIES[-1])


@contextlib.contextmanager
def _warm(stage: Stage) -> Iterator[ReceiverProcess]:
    """Run a receiver that has had a fan-out to 1,000: its connections are open.

    There is none in the bare client's turns. One that was only paused would have had its watch ended by the
    API server, which holds so much for nobody, and would be sent everything once more, while it is measured.
    """
    with stage.receiver() as receiver:
        run(_fan_out(receiver, _message(stage, FAN_OUTS[0])))
        settle(receiver)
        yield receiver


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
