"""An outage of the API server in which one Project sends more than a journal holds: others' are all kept."""

import contextlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from e2e.controlplane import ControlPlane
from e2e.controlplane.waiting import eventually
from e2e.kargo.project import Project, image
from tests.support.azure import REGISTRY, image_push
from tests.support.process_stats import MIB, folder_bytes, peak_memory
from tests.support.receiver_process import ReceiverFactory

MEMORY = 450 * MIB
"""Bytes, of the 512 MiB that the manifests allow."""
FOLDER = 256 * MIB
LARGE = 140
OTHERS = 40


def _batch(number: int) -> list[dict[str, Any]]:
    """An Event Grid batch as large as one may be, about 1,400 repositories; one of them has a Warehouse."""
    events = []
    for each in range(1400):
        data = image_push(f"{number}/{each}/" + "x" * 280 if each else f"app-{number}")
        events.append({"id": "e", "eventType": "Microsoft.ContainerRegistry.ImagePushed", "data": data})
    return events


def test_one_project_fills_the_journal_in_an_outage(
    control_plane: ControlPlane,
    new_project: Callable[..., Project],
    start_receiver: ReceiverFactory,
    tmp_path: Path,
    announce: Callable[[str], None],
) -> None:
    """Whoever meets the bound is refused; all others get a 202, and all that was accepted is refreshed."""
    attacker, other = new_project().create(), new_project().create()
    for number in range(LARGE):
        attacker.add_warehouse(f"w{number}", image(f"{REGISTRY}/app-{number}"))
    for number in range(OTHERS):
        other.add_warehouse(f"w{number}", image(f"{REGISTRY}/other-{number}"))
    data = tmp_path / "data"
    data.mkdir()
    flags = (f"--data-dir={data}", "--reply-timeout=1s")
    quiet = {"PYTHONASYNCIODEBUG": "", "LOG_LEVEL": "warn"}
    receiver = start_receiver(*flags, environment=quiet)
    statuses: Counter[int] = Counter()
    accepted = []
    with contextlib.ExitStack() as at_end:
        control_plane.kill_apiserver()
        at_end.callback(control_plane.api.close)
        at_end.callback(control_plane.start_apiserver)
        for restarted in (False, True):
            for number in range(LARGE // 2 * restarted, LARGE // (2 - restarted)):
                answer = receiver.post(attacker.path, _batch(number))
                statuses[answer.status] += 1
                accepted += [number] if answer.status < 300 else []
            answers = Counter(
                receiver.post(other.path, image_push(f"other-{number}")).status for number in range(OTHERS)
            )
            assert answers == {202: OTHERS}, "refused for what another Project sent"
            peak, folder = peak_memory(receiver.process.pid), folder_bytes(data)
            announce(f"attacker {dict(statuses)}; peak {peak / MIB:.0f} MiB; folder {folder / MIB:.0f} MiB")
            assert peak < MEMORY
            assert folder < FOLDER
            if not restarted:
                receiver.kill()
                control_plane.start_apiserver()
                receiver.start()
                control_plane.kill_apiserver()
    eventually(lambda: receiver.metric("kargo_azure_receiver_journal_pending") == 0, limit=120.0)
    assert set(statuses) == {202, 503}
    refreshed = {name for name, value in attacker.refreshes().items() if value}
    assert {f"w{number}" for number in accepted} <= refreshed
    assert all(other.refreshes().values())
    assert peak_memory(receiver.process.pid) < MEMORY
