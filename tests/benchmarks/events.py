"""One event at a time, and many at a time for distinct Warehouses, against the barest receiver."""

import random
import time
from collections.abc import Iterator

from e2e.receiver import ReceiverProcess
from tests.benchmarks.bare import run
from tests.benchmarks.data import FAN_OUTS, Seed, seed
from tests.benchmarks.rows import Row, at_least, at_most
from tests.benchmarks.sender import Connection, Reply, Round, image_request, send_all
from tests.benchmarks.stage import Stage, median
from tests.benchmarks.startup import settle

PAIRS = 1_200
"""Of single events, one to each receiver."""
BLOCK = {16: 60, 64: 120}
"""Events of one block, by senders: so few that the receiver, paused during the other's, finds in its socket
what the watch brought meanwhile; see ``turns.TURN``."""
BLOCKS = {16: 4, 64: 2}
"""Of each receiver in one round. The API server's collections come between the rounds, as often as they would
by themselves: left to chance, one doubles the time of a block. Half of what they would take is counted to
each side."""
ROUNDS = 25
PAUSE = 0.05
"""Seconds for the receiver to read what came while it was paused, and to be done with its own events."""


def events(stage: Stage, receiver: ReceiverProcess, barest: int) -> Iterator[Row]:
    """Sequential, and by 16 and 64 senders, in turns with the barest receiver."""
    seeds = _Seeds(stage)
    ours, theirs = run(_pairs(stage, receiver, barest, seeds))
    yield at_most(
        "one event, one Warehouse, sequential: median",
        f"{median(ours) * 1e3:.2f} ms",
        f"{median(theirs) * 1e3:.2f} ms (barest receiver)",
        median(ours) / median(theirs),
        1.1,
    )
    for senders in BLOCK:
        mine, bare = _rates(stage, receiver, barest, seeds, senders)
        yield at_least(
            f"distinct Warehouses, {senders} senders",
            f"{mine:.0f} events/s",
            f"{bare:.0f} (barest receiver)",
            mine / bare,
            0.92,
        )


class _Seeds:
    """Hands out Warehouses that no fan-out to 1,000 reaches, one after the other, over and over."""

    def __init__(self, stage: Stage) -> None:
        self._first = FAN_OUTS[0] if stage.warehouses > FAN_OUTS[0] else 0
        self._count = stage.warehouses - self._first
        self._given = 0

    def take(self, count: int) -> list[Seed]:
        numbers = range(self._given, self._given + count)
        self._given += count
        return [seed(self._first + number % self._count) for number in numbers]


async def _pairs(
    stage: Stage, receiver: ReceiverProcess, barest: int, seeds: _Seeds
) -> tuple[list[float], list[float]]:
    """Single events to both in turn; return the seconds of each, the first tenth left out.

    The receiver is not paused for so short a time: it follows the other's patches (0.06 ms of a core each).
    """
    ours = await Connection.open(receiver.port), stage.path, list[float]()
    theirs = await Connection.open(barest), None, list[float]()
    for _ in range(PAIRS):
        for connection, path, seconds in random.sample((ours, theirs), 2):
            (of,) = seeds.take(1)
            reply = await connection.send(_message(of, path))
            seconds.append(reply.seconds)
            if path is not None:
                _require_refreshed([reply])
    for connection, *_ in (ours, theirs):
        connection.close()
    return ours[2][PAIRS // 10 :], theirs[2][PAIRS // 10 :]


def _rates(
    stage: Stage, receiver: ReceiverProcess, barest: int, seeds: _Seeds, senders: int
) -> tuple[float, float]:
    """Events per second of the receiver and of the barest one, over all rounds but the first."""
    seconds = {True: 0.0, False: 0.0}

    def block(own: bool) -> Round:
        port, path = (receiver.port, stage.path) if own else (barest, None)
        messages = [_message(of, path) for of in seeds.take(BLOCK[senders])]
        return run(send_all(port, messages, senders))

    settle(receiver)
    for turn in range(ROUNDS + 1):
        collecting = stage.collect_if_due(2 * BLOCKS[senders] * BLOCK[senders])
        if turn:  # the first warms both up
            for each in seconds:
                seconds[each] += collecting / 2
        first = random.random() < 0.5
        for own in [first, not first, not first, first] * (BLOCKS[senders] // 2):
            if own:
                time.sleep(PAUSE)
                done = block(own)
                _require_refreshed(done.replies)
                time.sleep(PAUSE)
            else:
                receiver.process.pause()  # else it would follow the other's patches, at the other's cost
                done = block(own)
                receiver.process.resume()
            if turn:
                seconds[own] += done.seconds
    events = ROUNDS * BLOCKS[senders] * BLOCK[senders]
    return events / seconds[True], events / seconds[False]


def _message(of: Seed, path: str | None) -> bytes:
    """The event for one Warehouse: to the receiver's ``path``, or as the barest receiver takes it."""
    return image_request(path or f"/{of.namespace}/{of.name}", of.repository)


def _require_refreshed(replies: list[Reply]) -> None:
    for reply in replies:
        if (reply.status, reply.text) != (200, '{"msg":"refreshed 1 warehouse(s)"}'):
            raise AssertionError(f"answered {reply.status} {reply.text}")
