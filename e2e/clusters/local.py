"""A real etcd and kube-apiserver on this machine, without nodes: Pods run as processes behind a balancer.

What is real: API server, RBAC, admission, the manifests, the ServiceAccount's token, the program with the
Deployment's own arguments. What is played here: Deployment controller, kubelet and Service, as far as the
scenarios need them.
"""

import contextlib
import itertools
from collections.abc import Callable
from pathlib import Path

from e2e.clusters.cluster import DEPLOYMENT, NAMESPACE, Cluster
from e2e.clusters.kubelet import Pod, start_pod
from e2e.controlplane import ControlPlane
from e2e.controlplane.ports import HOST
from e2e.controlplane.waiting import eventually
from tests.support.background import Background
from tests.support.balancer import Backend, Balancer

ENDPOINT_LIMIT = 10.0
"""Seconds until the balancer must have seen that a Pod is ready."""


class LocalCluster(Cluster):
    """Control plane, balancer, and the receiver's Pods; everything is below ``folder``."""

    kind = "a control plane on this machine, Pods as processes"

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._say = say
        self._numbers = itertools.count(1)
        self._stack = contextlib.ExitStack()
        self._pods: list[Pod] = []
        self._template: object = None
        """That the present Pods are made from."""
        self._plane: ControlPlane
        self._balancer: Balancer

    def start(self) -> None:
        """Start etcd, API server and balancer; raises ControlPlaneError if that fails."""
        with contextlib.ExitStack() as stack:
            self._plane = stack.enter_context(ControlPlane(folder=self._folder / "plane", say=self._say))
            background = stack.enter_context(Background())
            self._balancer = stack.enter_context(Balancer(background, []))
            self.base_url = f"http://{HOST}:{self._balancer.port}"
            self._stack = stack.pop_all()

    def stop(self) -> None:
        """End all processes."""
        for pod in self._pods:
            pod.process.kill()
        self._stack.close()

    def kubectl(self, *arguments: str, stdin: str | None = None, limit: float = 60.0) -> str:
        """Run the control plane's own kubectl."""
        return self._plane.kubectl(*arguments, stdin=stdin, limit=limit)

    def rolled_out(self) -> None:
        """Make the Pods what the Deployment wants, as its controller does with maxUnavailable 0."""
        deployment = self.get("deployment", DEPLOYMENT, "-n", NAMESPACE)
        strategy = deployment["spec"]["strategy"]["rollingUpdate"]
        assert strategy == {"maxSurge": 1, "maxUnavailable": 0}
        template, wanted = deployment["spec"]["template"], deployment["spec"]["replicas"]
        outdated = [pod for pod in self._pods if not pod.process.running or self._template != template]
        current = [pod for pod in self._pods if pod not in outdated]
        self._template = template
        while len(current) < wanted:
            name = f"receiver-{next(self._numbers)}"
            pod = start_pod(self, deployment, name, self._folder / name)
            self._pods.append(pod)
            pod.wait_ready()
            current.append(pod)
            self._serve(self._pods)
            if outdated:
                self._end([outdated.pop(0)])
        self._end([*outdated, *current[wanted:]])

    def pods(self) -> list[str]:
        """The names of the Pods."""
        return [pod.name for pod in self._pods]

    def kill(self, pod: str) -> None:
        """``kill -9``; the balancer learns of it by and by. Nothing takes its place before ``rolled_out``."""
        (found,) = [each for each in self._pods if each.name == pod]
        found.process.kill()

    def logs(self) -> str:
        """Of all Pods that are there, one after the other."""
        return "".join(f"--- {pod.name}\n{pod.process.output()}" for pod in self._pods)

    def _serve(self, pods: list[Pod]) -> None:
        """Have the balancer know these Pods, and wait until it has seen that they are ready."""
        known = {backend.port: backend for backend in self._balancer.backends}
        self._balancer.backends = [known.get(pod.port) or Backend(pod.port, pod.admin_port) for pod in pods]
        running = {pod.port for pod in pods if pod.process.running}
        eventually(
            lambda: all(each.ready for each in self._balancer.backends if each.port in running),
            ENDPOINT_LIMIT,
            "the balancer's view of the Pods",
        )

    def _end(self, pods: list[Pod]) -> None:
        """End Pods while the balancer still sends to them: it learns only by looking, as in a cluster."""
        running = [pod for pod in pods if pod.process.running]
        for pod in running:
            pod.ask_to_end()
        for pod in running:
            pod.wait_ended()
        self._pods = [pod for pod in self._pods if pod not in pods]
        self._serve(self._pods)
