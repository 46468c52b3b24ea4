"""The reports of one replica, which ``/api`` answers and the replicas exchange."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from controller.runtime.clock import Clock
from webhook.admin.deliveries import Delivery, Target
from webhook.admin.history import JournalHistory
from webhook.admin.ports import Cache, JournalState, Program, Queue, ReceiverState, StorageQueue
from webhook.journal.history import Query, Summary
from webhook.journal.reading import HistoryError

MOST_RECEIVERS = 10_000
"""Receivers in one report, some 300 bytes each."""
MOST_TARGETS = 100
"""Objects that are listed for one delivery."""
LATEST = 10
"""Deliveries on the first page."""


class Receiver(msgspec.Struct, rename="camel", frozen=True):
    """One receiver: its state, and what came to it."""

    state: ReceiverState
    summary: Summary = Summary()


class Report(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """What every answer of a replica begins with."""

    instance: str
    """Unique id of the process."""
    replica: str
    version: str
    time: datetime
    error: str = ""
    """Why the deliveries are missing; empty if they aren't."""


class Overview(Report, frozen=True, kw_only=True):
    """``/api/``."""

    not_ready: tuple[str, ...]
    receivers: tuple[Receiver, ...]
    unlisted: int = 0
    """Receivers beyond ``MOST_RECEIVERS``."""
    caches: tuple[Cache, ...]
    queues: tuple[Queue, ...]
    storage_queues: tuple[StorageQueue, ...] = ()
    unhandled: int
    oldest_unhandled_seconds: float
    journal: JournalState
    latest: tuple[Delivery, ...]


class ReceiverReport(Report, frozen=True, kw_only=True):
    """``/api/receivers/{name}``."""

    receiver: Receiver
    deliveries: tuple[Delivery, ...]


class DeliveriesReport(Report, frozen=True, kw_only=True):
    """``/api/deliveries``."""

    deliveries: tuple[Delivery, ...]


class DeliveryReport(Report, frozen=True, kw_only=True):
    """``/api/deliveries/{id}``."""

    delivery: Delivery


@dataclass(frozen=True)
class Reporter:
    """Makes this replica's reports."""

    program: Program
    history: JournalHistory
    clock: Clock
    instance: str
    replica: str
    version: str
    """Of the program."""

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.fromtimestamp(self.clock.time(), UTC)

    async def overview(self) -> Overview:
        """Report everything at a glance."""
        summaries, error = await self._summaries()
        latest, failed = await self._list(Query(limit=LATEST))
        states = self.program.receivers()
        unhandled, oldest = self.program.unhandled()
        return Overview(
            **self._head(error or failed),
            not_ready=tuple(self.program.not_ready()),
            receivers=tuple(
                Receiver(state, summaries.get(state.name, Summary())) for state in states[:MOST_RECEIVERS]
            ),
            unlisted=max(0, len(states) - MOST_RECEIVERS),
            caches=tuple(self.program.caches()),
            queues=tuple(self.program.queues()),
            storage_queues=tuple(self.program.storage_queues()),
            unhandled=unhandled,
            oldest_unhandled_seconds=oldest,
            journal=self.program.journal(),
            latest=latest,
        )

    async def receiver(self, name: str, limit: int) -> ReceiverReport | None:
        """Report one receiver with its latest deliveries; None if there is none of this name."""
        state = next((each for each in self.program.receivers() if each.name == name), None)
        if state is None:
            return None
        summaries, error = await self._summaries()
        found, failed = await self._list(Query(receiver=name, limit=limit))
        receiver = Receiver(state, summaries.get(name, Summary()))
        return ReceiverReport(**self._head(error or failed), receiver=receiver, deliveries=found)

    async def deliveries(self, query: Query) -> DeliveriesReport:
        """Report a page of deliveries."""
        found, error = await self._list(query)
        return DeliveriesReport(**self._head(error), deliveries=found)

    async def delivery(self, wanted: str) -> DeliveryReport | None:
        """Report one delivery, and whether Kargo has picked it up; None if this replica has no such id."""
        try:
            found = await self.history.delivery(wanted)
        except HistoryError:
            return None  # the list of deliveries reports the error
        if found is None:
            return None
        program, since = self.program, found.received
        targets = found.targets or tuple(
            Target(*each) for each in program.matching(found.receiver, found.subjects, MOST_TARGETS)
        )
        found = msgspec.structs.replace(
            found,
            targets=tuple(
                msgspec.structs.replace(
                    each, pickup=program.pickup(each.kind, each.namespace, each.name, since)
                )
                for each in targets
            ),
            targets_now=not found.targets,
            replica=self.replica,
        )
        return DeliveryReport(**self._head(""), delivery=found)

    async def _summaries(self) -> tuple[dict[str, Summary], str]:
        try:
            return dict(await self.history.summaries(self.now())), ""
        except HistoryError as error:
            return {}, str(error)

    async def _list(self, query: Query) -> tuple[tuple[Delivery, ...], str]:
        try:
            found = await self.history.deliveries(query)
        except HistoryError as error:
            return (), str(error)
        return tuple(msgspec.structs.replace(each, replica=self.replica) for each in found), ""

    def _head(self, error: str) -> dict[str, Any]:
        return {
            "instance": self.instance,
            "replica": self.replica,
            "version": self.version,
            "time": self.now(),
            "error": error,
        }
