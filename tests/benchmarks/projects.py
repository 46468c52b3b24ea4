"""A thousand Projects with a receiver each; and finished Promotions by the thousand."""

import shutil
import time
from collections.abc import Iterator

from e2e import kargo
from e2e.receiver import ReceiverProcess
from tests.benchmarks import seeding
from tests.benchmarks.bare import run
from tests.benchmarks.burst import WRK_SECONDS, wrk_rate
from tests.benchmarks.rows import Row, at_most, bounded, skipped
from tests.benchmarks.stage import Stage, cpu_seconds, median, peak_memory, say
from tests.benchmarks.startup import settle

PROJECTS = 1_000
ROUNDS = 2
PINGS = 3
"""Measured so often in each round: what a ping costs at least is what counts, since on this machine the same
work takes 15 % more processor time from one second to the next."""
PROJECTS_MB = 80.0
PROMOTIONS_MB = 20.0


def projects(stage: Stage) -> Iterator[Row]:
    """Start with one Project and with a thousand."""
    one = _measure(stage)
    began = time.monotonic()
    run(_create_projects(stage))
    say(f"{PROJECTS:,} Projects created in {time.monotonic() - began:.0f} s")
    many = _measure(stage)
    yield at_most(
        f"{PROJECTS:,} Projects: start to ready",
        f"{many[0]:.2f} s",
        f"{one[0]:.2f} s (one Project)",
        many[0] / one[0],
        2,
    )
    yield bounded(f"{PROJECTS:,} Projects: more memory", many[1] - one[1], PROJECTS_MB, "MB")
    figure = f"{PROJECTS:,} Projects: CPU for one ping, by wrk"
    if one[2] and many[2]:
        ceiling = f"{one[2] * 1e6:.0f} µs (one Project)"
        yield at_most(figure, f"{many[2] * 1e6:.0f} µs", ceiling, many[2] / one[2], 1.1)
    else:
        yield skipped(figure, "wrk is not installed")


def promotions(stage: Stage, count: int) -> Iterator[Row]:
    """Memory with finished Promotions in the cluster."""
    before = _memory(stage)

    async def create() -> None:
        async with stage.admin() as client:
            await seeding.create_promotions(client, range(count))

    began = time.monotonic()
    run(create())
    say(f"{count:,} Promotions created in {time.monotonic() - began:.0f} s")
    yield bounded(f"{count:,} finished Promotions: more memory", _memory(stage) - before, PROMOTIONS_MB, "MB")


def _memory(stage: Stage) -> float:
    peaks = []
    for _ in range(ROUNDS):
        with stage.receiver() as receiver:
            peaks.append(peak_memory(receiver.process.pid))
    return median(peaks)


def _measure(stage: Stage) -> tuple[float, float, float]:
    """Seconds to ready, peak memory once everything is watched, processor seconds for a ping.

    Not pings per second: those of one and the same receiver differ by a tenth from run to run.
    """
    ready, memory, cost = [], [], []
    for _ in range(ROUNDS):
        stage.touch()
        stage.collect()
        began = time.perf_counter()
        with stage.receiver() as receiver:
            ready.append(time.perf_counter() - began)
            settle(receiver)  # statuses are published, too
            memory.append(peak_memory(receiver.process.pid))
            if shutil.which("wrk"):
                cost += [_ping_cost(stage, receiver) for _ in range(PINGS)]
    return median(ready), median(memory), min(cost, default=0.0)


def _ping_cost(stage: Stage, receiver: ReceiverProcess) -> float:
    before = cpu_seconds(receiver.process.pid)
    rate = wrk_rate(stage.plane.folder, receiver.port, stage.path)
    return (cpu_seconds(receiver.process.pid) - before) / (rate * WRK_SECONDS)


async def _create_projects(stage: Stage) -> None:
    """Create what a user and Kargo's management controller create of each Project."""
    names = [f"many-{number:04d}" for number in range(PROJECTS)]
    subject = {
        "kind": "ServiceAccount",
        "name": kargo.SERVICE_ACCOUNT,
        "namespace": kargo.SERVICE_ACCOUNT_NAMESPACE,
    }
    role = "kargo-project-secrets-reader"
    binding = {
        "metadata": {"name": role},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [subject],
    }
    secret = {"metadata": {"name": "azure"}, "stringData": {"secret": "a-secret-of-a-project"}}
    receivers = {"webhookReceivers": [{"name": "azure", "azure": {"secretRef": {"name": "azure"}}}]}
    head = {"apiVersion": "kargo.akuity.io/v1alpha1", "kind": "ProjectConfig"}
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces"
    async with stage.admin() as client:
        await client.send_all("POST", (("/api/v1/namespaces", {"metadata": {"name": n}}) for n in names))
        await client.send_all("POST", ((f"{rbac}/{n}/rolebindings", binding) for n in names))
        await client.send_all("POST", ((f"/api/v1/namespaces/{n}/secrets", secret) for n in names))
        await client.send_all(
            "POST",
            (
                (
                    f"{kargo.API}/namespaces/{n}/projectconfigs",
                    {**head, "metadata": {"name": n}, "spec": receivers},
                )
                for n in names
            ),
        )
