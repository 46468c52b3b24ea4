"""The reconciler that publishes the receivers' URLs, and a condition about them, in a config's status.

Every replica runs it; none leads. Each write carries the ``resourceVersion`` it was computed from, and is
computed from objects read live, since a replica whose watches lag must not write an old URL back. Whoever
loses a race finds nothing left to do.
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import structlog

from controller.cluster.access import AccessReviewer
from controller.cluster.events import NORMAL, WARNING, EventRecorder
from controller.kargo.objects import CLUSTER_CONFIGS, PROJECT_CONFIGS, Config, ReceiverSpec, decode_config
from controller.receivers.index import ConfigKey, ReceiverIndex
from controller.receivers.live_secret import LiveSecrets
from controller.receivers.secret_throttle import RequestPacer
from controller.receivers.state import (
    UNREADABLE,
    UNREADABLE_REASON,
    ReceiverState,
    State,
    conflict,
    judge,
)
from controller.receivers.status_history import StatusHistory
from controller.receivers.status_plan import Plan, conditions_with, entries_by_name, is_published, plan
from controller.receivers.url import receiver_name
from controller.runtime.api.client import Client
from controller.runtime.api.errors import ApiError, Conflict, Forbidden, NotFound, StatusError
from controller.runtime.api.resource import Resource
from controller.runtime.clock import Clock
from controller.runtime.queue.controller import Controller, Done, Outcome, Retry
from controller.runtime.queue.workqueue import WorkQueue

WORKERS = 4
SPREAD = 0.3
"""Seconds over which replicas that saw the same change spread their writes: the first one saves the others
theirs."""
RIGHT_MISSING_RETRY = 30.0
"""Seconds between attempts while RBAC does not let us write: a person has to act first."""
REPORT_REQUESTS = 3
"""What a report of a Secret that can't be read costs: reading the config, writing its status, an Event."""
OBJECT_BYTES = 1_500_000
"""About what etcd takes of one object (1.5 MiB by default); the API server answers 500 to a larger one."""

log = structlog.get_logger()


