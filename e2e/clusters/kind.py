"""kind: Kubernetes in Docker, by way of pytest-kind. The image is built, loaded, and run by the manifests.

The public port is a NodePort that Docker maps to this machine, not ``kubectl port-forward``: a forward holds
on to one Pod and ends with it, while the scenarios are about what a Service does when Pods come and go.
"""

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest_kind.cluster
import yaml
from pytest_kind import KindCluster

from e2e.clusters.cluster import DEPLOYMENT, MANIFESTS, NAMESPACE, ROOT, Cluster
from e2e.controlplane import CommandError, ControlPlaneError
from e2e.controlplane.binaries import cache_root
from e2e.controlplane.ports import HOST, free_ports

KIND_VERSION = "v0.32.0"
"""Fetched by pytest-kind where no kind is given; its own default, v0.17, can't start a current Kubernetes."""
NODE_IMAGE = "kindest/node:v1.36.1@sha256:3489c7674813ba5d8b1a9977baea8a6e553784dab7b84759d1014dbd78f7ebd5"
"""The node image of that kind; the same minor version as the control plane of the other tests."""

BUILD_LIMIT = 900.0
"""Seconds for building the image."""
ROLLOUT_LIMIT = "180s"
DOCKER_LIMIT = 15.0

_NODE_PORT = 30080
_SELECTOR = f"app.kubernetes.io/name={DEPLOYMENT}"


@dataclass(frozen=True)
class KindOptions:
    """What may be given, so that nothing is fetched; None: see each field."""

    name: str
    kind: Path | None
    """Else pytest-kind fetches ``KIND_VERSION``."""
    kubectl: Path
    node_image: str
    image: str | None
    """An image of the receiver that Docker has; else it is built."""
    keep: bool


def options(given: Mapping[str, str | None], kubectl: Callable[[], Path]) -> KindOptions:
    """Combine the command line's options (by name, as pytest-kind calls them) with the environment's.

    ``kubectl`` finds one where none is given.
    """

    def choose(option: str, variable: str) -> str | None:
        return given.get(option) or os.environ.get(variable)

    kind = choose("kind_bin", "KIND_BIN") or shutil.which("kind")
    chosen = choose("kind_kubectl_bin", "KIND_KUBECTL_BIN") or shutil.which("kubectl")
    return KindOptions(
        name=given.get("cluster_name") or "pytest-kind",
        kind=Path(kind) if kind else None,
        kubectl=Path(chosen) if chosen else kubectl(),
        node_image=choose("kind_image", "KIND_IMAGE") or NODE_IMAGE,
        image=choose("receiver_image", "RECEIVER_IMAGE"),
        keep=bool(given.get("keep_cluster")),
    )


