"""A few minutes in the life of two receivers: steady pushes, a fan-out, an outage of the API server."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from e2e.clusters.user import deliver
from e2e.controlplane import ControlPlane, ControlPlaneError
from e2e.controlplane.api import Api
from e2e.demo.events import REGISTRY, REPOSITORY, acr_push, ado_push, ping
from e2e.kargo.project import REFRESH_ANNOTATION, Project, git, image
from e2e.receiver import ReceiverProcess
from tests.support.configs import admin_api

APPS = 40
FAN_OUT = 600
"""Warehouses that subscribe to the image ``base``."""
PATIENT = 3
"""Of the apps, those that Kargo leaves alone for long, as a shard without a controller does."""
HANDLING = (1.0, 6.0)
"""Seconds that Kargo's discovery takes."""


def create_warehouses(project: Project) -> None:
    """Create what the events below are for."""
    for number in range(APPS):
        project.add_warehouse(f"app-{number}", image(f"{REGISTRY}/app-{number}"))
    for number in range(FAN_OUT):
        project.add_warehouse(f"base-{number}", image(f"{REGISTRY}/base"))
    for number in range(12):
        project.add_warehouse(f"manifests-{number}", git(REPOSITORY))


class Traffic:
    """Azure's events, at random moments, to the receivers in turn; runs in threads until it is stopped."""

    def __init__(self, receivers: Sequence[ReceiverProcess], path: str) -> None:
        self._urls = [receiver.base_url + path for receiver in receivers]
        self._rng = random.Random(13)
        self._ending = threading.Event()
        self._pool = ThreadPoolExecutor(64)
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin the steady events."""
        self._every(0.1, lambda: acr_push(f"app-{self._rng.randrange(APPS)}", "v1"))
        self._every(0.8, lambda: ado_push(REPOSITORY, "main"))
        self._every(5.0, ping)
        self._every(9.0, lambda: {"action": "a mistake"})

    def fan_out(self) -> None:
        """Push the image that hundreds of Warehouses subscribe to."""
        self._send(acr_push("base", "v2"))

    def stop(self) -> None:
        """End, and wait for the answers."""
        self._ending.set()
        for thread in self._threads:
            thread.join()
        self._pool.shutdown()

    def _every(self, seconds: float, event: Callable[[], dict[str, Any]]) -> None:
        def run() -> None:
            while not self._ending.wait(self._rng.expovariate(1 / seconds)):
                self._send(event())

        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _send(self, body: dict[str, Any]) -> None:
        self._pool.submit(deliver, self._rng.choice(self._urls), body)


class Discovery:
    """Kargo's controller, as far as refreshes go: it handles each after a while, in a thread of its own."""

    def __init__(self, plane: ControlPlane, project: Project) -> None:
        self._api: Api = admin_api(plane)
        self._path = f"/apis/kargo.akuity.io/v1alpha1/namespaces/{project.name}/warehouses"
        self._rng = random.Random(7)
        self._due: dict[str, tuple[str, float]] = {}
        self._done: dict[str, str] = {}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._ending.set()
        self._thread.join()
        self._api.close()

    def _run(self) -> None:
        while not self._ending.wait(1.0):
            try:
                self._look()
            except (OSError, ControlPlaneError):
                continue  # the API server is away

    def _look(self) -> None:
        now = time.monotonic()
        for item in self._api.get(self._path)["items"]:
            name = item["metadata"]["name"]
            value = item["metadata"].get("annotations", {}).get(REFRESH_ANNOTATION)
            if value is None or self._done.get(name) == value:
                continue
            if name not in self._due:
                wait = 3600.0 if name in _PATIENT_NAMES else self._rng.uniform(*HANDLING)
                self._due[name] = (value, now + wait)
            if self._due[name][1] <= now:
                body = {"status": {"lastHandledRefresh": value}}
                self._api.patch(f"{self._path}/{name}/status", body)
                self._done[name] = value
                del self._due[name]


_PATIENT_NAMES = frozenset(f"app-{number}" for number in range(PATIENT))
