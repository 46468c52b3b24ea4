"""The status reconciler on a stand-in API server; its watches see what is there when a test says so."""

import asyncio
import base64
import json
import random
from collections import Counter
from types import TracebackType
from typing import Any

from controller.cluster.access import AccessReviewer
from controller.cluster.events import EventRecorder
from controller.kargo.objects import (
    CLUSTER_CONFIGS,
    CONDITION,
    PROJECT_CONFIGS,
    SECRETS,
    Config,
    decode_config,
    decode_secret,
)
from controller.receivers.index import ConfigKey, ReceiverIndex
from controller.receivers.secret_throttle import RequestPacer
from controller.receivers.state import SecretRef, SecretState
from controller.receivers.status import StatusReconciler
from controller.receivers.url import receiver_digest
from controller.runtime.api.resource import Resource
from controller.runtime.queue.workqueue import WorkQueue
from tests.support.clock import FakeClock
from tests.support.kube import FakeKube, Request
from tests.support.secrets import LONG, FakeSecrets

BASE = "https://kargo.example.com/webhooks"
SYSTEM = "kargo-system-resources"


def entry(project: str, receiver: str, value: bytes = LONG, base: str = BASE) -> dict[str, str]:
    """Return the entry of a receiver in status, as Kargo writes it."""
    path = f"/webhooks/azure/{receiver_digest(project, receiver, value)}"
    return {"name": receiver, "path": path, "url": base.removesuffix("/webhooks") + path}


def azure(name: str, secret: str = "s") -> dict[str, Any]:
    """Return an Azure receiver in spec."""
    return {"name": name, "azure": {"secretRef": {"name": secret}}}


class Publishing:
    """One replica. ``see`` lets its watches catch up; ``run`` does so and moves the clock, in turns."""

    def __init__(
        self, kube: FakeKube | None = None, *, clock: FakeClock | None = None, seed: int = 1
    ) -> None:
        self.kube = kube or FakeKube()
        self.clock = clock or FakeClock()
        self.writes_counted: Counter[str] = Counter()
        self.secrets = FakeSecrets()
        self.index = ReceiverIndex(system_namespace=SYSTEM, secrets=self.secrets)
        self.events = EventRecorder(self.kube, self.clock)
        self.queue: WorkQueue[ConfigKey] = WorkQueue("status", self.clock, rng=random.Random(seed))
        self.status = StatusReconciler(
            self.kube,
            self.queue,
            receivers=self.index,
            base_url=BASE,
            system_namespace=SYSTEM,
            clock=self.clock,
            access=AccessReviewer(self.kube, self.clock),
            events=self.events,
            pacer=RequestPacer(self.clock),
            count=lambda result: self.writes_counted.update([result]),
            rng=random.Random(seed),
        )
        self.index.on_change(self.status.changed)
        self.settling: set[SecretRef] = set()
        """Secrets whose watches are not open yet."""
        self._seen: dict[ConfigKey, Config] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Publishing":
        self._tasks = [
            asyncio.create_task(self.status.controller.run()),
            asyncio.create_task(self.status.report_unreadable()),
            asyncio.create_task(self.events.run()),
        ]
        await self.clock.settle()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        for end in await asyncio.gather(*self._tasks, return_exceptions=True):
            if error is None and isinstance(end, Exception):
                raise end

    # --- what users and other controllers do ---

    def secret(self, namespace: str, name: str = "s", value: bytes | None = LONG) -> None:
        """Create or replace a Secret; without a value its key is missing."""
        data = {"secret": base64.b64encode(value).decode()} if value is not None else {}
        self.kube.put(SECRETS, namespace, name, data=data)

    def config(
        self, namespace: str, *receivers: dict[str, Any], status: dict[str, Any] | None = None
    ) -> None:
        """Create a config or replace its spec; its status stays, unless one is given."""
        resource, name = _where(namespace)
        old = self.kube.objects.get((resource.plural, namespace, name), {})
        spec = {"webhookReceivers": list(receivers)}
        self.kube.put(resource, namespace, name, spec=spec, status=status or old.get("status"))

    def write(self, namespace: str, status: dict[str, Any]) -> None:
        """Replace a config's status, as another controller does."""
        resource, name = _where(namespace)
        self.kube.put(
            resource,
            namespace,
            name,
            spec=self.kube.read(resource, namespace, name).get("spec"),
            status=status,
        )

    # --- what the replica sees ---

    def see_configs(self) -> None:
        """Let the watches of configs catch up."""
        for key, old in list(self._seen.items()):
            resource, name = _where(key[0])
            if (resource.plural, key[0], name) not in self.kube.objects:
                del self._seen[key]
                self.index.deleted(old)
        for (plural, namespace, name), stored in list(self.kube.objects.items()):
            if plural not in (PROJECT_CONFIGS.plural, CLUSTER_CONFIGS.plural):
                continue
            config = decode_config(_json(stored), lambda *_: None)
            before = self._seen.get((namespace, name))
            self._seen[namespace, name] = config
            if before is None:
                self.index.added(config)
            elif before.version != config.version:
                self.index.updated(before, config)

    def see_secrets(self) -> None:
        """Let the watches of Secrets catch up; each wanted one was read then."""
        for ref in self.secrets.followed:
            stored = self.kube.objects.get((SECRETS.plural, *ref))
            secret = decode_secret(_json(stored), lambda *_: None) if stored is not None else None
            new = SecretState(True, secret, settling=ref in self.settling)
            if self.secrets.states.get(ref) != new:
                self.secrets.states[ref] = new
                self.index.secret_changed(ref)

    def see(self) -> None:
        """Let all watches catch up."""
        self.see_configs()
        self.see_secrets()

    async def run(self, seconds: float = 2.0, step: float = 0.5) -> None:
        """See and act, so long."""
        for _ in range(max(1, round(seconds / step))):
            self.see()
            await self.clock.advance(step)
        self.see()

    # --- what came of it ---

    def stored(self, namespace: str) -> dict[str, Any]:
        """Return a config's status as it is stored."""
        resource, name = _where(namespace)
        found: dict[str, Any] = self.kube.read(resource, namespace, name).get("status") or {}
        return found

    def entries(self, namespace: str) -> list[dict[str, Any]]:
        """Return ``status.webhookReceivers``."""
        found: list[dict[str, Any]] = self.stored(namespace).get("webhookReceivers", [])
        return found

    def condition(self, namespace: str) -> dict[str, Any] | None:
        """Return our condition."""
        conditions = self.stored(namespace).get("conditions", [])
        return next((each for each in conditions if each["type"] == CONDITION), None)

    def writes(self) -> list[Request]:
        """Return the status writes that were begun."""
        return [each for each in self.kube.made("patch") if each.subresource == "status"]

    def reasons(self) -> list[str]:
        """Return the reasons of the Events that came in."""
        return [event["reason"] for event in self.kube.events]


def _where(namespace: str) -> tuple[Resource, str]:
    return (PROJECT_CONFIGS, namespace) if namespace else (CLUSTER_CONFIGS, "cluster")


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()