def why_not() -> str | None:
    """Why kind can't run on this machine, in one line; None if it can."""
    if shutil.which("docker") is None:
        return "Docker is not installed"
    try:
        done = subprocess.run(
            ["docker", "info", "--format", "{{.ServerVersion}}"],
            capture_output=True,
            text=True,
            timeout=DOCKER_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"Docker gave no answer within {DOCKER_LIMIT:g} s"
    if done.returncode == 0:
        return None
    lines = done.stderr.strip().splitlines() or ["no reason given"]
    return f"Docker does not answer: {lines[-1]}"


class KindKubernetes(Cluster):
    """A kind cluster of one node."""

    kind = "kind"

    def __init__(self, chosen: KindOptions, folder: Path, say: Callable[[str], None]) -> None:
        self._options = chosen
        self._folder = folder
        self._say = say
        self._created = False
        """Whether there is a cluster to delete at the end."""
        with contextlib.chdir(folder):  # it makes a folder where it is
            self._cluster = KindCluster(
                chosen.name,
                kubeconfig=folder / "kubeconfig",
                image=chosen.node_image,
                kind_path=chosen.kind or _fetched_kind(),
                kubectl_path=chosen.kubectl,
            )

    def start(self) -> None:
        """Create the cluster, build the image and load it."""
        (port,) = free_ports(1)
        self.base_url = f"http://{HOST}:{port}"
        config = self._folder / "kind.json"
        config.write_text(json.dumps(_cluster_config(port)), "utf-8")
        self._say(f"kind: creating the cluster {self._options.name} of {self._options.node_image}")
        if not self._cluster.kind_path.exists():
            self._say(f"kind: fetching kind {KIND_VERSION}, once")
        try:
            self._cluster.ensure_kind()
        except OSError as error:  # those of requests are, too
            raise ControlPlaneError(f"kind can't be fetched (--kind-bin takes one): {error}") from error
        listed = subprocess.run(
            [str(self._cluster.kind_path), "get", "clusters"], capture_output=True, text=True, check=False
        )
        if self._options.name in listed.stdout.split():
            # Not ours to delete, and not of use: it has other ports and other objects.
            raise ControlPlaneError(f"a kind cluster {self._options.name} is there: choose --cluster-name")
        self._created = True  # though it may fail half-way, or be interrupted
        try:
            self._cluster.create(config)
            self._load_image()
        except (subprocess.CalledProcessError, OSError) as error:
            raise ControlPlaneError(f"kind: {error}") from error
        self.kubectl("create", "namespace", NAMESPACE)
        self.apply(_node_port())

    def stop(self) -> None:
        """Delete the cluster that ``start`` created, all of it or a part, unless it is to be kept."""
        if not self._created:
            return
        if self._options.keep:
            self._say(
                f"kind: the cluster {self._options.name} stays; kubeconfig {self._folder / 'kubeconfig'}"
            )
        else:
            self._cluster.delete()

    def kubectl(self, *arguments: str, stdin: str | None = None, limit: float = 60.0) -> str:
        """Run the chosen kubectl."""
        command = [str(self._options.kubectl), "--kubeconfig", str(self._cluster.kubeconfig_path), *arguments]
        try:
            done = subprocess.run(
                command, input=stdin or "", capture_output=True, text=True, timeout=limit, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise CommandError(f"kubectl {' '.join(arguments)}: no end within {limit:g} s") from error
        if done.returncode != 0:
            raise CommandError(f"kubectl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def rolled_out(self) -> None:
        """Wait for the Deployment, and for the end of Pods that are being deleted."""
        arguments = ("-n", NAMESPACE, f"--timeout={ROLLOUT_LIMIT}")
        self.kubectl("rollout", "status", f"deployment/{DEPLOYMENT}", *arguments, limit=200)
        for pod in self.get("pods", "-n", NAMESPACE, "-l", _SELECTOR)["items"]:
            if "deletionTimestamp" in pod["metadata"]:
                name = f"pod/{pod['metadata']['name']}"
                self.kubectl("wait", name, "--for=delete", *arguments, limit=200)

    def pods(self) -> list[str]:
        """The Pods that are not being deleted."""
        items = self.get("pods", "-n", NAMESPACE, "-l", _SELECTOR, "--sort-by=.metadata.creationTimestamp")
        return [
            str(pod["metadata"]["name"])
            for pod in items["items"]
            if "deletionTimestamp" not in pod["metadata"]
        ]

    def kill(self, pod: str) -> None:
        """Send SIGKILL to its process, in the node: a forced deletion would send SIGTERM first.

        The kubelet then starts the container anew in the same Pod.
        """
        ctr = ("exec", f"{self._options.name}-control-plane", "ctr", "--namespace=k8s.io")
        labels = f'labels."io.kubernetes.pod.name"=="{pod}",labels."io.kubernetes.container.name"=="receiver"'
        (container,) = _docker(*ctr, "containers", "list", "--quiet", labels).split()
        _docker(*ctr, "tasks", "kill", "--signal=SIGKILL", container)

    def logs(self) -> str:
        """Of all Pods that are there."""
        return self.kubectl("logs", "-n", NAMESPACE, "-l", _SELECTOR, "--tail=-1", "--prefix")

    def _load_image(self) -> None:
        """Bring the image that the Deployment names onto the node."""
        wanted = self._wanted_image()
        if self._options.image:
            _docker("tag", self._options.image, wanted)
        else:
            self._say(f"kind: building {wanted}")
            _docker("build", "--tag", wanted, str(ROOT))
        self._cluster.load_docker_image(wanted)

    def _wanted_image(self) -> str:
        objects = yaml.safe_load_all(self.kubectl("kustomize", str(MANIFESTS / "base")))
        (deployment,) = [each for each in objects if each["kind"] == "Deployment"]
        return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])


def _fetched_kind() -> Path:
    """Where pytest-kind is to put the kind that it fetches, of our version instead of its own."""
    pytest_kind.cluster.KIND_VERSION = KIND_VERSION
    folder = cache_root().parent / "kind"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"kind-{KIND_VERSION}"


def _docker(*arguments: str) -> str:
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=BUILD_LIMIT, check=False
    )
    if done.returncode != 0:
        raise ControlPlaneError(f"docker {' '.join(arguments)}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def _cluster_config(port: int) -> dict[str, object]:
    mapping = {"containerPort": _NODE_PORT, "hostPort": port, "listenAddress": HOST}
    return {
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "kind": "Cluster",
        "nodes": [{"role": "control-plane", "extraPortMappings": [mapping]}],
    }


def _node_port() -> dict[str, object]:
    """A Service beside ours, for the tests alone: what an ingress controller is in a real cluster."""
    ports = [{"name": "public", "port": 80, "targetPort": "public", "nodePort": _NODE_PORT}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "e2e", "namespace": NAMESPACE},
        "spec": {
            "type": "NodePort",
            "selector": {"app.kubernetes.io/name": DEPLOYMENT},
            "ports": ports,
        },
    }
