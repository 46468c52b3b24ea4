"""Emits Kubernetes Events, so that ``kubectl describe`` shows what concerns an object of the user's.

Events are help, not duty: they are sent in the background, at a bounded rate, and dropped when that is not
enough or when we lack the right. Namespaces take turns, and each has a queue of its own: one Project's flood
neither delays nor displaces another's Events. The log and the metrics always say the same.
"""

import asyncio
import os
import time
from collections import OrderedDict, deque

import msgspec
import structlog

from controller.kargo.objects import EVENTS, GROUP, VERSION
from controller.runtime.api.client import Client
from controller.runtime.api.errors import ApiError, Forbidden
from controller.runtime.clock import Clock

WARNING, NORMAL = "Warning", "Normal"

COMPONENT = "kargo-azure-receiver"
QUEUE_LIMIT = 50
"""Events of one namespace waiting to be sent, of 1 KB each; more are dropped."""
REPEAT_AFTER = 600.0
"""Seconds before the same Event (object, reason, message) is sent again."""
REMEMBERED = 10_000
"""Events remembered for ``REPEAT_AFTER``."""
MESSAGE_LIMIT = 1024
"""Characters: what the API server takes as an Event's message."""
PAUSE = 0.1
"""Seconds between two Events: ten a second is far below what would disturb the API server."""

log = structlog.get_logger()


class EventRecorder:
    """Sends Events in the background; ``run`` does the sending."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._queues: OrderedDict[str, deque[bytes]] = OrderedDict()
        """By namespace, in the order of their turns; no empty ones."""
        self._waiting = asyncio.Event()
        """Set while there is a queue."""
        self._sent: OrderedDict[int, float] = OrderedDict()
        """When, by the hash of what an Event says."""
        self._forbidden = False

    def emit(
        self,
        level: str,
        kind: str,
        namespace: str,
        name: str,
        reason: str,
        message: str,
        uid: str = "",
        *,
        repeat: bool = False,
    ) -> None:
        """Emit an Event about one of Kargo's objects; ``level`` is WARNING or NORMAL.

        Without ``repeat`` only if the same was not emitted within the last ten minutes.
        """
        now = self._clock.monotonic()
        if len(message) > MESSAGE_LIMIT:
            message = message[: MESSAGE_LIMIT - 1] + "…"
        key = hash((kind, namespace, name, reason, message))
        last = self._sent.get(key)
        if last is not None and now - last < REPEAT_AFTER and not repeat:
            return
        self._sent[key] = now
        self._sent.move_to_end(key)
        while len(self._sent) > REMEMBERED:
            self._sent.popitem(last=False)
        queue = self._queues.setdefault(namespace, deque())
        if len(queue) >= QUEUE_LIMIT:
            log.warning("event_dropped", kind=kind, namespace=namespace, name=name, reason=reason)
            return
        about = {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "name": name}
        if namespace:
            about["namespace"] = namespace
        if uid:
            about["uid"] = uid
        queue.append(_encode(level, about, reason, message, self._clock.time()))
        self._waiting.set()

    async def run(self) -> None:
        """Send what is emitted, until cancelled."""
        while True:
            await self._waiting.wait()
            namespace, body = self._next()
            # Events about cluster-scoped objects live in the namespace "default".
            await self._send(namespace or "default", body)
            await self._clock.sleep(PAUSE)

    def _next(self) -> tuple[str, bytes]:
        namespace, queue = self._queues.popitem(last=False)
        body = queue.popleft()
        if queue:
            self._queues[namespace] = queue  # behind the others
        elif not self._queues:
            self._waiting.clear()
        return namespace, body

    async def _send(self, namespace: str, body: bytes) -> None:
        try:
            await self._client.create(EVENTS, namespace=namespace, body=body)
            self._forbidden = False
        except Forbidden as error:
            # Nothing can be created in a namespace that is being deleted, whatever the rights.
            if "NamespaceTerminating" not in error.causes and not self._forbidden:
                self._forbidden = True
                log.error("right_missing", verb="create", resource="events", namespace=namespace)
        except ApiError as error:
            log.warning("event_not_sent", namespace=namespace, error=str(error))


def _encode(level: str, about: dict[str, str], reason: str, message: str, now: float) -> bytes:
    """Return the object to be created, as JSON (v1.Event); ``now`` is Unix time."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        # As client-go names them; a random suffix, since replicas may speak of one object at one moment.
        "metadata": {"name": f"{about['name'][:200]}.{os.urandom(8).hex()}"},
        "involvedObject": about,
        "type": level,
        "reason": reason,
        "message": message,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }
    return msgspec.json.encode(event)
