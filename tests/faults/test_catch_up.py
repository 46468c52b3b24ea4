"""Nobody serves, a journal is lost, the API server is away: what may have been missed is refreshed.

Leases lie in Kargo's namespace, as in a cluster. Each test begins without any.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from e2e.controlplane import ControlPlane
from e2e.controlplane.waiting import eventually
from e2e.kargo import SERVICE_ACCOUNT_NAMESPACE
from tests.faults.stage import Stage
from tests.support.ledger import Ledger
from tests.support.receiver_process import ReceiverProcess
from tests.support.sender import Sender

OUTAGE_SECONDS = 31.0
"""Without anybody serving, until that is an outage."""
FOUND_OUT_SECONDS = 45.0
"""Until a replica has found out about whatever there is to find out."""


@pytest.fixture(autouse=True)
def no_leases(control_plane: ControlPlane, no_other_configs: None) -> Iterator[None]:
    """Without the Leases of other tests, and their Projects: a catch-up is of all that receivers cover."""
    delete = ("delete", "leases", "--all", "-n", SERVICE_ACCOUNT_NAMESPACE)
    control_plane.kubectl(*delete)
    yield
    control_plane.kubectl(*delete)


def replica(stage: Stage, pod: str, *flags: str, wait: bool = True) -> ReceiverProcess:
    """Start a replica as a Pod of this name, with an ``emptyDir`` of its own."""
    data = stage.data / pod
    data.mkdir(exist_ok=True)
    environment = {"POD_NAME": pod, "POD_NAMESPACE": SERVICE_ACCOUNT_NAMESPACE}
    return stage.receiver(*flags, data=data, environment=environment, wait=wait)


def lease(stage: Stage, name: str) -> str:
    """Who holds a Lease; empty if nobody does, or there is none."""
    path = ("get", "lease", name, "-n", SERVICE_ACCOUNT_NAMESPACE, "--ignore-not-found")
    return stage.plane.kubectl(*path, "-o", "jsonpath={.spec.holderIdentity}")


def joined(stage: Stage, *replicas: str) -> None:
    """Wait until each replica has its Lease."""
    eventually(lambda: all(lease(stage, name) == name for name in replicas), 20.0)


def catch_ups(replicas: Sequence[ReceiverProcess]) -> int:
    """How many catch-ups these took on."""
    return int(sum(each.metric("kargo_azure_receiver_catch_ups_total") for each in replicas))


def owed_still(ledger: Ledger, stage: Stage) -> list[str]:
    """The Warehouses of all deliveries, accepted or not, that were not refreshed since."""
    return [key for entry in ledger.entries for key in stage.probe.missing(entry.owed, entry.sent)]


def settled(ledger: Ledger, stage: Stage, limit: float) -> float:
    """Wait until nothing is owed; return the seconds that it took."""
    began = time.monotonic()
    eventually(lambda: not owed_still(ledger, stage), limit)
    return time.monotonic() - began


def count(stage: Stage, sender: Sender, made: int, note: str) -> None:
    """Report what was sent, owed, missing, refreshed too often, and the catch-ups."""
    owed = {key for entry in sender.ledger.entries for key in entry.owed}
    missing = len(set(owed_still(sender.ledger, stage)))
    patches = sum(len(stage.probe.sightings.get(key, ())) for key in owed)
    stage.report(
        f"{len(sender.ledger.entries)} sent, {len(owed)} Warehouses owed, {missing} missing,"
        f" {max(0, patches - len(owed))} duplicates, {made} catch-ups; {note}"
    )


def history(folder: Path) -> list[dict[str, object]]:
    """The rows of catch-ups in the history of a running replica."""
    command = ("-m", "controller", "deliveries", f"--data-dir={folder}", "--source=catch-up", "-o", "json")
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False, timeout=30)
    return list(json.loads(done.stdout)) if done.returncode == 0 else []


def test_nobody_serves_while_pushes_come(stage: Stage) -> None:
    """Every Warehouse of 50 pushes that nobody received is refreshed within a minute of the start, once."""
    field = stage.field(repositories=50)
    replicas = [replica(stage, f"pod-{number}") for number in range(2)]
    joined(stage, "pod-0", "pod-1")
    for each in replicas:
        each.kill()
    time.sleep(OUTAGE_SECONDS / 2)
    with stage.sender(field, replicas[0]) as sender:
        sender.all_sent(sender.begin([field.push(name) for name in field.names]), 60.0)
        assert {entry.status for entry in sender.ledger.entries} == {0}
        time.sleep(OUTAGE_SECONDS / 2)
        began = time.monotonic()
        replicas = [replica(stage, f"pod-{number}") for number in range(2, 4)]
        seconds = settled(sender.ledger, stage, 60.0 - (time.monotonic() - began))
        eventually(lambda: not lease(stage, "kargo-azure-receiver-catch-up"), 30.0)
        made = catch_ups(replicas)
        count(stage, sender, made, f"all refreshed {seconds:.0f} s after both were ready")
        pods = [stage.data / f"pod-{number}" for number in range(2, 4)]
        (row,) = eventually(lambda: [row for pod in pods for row in history(pod)], 10.0)
        assert str(row["reason"]).startswith("catch-up, because no replica was serving from 20")
    assert made == 1
    assert not lease(stage, "pod-0")


def test_a_replica_and_its_journal_are_lost(stage: Stage) -> None:
    """A fan-out answered 202 by one of two replicas is finished although its node is gone for good."""
    warehouses = 2000
    field = stage.field(repositories=1, fan_out=warehouses)
    flags = ("--reply-timeout=500ms", f"--catch-up-rate={stage.scale(100, 20)}")
    lost, other = (replica(stage, f"pod-{number}", *flags) for number in range(2))
    joined(stage, "pod-0", "pod-1")
    with stage.sender(field, lost) as sender:
        sender.all_sent(sender.begin([field.push("base")]), 30.0)
        lost.kill()
        shutil.rmtree(stage.data / "pod-0")
        left = len(owed_still(sender.ledger, stage))
        seconds = settled(sender.ledger, stage, 120.0 + stage.scale(0, 120))
        made = catch_ups([other])
        count(stage, sender, made, f"{left} were left; all refreshed {seconds:.0f} s after the kill")
        assert sender.ledger.entries[0].status == 202
    assert left > 0
    assert made == 1


def test_an_orderly_restart_of_all(stage: Stage) -> None:
    """Both end in an orderly way and new ones serve within 20 s: nothing is caught up."""
    field = stage.field()
    old = [replica(stage, f"pod-{number}") for number in range(2)]
    joined(stage, "pod-0", "pod-1")
    with stage.sender(field, old[0]) as sender:
        sender.all_sent(sender.begin(field.pushes(50, stage.rng)), 60.0)
        for each in old:
            each.process.terminate()
        assert [each.process.wait(20.0) for each in old] == [0, 0]
        new = [replica(stage, f"pod-{number}") for number in range(2, 4)]
        joined(stage, "pod-2", "pod-3")
        time.sleep(FOUND_OUT_SECONDS)
        made = catch_ups(new)
        count(stage, sender, made, "duplicates are pushes to one repository")
    assert made == 0


def test_a_container_that_finds_its_journal(stage: Stage) -> None:
    """kill -9 of a container that comes back in its Pod: its own journal is enough."""
    field = stage.field()
    receiver, other = (replica(stage, f"pod-{number}") for number in range(2))
    joined(stage, "pod-0", "pod-1")
    with stage.sender(field, receiver) as sender:
        sending = sender.begin(field.pushes(100, stage.rng), rate=100)
        time.sleep(0.5)
        receiver.kill()
        sender.all_sent(sending, 30.0)
        receiver.start()
        account = stage.settle(sender)
        time.sleep(FOUND_OUT_SECONDS)
        made = catch_ups([receiver, other])
        stage.report(f"{account}; {made} catch-ups")
    assert account.missing == 0
    assert made == 0


def test_the_api_server_is_down(stage: Stage) -> None:
    """Nobody can renew a Lease while all serve: no storm when it is back, at most one catch-up."""
    field = stage.field()
    replicas = [replica(stage, f"pod-{number}") for number in range(2)]
    joined(stage, "pod-0", "pod-1")
    seconds = stage.scale(45, 300)
    with stage.sender(field, replicas[0]) as sender:
        stage.plane.kill_apiserver()
        try:
            sending = sender.begin(field.pushes(seconds * 5, stage.rng), rate=5)
            sender.all_sent(sending, seconds + 60.0)
        finally:
            stage.plane.start_apiserver()
            stage.plane.api.close()
        account = stage.settle(sender, 90.0)
        time.sleep(FOUND_OUT_SECONDS)
        made = catch_ups(replicas)
        stage.report(f"down for {seconds} s: {account}; {made} catch-ups")
        stage.judge(account)
    assert made <= 1
