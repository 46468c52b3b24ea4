"""Nobody serves, a journal is lost, the API server is away: what may have been missed is refreshed.

Leases take half a minute to run out, so the scenarios go on at the same time, each at its own site, after
the one without an API server.
"""

import contextlib
import functools
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from e2e.controlplane import ControlPlane
from e2e.controlplane.waiting import eventually
from e2e.kargo.project import Project
from tests.faults.site import Outage, Site, catch_ups, give_rights
from tests.faults.stage import Stage
from tests.support.background import Background
from tests.support.probe import Probe
from tests.support.receiver_process import ReceiverFactory

OUTAGE_SECONDS = 31.0
"""Without anybody serving, until that is an outage."""
FOUND_OUT_SECONDS = 45.0
"""Until a replica has found out about whatever there is to find out."""


def history(folder: Path) -> list[dict[str, object]]:
    """The rows of catch-ups in the history of a running replica."""
    command = ("-m", "controller", "deliveries", f"--data-dir={folder}", "--source=catch-up", "-o", "json")
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False, timeout=30)
    return list(json.loads(done.stdout)) if done.returncode == 0 else []


def api_server_down(site: Site) -> None:
    """Nobody can renew a Lease while all serve."""
    stage, seconds = site.stage, site.stage.scale(36, 300)
    replicas = site.replicas("pod-0", "pod-1")
    site.outage.may_begin.wait()
    site.outage.wanted.set()
    site.outage.begun.wait()
    with site.sender(replicas[0]) as sender:
        sending = sender.begin(site.field.pushes(seconds * 5, stage.rng), rate=5)
        sender.all_sent(sending, seconds + 60.0)
        site.outage.may_end.set()
        site.outage.is_over.wait()
        account = stage.settle(sender, 90.0)
        time.sleep(FOUND_OUT_SECONDS)
        made = catch_ups(replicas)
        stage.report(f"down for {seconds} s: {account}; {made} catch-ups")
        stage.judge(account)
    assert made <= 1


def nobody_serves(site: Site) -> None:
    """Both are killed, 50 pushes come, and new ones start half a minute later."""
    replicas = site.replicas("pod-0", "pod-1")
    for each in replicas:
        each.kill()
    time.sleep(OUTAGE_SECONDS / 2)
    with site.sender(replicas[0]) as sender:
        sender.all_sent(sender.begin([site.field.push(name) for name in site.field.names]), 60.0)
        assert {entry.status for entry in sender.ledger.entries} == {0}
        time.sleep(OUTAGE_SECONDS / 2)
        began = time.monotonic()
        replicas = [site.replica(pod) for pod in ("pod-2", "pod-3")]
        site.settled(sender.ledger, 60.0 - (time.monotonic() - began))
        seconds = time.monotonic() - began
        eventually(lambda: not site.lease("kargo-azure-receiver-catch-up"), 30.0)
        made = catch_ups(replicas)
        site.count(sender.ledger, made, f"all refreshed {seconds:.0f} s after the start")
        pods = [site.stage.data / pod for pod in ("pod-2", "pod-3")]
        (row,) = eventually(lambda: [row for pod in pods for row in history(pod)], 10.0)
        assert str(row["reason"]).startswith("catch-up, because no replica was serving from 20")
    assert made == 1
    assert not site.lease("pod-0")


def a_journal_lost(site: Site) -> None:
    """The node of one of two replicas is gone for good in the middle of a fan-out that it answered 202."""
    flags = ("--reply-timeout=2s", f"--catch-up-rate={site.stage.scale(100, 20)}")
    lost, other = site.replicas("pod-0", "pod-1", flags=flags)
    with site.sender(lost) as sender:
        sender.all_sent(sender.begin([site.field.push("base")]), 30.0)
        lost.kill()
        shutil.rmtree(site.stage.data / "pod-0")
        left, began = len(site.owed_still(sender.ledger)), time.monotonic()
        site.settled(sender.ledger, 120.0 + site.stage.scale(0, 120))
        made, seconds = catch_ups([other]), time.monotonic() - began
        site.count(sender.ledger, made, f"{left} were left; all refreshed {seconds:.0f} s after the kill")
        assert sender.ledger.entries[0].status == 202
    assert left > 0
    assert made == 1


