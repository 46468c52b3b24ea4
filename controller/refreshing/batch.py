"""Counts what became of the refreshes that one delivery asked for."""

from collections.abc import Callable, Sequence
from enum import Enum

from controller.kargo.objects import Target
from controller.runtime.queue.flows import Flow


class Settled(Enum):
    """What became of one target of a batch."""

    PERSISTED = "persisted"
    REJECTED = "rejected"
    GONE = "gone"


class Batch:
    """The refreshes that one delivery asked for.

    Every target is settled exactly once: by a patch that *started* after the batch asked for it. A batch
    whose sender has its answer is ``detached``, and may be superseded by a later one of the same flow, which
    asks for the same again: so what waits during an outage is Warehouses, not deliveries.
    """

    __slots__ = (
        "_callbacks",
        "_on_detach",
        "delivery",
        "detached",
        "failing",
        "flow",
        "matched",
        "outstanding",
        "persisted",
        "received",
        "rejected",
        "superseded_by",
        "targets",
    )

    def __init__(
        self,
        targets: Sequence[Target],
        flow: Flow,
        received: float,
        on_detach: Callable[["Batch"], None],
        delivery: str = "",
    ) -> None:
        self.targets = targets
        self.flow = flow
        self.received = received
        """Monotonic time in seconds at which the event came."""
        self.delivery = delivery
        """Id of the delivery; empty for a refresh that no delivery waits for."""
        self.matched = len(targets)
        self.outstanding = len(targets)
        self.persisted = 0
        self.rejected = 0
        self.failing = False
        self.detached = False
        self.superseded_by: tuple[str, ...] = ()
        """Id of the delivery that carries what was outstanding here."""
        self._on_detach = on_detach
        self._callbacks: list[Callable[[], object]] = []

    @property
    def done(self) -> bool:
        """True when nothing is outstanding any more."""
        return self.outstanding == 0

    def on_done(self, callback: Callable[[], object]) -> None:
        """Call back once when ``done``; at once if it is."""
        if self.outstanding:
            self._callbacks.append(callback)
        else:
            callback()

    def detach(self) -> None:
        """Note that nobody waits for the answer any more, so that a later delivery may supersede this one."""
        if not self.detached:
            self.detached = True
            self._on_detach(self)

    def settle(self, how: Settled) -> None:
        """Count one target as settled; a batch that is done already (superseded) stays as it is."""
        if not self.outstanding:
            return
        if how is Settled.PERSISTED:
            self.persisted += 1
        elif how is Settled.REJECTED:
            self.rejected += 1
        else:
            self.matched -= 1
        self.outstanding -= 1
        if not self.outstanding:
            self._finish()

    def supersede(self, by: "Batch") -> None:
        """Hand what is outstanding over to a later batch of the same flow."""
        self.superseded_by = (by.delivery,)
        self.outstanding = 0
        self._finish()

    def _finish(self) -> None:
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()


class Batches:
    """Several batches of one delivery, one for each repository in it, seen as one."""

    def __init__(self, parts: Sequence[Batch]) -> None:
        self._parts = parts

    @property
    def matched(self) -> int:
        """Objects matched, less those that are gone."""
        return sum(part.matched for part in self._parts)

    @property
    def persisted(self) -> int:
        """Objects whose annotation was stored."""
        return sum(part.persisted for part in self._parts)

    @property
    def rejected(self) -> int:
        """Objects refused for good."""
        return sum(part.rejected for part in self._parts)

    @property
    def failing(self) -> bool:
        """True if a retry was waiting for something matched."""
        return any(part.failing for part in self._parts)

    @property
    def done(self) -> bool:
        """True when nothing is outstanding any more."""
        return all(part.done for part in self._parts)

    @property
    def superseded_by(self) -> tuple[str, ...]:
        """Ids of the deliveries that carry what was outstanding here."""
        return tuple(dict.fromkeys(each for part in self._parts for each in part.superseded_by))

    def on_done(self, callback: Callable[[], object]) -> None:
        """Call back once when ``done``; at once if it is."""
        missing = [part for part in self._parts if not part.done]
        if not missing:
            callback()
            return
        left = len(missing)

        def one_done() -> None:
            nonlocal left
            left -= 1
            if not left:
                callback()

        for part in missing:
            part.on_done(one_done)

    def detach(self) -> None:
        """Note that nobody waits for the answer any more, for each part."""
        for part in self._parts:
            part.detach()
