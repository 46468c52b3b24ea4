"""A record of every version that each ProjectConfig has had, from a watch of the test's own."""

import contextlib
import http.client
import json
import ssl
import threading
import time
from collections import defaultdict
from types import TracebackType
from typing import Any, Self

from e2e import kargo
from e2e.controlplane import ControlPlane
from e2e.controlplane.ports import HOST


class ConfigWatch:
    """Follows all ProjectConfigs, as the administrator, from where it is entered."""

    def __init__(self, plane: ControlPlane) -> None:
        user = json.loads(plane.kubeconfig.read_text("utf-8"))["users"][0]["user"]
        self._headers = {"Authorization": f"Bearer {user['token']}"}
        tls = ssl.create_default_context(cafile=str(plane.ca))
        self._connection = http.client.HTTPSConnection(HOST, plane.port, context=tls, timeout=300)
        self._version = plane.api.get(f"{kargo.API}/projectconfigs?limit=1")["metadata"]["resourceVersion"]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._changed = time.monotonic()
        self.versions: dict[str, list[dict[str, Any]]] = defaultdict(list)
        """Each Project's ProjectConfig, oldest version first."""

    @property
    def quiet(self) -> float:
        """Seconds since the last change of any ProjectConfig."""
        return time.monotonic() - self._changed

    def __enter__(self) -> Self:
        query = f"watch=1&resourceVersion={self._version}&timeoutSeconds=290"
        self._connection.request("GET", f"{kargo.API}/projectconfigs?{query}", headers=self._headers)
        self._response = self._connection.getresponse()
        assert self._response.status == 200
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection.sock is not None:
            self._connection.sock.close()

    def _run(self) -> None:
        with contextlib.suppress(OSError, ValueError, AttributeError, http.client.HTTPException):
            while line := self._response.readline():
                event = json.loads(line)
                if event["type"] in ("ADDED", "MODIFIED"):
                    self.versions[event["object"]["metadata"]["name"]].append(event["object"])
                    self._changed = time.monotonic()
