"""How status is written: beside other writers, and only when something changed."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from e2e import kargo
from e2e.controlplane import ControlPlane
from e2e.controlplane.api import RequestError
from e2e.controlplane.waiting import eventually
from e2e.kargo.project import Project
from tests.support.api_faults import Delay, fault
from tests.support.configs import admin_api, azure, condition, entries, github, url_of
from tests.support.fault_proxy import FaultProxy
from tests.support.receiver_process import ReceiverFactory

AT_ONCE = 2.0
"""Seconds within which a change must be seen in status."""
BASE_URL = "https://kargo.example.com"
GOOD = "a-secret-that-is-long-enough"
WRITES = "kargo_azure_receiver_status_writes_total"


def test_what_others_write_meanwhile_is_kept(
    new_project: Callable[..., Project],
    control_plane: ControlPlane,
    proxy: FaultProxy,
    receiver_kubeconfig: Path,
    start_receiver: ReceiverFactory,
) -> None:
    """A writer that changes the same status between our read and our write loses nothing, nor do we."""
    project = new_project(secret=GOOD).create()
    project.put_receivers([github("hub"), azure("azure")])
    receiver = start_receiver(kubeconfig=proxy.kubeconfig(receiver_kubeconfig))
    eventually(lambda: entries(project.config()))
    with (
        proxy.going_wrong(fault(Delay(0.1), "patch", resources=("projectconfigs",))),
        _OtherWriter(control_plane, project.name) as other,
    ):
        for number in range(4):
            project.secret = f"{GOOD}-{number}"
            project.put_secret({"secret": project.secret})
            before = other.written
            eventually(lambda before=before: other.written > before + 15)  # type: ignore[misc]
        eventually(lambda: receiver.metric(WRITES, result="conflict") >= 1)

    def settled() -> bool:
        url = url_of(project.config(), "azure")
        return url is not None and url.endswith(project.path)

    eventually(settled, limit=AT_ONCE)
    config = project.config()
    assert config["status"]["counter"] == other.written
    assert url_of(config, "hub") == f"https://kargo.example.com/{other.written}"
    assert [entry["name"] for entry in entries(config)] == ["hub", "azure"]
    assert condition(config, "Ready")["message"] == str(other.written)
    assert condition(config)["status"] == "True"


def test_an_unchanged_status_is_not_written_again(
    new_project: Callable[..., Project],
    control_plane: ControlPlane,
    proxy: FaultProxy,
    receiver_kubeconfig: Path,
    start_receiver: ReceiverFactory,
) -> None:
    """Neither after new lists of everything, nor by a receiver that starts anew."""
    project = new_project(secret=GOOD).create()
    kubeconfig = proxy.kubeconfig(receiver_kubeconfig)
    receiver = start_receiver(kubeconfig=kubeconfig, base_url=BASE_URL)
    eventually(lambda: entries(project.config()))
    version = project.config()["metadata"]["resourceVersion"]
    receiver.kill()
    began = time.monotonic()
    start_receiver(kubeconfig=kubeconfig, base_url=BASE_URL)
    proxy.break_watches()
    for resource in ("projectconfigs", "secrets"):
        eventually(lambda r=resource: proxy.traffic.count("watch", r, since=began) >= 2)  # type: ignore[misc]
    # A change that alters nothing for us is looked at, and by then all else would be too.
    project.plane.kubectl("annotate", "projectconfig", project.name, "-n", project.name, "seen=changed")
    other = Project(control_plane, f"{project.name}-after", secret=GOOD).create()
    eventually(lambda: entries(other.config()))
    config = project.config()
    assert config["metadata"]["annotations"] == {"seen": "changed"}
    assert int(config["metadata"]["resourceVersion"]) > int(version)
    writes = [
        seen
        for seen in proxy.traffic.select("patch", "projectconfigs", since=began)
        if seen.call.name == project.name
    ]
    assert writes == []


def test_what_another_replica_changed_and_changed_back_is_no_dispute(
    new_project: Callable[..., Project], start_receiver: ReceiverFactory
) -> None:
    """A Secret is deleted and made again while we are frozen, and another replica writes what that means."""
    project = new_project(secret=GOOD).create()
    receiver = start_receiver(base_url=BASE_URL)
    eventually(lambda: url_of(project.config(), "azure"))
    receiver.process.pause()
    project.delete_secret()
    path = f"{kargo.API}/namespaces/{project.name}/projectconfigs/{project.name}/status"
    project.plane.api.patch(path, {"status": {"webhookReceivers": [], "conditions": []}})
    project.put_secret({"secret": GOOD})
    receiver.process.resume()
    eventually(lambda: url_of(project.config(), "azure"), limit=AT_ONCE)
    assert condition(project.config())["status"] == "True"
    assert receiver.events("status_disputed") == []


class _OtherWriter:
    """Changes an entry, a condition and a field of a status as fast as it can, each time as read before."""

    def __init__(self, plane: ControlPlane, project: str) -> None:
        self._api = admin_api(plane)
        self._path = f"{kargo.API}/namespaces/{project}/projectconfigs/{project}"
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.written = 0

    def __enter__(self) -> "_OtherWriter":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(30)
        self._api.close()

    def _run(self) -> None:
        while not self._ending.is_set():
            config = self._api.get(self._path)
            number = str(self.written + 1)
            hub = {"name": "hub", "path": f"/{number}", "url": f"https://kargo.example.com/{number}"}
            ready = {
                "type": "Ready",
                "status": "True",
                "reason": "Synced",
                "message": number,
                "lastTransitionTime": "2026-08-01T10:00:00Z",
            }
            status = config["status"]
            conditions = [ready, *(each for each in status["conditions"] if each["type"] != "Ready")]
            receivers = [hub, *(entry for entry in entries(config) if entry["name"] != "hub")]
            changes = {"counter": int(number), "conditions": conditions, "webhookReceivers": receivers}
            metadata = {"resourceVersion": config["metadata"]["resourceVersion"]}
            try:
                self._api.patch(f"{self._path}/status", {"metadata": metadata, "status": changes})
            except RequestError as error:
                if error.status != 409:
                    raise
            else:
                self.written += 1
