"""A running receiver to attack, and honest senders who must not notice."""

import itertools
import os
import random
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from e2e.controlplane import ControlPlane
from e2e.kargo.project import Project
from tests.faults.field import Field
from tests.faults.stage import Stage
from tests.support.background import Background
from tests.support.probe import Probe
from tests.support.process_stats import MIB, forget_peak, memory, peak_memory
from tests.support.receiver_process import ReceiverFactory, ReceiverProcess

FUZZ = Path(__file__).parent
PEAK_GROWTH = 150 * MIB
"""Bytes of memory that any attack may add: the limits of bodies in progress, and their decoding."""
RATE = 20.0
"""Honest events a second."""

T = TypeVar("T")

_rows: list[str] = []
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything here: it needs the control plane, as the fault suite does."""
    for item in items:
        if item.path.is_relative_to(FUZZ):
            item.add_marker(pytest.mark.faults)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what was counted, where all of it was asked for."""
    if _rows and os.environ.get("FUZZ"):
        terminalreporter.section("hostile input: what was counted")
        for row in _rows:
            terminalreporter.write_line(row)


@pytest.fixture(scope="session")
def bodies() -> int:
    """How many bodies are sent in all."""
    return int(os.environ.get("FUZZ") or 4_000)


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Add a line to the summary."""
    name = request.node.name
    return lambda line: _rows.append(f"{name}: {line}")


class Victim:
    """The receiver under attack, and two Projects: the attacker knows the URL of one of them."""

    def __init__(self, stage: Stage, receiver: ReceiverProcess, honest: Field, path: str) -> None:
        self.stage = stage
        self.receiver = receiver
        self.honest = honest
        self.path = path

    @property
    def port(self) -> int:
        """The public port."""
        return self.receiver.port

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run an attack to its end."""
        return self.stage.background.call(coroutine, 120.0)


@pytest.fixture(scope="package")  # no longer: it would write into other tests' Projects
def running(
    control_plane: ControlPlane, receiver_kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Victim]:
    """One receiver for all attacks: what one leaves behind would harm the next."""
    folder = tmp_path_factory.mktemp("fuzz")
    data = folder / "data"
    data.mkdir()
    with (
        Background() as background,
        Probe(control_plane, background) as probe,
        ReceiverFactory(receiver_kubeconfig, folder) as factory,
    ):
        stage = Stage(
            full=False,
            seed=0,
            rng=random.Random(1),
            plane=control_plane,
            background=background,
            probe=probe,
            data=data,
            new_project=lambda: Project(control_plane, f"fuzz-{next(_numbers)}"),
            start=factory,
            report=_rows.append,
        )
        honest, attacked = stage.field(repositories=4), stage.field(repositories=2)
        receiver = stage.receiver("--log-level=error")
        yield Victim(stage, receiver, honest, attacked.project.path)


@pytest.fixture
def victim(running: Victim, report: Callable[[str], None]) -> Iterator[Victim]:
    """The receiver, and honest senders to the other Project, who are all served in time meanwhile."""
    stage, receiver = running.stage, running.receiver
    pid = receiver.process.pid
    forget_peak(pid)
    before = memory(pid)
    with stage.sender(running.honest, receiver) as sender:
        sending = sender.begin(running.honest.endless(stage.rng), rate=RATE)
        yield running
        sender.stopping = True
        sender.all_sent(sending, 30.0)
        account = stage.settle(sender)
    growth = peak_memory(pid) - before
    report(
        f"memory {before / MIB:.0f} MiB before, at most {growth / MIB:.0f} more; honest senders: {account}"
    )
    assert account.missing == 0
    assert set(account.statuses) <= {200, 202}
    assert account.slowest < 5.0
    assert growth < PEAK_GROWTH
    assert receiver.process.running
    assert not receiver.events("request_failed")
