"""Counts what became of the refreshes that one delivery asked for."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from controller.kargo.objects import Target
from controller.runtime.queue.flows import Flow

MOST_NAMES = 100
"""Names of targets that are kept of a delivery."""


class Settled(Enum):
    """What became of one target of a batch."""

    PERSISTED = "persisted"
    REJECTED = "rejected"
    GONE = "gone"


@dataclass(slots=True, eq=False)
class Batch:
    """The refreshes that one delivery asked for, in a part for each flow.

    Every target is settled exactly once: by a patch that *started* after the batch asked for it. A batch
    whose sender has its answer is ``detached``; each of its parts may then be superseded by a later one of
    the same flow, which asks for the same again: so what waits during an outage is Warehouses, not
    deliveries.
    """

    received: float | None
    """Monotonic time in seconds at which the event came; None if there was none."""
    delivery: str
    """Id of the delivery; empty for a refresh that no delivery waits for."""
    on_detach: Callable[["Part"], None]
    parts: list["Part"] = field(default_factory=list)
    matched: int = 0
    outstanding: int = 0
    persisted: int = 0
    rejected: int = 0
    failing: bool = False
    detached: bool = False
    superseded_by: tuple[str, ...] = ()
    """Ids of the deliveries that carry what was outstanding here."""
    _callbacks: list[Callable[[], object]] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """True when nothing is outstanding any more."""
        return self.outstanding == 0

    @property
    def names(self) -> list[str]:
        """``namespace/name`` of the first targets, for people."""
        targets = (target for part in self.parts for target in part.targets)
        return [f"{target.namespace}/{target.name}" for target in itertools.islice(targets, MOST_NAMES)]

    def add(self, targets: Sequence[Target], flow: Flow) -> "Part":
        """Return a new part for targets of one flow; all parts are added before any target is settled."""
        part = Part(self, targets, flow, outstanding=len(targets))
        self.parts.append(part)
        self.matched += part.outstanding
        self.outstanding += part.outstanding
        return part

    def on_done(self, callback: Callable[[], object]) -> None:
        """Call back once when ``done``; at once if it is."""
        if self.outstanding:
            self._callbacks.append(callback)
        else:
            callback()

    def detach(self) -> None:
        """Note that nobody waits for the answer any more, so that later deliveries may supersede this one."""
        if not self.detached:
            self.detached = True
            for part in self.parts:
                self.on_detach(part)

    def count(self, how: Settled) -> None:
        """Count one target as settled. For the parts."""
        if how is Settled.PERSISTED:
            self.persisted += 1
        elif how is Settled.REJECTED:
            self.rejected += 1
        else:
            self.matched -= 1
        self._less(1)

    def hand_over(self, targets: int, to: str) -> None:
        """Note that the delivery of this id carries so many outstanding targets. For the parts."""
        if to not in self.superseded_by:
            self.superseded_by = (*self.superseded_by, to)
        self._less(targets)

    def _less(self, targets: int) -> None:
        self.outstanding -= targets
        if not self.outstanding:
            callbacks, self._callbacks = self._callbacks, []
            for callback in callbacks:
                callback()


@dataclass(slots=True, eq=False)
class Part:
    """What a batch asked for in one flow."""

    batch: Batch
    targets: Sequence[Target]
    flow: Flow
    outstanding: int

    def settle(self, how: Settled) -> None:
        """Count one target as settled; a part that is done already (superseded) stays as it is."""
        if self.outstanding:
            self.outstanding -= 1
            self.batch.count(how)

    def supersede(self, by: Batch) -> None:
        """Hand what is outstanding over to a later batch."""
        outstanding, self.outstanding = self.outstanding, 0
        self.batch.hand_over(outstanding, by.delivery)
