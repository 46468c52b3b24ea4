"""One event at a time, and many at a time for distinct Warehouses, against the barest receiver."""

import random
from collections.abc import Iterator

from e2e.receiver import ReceiverProcess
from tests.benchmarks.bare import run
from tests.benchmarks.data import FAN_OUTS, Seed, seed
from tests.benchmarks.rows import Row, at_least, at_most
from tests.benchmarks.sender import Reply, Round, image_request, send_all
from tests.benchmarks.stage import Stage, median
from tests.benchmarks.startup import settle

SEQUENTIAL = 100
"""Events of one block, sent one after the other, and how many blocks."""
SEQUENTIAL_BLOCKS = 10
CONCURRENT = 1_500
"""The same with many at a time. Each block begins with the API server's garbage collected, and has its next
collection in the middle: one receiver differs by 4 % (standard deviation) from block to block while the
machine is quiet."""
CONCURRENT_BLOCKS = 7
WARM_UP = 300
SENDERS = (16, 64)


def events(stage: Stage, receiver: ReceiverProcess, barest: int) -> Iterator[Row]:
    """Sequential, and by 16 and 64 senders; blocks alternate, and the other receiver is paused meanwhile."""
    ours, theirs = _alternate(stage, receiver, barest, SEQUENTIAL, SEQUENTIAL_BLOCKS, 1)
    mine, bare = _middle(ours), _middle(theirs)
    yield at_most(
        "one event, one Warehouse, sequential: median",
        f"{mine * 1e3:.2f} ms",
        f"{bare * 1e3:.2f} ms (barest receiver)",
        mine / bare,
        1.1,
    )
    for senders in SENDERS:
        ours, theirs = _alternate(stage, receiver, barest, CONCURRENT, CONCURRENT_BLOCKS, senders)
        mine, bare = _rate(ours), _rate(theirs)
        yield at_least(
            f"distinct Warehouses, {senders} senders",
            f"{mine:.0f} events/s",
            f"{bare:.0f} (barest receiver)",
            mine / bare,
            0.95,
        )


def _alternate(
    stage: Stage, receiver: ReceiverProcess, barest: int, count: int, blocks: int, senders: int
) -> tuple[list[Round], list[Round]]:
    ours: list[Round] = []
    theirs: list[Round] = []
    first = FAN_OUTS[0] if stage.warehouses > FAN_OUTS[0] else 0
    number = first
    for turn in range(blocks + 1):  # the first warms both up, and may be short
        size = count if turn else min(count, WARM_UP)
        seeds = [seed(first + (number + n) % (stage.warehouses - first)) for n in range(size)]
        number += size

        def bare(seeds: list[Seed] = seeds) -> None:
            receiver.process.pause()  # else it would follow the other's patches, at the other's cost
            stage.collect()
            theirs.append(run(send_all(barest, [_bare_request(of) for of in seeds], senders)))
            receiver.process.resume()
            settle(receiver)

        def mine(seeds: list[Seed] = seeds) -> None:
            messages = [image_request(stage.path, of.repository) for of in seeds]
            stage.collect()
            ours.append(run(send_all(receiver.port, messages, senders)))
            _require_refreshed(ours[-1].replies)
            settle(receiver)

        for part in random.sample((bare, mine), 2):
            part()
    return ours[1:], theirs[1:]


def _bare_request(of: Seed) -> bytes:
    return image_request(f"/{of.namespace}/{of.name}", of.repository)


def _require_refreshed(replies: list[Reply]) -> None:
    for reply in replies:
        if (reply.status, reply.text) != (200, '{"msg":"refreshed 1 warehouse(s)"}'):
            raise AssertionError(f"answered {reply.status} {reply.text}")


def _middle(rounds: list[Round]) -> float:
    return median([reply.seconds for each in rounds for reply in each.replies])


def _rate(rounds: list[Round]) -> float:
    """Events per second over all blocks."""
    return sum(len(each.replies) for each in rounds) / sum(each.seconds for each in rounds)
