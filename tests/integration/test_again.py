"""``again`` with real processes: a push that came before its Warehouse was right is dispatched anew."""

import json
import os
import subprocess
import sys
from pathlib import Path

from e2e.controlplane.waiting import eventually
from e2e.kargo.project import Project, image
from e2e.receiver import ROOT
from tests.support.azure import REGISTRY, image_push
from tests.support.receiver_process import ReceiverFactory


def again(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    command = [sys.executable, "-m", "controller", "again", *arguments]
    environment = {**os.environ, "DATA_DIR": str(folder)}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_push_is_repeated_in_the_running_receiver(
    project: Project, start_receiver: ReceiverFactory, tmp_path: Path
) -> None:
    """By id and by time; the history names what was repeated; after a kill the next process takes over."""
    folder = tmp_path / "data"
    project.add_warehouse("app", image(f"{REGISTRY}/app"))
    receiver = start_receiver(f"--data-dir={folder}")
    push = receiver.post(project.path, image_push("app")).headers["X-Delivery-Id"]
    first = project.refresh("app")
    assert first is not None

    def repeated() -> bool:
        """The row is written a moment after the answer."""
        return again(folder, push).returncode == 0

    eventually(repeated, what="the push dispatched anew")
    second = project.refresh("app")
    assert second not in (None, first)

    receiver.kill()
    ended = again(folder, push)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        f"kargo-azure-receiver again: no receiver runs on {folder}: the one that did has ended\n"
    )

    receiver.start()
    done = again(folder, "--since=10m", f"--receiver={project.name}/azure", "-o=json")
    assert (done.returncode, done.stderr) == (0, "")
    (shown,) = json.loads(done.stdout)
    assert (shown["repeats"], shown["matched"], shown["refreshed"]) == (push, 1, 1)
    assert shown["names"] == [f"{project.name}/app"]
    assert project.refresh("app") not in (None, first, second)

    def kept() -> bool:
        """The page has it, and what it repeats."""
        found = json.loads(receiver.admin(f"/api/deliveries/{shown['id']}").text).get("delivery") or {}
        return (found.get("via"), found.get("repeats"), found.get("outcome")) == ("again", push, "refreshed")

    eventually(kept, what="the history of what was repeated")
    assert receiver.stop() == 0
    assert not (folder / "again.sock").exists()
