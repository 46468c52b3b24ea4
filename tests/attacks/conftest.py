"""One receiver for each attack, in the memory of the manifests, and an honest Project beside the attacked."""

import itertools
import os
import random
import resource
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from e2e.controlplane import ControlPlane
from e2e.kargo.project import Project, image, webhook_path
from tests.faults.stage import Stage
from tests.support.background import Background
from tests.support.memory_limit import memory_limit
from tests.support.probe import Probe
from tests.support.process_stats import MIB, peak_memory
from tests.support.receiver_process import ReceiverFactory
from webhook.journal.schema import FILE_NAME

ATTACKS = Path(__file__).parent
ROOT = ATTACKS.parents[1]
MEMORY = 512 * MIB
"""Bytes: the container's limit in manifests/base."""
RATE = 10.0
"""Honest pushes a second, each on a connection of its own."""
WORST_ANSWER = 1.0
"""Seconds within which another Project's push is answered, whatever the attacker does: more than the worst
answer of the calm before it, which shows what else this machine has to do."""
WORST_ANSWER_IN_SHORT = 4.0
"""The same in `make test`, which may share its two cores: it shows that nobody waits for the attack's end or
for a time-out; the second itself is shown by `make attacks`."""
FULL_SECONDS = 30.0
CALM_SECONDS = 1.5
SECOND = "another-secret-that-nobody-guesses"

_rows: list[str] = []
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything here: ``-m attacks`` and ``-m 'not attacks'`` choose."""
    for item in items:
        if item.path.is_relative_to(ATTACKS):
            item.add_marker(pytest.mark.attacks)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what the others felt."""
    if _rows:
        terminalreporter.section("attacks: what the others felt")
        for row in _rows:
            terminalreporter.write_line(row)


@pytest.fixture
def seconds() -> float:
    """How long each attack goes on."""
    return float(os.environ.get("ATTACK_SECONDS") or 3)


Attack = Callable[..., None]


@pytest.fixture
def attack(
    request: pytest.FixtureRequest,
    control_plane: ControlPlane,
    receiver_kubeconfig: Path,
    tmp_path: Path,
    seconds: float,
) -> Iterator[Attack]:
    """Call it with an attacker's name: fails unless the honest Project is served in time all the while."""
    (tmp_path / "data").mkdir()
    with (
        Background() as background,
        Probe(control_plane, background) as probe,
        ReceiverFactory(receiver_kubeconfig, tmp_path) as factory,
    ):
        stage = Stage(
            full=False,
            seed=0,
            rng=random.Random(1),
            plane=control_plane,
            background=background,
            probe=probe,
            data=tmp_path / "data",
            new_project=lambda: Project(control_plane, f"attack-{next(_numbers)}"),
            start=factory,
            report=_rows.append,
        )
        yield lambda name, **options: _attack(stage, name, seconds, **options)


@contextmanager
def _slow_disk(journal: Path) -> Iterator[None]:
    """Let the journal write for a tenth of each second only, as on a disk that is busy or slow."""
    stop = threading.Event()

    def hold() -> None:
        with closing(sqlite3.connect(journal, isolation_level=None, timeout=10.0)) as database:
            while not stop.wait(0.1):
                database.execute("BEGIN IMMEDIATE")
                stop.wait(0.9)
                database.execute("COMMIT")

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _attack(
    stage: Stage,
    name: str,
    seconds: float,
    *,
    files: int = 20_000,
    warehouses: int = 0,
    slow_disk: bool = False,
) -> None:
    honest, attacked = stage.field(repositories=4), stage.new_project().create()
    attacked.put_secret({"secret": SECOND}, "second-secret")
    attacked.put_receivers(
        [
            {"name": "azure", "azure": {"secretRef": {"name": attacked.secret_name}}},
            {"name": "second", "azure": {"secretRef": {"name": "second-secret"}}},
        ]
    )
    paths = [attacked.path, webhook_path(attacked.name, "second", SECOND)]
    for number in range(warehouses):
        attacked.add_warehouse(f"w-{number}", image(f"attacked.azurecr.io/app-{number}"))
    receiver = stage.receiver("--log-level=error", wait=False)
    pid = receiver.process.pid
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (files, files))
    with (
        memory_limit(pid, MEMORY) as limited,
        stage.sender(honest, receiver, fresh=True) as sender,
        ExitStack() as disk,
    ):
        receiver.wait_ready()
        if slow_disk:
            disk.enter_context(_slow_disk(stage.data / FILE_NAME))
        sending = sender.begin(honest.endless(stage.rng), rate=RATE)
        time.sleep(CALM_SECONDS)
        calm = max(entry.seconds for entry in sender.ledger.entries)
        command = [sys.executable, "-m", "tests.attacks.attackers", name, str(receiver.port), str(seconds)]
        done = subprocess.run(
            [*command, *paths], capture_output=True, text=True, timeout=seconds + 60, cwd=ROOT, check=False
        )
        time.sleep(1.0)  # what the attacker leaves behind must harm nobody either
        sender.stopping = True
        sender.all_sent(sending, 30.0)
        alive = receiver.process.running
        account = stage.settle(sender) if alive else sender.ledger.account(stage.probe)
        peak = peak_memory(pid) if alive else 0
        receiver.kill()
    answers = ", ".join(f"{count} x {status or 'none'}" for status, count in sorted(account.statuses.items()))
    worst = f"worst answer {account.slowest:.2f} s, {calm:.2f} before ({answers}), {account.missing} missing"
    state = f"at most {peak / MIB:.0f} MiB" if alive else "KILLED"
    on = " on a slow disk" if slow_disk else ""
    stage.report(f"{name}{on}: others' {worst}; receiver {state}; the attacker: {done.stdout.strip()}")
    failed = Counter(entry.text for entry in sender.ledger.entries if entry.status != 200)
    assert done.returncode == 0, done.stderr
    assert alive, "killed for memory" if limited else "ended"
    assert peak < MEMORY
    assert account.missing == 0
    assert not failed
    worst_allowed = WORST_ANSWER if seconds >= FULL_SECONDS else WORST_ANSWER_IN_SHORT
    assert account.slowest < worst_allowed + calm
