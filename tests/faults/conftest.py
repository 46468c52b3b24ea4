"""Fixtures of the fault suite: small counts by default, all with FAULTS=full; FAULTS_SEED repeats a run.

FAULTS_REPORT names a file to which what is counted is added as it comes.
"""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.controlplane import ControlPlane
from e2e.kargo.project import Project
from tests.faults.stage import Stage
from tests.support.background import Background
from tests.support.fault_proxy import FaultProxy
from tests.support.probe import Probe
from tests.support.receiver_process import ReceiverFactory

FAULTS = Path(__file__).parent

_rows: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything here, so that ``-m faults`` and ``-m 'not faults'`` choose."""
    for item in items:
        if item.path.is_relative_to(FAULTS):
            item.add_marker(pytest.mark.faults)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what was counted, also when nothing failed."""
    if _rows:
        terminalreporter.section("faults: what was counted")
        for row in _rows:
            terminalreporter.write_line(row)


def _count(row: str) -> None:
    """Keep a line for the end, and write it down at once where FAULTS_REPORT names a file."""
    _rows.append(row)
    if os.environ.get("FAULTS_REPORT"):
        with Path(os.environ["FAULTS_REPORT"]).open("a", encoding="utf-8") as file:
            file.write(f"{row}\n")


@pytest.fixture(scope="session")
def seed() -> int:
    """What all chance here comes from."""
    return int(os.environ.get("FAULTS_SEED") or random.randrange(1_000_000))


@pytest.fixture
def background() -> Iterator[Background]:
    """An event loop beside the test."""
    with Background() as running:
        yield running


@pytest.fixture(scope="session")
def make_stage(seed: int, control_plane: ControlPlane) -> Callable[..., Stage]:
    """Make what a test, or a part of one, stands on."""

    def make(
        name: str,
        folder: Path,
        background: Background,
        probe: Probe,
        new_project: Callable[..., Project],
        start: ReceiverFactory,
    ) -> Stage:
        data = folder / "data"
        data.mkdir()
        return Stage(
            full=os.environ.get("FAULTS") == "full",
            seed=seed,
            rng=random.Random(f"{seed}/{name}"),
            plane=control_plane,
            background=background,
            probe=probe,
            data=data,
            new_project=new_project,
            start=start,
            report=lambda line: _count(f"{name} (seed {seed}): {line}"),
        )

    return make


@pytest.fixture
def stage(
    request: pytest.FixtureRequest,
    make_stage: Callable[..., Stage],
    control_plane: ControlPlane,
    background: Background,
    new_project: Callable[..., Project],
    start_receiver: ReceiverFactory,
    tmp_path: Path,
) -> Iterator[Stage]:
    """What a fault test stands on."""
    control_plane.api.close()  # it may have been idle, or broken, for longer than the API server keeps it
    with Probe(control_plane, background) as probe:
        yield make_stage(request.node.name, tmp_path, background, probe, new_project, start_receiver)


@pytest.fixture
def proxy(control_plane: ControlPlane, background: Background, seed: int) -> Iterator[FaultProxy]:
    """A proxy before the API server that deals faults."""
    with FaultProxy(control_plane.url, control_plane.ca, background, seed=seed) as running:
        yield running
