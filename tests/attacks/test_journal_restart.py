"""A journal that an earlier release let one sender fill: a restart reads it with bounded memory."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from e2e.controlplane.waiting import eventually
from e2e.kargo.project import Project, image
from tests.support.azure import REGISTRY
from tests.support.deliveries import arrival
from tests.support.neighbour import Neighbour
from tests.support.process_stats import MIB, peak_memory
from tests.support.receiver_process import ReceiverFactory
from webhook.journal.file import HistoryLimits, JournalFile
from webhook.journal.statements import End, row_of

MEMORY = 400 * MIB
"""Bytes, of the 512 MiB that the manifests allow."""
BATCHES = 96
"""Of 510 repositories of the longest names: 2 MiB each."""
SHORT_BATCHES = 12
"""Of 20,000 short repositories, as earlier releases took them: looking them up takes a second, in one go."""


def _fill(folder: Path, project: str) -> int:
    """Write the attack's deliveries, every second one unfinished; return how many are."""
    file = JournalFile.open(folder, HistoryLimits(bytes=1024 * MIB), time.time())
    with contextlib.closing(file):
        for number in range(BATCHES + SHORT_BATCHES):
            if number < BATCHES:
                names = [f"{REGISTRY}/{number}/{each}/" + "x" * 4000 for each in range(510)]
            else:
                names = [f"{REGISTRY}/{number}/{each}" for each in range(20_000)]
            subjects = [("image", f"{REGISTRY}/app"), *(("image", name) for name in names)]
            row = row_of(
                arrival(str(number), *subjects, receiver=f"{project}/azure", received=time.time()), 1
            )
            ended = [End(row.id, "refreshed", 1, 0, 0.1)] if number % 2 else []
            file.write([row], ended, time.time(), time.time())
        return file.pending


def test_a_restart_with_a_filled_journal(
    new_project: Callable[..., Project],
    start_receiver: ReceiverFactory,
    tmp_path: Path,
    announce: Callable[[str], None],
) -> None:
    """The process lives, the unfinished deliveries are refreshed, and another Project is served meanwhile."""
    attacker, other = new_project().create(), new_project().create()
    for project in (attacker, other):
        project.add_warehouse("app", image(f"{REGISTRY}/app"))
    data = tmp_path / "data"
    data.mkdir()
    unfinished = _fill(data, attacker.name)
    receiver = start_receiver(
        f"--data-dir={data}", environment={"PYTHONASYNCIODEBUG": "", "LOG_LEVEL": "info"}
    )
    with Neighbour(receiver, other, "app") as neighbour:
        eventually(lambda: receiver.process.output().count("deliveries_resumed") == 1, limit=120.0)
        eventually(lambda: receiver.metric("kargo_azure_receiver_journal_pending") == 0, limit=60.0)
    peak = peak_memory(receiver.process.pid)
    announce(f"{unfinished} unfinished deliveries resumed; peak {peak / MIB:.0f} MiB; {neighbour}")
    assert attacker.refresh("app")
    assert peak < MEMORY
    assert set(neighbour.statuses) <= {200, 202}
    assert neighbour.slowest < 4.5
