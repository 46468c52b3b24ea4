"""Runs a Deployment's Pods as processes of this machine: as little of a kubelet as the scenarios need.

Command, arguments, environment, ServiceAccount, readiness and grace period are those of the Deployment as
the API server has it. Only what a Pod has of its own is replaced: its address (all share 127.0.0.1, so each
gets ports of its own), its volumes (folders), and the token's mount (a kubeconfig with the same kind of
token).
"""

import json
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.clusters.cluster import NAMESPACE, ROOT, Cluster
from e2e.controlplane.ports import HOST, free_ports
from e2e.controlplane.process import Process
from e2e.controlplane.waiting import eventually

READY_LIMIT = 60.0
"""Seconds until a Pod must be ready; about 2 on an idle machine."""

_OF_THE_MACHINE = ("PATH", "HOME", "LANG", "TMPDIR")


@dataclass(frozen=True)
class Pod:
    """One running process, and where to find it."""

    name: str
    process: Process
    port: int
    admin_port: int
    readiness: str
    """Path on the admin port."""
    grace: float
    """Seconds between SIGTERM and SIGKILL."""

    def ready(self) -> bool:
        """Whether the readiness probe succeeds."""
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.admin_port}{self.readiness}", timeout=5):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return False

    def wait_ready(self) -> None:
        """Wait until it is ready; raises AssertionError with the end of its log if it is not."""
        try:
            eventually(lambda: self.ready() or not self.process.running, READY_LIMIT, self.name)
            assert self.process.running, f"{self.name} ended with {self.process.exit_code}"
        except AssertionError as error:
            raise AssertionError(f"{error}{self.process.last_lines()}") from None

    def ask_to_end(self) -> None:
        """Send SIGTERM, once: a second one would hurry it."""
        self.process.terminate()

    def wait_ended(self) -> None:
        """Wait for its end, as a kubelet does: within its grace period, and here with exit code 0."""
        code = self.process.wait(self.grace)
        assert code == 0, f"{self.name} ended with {code}{self.process.last_lines()}"


def start_pod(cluster: Cluster, deployment: Mapping[str, Any], name: str, folder: Path) -> Pod:
    """Start one Pod of a Deployment; its volumes and its log are made in ``folder``."""
    spec = deployment["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    folder.mkdir(parents=True)
    port, admin_port = free_ports(2)
    fields = {"metadata.name": name, "metadata.namespace": NAMESPACE}
    environment = _environment(cluster, container, _mounts(container, folder), fields)
    environment |= {key: os.environ[key] for key in _OF_THE_MACHINE if key in os.environ}
    environment |= {
        "BIND_ADDRESS": HOST,
        "PORT": str(port),
        "ADMIN_PORT": str(admin_port),
        "KUBECONFIG": str(cluster.service_account_kubeconfig(folder)),
    }
    process = Process(
        name,
        [*_entry_point(), *container["args"]],
        log=folder / "log",
        env=environment,
        cwd=folder,
    )
    process.start()
    probe = container["readinessProbe"]["httpGet"]
    assert probe["port"] == "admin"
    grace = float(spec["terminationGracePeriodSeconds"])
    return Pod(name, process, port, admin_port, probe["path"], grace)


def _entry_point() -> list[str]:
    """The image's entry point, out of this Python's environment instead of the image's."""
    found = re.search(r"^ENTRYPOINT (.*)$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert found is not None
    program, *arguments = json.loads(found[1])
    return [str(Path(sys.executable).with_name(program)), *arguments]


def _mounts(container: Mapping[str, Any], folder: Path) -> dict[str, Path]:
    """A folder for each volume, by the path at which the container sees it."""
    made = {}
    for mount in container["volumeMounts"]:
        made[mount["mountPath"]] = folder / mount["name"]
        made[mount["mountPath"]].mkdir()
    return made


def _environment(
    cluster: Cluster, container: Mapping[str, Any], mounts: Mapping[str, Path], fields: Mapping[str, str]
) -> dict[str, str]:
    """The container's variables, ConfigMaps and the Pod's fields looked up; volumes are on this machine."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        found |= _config_map(cluster, source["configMapRef"])
    for entry in container["env"]:
        if "value" in entry:
            found[entry["name"]] = str(mounts.get(entry["value"], entry["value"]))
        elif "fieldRef" in entry["valueFrom"]:
            found[entry["name"]] = fields[entry["valueFrom"]["fieldRef"]["fieldPath"]]
        else:
            reference = entry["valueFrom"]["configMapKeyRef"]
            data = _config_map(cluster, reference)
            if reference["key"] in data or not reference.get("optional"):
                found[entry["name"]] = data[reference["key"]]
    return found


def _config_map(cluster: Cluster, reference: Mapping[str, Any]) -> dict[str, str]:
    """The ConfigMap's data; empty where it is missing and may be."""
    text = cluster.kubectl(
        "get", "configmap", reference["name"], "-n", NAMESPACE, "--ignore-not-found", "-o", "json"
    )
    assert text or reference.get("optional"), f"ConfigMap {reference['name']} is missing"
    return dict(json.loads(text).get("data") or {}) if text else {}
