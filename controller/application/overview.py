"""Shows the page on the admin port what the parts hold: it reads, and keeps nothing."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from controller.application.informers import Informers
from controller.kargo.warehouse import moment
from controller.receivers.url import receiver_name, scope_of
from controller.refreshing.unhandled import HandledTracker
from controller.repositories.keys import event_keys, pull_request_key
from controller.runtime.queue.workqueue import WorkQueue
from webhook.admin.ports import Cache, JournalState, Pickup, Queue, ReceiverState, StorageQueue, Subject
from webhook.journal.journal import Journal


class Overview:
    """The running receiver, as far as the page shows it (``webhook.admin.ports.Program``)."""

    def __init__(
        self,
        informers: Informers,
        queues: Iterable[WorkQueue[Any]],
        unhandled: HandledTracker,
        journal: Journal,
        *,
        not_ready: Callable[[], Sequence[str]],
        storage_queues: Callable[[], Sequence[StorageQueue]],
    ) -> None:
        self._informers = informers
        self._queues = tuple(queues)
        self._unhandled = unhandled
        self._journal = journal
        self.not_ready = not_ready
        self.storage_queues = storage_queues

    def receivers(self) -> list[ReceiverState]:
        """Return every receiver's state."""
        return [
            ReceiverState(receiver_name(key[0], each.name), each.state.value, each.message, each.factors)
            for key, each in self._informers.receivers.all_states()
        ]

    def caches(self) -> list[Cache]:
        """Return the caches, Secrets as one."""
        found = [
            Cache(each.kind, len(each.store), each.has_synced, each.silence())
            for each in self._informers.informers
        ]
        secrets = self._informers.secrets
        return [*found, Cache("Secret", len(secrets), True, secrets.silence())]

    def queues(self) -> list[Queue]:
        """Return the workqueues."""
        return [Queue(each.name, len(each), each.longest_running_seconds()) for each in self._queues]

    def unhandled(self) -> tuple[int, float]:
        """Return how many Warehouses wait for Kargo, and for how many seconds the oldest has."""
        return len(self._unhandled), self._unhandled.oldest()

    def journal(self) -> JournalState:
        """Return the journal's state."""
        journal = self._journal
        return JournalState(
            journal.on_disk, journal.pending, journal.finished, journal.last_error or "", journal.moved_aside
        )

    def pickup(self, kind: str, namespace: str, name: str, since: datetime) -> Pickup:
        """Return whether Kargo has looked at a Warehouse since a time."""
        if kind != "Warehouse":
            return Pickup.UNKNOWN
        found = self._informers.warehouses.store.get(namespace, name)
        if found is None:
            return Pickup.GONE
        began = since.timestamp()
        if found.refreshed < began:
            return Pickup.NOT_REFRESHED
        handled = not found.requested or moment(found.handled) >= began
        return Pickup.PICKED_UP if handled else Pickup.WAITING

    def matching(
        self, receiver: str, subjects: Sequence[Subject], most: int
    ) -> Sequence[tuple[str, str, str]]:
        """Return what a delivery would match now, each once."""
        scope = scope_of(receiver)
        targets = (
            target
            for subject in islice(subjects, most)
            for index, keys in (
                (self._informers.promotion_index, (pull_request_key(subject.url),))
                if subject.kind == "pull_request"
                else (self._informers.warehouse_index, event_keys(subject.kind, subject.url)),
            )
            for key in keys
            for target in index.find(key, scope)
        )
        return tuple(dict.fromkeys(islice(targets, most)))
