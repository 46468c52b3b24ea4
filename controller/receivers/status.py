"""The reconciler that publishes the receivers' URLs, and a condition about them, in a config's status.

Every replica runs it; none leads. Each write carries the ``resourceVersion`` it was computed from, and is
computed from objects read live, since a replica whose watches lag must not write an old URL back. Whoever
loses a race finds nothing left to do.
"""

import random
import time
from typing import Protocol

import msgspec
import structlog

from controller.cluster.access import AccessReviewer
from controller.cluster.events import NORMAL, WARNING, EventRecorder
from controller.kargo.objects import (
    CLUSTER_CONFIGS,
    PROJECT_CONFIGS,
    Config,
    ReceiverSpec,
    decode_config,
    field,
)
from controller.receivers.index import ConfigKey, ReceiverIndex
from controller.receivers.live_secret import read_live
from controller.receivers.state import (
    UNREADABLE,
    UNREADABLE_REASON,
    ReceiverState,
    State,
    conflict,
    judge,
)
from controller.receivers.status_plan import Plan, condition_differs, conditions_with, entries_differ, plan
from controller.receivers.url import receiver_name
from controller.runtime.api.client import Client
from controller.runtime.api.errors import ApiError, Conflict, Forbidden, NotFound
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
CONDITION_WRITES = 3
"""Times that one condition is written. Kargo's controller replaces the list of conditions with what it read
before, so it may erase ours by accident, most likely when both see a new ProjectConfig; what it has seen, it
keeps. Who erases it again and again wants it gone."""
SETTLING_SECONDS = 0.25
"""Between two looks at a config whose Secrets' watches are not open yet: some seconds at the start."""

log = structlog.get_logger()


class StatusMetrics(Protocol):
    """What the reconciler counts."""

    def status_write(self, result: str) -> None:
        """One attempt: ``written``, ``conflict``, ``refused``, or ``disputed`` (not attempted)."""


