"""The receiver as a real process, and requests to it as Azure sends them."""

import contextlib
import http.client
import json
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from e2e.controlplane import ControlPlaneError
from e2e.controlplane.ports import HOST, free_ports
from e2e.controlplane.process import Process

ROOT = Path(__file__).parents[1]

READY_LIMIT = 30.0
"""Seconds until the caches of a small cluster must be synced."""

_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "VIRTUAL_ENV")


@dataclass(frozen=True)
class Answer:
    """What the receiver answered, and after how many seconds."""

    status: int
    headers: Mapping[str, str]
    text: str
    seconds: float

    @property
    def json(self) -> Any:
        """The decoded body; raises ValueError if it is not JSON."""
        return json.loads(self.text)


class ReceiverProcess:
    """``python -m controller run`` on 127.0.0.1, with free ports unless given; it may be started repeatedly.

    ``folder`` takes the log. ``flags`` are added to the command line, ``environment`` to an otherwise small
    environment, so that the person's own settings don't matter. Without ``kubeconfig`` it looks for one
    itself.
    """

    def __init__(
        self,
        kubeconfig: Path | None,
        folder: Path,
        *,
        port: int = 0,
        admin_port: int = 0,
        base_url: str | None = None,
        flags: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        name: str = "receiver",
    ) -> None:
        free = free_ports(2)
        self.port = port or free[0]
        self.admin_port = admin_port or free[1]
        self.base_url = base_url or f"http://{HOST}:{self.port}"
        command = [sys.executable, "-m", "controller", "run"]
        command += [f"--kubeconfig={kubeconfig}"] if kubeconfig else []
        command += [f"--bind-address={HOST}", f"--port={self.port}", f"--admin-port={self.admin_port}"]
        command += [f"--base-url={self.base_url}", *flags]
        kept = {key: os.environ[key] for key in _KEPT_VARIABLES if key in os.environ}
        self.process = Process(
            name,
            command,
            log=folder / f"{name}.log",
            env={**kept, **(environment or {})},
            cwd=ROOT,
        )

    # -- start and stop

    def start(self, *, wait: bool = True, limit: float = READY_LIMIT) -> Self:
        """Start it and wait until it is ready; raises ControlPlaneError with the end of its log if not."""
        self.process.start()
        if wait:
            self.wait_ready(limit)
        return self

    def wait_ready(self, limit: float = READY_LIMIT) -> None:
        """Wait until /readyz of the admin port answers 200."""
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            if not self.process.running:
                code = self.process.exit_code
                raise ControlPlaneError(f"{self.process.name} ended with {code}:{self.process.last_lines()}")
            with contextlib.suppress(OSError):
                if self.admin("/readyz").status == 200:
                    return
            time.sleep(0.02)
        raise ControlPlaneError(
            f"{self.process.name} was not ready within {limit:g} s:{self.process.last_lines()}"
        )

    def stop(self, seconds: float = 40.0) -> int:
        """End it with SIGTERM and return its exit code; ``kill -9`` after ``seconds``."""
        return self.process.stop(seconds)

    def kill(self) -> None:
        """End it with ``kill -9``."""
        self.process.kill()

    # -- requests

    def post(self, path: str, body: object, headers: Mapping[str, str] | None = None) -> Answer:
        """POST ``body`` (bytes as they are, anything else as JSON) to the public port."""
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.request("POST", path, payload, {"Content-Type": "application/json", **(headers or {})})

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request to the public port, on a connection of its own; raises OSError without answer."""
        return _exchange(self.port, method, path, body, headers or {})

    def admin(self, path: str) -> Answer:
        """GET from the admin port: /metrics, /livez, /readyz."""
        return _exchange(self.admin_port, "GET", path, None, {})

    def metric(self, name: str, **labels: str) -> float:
        """The value of one sample of /metrics with at least these labels, summed; 0 if there is none."""
        return sum(_samples(self.admin("/metrics").text.splitlines(), name, labels))

    # -- log

    def events(self, event: str | None = None) -> list[dict[str, Any]]:
        """The log's lines so far as objects, those called ``event`` if given; other lines are left out."""
        found = []
        for line in self.process.output().splitlines():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict) and (event is None or entry.get("event") == event):
                    found.append(entry)
        return found


def _exchange(port: int, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
    began = time.monotonic()
    with contextlib.closing(http.client.HTTPConnection(HOST, port, timeout=30)) as connection:
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            text = response.read().decode("utf-8", "replace")
        except http.client.HTTPException as error:
            raise ConnectionError(f"{method} {path}: {error!r}") from error
    return Answer(response.status, dict(response.getheaders()), text, time.monotonic() - began)


def _samples(lines: Iterable[str], name: str, labels: Mapping[str, str]) -> Iterable[float]:
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    for line in lines:
        sample, _, value = line.rpartition(" ")
        if sample.partition("{")[0] == name and all(each in sample for each in wanted):
            yield float(value)
