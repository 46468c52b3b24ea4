"""Where the figures are measured: one control plane, seeded, with receivers that come and go."""

import contextlib
import itertools
import os
import re
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from e2e import kargo
from e2e.controlplane import ControlPlane
from e2e.controlplane.ports import HOST, free_ports
from e2e.controlplane.process import Process, stat_fields
from e2e.kargo.project import Project, webhook_path
from e2e.receiver import ROOT, ReceiverProcess
from tests.benchmarks import data, seeding
from tests.benchmarks.bare import BareClient, run

READY_LIMIT = 300.0
CLUSTER_SECRET = "a-secret-for-the-whole-cluster"
GARBAGE = 0.91e6
"""Bytes that the API server allocates for one patch of a Warehouse of 8 KB."""
EARLY = 0.3
"""Part of the room for garbage with which the API server may begin to collect, in order to be done before the
heap is full: the most that Go's runtime leaves (``minTriggerRatioDistance`` in mgcpacer.go)."""
CORES = os.cpu_count() or 1
TICK = os.sysconf("SC_CLK_TCK")
_BEGAN = time.monotonic()


class Stage:
    """The control plane, and what the figures need of it. Use as a context manager."""

    def __init__(self, warehouses: int) -> None:
        self.warehouses = warehouses
        self.plane = ControlPlane()
        self.path = webhook_path("", "bench", CLUSTER_SECRET)
        """Of the ClusterConfig's receiver, which matches the Warehouses of every Project."""
        self.token: str
        self.kubeconfig: Path
        self._names = itertools.count(1)

    def __enter__(self) -> "Stage":
        self.plane.start()
        try:
            self._seed()
        except BaseException:
            self.plane.stop()
            raise
        return self

    def __exit__(self, *unused: object) -> None:
        self.plane.stop()

    def _seed(self) -> None:
        plane = self.plane
        began = time.monotonic()
        for plural in ("warehouses", "promotions"):
            seeding.create_without_status(plane, plural)
        kargo.install(plane)
        seeding.create_namespaces(plane)
        Project(plane, "bench-project").create()
        Project(plane, kargo.SYSTEM_RESOURCES_NAMESPACE).put_secret({"secret": CLUSTER_SECRET}, "bench")
        receivers = [{"name": "bench", "azure": {"secretRef": {"name": "bench"}}}]
        head = {"apiVersion": "kargo.akuity.io/v1alpha1", "kind": "ClusterConfig"}
        plane.api.create(
            f"{kargo.API}/clusterconfigs",
            {**head, "metadata": {"name": "cluster"}, "spec": {"webhookReceivers": receivers}},
        )
        self.kubeconfig = kargo.receiver_kubeconfig(plane)
        # Under this account, as the receiver's: the API server's fairness treats all the same.
        self.token = plane.token(kargo.SERVICE_ACCOUNT, kargo.SERVICE_ACCOUNT_NAMESPACE)
        self.grow(self.warehouses)
        say(f"{self.warehouses:,} Warehouses created in {time.monotonic() - began:.0f} s")

    def grow(self, warehouses: int, since: int = 0) -> None:
        """Create the Warehouses from ``since`` on, until there are so many."""

        async def create() -> None:
            async with self.admin() as client:
                await seeding.create_warehouses(client, range(since, warehouses))

        if since:
            seeding.set_status(self.plane, "warehouses", on=False)
        run(create())
        seeding.set_status(self.plane, "warehouses", on=True)
        self.warehouses = warehouses

    def touch(self) -> None:
        """Change one Warehouse, as happens all the time in a cluster that is used.

        The API server forgets the snapshots from which it serves a list's further pages once etcd's
        compaction, every five minutes, has passed them, and makes none until the next write: without it the
        same list may take 2.5 times as long.
        """
        name, namespace = data.seed(0).name, data.seed(0).namespace
        changes = {"metadata": {"annotations": {"touched": str(time.time())}}}
        self.plane.api.patch(f"{kargo.API}/namespaces/{namespace}/warehouses/{name}", changes)

    def collect(self) -> None:
        """Have the API server collect its garbage, so that it does so at the same points of what follows.

        A patch makes nearly a megabyte of it, and the next collection is due once as much has come together
        as is kept: after 500 to 2,000 patches. It takes both cores for half a second and more, in which 500
        patches fall to two thirds of their rate. Left to chance, one more or one less is most of what a
        ratio says.
        """
        self.plane.api.get("/debug/pprof/heap?gc=1")

    def collect_if_due(self, patches: int) -> float:
        """Do so if the server might by itself within so many patches.

        Returns the seconds, all cores busy, that the server would by itself have spent on so much garbage:
        this collection comes earlier, and so it takes more for each patch.
        """
        metrics = self.plane.api.get("/metrics")
        of_heap = r"^go_\w*?(heap_live|heap_alloc|next_gc)_bytes (\S+)$"
        heap = dict(re.findall(of_heap, metrics, re.MULTILINE))
        live, allocated, goal = (float(heap[name]) for name in ("heap_live", "heap_alloc", "next_gc"))
        room, left = goal - live, goal - allocated
        if left > patches * GARBAGE + EARLY * room:
            return 0.0
        before = cpu_seconds(self.plane.apiserver.pid)
        self.collect()
        took = cpu_seconds(self.plane.apiserver.pid) - before
        return took / CORES * min(1.0, max(0.0, 1 - left / room))

    # -- clients

    def client(self) -> BareClient:
        """A bare client as the receiver's ServiceAccount."""
        return BareClient(self.plane.url, str(self.plane.ca), self.token)

    def admin(self) -> BareClient:
        """A bare client with every right."""
        assert self.plane._credentials is not None
        return BareClient(self.plane.url, str(self.plane.ca), self.plane._credentials.admin_token)

    # -- processes

    @contextlib.contextmanager
    def receiver(
        self, *flags: str, journal: bool = True, module: str = "controller", wait: bool = True
    ) -> Iterator[ReceiverProcess]:
        """Run a receiver until the end of the block; with a journal on disk unless told otherwise."""
        name = f"receiver-{next(self._names)}"
        options = [*flags, f"--data-dir={self.plane.folder / name}"] if journal else [*flags]
        process = ReceiverProcess(self.kubeconfig, self.plane.folder, flags=options, name=name)
        process.process.command[2] = module
        process.start(wait=False)
        try:
            if wait:
                process.wait_ready(READY_LIMIT)
            yield process
        finally:
            process.kill()

    @contextlib.contextmanager
    def barest(self) -> Iterator[int]:
        """Run the barest receiver until the end of the block; gives its port."""
        (port,) = free_ports(1)
        with self.program("barest_receiver", f"--port={port}"):
            _wait_open(port)
            yield port

    @contextlib.contextmanager
    def bare_watch(self) -> Iterator[int]:
        """Run the bare watch until the end of the block; gives its process id."""
        with self.program("bare_watch") as process:
            time.sleep(2)  # it says nothing; what it takes to begin is not measured
            yield process.pid

    @contextlib.contextmanager
    def program(self, module: str, *options: str) -> Iterator[Process]:
        """Run one of the suite's programs as the receiver's ServiceAccount until the end of the block."""
        token = self.plane.folder / "bench.token"
        token.write_text(self.token, "ascii")
        command = [sys.executable, "-m", f"tests.benchmarks.{module}", *options]
        command += [f"--server={self.plane.url}", f"--ca={self.plane.ca}", f"--token-file={token}"]
        process = Process(module, command, log=self.plane.folder / f"{module}.log", cwd=ROOT)
        process.start()
        try:
            yield process
            if process.exit_code:
                raise RuntimeError(f"{module} has ended: {process.last_lines()}")
        finally:
            process.kill()


def peak_memory(pid: int) -> float:
    """The most memory (MB of 10^6 bytes) that a process has held, as the kernel counts it."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise LookupError("VmHWM")


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used in all its threads."""
    fields = stat_fields(pid)
    return (int(fields[11]) + int(fields[12])) / TICK


def median(values: Sequence[float]) -> float:
    """The middle one; of an even number, the mean of the two in the middle."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def say(text: str) -> None:
    """Tell the person at the terminal what is going on, apart from the table, and how long it took so far."""
    print(f"# {time.monotonic() - _BEGAN:3.0f} s: {text}", file=sys.stderr, flush=True)  # noqa: T201


def _wait_open(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