def the_one_that_catches_up_is_lost(site: Site) -> None:
    """All are killed; of the two that follow, the one that catches up is killed in the middle of it."""
    (first,) = site.replicas("pod-0")
    first.kill()
    killed = time.monotonic()
    site.outage.may_begin.set()
    with site.sender(first) as sender:
        sender.all_sent(sender.begin([site.field.push("base")]), 60.0)
        site.outage.is_over.wait()
        time.sleep(max(0.0, OUTAGE_SECONDS - (time.monotonic() - killed)))
        new = {pod: site.replica(pod, "--catch-up-rate=10") for pod in ("pod-1", "pod-2")}
        holder = eventually(lambda: site.lease("kargo-azure-receiver-catch-up"), 60.0, "a catch-up")
        owed = len(site.owed_still(sender.ledger))
        eventually(lambda: len(site.owed_still(sender.ledger)) < owed, 20.0)
        new.pop(holder).kill()
        left, began = len(site.owed_still(sender.ledger)), time.monotonic()
        site.settled(sender.ledger, 120.0)
        seconds, others = time.monotonic() - began, list(new.values())
        made = catch_ups(others)
        note = f"{left} of {owed} were left; all refreshed {seconds:.0f} s after the kill"
        site.count(sender.ledger, 1 + made, note)
    assert 0 < left < owed
    assert made == 1


def orderly_restart(site: Site) -> None:
    """Both end in an orderly way and new ones serve within 20 s."""
    old = site.replicas("pod-0", "pod-1")
    with site.sender(old[0]) as sender:
        sender.all_sent(sender.begin(site.field.pushes(50, site.stage.rng)), 60.0)
        for each in old:
            each.process.terminate()
        assert [each.process.wait(20.0) for each in old] == [0, 0]
        new = site.replicas("pod-2", "pod-3")
        time.sleep(FOUND_OUT_SECONDS)
        made = catch_ups(new)
        site.count(sender.ledger, made, "duplicates are pushes to one repository")
    assert made == 0


def a_journal_found(site: Site) -> None:
    """kill -9 of a container that comes back in its Pod."""
    receiver, other = site.replicas("pod-0", "pod-1")
    with site.sender(receiver) as sender:
        sending = sender.begin(site.field.pushes(100, site.stage.rng), rate=100)
        eventually(lambda: sum(entry.accepted for entry in sender.ledger.entries) > 5)
        receiver.kill()
        sender.all_sent(sending, 30.0)
        receiver.start()
        account = site.stage.settle(sender)
        time.sleep(FOUND_OUT_SECONDS)
        made = catch_ups([receiver, other])
        site.stage.report(f"{account}; {made} catch-ups")
    assert account.missing == 0
    assert made == 0


Scenario = Callable[[Site], None]

SCENARIOS: dict[str, tuple[Scenario, Mapping[str, int]]] = {
    "api-server-down": (api_server_down, {}),
    "nobody-serves": (nobody_serves, {"repositories": 50}),
    "journal-lost": (a_journal_lost, {"repositories": 1, "fan_out": 2000}),
    "catch-up-lost": (the_one_that_catches_up_is_lost, {"repositories": 1, "fan_out": 60}),
    "orderly-restart": (orderly_restart, {}),
    "journal-found": (a_journal_found, {}),
}
"""Each with the Warehouses of its Project."""


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest,
    control_plane: ControlPlane,
    make_stage: Callable[..., Stage],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Mapping[str, "Future[None]"]]:
    """Begin all scenarios that are asked for; return what becomes of each."""
    items = [item for item in request.session.items if item.path == request.path]
    wanted = [str(item.callspec.params["scenario"]) for item in items if isinstance(item, pytest.Function)]
    outage = Outage()
    with contextlib.ExitStack() as stack:
        background = stack.enter_context(Background())
        probe = Probe(control_plane, background)
        sites = {}
        for name in wanted:
            namespace, folder = f"kargo-{name}", tmp_path_factory.mktemp(name)
            start = ReceiverFactory(give_rights(control_plane, namespace), folder)
            project = functools.partial(Project, control_plane, name, account_namespace=namespace)
            stage = make_stage(name, folder, background, probe, project, stack.enter_context(start))
            sites[name] = Site(stage, namespace, stage.field(**SCENARIOS[name][1]), outage)
        control_plane.api.close()
        stack.enter_context(probe)
        pool = stack.enter_context(ThreadPoolExecutor(len(SCENARIOS)))
        if "catch-up-lost" not in sites:
            outage.may_begin.set()
        outcomes = {name: pool.submit(_play, SCENARIOS[name][0], site) for name, site in sites.items()}
        if "api-server-down" in sites:
            outage.make(control_plane)
        outage.is_over.set()
        yield outcomes


def _play(scenario: Scenario, site: Site) -> None:
    if scenario not in (api_server_down, the_one_that_catches_up_is_lost):
        site.outage.is_over.wait()
    try:
        scenario(site)
    finally:  # a failure of one is not the others'
        if scenario is api_server_down:
            site.outage.wanted.set()
            site.outage.may_end.set()
        else:
            site.outage.may_begin.set()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_catch_up(scenario: str, outcomes: Mapping[str, "Future[None]"]) -> None:
    """Nothing that is owed is missing, and no more is caught up than has to be."""
    outcomes[scenario].result()
