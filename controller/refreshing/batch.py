"""Counts what became of the refreshes that one delivery asked for."""

import itertools
from collections.abc import Callable, Sequence
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


class Batch:
    """The refreshes that one delivery asked for, in a part for each flow.

    Every target is settled exactly once: by a patch that *started* after the batch asked for it. A batch
    whose sender has its answer is ``detached``; each of its parts may then be superseded by a later one of
    the same flow, which asks for the same again: so what waits during an outage is Warehouses, not
    deliveries.
    """

    __slots__ = (
        "_callbacks",
        "_on_detach",
        "delivery",
        "detached",
        "failing",
        "matched",
        "outstanding",
        "parts",
        "persisted",
        "received",
        "rejected",
        "superseded_by",
    )

    def __init__(self, received: float | None, delivery: str, on_detach: Callable[["Part"], None]) -> None:
        self.received = received
        """Monotonic time in seconds at which the event came; None if there was none."""
        self.delivery = delivery
        """Id of the delivery; empty for a refresh that no delivery waits for."""
        self.parts: list[Part] = []
        self.matched = 0
        self.outstanding = 0
        self.persisted = 0
        self.rejected = 0
        self.failing = False
        self.detached = False
        self.superseded_by: tuple[str, ...] = ()
        """Ids of the deliveries that carry what was outstanding here."""
        self._on_detach = on_detach
        self._callbacks: list[Callable[[], object]] = []

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
        part = Part(self, targets, flow)
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
                self._on_detach(part)

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


class Part:
    """What a batch asked for in one flow."""

    __slots__ = ("batch", "flow", "outstanding", "targets")

    def __init__(self, batch: Batch, targets: Sequence[Target], flow: Flow) -> None:
        self.batch = batch
        self.targets = targets
        self.flow = flow
        self.outstanding = len(targets)

    def settle(self, how: Settled) -> None:
        """Count one target as settled; a part that is done already (superseded) stays as it is."""
        if self.outstanding:
            self.outstanding -= 1
            self.batch.count(how)

    def supersede(self, by: Batch) -> None:
        """Hand what is outstanding over to a later batch."""
        outstanding, self.outstanding = self.outstanding, 0
        self.batch.hand_over(outstanding, by.delivery)
