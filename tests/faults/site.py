"""One of several sites on one control plane, for catch-ups that must not see each other.

A site has a ServiceAccount and Leases in a namespace of its own, and a Project whose Secret only it may read:
its replicas serve no other receiver, and so catch up no other Warehouse.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from e2e import kargo
from e2e.controlplane import ControlPlane
from e2e.controlplane.waiting import eventually
from tests.faults.field import Field
from tests.faults.stage import Stage
from tests.support.ledger import Ledger
from tests.support.receiver_process import ReceiverProcess
from tests.support.sender import Sender

_RIGHTS = [
    Path(kargo.__file__).parent / "chart.yaml",
    Path(kargo.__file__).parents[2] / "manifests/base/rbac.yaml",
]
_BOUND = ("ServiceAccount", "Role", "RoleBinding", "ClusterRoleBinding")


def give_rights(plane: ControlPlane, namespace: str) -> Path:
    """Make a namespace and in it another ServiceAccount with the receiver's rights; return its kubeconfig."""
    plane.apply(yaml.safe_dump({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}))
    plane.apply(yaml.safe_dump_all(_rights(namespace)))
    return plane.kubeconfig_for(kargo.SERVICE_ACCOUNT, namespace)


def _rights(namespace: str) -> Iterator[Any]:
    for file in _RIGHTS:
        for each in yaml.safe_load_all(file.read_text("utf-8")):
            metadata = each["metadata"]
            if each["kind"] not in _BOUND or metadata.get("namespace", "kargo") != "kargo":
                continue
            if "namespace" in metadata:
                metadata["namespace"] = namespace
            else:
                metadata["name"] += f"-{namespace}"
            for subject in each.get("subjects", ()):
                subject["namespace"] = namespace
            yield each


@dataclass
class Outage:
    """The API server's outage: the only thing that all sites share."""

    may_begin: threading.Event = field(default_factory=threading.Event)
    wanted: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)
    may_end: threading.Event = field(default_factory=threading.Event)
    is_over: threading.Event = field(default_factory=threading.Event)

    def make(self, plane: ControlPlane) -> None:
        """Make it when it is wanted. By the main thread: a process ends with the thread that started it."""
        self.wanted.wait()
        plane.kill_apiserver()
        self.begun.set()
        try:
            self.may_end.wait()
        finally:
            plane.start_apiserver()
            plane.api.close()
            self.is_over.set()


@dataclass
class Site:
    """Where one scenario takes place."""

    stage: Stage
    namespace: str
    field: Field
    outage: Outage

    def replica(self, pod: str, *flags: str) -> ReceiverProcess:
        """Start a replica as a Pod of this name, with an ``emptyDir`` of its own."""
        data = self.stage.data / pod
        data.mkdir(exist_ok=True)
        environment = {"POD_NAME": pod, "POD_NAMESPACE": self.namespace}
        return self.stage.receiver(*flags, data=data, environment=environment)

    def replicas(self, *pods: str, flags: Sequence[str] = ()) -> list[ReceiverProcess]:
        """Start replicas, and wait until each has its Lease."""
        started = [self.replica(pod, *flags) for pod in pods]
        eventually(lambda: all(self.lease(pod) == pod for pod in pods), 30.0, "Leases")
        return started

    def lease(self, name: str) -> str:
        """Who holds a Lease; empty if nobody does, or there is none."""
        path = ("get", "lease", name, "-n", self.namespace, "--ignore-not-found")
        return self.stage.plane.kubectl(*path, "-o", "jsonpath={.spec.holderIdentity}")

    def sender(self, receiver: ReceiverProcess) -> Sender:
        """Deliver to the Project's receiver."""
        return self.stage.sender(self.field, receiver)

    def owed_still(self, ledger: Ledger) -> list[str]:
        """The Warehouses of all deliveries, accepted or not, that were not refreshed since."""
        probe = self.stage.probe
        return [key for entry in ledger.entries for key in probe.missing(entry.owed, entry.sent)]

    def settled(self, ledger: Ledger, limit: float) -> None:
        """Wait until nothing is owed."""
        eventually(lambda: not self.owed_still(ledger), limit, "all that is owed")

    def count(self, ledger: Ledger, made: int, note: str) -> None:
        """Report what was sent, owed, missing, refreshed too often, and the catch-ups."""
        owed = {key for entry in ledger.entries for key in entry.owed}
        missing = len(set(self.owed_still(ledger)))
        patches = sum(len(self.stage.probe.sightings.get(key, ())) for key in owed)
        self.stage.report(
            f"{len(ledger.entries)} sent, {len(owed)} Warehouses owed, {missing} missing,"
            f" {max(0, patches - len(owed))} duplicates, {made} catch-ups; {note}"
        )


def catch_ups(replicas: Sequence[ReceiverProcess]) -> int:
    """How many catch-ups these took on."""
    return int(sum(each.metric("kargo_azure_receiver_catch_ups_total") for each in replicas))
