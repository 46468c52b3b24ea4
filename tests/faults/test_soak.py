"""A soak: mixed load with faults, again and again; at the end nothing has grown. Run by ``make soak``."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest

from e2e.receiver import ReceiverProcess
from tests.faults.field import Field, subscription
from tests.faults.stage import Stage
from tests.support import counted_receiver
from tests.support.api_faults import Cut, Delay, Expire, Fault, Late, Refuse, Reset, fault
from tests.support.fault_proxy import FaultProxy
from tests.support.process_stats import MIB, memory, open_files
from tests.support.sender import Event

SECONDS = float(os.environ.get("SOAK_SECONDS") or 0)
WARM_UP = 60.0
"""Seconds of load between measurements: the first is what the last is compared with."""
SAMPLES = 5
GROWTH = 1.1
"""Factor that memory, open files and tasks may have grown by between the first minute and the end."""
MARGIN = 3
"""A handful more or less is no leak: the least that a small number can change by."""

FAULTS: list[list[Fault]] = [
    [fault(Reset(), share=0.2), fault(Reset(answered=True), share=0.2)],
    [fault(Cut(), "watch")],
    [fault(Refuse(429, retry_after=1), share=0.3)],
    [fault(Refuse(500), share=0.5)],
    [fault(Refuse(503, html=True), share=0.5)],
    [fault(Refuse(410, "Expired"), "watch", "list", share=0.5), fault(Expire(), "watch")],
    [fault(Delay(1.0), share=0.3)],
    [fault(Late(2.0), "watch")],
]
FAULT_SECONDS, QUIET_SECONDS = 6.0, 4.0


@dataclass
class Sample:
    """What the process takes at one moment of quiet."""

    memory: float
    files: float
    tasks: float

    def __str__(self) -> str:
        return f"{self.memory / MIB:.1f} MiB, {self.files:.0f} files, {self.tasks:.0f} tasks"


def _sample(receiver: ReceiverProcess, tasks: Path) -> Sample:
    """Take the median of several measurements, a second apart."""
    pid = receiver.process.pid
    taken = []
    for _ in range(SAMPLES):
        time.sleep(1.0)
        taken.append((memory(pid), open_files(pid), int(tasks.read_text())))
    return Sample(*(median(column) for column in zip(*taken, strict=True)))


def _one_round(proxy: FaultProxy, field: Field, faults: list[Fault], number: int) -> None:
    """Faults and changes of Warehouses for some seconds, then a quiet while."""
    with proxy.going_wrong(*faults):
        proxy.break_watches()
        name = f"soak-{number % 20}"
        if number >= 20:
            field.project.delete_warehouse(name)
        field.project.add_warehouse(name, subscription(f"soak-{number}"))
        time.sleep(FAULT_SECONDS)
    time.sleep(QUIET_SECONDS)


def _load(stage: Stage, field: Field) -> list[Event]:
    """Several minutes of pushes, each two hundredth a fan-out."""
    events = field.pushes(10_000, stage.rng)
    events[::200] = [field.push("base")] * len(events[::200])
    return events


@pytest.mark.skipif(not SECONDS, reason="see make soak")
def test_soak(stage: Stage, proxy: FaultProxy, tmp_path: Path) -> None:
    """Memory, open files and tasks at the end are within a tenth of those after the first minute."""
    tasks = tmp_path / "tasks"
    field = stage.field(fan_out=200)
    counting = {counted_receiver.VARIABLE: str(tasks)}
    receiver = stage.receiver("--log-level=warn", proxy=proxy, environment=counting)
    receiver.stop()
    receiver.process.command[2] = counted_receiver.__name__  # instead of "controller"
    receiver.start()
    began, rounds = time.monotonic(), 0
    samples: list[Sample] = []
    with stage.sender(field, receiver) as sender:
        while time.monotonic() < began + SECONDS:
            sender.stopping = False
            sending = sender.begin(_load(stage, field), rate=40)
            until = time.monotonic() + WARM_UP
            while time.monotonic() < until:
                _one_round(proxy, field, FAULTS[rounds % len(FAULTS)], rounds)
                rounds += 1
            sender.stopping = True
            sender.all_sent(sending, 30.0)
            account = stage.settle(sender)
            assert account.missing == 0, (rounds, account.examples)
            samples.append(_sample(receiver, tasks))
            stage.report(f"after {time.monotonic() - began:.0f} s and {rounds} rounds: {samples[-1]}")
    first, last = samples[0], samples[-1]
    stage.report(f"faults dealt: {dict(proxy.traffic.faults())}")
    stage.judge(account)
    assert last.memory <= first.memory * GROWTH
    assert last.files <= first.files * GROWTH + MARGIN
    assert last.tasks <= first.tasks * GROWTH + MARGIN