class StatusReconciler:
    """Keeps ``status.webhookReceivers`` and our condition of every config as they should be."""

    def __init__(
        self,
        client: Client,
        queue: WorkQueue[ConfigKey],
        *,
        receivers: ReceiverIndex,
        base_url: str,
        system_namespace: str,
        clock: Clock,
        access: AccessReviewer,
        events: EventRecorder,
        metrics: StatusMetrics,
        rng: random.Random | None = None,
    ) -> None:
        self._client = client
        self._queue = queue
        self._receivers = receivers
        self._base_url = base_url
        self._system_namespace = system_namespace
        self._clock = clock
        self._access = access
        self._events = events
        self._metrics = metrics
        self._rng = rng or random.Random()  # noqa: S311 - spreads writes out, guards nothing
        self._written: dict[ConfigKey, object] = {}
        self._conditions: dict[ConfigKey, tuple[object, int]] = {}
        self._disputed: set[ConfigKey] = set()
        self._reporting: set[ConfigKey] = set()
        self.controller: Controller[ConfigKey] = Controller(queue, self.reconcile, workers=WORKERS)

    def changed(self, key: ConfigKey) -> None:
        """Look at a config soon; the receiver index calls this for every change."""
        config = self._receivers.config(key)
        if config is None:
            self._forget(key)
            return
        states = self._receivers.states(key)
        wanted = plan(config, states, self._base_url)
        self._forget_outdated(key, wanted)
        if not self._differs(config, wanted):
            self._disputed.discard(key)
        elif any(state.reason == UNREADABLE_REASON for state in states):
            self._report_unreadable(key)
        else:
            self._queue.add_after(key, SPREAD * self._rng.random())

    async def reconcile(self, key: ConfigKey) -> Outcome:
        """Bring one config's status in line."""
        seen = self._receivers.config(key)
        if seen is None:
            return Done()
        if self._receivers.settling(key):
            # Another replica may have written what a Secret means that we have not seen changed.
            return Done(SETTLING_SECONDS)
        if not self._differs(seen, plan(seen, self._receivers.states(key), self._base_url)):
            return Done()
        namespace, name = key
        resource = PROJECT_CONFIGS if namespace else CLUSTER_CONFIGS
        known = dict(zip(seen.receivers, self._receivers.states(key), strict=True))
        try:
            raw = await self._client.get(resource, namespace=namespace or None, name=name)
            config = decode_config(raw, lambda _namespace, _name: None)
            states = [await self._live_state(config, spec, known.get(spec)) for spec in config.receivers]
        except NotFound:
            return Done()
        except Forbidden as error:
            return await self._refused("get", resource, namespace, error)
        except (ApiError, msgspec.MsgspecError) as error:
            log.warning("status_not_read", config=_display(key), error=str(error))
            return Retry()
        wanted = plan(config, states, self._base_url)
        due = self._due(key, config, wanted)
        if not due:
            return Done()
        return await self._write(key, resource, config, wanted, due)

    def _forget_outdated(self, key: ConfigKey, wanted: Plan) -> None:
        """Forget what we wrote once we want something else, whichever replica writes that.

        Only what we wrote and still want can be disputed: a Secret that is changed back, or a receiver that
        is taken out and put back, is written again.
        """
        if self._written.get(key, wanted.ours) != wanted.ours:
            del self._written[key]
        if key in self._conditions and self._conditions[key][0] != wanted.condition:
            del self._conditions[key]

    def _report_unreadable(self, key: ConfigKey) -> None:
        """Look at a config when its turn comes: a thousand Secrets may become unreadable at once."""
        if key in self._reporting:
            return
        self._reporting.add(key)

        def report() -> None:
            self._reporting.discard(key)
            self._queue.add(key)

        self._receivers.report_later(report)

    def _differs(self, config: Config, wanted: Plan) -> bool:
        return entries_differ(config, wanted) or condition_differs(config, wanted)

    async def _live_state(
        self, config: Config, spec: ReceiverSpec, seen: ReceiverState | None
    ) -> ReceiverState:
        """Judge a receiver by its Secret as it is now, not as our watch last saw it.

        One that our watch has not read at all, or may not, is not asked for: its entry stays as it is.
        """
        if seen is not None and seen.state is State.PENDING:
            return seen
        namespace = config.namespace or self._system_namespace
        secret = await read_live(self._client, namespace, spec.secret, refused=UNREADABLE)
        state, _ = judge(spec, config.namespace, namespace, secret)
        if state.state is State.SERVED:
            name = receiver_name(config.namespace, spec.name)
            claimants = self._receivers.claimants(state.digest)
            others = [claimant for claimant in claimants if claimant != name]
            if others or len(claimants) > 1:
                state = conflict(spec.name, [name, *others])
        return state

    def _due(self, key: ConfigKey, config: Config, wanted: Plan) -> dict[str, object]:
        """Return the fields of status to write; none if nothing differs, or if another writer insists."""
        status: dict[str, object] = {}
        if entries_differ(config, wanted):
            if self._written.get(key) == wanted.ours:
                self._dispute(key, config)
            else:
                status["webhookReceivers"] = wanted.entries
        if condition_differs(config, wanted):
            written, times = self._conditions.get(key, (None, 0))
            erased = config.condition is None and times < CONDITION_WRITES
            if times and written == wanted.condition and not erased:
                self._dispute(key, config)
            else:
                now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._clock.time()))
                status["conditions"] = conditions_with(config, wanted, now)
        return status

    async def _write(
        self, key: ConfigKey, resource: Resource, config: Config, wanted: Plan, due: dict[str, object]
    ) -> Outcome:
        namespace, name = key
        patch = {"metadata": {"resourceVersion": config.version}, "status": due}
        try:
            await self._client.patch(
                resource,
                namespace=namespace or None,
                name=name,
                subresource="status",
                body=msgspec.json.encode(patch),
                metadata_only=True,
            )
        except Conflict:
            self._metrics.status_write("conflict")
            return Retry()
        except NotFound:
            return Done()
        except Forbidden as error:
            self._metrics.status_write("refused")
            return await self._refused("patch", resource, namespace, error, subresource="status")
        except ApiError as error:
            self._metrics.status_write("refused")
            log.warning("status_not_written", config=_display(key), error=str(error))
            return Retry()
        self._metrics.status_write("written")
        if "webhookReceivers" in due:
            self._written[key] = wanted.ours
        if "conditions" in due:
            written, times = self._conditions.get(key, (None, 0))
            self._conditions[key] = (wanted.condition, times + 1 if written == wanted.condition else 1)
            self._announce(key, config, wanted)
        log.info("status_written", config=_display(key), receivers=len(wanted.ours))
        return Done()

    def _announce(self, key: ConfigKey, config: Config, wanted: Plan) -> None:
        if wanted.condition is None:
            return
        status, reason, message = wanted.condition
        before = field(config.condition, "status")
        log.log(
            30 if status == "False" else 20,
            "receivers_faulty" if status == "False" else "receivers_ready",
            config=_display(key),
            reason=reason,
            message=message,
            before=before,
        )
        level = WARNING if status == "False" else NORMAL
        resource, kind = _kind(key)
        # A condition that comes and goes is told of each time: it was written each time.
        self._events.emit(level, resource, kind, key[0], key[1], reason, message, config.uid, repeat=True)

    def _dispute(self, key: ConfigKey, config: Config) -> None:
        if key in self._disputed:
            return
        self._disputed.add(key)
        self._metrics.status_write("disputed")
        message = (
            "another controller writes other values into status.webhookReceivers or conditions than this "
            "receiver computes (another base URL in its settings?); they are left as they are"
        )
        log.warning("status_disputed", config=_display(key), message=message)
        resource, kind = _kind(key)
        self._events.emit(WARNING, resource, kind, key[0], key[1], "StatusDisputed", message, config.uid)

    async def _refused(
        self, verb: str, resource: Resource, namespace: str, error: Forbidden, subresource: str = ""
    ) -> Outcome:
        # Asked for all namespaces at once: it was refused in this one, and one line says enough for all.
        allowed = await self._access.allowed(verb, resource, "", subresource)
        if allowed is not False:
            log.warning("status_refused", namespace=namespace, error=str(error))
        return Retry(RIGHT_MISSING_RETRY * (1.0 + self._rng.random()))

    def _forget(self, key: ConfigKey) -> None:
        self._written.pop(key, None)
        self._conditions.pop(key, None)
        self._disputed.discard(key)


def _kind(key: ConfigKey) -> tuple[Resource, str]:
    return (PROJECT_CONFIGS, "ProjectConfig") if key[0] else (CLUSTER_CONFIGS, "ClusterConfig")


def _display(key: ConfigKey) -> str:
    return key[0] or "cluster"
