"""Events that concern a thousand and ten thousand Warehouses, and single events meanwhile."""

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from controller.runtime.informer.informer import WATCH_RESTART_REASONS
from e2e.controlplane.process import Process
from e2e.receiver import ReceiverProcess
from tests.benchmarks.bare import run
from tests.benchmarks.data import FAN_OUTS, seed
from tests.benchmarks.rows import Row, at_most
from tests.benchmarks.sender import Connection, Reply, git_request, image_request, send_one
from tests.benchmarks.stage import Stage, median, peak_memory, say
from tests.benchmarks.startup import settle
from tests.benchmarks.turns import Side, in_turns

CONCURRENCIES = (16, 64)
"""In which the bare client looks for its best."""
ROUNDS = {1_000: 4, 10_000: 1}
LIMIT = 300.0
REPLY_TIMEOUT = 4.0 + 0.5
"""Seconds: the reply timeout, and what a loaded machine may add."""


def fan_outs(stage: Stage) -> Iterator[Row]:
    """Both fan-outs: in short turns with the bare client, and without, to see what is answered and when."""
    small, large = FAN_OUTS
    if stage.warehouses < small:
        return
    at_once = _best_concurrency(stage)
    with stage.receiver() as receiver:
        alone = [run(_fan_out(receiver, _message(stage, small))) for _ in range(2)]  # the first warms it up
        yield _complete(stage, receiver, small, at_once)
        yield _answered(small, alone)
        if stage.warehouses >= large:
            yield _complete(stage, receiver, large, at_once)
            fan_out, singles = run(_singles(stage, receiver))
            yield _answered(large, [fan_out])
            yield singles
        yield Row("peak memory after a fan-out", f"{peak_memory(receiver.process.pid):.0f} MB")


def _best_concurrency(stage: Stage) -> int:
    """With how many requests in flight the bare client makes the most patches a second."""

    async def look() -> list[float]:
        with ExitStack() as stack:
            clients = [_bare_client(stage, FAN_OUTS[0], at_once) for at_once in CONCURRENCIES]
            return await in_turns(stage, *[_ending(stack.enter_context(client)) for client in clients])

    took = dict(zip(CONCURRENCIES, run(look()), strict=True))
    rates = ", ".join(f"{FAN_OUTS[0] / seconds:.0f} with {at_once}" for at_once, seconds in took.items())
    say(f"bare client: {rates} at once, patches/s")
    return min(took, key=lambda at_once: took[at_once])


def _complete(stage: Stage, receiver: ReceiverProcess, count: int, at_once: int) -> Row:
    """Fan-outs of the receiver, and of the bare client, in turns."""

    async def both() -> list[float]:
        with _bare_client(stage, count, at_once) as client:
            work = asyncio.ensure_future(_fan_out(receiver, _message(stage, count)))
            return await in_turns(stage, Side(receiver.process, work), _ending(client))

    ours = bare = 0.0
    for _ in range(ROUNDS[count]):
        settle(receiver)
        mine, best = run(both())
        ended = f"{_ended(receiver):.0f} watches ended"
        say(f"fan-out to {count:,}: {mine:.2f} s, bare client {best:.2f} s, {ended}")
        ours, bare = ours + mine, bare + best
    return at_most(
        f"fan-out to {count:,}: complete",
        f"{ours / ROUNDS[count]:.2f} s",
        f"{bare / ROUNDS[count]:.2f} s (bare client, {at_once} at once)",
        ours / bare,
        1.1,
    )


def _answered(count: int, fan_outs: Sequence[tuple[float, Reply]]) -> Row:
    """When the sender had its answer, while nobody was paused."""
    statuses = {reply.status for _, reply in fan_outs}
    slowest = max(reply.seconds for _, reply in fan_outs)
    say(f"fan-out to {count:,} without pauses: {', '.join(f'{seconds:.2f} s' for seconds, _ in fan_outs)}")
    return Row(
        f"fan-out to {count:,}: answered",
        f"{'/'.join(map(str, sorted(statuses)))} in {slowest:.2f} s",
        target="≤ 4 s (reply timeout)",
        ok=statuses <= {200, 202} and slowest <= REPLY_TIMEOUT,
        used=slowest / REPLY_TIMEOUT,
    )


@contextmanager
def _bare_client(stage: Stage, count: int, at_once: int) -> Iterator[Process]:
    """Run the bare client's fan-out; it has stopped itself before the first patch that counts."""
    with stage.program("bare_fan_out", f"--count={count}", f"--at-once={at_once}") as process:
        deadline = time.monotonic() + LIMIT
        while process.running and not process.paused:
            if time.monotonic() > deadline:
                raise TimeoutError("the bare client does not begin")
            time.sleep(0.01)
        yield process


def _ending(process: Process) -> Side:
    """A side whose work is done when its process has ended."""

    async def end() -> None:
        while process.running:  # noqa: ASYNC110 - a process sets no Event
            await asyncio.sleep(0.01)

    return Side(process, asyncio.ensure_future(asyncio.wait_for(end(), LIMIT)))


def _ended(receiver: ReceiverProcess) -> float:
    """How many watches of Warehouses have ended: what the API server sends once more then costs a lot."""
    name = "kargo_azure_receiver_watch_restarts_total"
    return sum(receiver.metric(name, kind="Warehouse", reason=reason) for reason in WATCH_RESTART_REASONS)


def _message(stage: Stage, count: int) -> bytes:
    if count == FAN_OUTS[0]:
        return git_request(stage.path, "fleet")
    return image_request(stage.path, "charts/common")


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
    with log.open("rb") as file:
        file.seek(start)
        rest = b""
        while time.monotonic() < deadline:
            await asyncio.sleep(0.02)
            *lines, rest = (rest + file.read()).split(b"\n")
            for line in lines:
                if b'"delivery_completed"' in line:
                    return float(json.loads(line)["seconds"])
    raise TimeoutError("the fan-out is not complete")


async def _singles(stage: Stage, receiver: ReceiverProcess) -> tuple[tuple[float, Reply], Row]:
    """The largest fan-out, and the row of single events, one after the other, while it is under way."""
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
    seconds.sort()
    p99 = seconds[int(len(seconds) * 0.99)]
    return await fan_out, Row(
        f"single events during a fan-out to {FAN_OUTS[-1]:,}: p99",
        f"{p99 * 1e3:.0f} ms of {len(seconds)}",
        f"median {median(seconds) * 1e3:.0f} ms",
        None,
        "≤ 1 s",
        p99 <= 1.0,
        p99,
    )
