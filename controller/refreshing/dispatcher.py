"""From a delivery to refreshes: match it, remember it for those who come late, request the refreshes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from controller.kargo.objects import Target
from controller.receivers.url import scope_of
from controller.refreshing.batch import Batch
from controller.refreshing.recent_deliveries import WINDOW, RecentDeliveries
from controller.refreshing.refresher import Refresher
from controller.refreshing.target_index import TargetIndex
from controller.repositories.keys import event_keys, pull_request_key
from controller.runtime.clock import Clock

log = structlog.get_logger()

PRUNE_SECONDS = 1.0
"""Between two looks for deliveries that are no longer recent."""

Subject = tuple[str, str]
"""What an event is about: its kind (``image``, ``git`` or ``pull_request``), and its URL as it was sent."""


@dataclass(eq=False, kw_only=True)
class Dispatcher:
    """Matches deliveries against the indexes, in O(1) for each repository."""

    warehouses: TargetIndex
    promotions: TargetIndex
    refresher: Refresher
    recent: RecentDeliveries
    silent: Callable[[], float]
    """Returns for how many seconds the watch of Warehouses has given no sign of life."""
    refreshed: Callable[[Target], float]
    """Returns the Unix time of a target's last refresh by whomever, 0 if it is not known."""
    clock: Clock
    _pruned: float = field(default=0.0, init=False)

    def dispatch(
        self, receiver: str, subjects: Sequence[Subject], received: float, *, delivery: str = ""
    ) -> Batch:
        """Match subjects within the scope of the receiver of this name and request the refreshes.

        ``received`` is Unix time in seconds. Each subject is a flow of its own, within those of its receiver
        and its Project; an object that several of them match is refreshed, and counted, once. Returns at
        once; never raises for any text in them.
        """
        scope = scope_of(receiver)
        received = self._monotonic(received)
        since = self._since()
        if since - self._pruned >= PRUNE_SECONDS:
            self._pruned = since
            self.recent.prune(since)
        batch = self.refresher.batch(received, delivery)
        seen: set[Target] = set()
        for subject in subjects:
            key, targets = self._match(scope, receiver, subject, received)
            fresh = [target for target in targets if target not in seen] if seen else targets
            if len(subjects) > 1:
                seen.update(fresh)
            if fresh:
                self.refresher.request(fresh, (scope, receiver, key), batch)
        return batch

    def _match(
        self, scope: str | None, receiver: str, subject: Subject, received: float
    ) -> tuple[str, Sequence[Target]]:
        """Return the first key of a subject, and the objects that have any of its keys."""
        kind, url = subject
        if kind == "pull_request":
            key = pull_request_key(url)
            return key, self.promotions.find(key, scope)
        keys = event_keys(kind, url)
        for key in keys:
            self.recent.remember(scope, key, receiver, received)
        found = [self.warehouses.find(key, scope) for key in keys]
        if len(found) == 1:
            return keys[0], found[0]
        return keys[0], list(dict.fromkeys(target for targets in found for target in targets))

    def remember(self, receiver: str, subjects: Sequence[Subject], received: float) -> None:
        """Take up a delivery that an earlier process finished: it applies to late Warehouses only.

        Those are the ones that enter its repository's key from now on; and those that entered after it was
        matched, whose refresh may have been lost with that process. Whatever was refreshed since ``received``
        (Unix time in seconds), by whomever, is not refreshed again.
        """
        scope, now = scope_of(receiver), self.clock.time()
        at = self._monotonic(received)
        for subject in subjects:
            key, targets = self._match(scope, receiver, subject, at)
            late = [target for target in targets if not received <= self.refreshed(target) <= now]
            self.refresher.request(late, (scope, receiver, key), self.refresher.batch(at))

    def _monotonic(self, received: float) -> float:
        """Return a Unix time on the monotonic clock: the wall clock may jump while it is remembered."""
        return self.clock.monotonic() - max(0.0, self.clock.time() - received)

    def entered(self, key: str, target: Target) -> None:
        """Refresh a Warehouse that enters a key for which a delivery came lately (the index calls this)."""
        if not len(self.recent):
            return
        for scope, recent in self.recent.find(key, target.namespace, self._since()):
            log.info(
                "late_warehouse_refreshed",
                receiver=recent.receiver,
                namespace=target.namespace,
                name=target.name,
            )
            # Without an id: it must not take the place of the delivery it follows, which asks for more.
            batch = self.refresher.batch(recent.received)
            self.refresher.request((target,), (scope, recent.receiver, key), batch)

    def _since(self) -> float:
        """Return the monotonic time since when deliveries still apply to a Warehouse first seen now."""
        return self.clock.monotonic() - max(0.0, self.silent()) - WINDOW