@dataclass(eq=False)
class StatusReconciler:
    """Keeps ``status.webhookReceivers`` and our condition of every config as they should be.

    ``count`` is called with the result of each attempt to write: ``written``, ``conflict``, ``refused``, or
    ``disputed`` (not attempted). ``pacer`` limits reports of Secrets that can't be read: a thousand may
    become so at once.
    """

    client: Client
    queue: WorkQueue[ConfigKey]
    receivers: ReceiverIndex
    base_url: str
    system_namespace: str
    clock: Clock
    access: AccessReviewer
    events: EventRecorder
    pacer: RequestPacer
    count: Callable[[str], None]
    rng: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        self._histories: dict[ConfigKey, StatusHistory] = {}
        self._unreadable: dict[ConfigKey, None] = {}
        """Configs with a Secret that can't be read, in the order in which that is to be reported."""
        self._some_unreadable = asyncio.Event()
        self.controller: Controller[ConfigKey] = Controller(self.queue, self.reconcile, workers=WORKERS)

    def changed(self, key: ConfigKey) -> None:
        """Look at a config soon; the receiver index calls this for every change."""
        config = self.receivers.config(key)
        if config is None:
            self._histories.pop(key, None)
            return
        states = self.receivers.states(key)
        wanted = plan(config, states, self.base_url)
        history = self._histories.setdefault(key, StatusHistory())
        history.want(wanted)
        if not wanted.differs_from(config):
            history.disputed = False
        elif any(state.reason == UNREADABLE_REASON for state in states):
            self._unreadable[key] = None
            self._some_unreadable.set()
        else:
            self.queue.add_after(key, SPREAD * self.rng.random())

    async def reconcile(self, key: ConfigKey) -> Outcome:
        """Bring one config's status in line."""
        seen = self.receivers.config(key)
        # Until a Secret's watch is open, another replica may know a newer value of it, and have written that.
        # ``changed`` is called again when the watch is open.
        if seen is None or self.receivers.settling(key):
            return Done()
        states = self.receivers.states(key)
        if not plan(seen, states, self.base_url).differs_from(seen):
            return Done()
        namespace, name = key
        resource = PROJECT_CONFIGS if namespace else CLUSTER_CONFIGS
        try:
            raw = await self.client.get(resource, namespace=namespace or None, name=name)
            config = decode_config(raw, lambda _namespace, _name: None)
            live = await self._live_states(config, dict(zip(seen.receivers, states, strict=True)))
        except NotFound:
            return Done()
        except Forbidden as error:
            return await self._refused("get", resource, namespace, error)
        except (ApiError, msgspec.MsgspecError) as error:
            log.warning("status_not_read", config=_display(key), error=str(error))
            return Retry()
        wanted = plan(config, live, self.base_url)
        due, disputed = self._history(key).due(config, wanted)
        if disputed:
            self._dispute(key, config)
        return await self._write(key, config, wanted, due, len(raw)) if due else Done()

    async def report_unreadable(self) -> None:
        """Have configs with Secrets that can't be read reconciled, as fast as the pacer lets through."""
        while True:
            await self._some_unreadable.wait()
            await self.pacer.again(REPORT_REQUESTS)
            key = next(iter(self._unreadable))
            del self._unreadable[key]
            self.queue.add(key)
            if not self._unreadable:
                self._some_unreadable.clear()

    async def _live_states(
        self, config: Config, seen: dict[ReceiverSpec, ReceiverState]
    ) -> list[ReceiverState]:
        """Judge receivers by their Secrets as they are now, not as our watches last saw them.

        A Secret is not read where the receiver's entry stays as it is: where our watch has not read it, or
        may not, and where the status shows the receiver as we see it. Each Secret is read once.
        """
        namespace = config.namespace or self.system_namespace
        secrets = LiveSecrets(self.client, namespace, refused=UNREADABLE)
        entries = entries_by_name(config)
        states = []
        for spec in config.receivers:
            state = seen.get(spec)
            if state is None or not (
                state.state is State.PENDING or is_published(entries.get(spec.name, {}), state, self.base_url)
            ):
                state, _ = judge(spec, config.namespace, namespace, await secrets.state(spec.secret))
                state = self._unless_conflict(config, state)
            states.append(state)
        return states

    def _unless_conflict(self, config: Config, state: ReceiverState) -> ReceiverState:
        if state.state is not State.SERVED:
            return state
        name = receiver_name(config.namespace, state.name)
        claimants = self.receivers.claimants(state.digest)
        others = [claimant for claimant in claimants if claimant != name]
        return conflict(state.name, [name, *others]) if others or len(claimants) > 1 else state

    def _history(self, key: ConfigKey) -> StatusHistory:
        return self._histories.get(key) or StatusHistory()

    async def _write(self, key: ConfigKey, config: Config, wanted: Plan, due: set[str], size: int) -> Outcome:
        """Patch these fields of the status; ``size`` is that of the config's JSON, in bytes."""
        namespace, name = key
        resource = PROJECT_CONFIGS if namespace else CLUSTER_CONFIGS
        status: dict[str, Any] = {}
        if "webhookReceivers" in due:
            status["webhookReceivers"] = wanted.entries
        if "conditions" in due:
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.clock.time()))
            status["conditions"] = conditions_with(config, wanted, now)
        body = msgspec.json.encode({"metadata": {"resourceVersion": config.version}, "status": status})
        try:
            await self.client.patch(
                resource,
                namespace=namespace or None,
                name=name,
                subresource="status",
                body=body,
                metadata_only=True,
            )
        except Conflict:
            self.count("conflict")
            return Retry()
        except NotFound:
            return Done()
        except Forbidden as error:
            self.count("refused")
            return await self._refused("patch", resource, namespace, error, subresource="status")
        except ApiError as error:
            self.count("refused")
            log.warning("status_not_written", config=_display(key), error=str(error))
            if _too_large(error, size + len(body)):
                message = "the API server does not store this object with a status: it is too large"
                self._emit(key, config, WARNING, "StatusTooLarge", message)
                return Done()
            return Retry()
        self.count("written")
        self._history(key).wrote(due, wanted)
        if "conditions" in due:
            self._announce(key, config, wanted)
        log.info("status_written", config=_display(key), receivers=len(wanted.ours))
        return Done()

    def _announce(self, key: ConfigKey, config: Config, wanted: Plan) -> None:
        before = config.condition or {}
        if wanted.condition is None:
            return
        status, reason, message, _ = wanted.condition
        if (before.get("status"), before.get("reason"), before.get("message")) == (status, reason, message):
            return  # only what it was computed from is another generation
        good = status == "True"
        (log.info if good else log.warning)(
            "receivers_ready" if good else "receivers_faulty",
            config=_display(key),
            reason=reason,
            message=message,
            before=before.get("status"),
        )
        # A condition that comes and goes has an Event each time: it was written each time.
        self._emit(key, config, NORMAL if good else WARNING, reason, message, repeat=True)

    def _dispute(self, key: ConfigKey, config: Config) -> None:
        history = self._history(key)
        if history.disputed:
            return
        history.disputed = True
        self.count("disputed")
        message = (
            "another controller writes other values into status.webhookReceivers or conditions than this "
            "receiver computes (another base URL in its settings, or an empty Secret, whose URL Kargo "
            "publishes?); they are left as they are"
        )
        log.warning("status_disputed", config=_display(key), message=message)
        self._emit(key, config, WARNING, "StatusDisputed", message)

    def _emit(
        self, key: ConfigKey, config: Config, level: str, reason: str, message: str, *, repeat: bool = False
    ) -> None:
        kind = "ProjectConfig" if key[0] else "ClusterConfig"
        self.events.emit(level, kind, *key, reason, message, config.uid, repeat=repeat)

    async def _refused(
        self, verb: str, resource: Resource, namespace: str, error: Forbidden, subresource: str = ""
    ) -> Outcome:
        # Asked for all namespaces at once: it was refused in this one, and one line says enough for all.
        allowed = await self.access.allowed(verb, resource, "", subresource)
        if allowed is not False:
            log.warning("status_refused", namespace=namespace, error=str(error))
        return Retry(RIGHT_MISSING_RETRY * (1.0 + self.rng.random()))


def _too_large(error: ApiError, size: int) -> bool:
    """Return whether a write will fail again; etcd's refusal is a 500 like any other, but for the size."""
    status = error.status if isinstance(error, StatusError) else 0
    return status == 413 or (status >= 500 and size > OBJECT_BYTES)


def _display(key: ConfigKey) -> str:
    return key[0] or "cluster"
