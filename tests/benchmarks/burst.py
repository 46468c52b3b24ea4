"""Floods: many events for a few Warehouses, pings, unknown paths; and what the journal costs."""

import asyncio
import contextlib
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean

from e2e.controlplane.process import Process
from e2e.receiver import ReceiverProcess
from tests.benchmarks.bare import run
from tests.benchmarks.data import HOT, seed
from tests.benchmarks.rows import Row, at_least, skipped
from tests.benchmarks.sender import (
    HOST,
    Round,
    connections,
    image_request,
    ping_request,
    send_all,
    send_over,
)
from tests.benchmarks.stage import Stage, median, say
from tests.benchmarks.startup import settle
from tests.benchmarks.turns import Side, in_turns

EVENTS = 10_000
IN_FLIGHT = 1_000
BURST_ROUNDS = 8
WRK_ROUNDS = 2
JOURNAL_ROUNDS = 6
PATIENCE = "30s"
"""The ``--reply-timeout``, whose clock goes on while a receiver is paused."""
WRK_SECONDS = 2
WRK_CONNECTIONS = 64


def burst(stage: Stage, receiver: ReceiverProcess) -> Iterator[Row]:
    """10,000 events over 50 Warehouses, against pings by the same senders."""
    rates, pings = [], []
    shares = []
    ping = [ping_request(stage.path)] * EVENTS
    for _ in range(BURST_ROUNDS):
        stage.collect()  # its patches are too few for another collection
        pings.append(run(send_all(receiver.port, ping, IN_FLIGHT)).rate)
        settle(receiver)
        before = _patches(receiver)
        done = run(send_all(receiver.port, _hot(stage), IN_FLIGHT))
        _require_refreshed(receiver.process, done)
        settle(receiver)
        rates.append(done.rate)
        shares.append((_patches(receiver) - before) / EVENTS)
    ratio = median(rates) / median(pings)
    yield at_least(
        f"burst: {EVENTS:,} events over {HOT} Warehouses",
        f"{median(rates):,.0f} events/s",
        f"{median(pings):,.0f} (pings/s, same senders)",
        ratio,
        0.45,
    )
    share = median(shares)
    yield Row("burst: patches", f"{share:.1%} of events", target="≤ 10 %", ok=share <= 0.1, used=share / 0.1)


def journal(stage: Stage) -> Iterator[Row]:
    """The same burst with a journal on disk and with none at all, in short turns."""
    seconds = []
    events = _hot(stage)
    patience = f"--reply-timeout={PATIENCE}"
    without = stage.receiver(patience, module="tests.benchmarks.unjournaled", journal=False)
    with stage.receiver(patience) as kept, without as bare:
        for receiver in (kept, bare):
            run(send_all(receiver.port, events, IN_FLIGHT))  # warms up
        for _ in range(JOURNAL_ROUNDS):
            for receiver in (kept, bare):
                settle(receiver)
            ours, best = run(_both(stage, (kept, bare), events))
            say(f"burst with the journal: {ours:.2f} s, without {best:.2f} s")
            seconds.append((ours, best))
    with_it, without_it = (len(events) / mean(each) for each in zip(*seconds, strict=True))
    yield at_least(
        "burst with the journal on disk",
        f"{with_it:,.0f} events/s",
        f"{without_it:,.0f} (no journal at all)",
        with_it / without_it,
        0.9,
    )


async def _both(stage: Stage, receivers: Sequence[ReceiverProcess], events: Sequence[bytes]) -> list[float]:
    """The same burst at both in short turns; return the seconds of each."""
    async with contextlib.AsyncExitStack() as stack:
        sides = []
        for receiver in receivers:
            opened = await stack.enter_async_context(connections(receiver.port, IN_FLIGHT))
            sides.append(Side(receiver.process, asyncio.ensure_future(send_over(opened, events))))
        seconds = await in_turns(stage, *sides)
        for side in sides:
            _require_refreshed(side.process, side.work.result())
        return seconds


def wrk(stage: Stage, receiver: ReceiverProcess, barest: int) -> Iterator[Row]:
    """Pings and unknown paths by ``wrk``."""
    figures = {"pings": stage.path, "unknown paths": "/azure/" + "0" * 64}
    if shutil.which("wrk") is None:
        say("wrk is missing: install it (apt-get install wrk) for the rows on pings and unknown paths")
        for figure in figures:
            yield skipped(f"{figure}, by wrk", "wrk is not installed")
        return
    rates: dict[str, list[float]] = {name: [] for name in (*figures, "barest")}
    for _ in range(WRK_ROUNDS):
        rates["barest"].append(wrk_rate(stage.plane.folder, barest, "/ping"))
        for figure, path in figures.items():
            rates[figure].append(wrk_rate(stage.plane.folder, receiver.port, path))
    barest_rate = median(rates["barest"])
    for figure in figures:
        mine = median(rates[figure])
        yield at_least(
            f"{figure}, by wrk",
            f"{mine:,.0f} requests/s",
            f"{barest_rate:,.0f} (barest receiver's ping)",
            mine / barest_rate,
            0.7,
        )


def wrk_rate(folder: Path, port: int, path: str) -> float:
    """Have ``wrk`` POST pings to a path; return requests per second."""
    body = ping_request(path).partition(b"\r\n\r\n")[2].decode()
    script = folder / "ping.lua"
    script.write_text(
        f"wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\nwrk.body = [==[{body}]==]\n"
    )
    command = ["wrk", "-t1", f"-c{WRK_CONNECTIONS}", f"-d{WRK_SECONDS}s", "-s", str(script)]
    done = subprocess.run(
        [*command, f"http://{HOST}:{port}{path}"], capture_output=True, text=True, timeout=60, check=True
    )
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    if found is None:
        raise ValueError(done.stdout)
    return float(found[1])


def _hot(stage: Stage) -> Sequence[bytes]:
    each = [image_request(stage.path, seed(number).repository) for number in range(HOT)]
    return [each[number % HOT] for number in range(EVENTS)]


def _require_refreshed(process: Process, done: Round) -> None:
    answered = Counter(reply.status for reply in done.replies)
    if set(answered) != {200}:
        raise AssertionError(f"{process.name} answered {dict(answered)}")


def _patches(receiver: ReceiverProcess) -> float:
    return receiver.metric("kargo_azure_receiver_refresh_total", kind="Warehouse", result="persisted")
