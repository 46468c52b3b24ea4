"""A stand-in for Kargo's management controller, which writes the same status as the receiver.

As that one does: it sets ``Reconciling``, works out the whole list of receivers in the order of spec, sets
``Ready``, and comes back. Its writes are merge patches without a resourceVersion, made from what it read at
the start of a round, so that it may overwrite whatever was written to a list meanwhile.
"""

import base64
import copy
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from e2e import kargo
from e2e.controlplane import ControlPlane
from e2e.controlplane.api import RequestError
from e2e.kargo.project import webhook_path
from tests.support.configs import admin_api


class KargoController:
    """Reconciles the ProjectConfigs of some Projects every ``interval`` seconds, in a thread of its own.

    ``between`` is called in each round after reading and before the first write.
    """

    def __init__(
        self,
        plane: ControlPlane,
        projects: list[str],
        *,
        base_url: str,
        interval: float = 0.3,
        between: Callable[[], None] | None = None,
    ) -> None:
        self._api = admin_api(plane)
        self._projects = projects
        self._base_url = base_url
        self._interval = interval
        self._between = between
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.rounds = 0
        """Completed rounds over all Projects."""
        self.failure: Exception | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join(30)
        self._api.close()
        if self.failure is not None:
            raise self.failure

    def reconcile(self, project: str) -> None:
        """One round for one Project."""
        path = f"{kargo.API}/namespaces/{project}/projectconfigs/{project}"
        config = self._api.get(path)
        if self._between is not None:
            self._between()
        status = copy.deepcopy(config.get("status") or {})
        conditions = _with(status.get("conditions") or [], "Reconciling", "True")
        config = self._api.patch(f"{path}/status", {"status": {"conditions": conditions}})
        receivers = [
            entry
            for receiver in config["spec"].get("webhookReceivers") or []
            if (entry := self._entry(project, receiver)) is not None
        ]
        conditions = [each for each in config["status"]["conditions"] if each["type"] != "Reconciling"]
        changes: dict[str, Any] = {"conditions": _with(conditions, "Ready", "True")}
        if config["status"].get("webhookReceivers") != receivers:
            changes["webhookReceivers"] = receivers
        self._api.patch(f"{path}/status", {"status": changes})

    def _entry(self, project: str, receiver: dict[str, Any]) -> dict[str, str] | None:
        (kind,) = set(receiver) - {"name"}
        name, secret = receiver["name"], receiver[kind]["secretRef"]["name"]
        try:
            found = self._api.get(f"/api/v1/namespaces/{project}/secrets/{secret}")
        except RequestError as error:
            if error.status != 404:
                raise
            return None
        value = base64.b64decode(found["data"]["secret"]).decode()
        path = webhook_path(project, name, value).replace("/azure/", f"/{kind}/")
        base = urlsplit(self._base_url)
        return {"name": name, "path": f"{base.path}{path}", "url": f"{self._base_url}{path}"}

    def _run(self) -> None:
        try:
            while not self._ending.is_set():
                for project in self._projects:
                    self.reconcile(project)
                self.rounds += 1
                self._ending.wait(self._interval)
        except Exception as error:  # noqa: BLE001 - raised again where the test ends
            self.failure = error


def _with(conditions: list[dict[str, Any]], name: str, status: str) -> list[dict[str, Any]]:
    others = [each for each in conditions if each["type"] != name]
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    found = {"type": name, "status": status, "reason": "Synced", "message": "", "lastTransitionTime": now}
    return [*others, found]
