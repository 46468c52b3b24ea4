"""Stand-ins for what the webhook package is handed (webhook/ports.py), moved by the test."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from hashlib import sha256

from webhook.arrival import Arrival, Subject
from webhook.journal.journal import Journal
from webhook.outcome import NO_REMARKS, Outcome, Remarks
from webhook.ports import Refresh


def digest(name: str) -> str:
    """Return some path digest for a receiver's name."""
    return sha256(name.encode()).hexdigest()


class FakeReceiver:
    """A receiver; demands one of ``accepted`` as Authorization header if there are any."""

    def __init__(self, name: str, accepted: Collection[str] = ()) -> None:
        self.name = name
        self.accepted = accepted

    def authorized(self, authorization: Sequence[str]) -> bool:
        return not self.accepted or any(value in self.accepted for value in authorization)


class FakeLookup:
    """Serves the receivers it is given, each at ``digest(name)``."""

    def __init__(self, *receivers: FakeReceiver) -> None:
        self.served = {digest(receiver.name): receiver for receiver in receivers}
        self.coming: dict[str, str] = {}
        self.asked: list[str] = []

    def find(self, digest: str) -> FakeReceiver | None:
        self.asked.append(digest)
        return self.served.get(digest)

    def expected(self, digest: str) -> str | None:
        return self.coming.get(digest)


class FakeRefresh:
    """A refresh of ``matched`` objects, settled one by one by the test."""

    def __init__(self, matched: int, *, failing: bool = False) -> None:
        self.matched = matched
        self.persisted = 0
        self.rejected = 0
        self.failing = failing
        self.detached = False
        self.names: list[str] = [f"kargo-demo/w{number}" for number in range(matched)]
        self.superseded_by: tuple[str, ...] = ()
        self._gone = 0
        self._callbacks: list[Callable[[], object]] = []
        self._check()

    @property
    def done(self) -> bool:
        return bool(self.superseded_by) or self.persisted + self.rejected >= self.matched

    def persist(self, count: int = 1) -> None:
        """Have the API server store so many more annotations."""
        self.persisted += count
        self._check()

    def reject(self, count: int = 1) -> None:
        """Have the API server refuse so many more for good."""
        self.rejected += count
        self._check()

    def supersede(self, *by: str) -> None:
        """Have other deliveries carry what is outstanding."""
        self.superseded_by = by
        self._check()

    def detach(self) -> None:
        self.detached = True

    def on_done(self, callback: Callable[[], object]) -> None:
        if self.done:
            callback()
        else:
            self._callbacks.append(callback)

    def _check(self) -> None:
        if self.done:
            callbacks, self._callbacks = self._callbacks, []
            for callback in callbacks:
                callback()


class FakeDispatcher:
    """Gives the refreshes it was handed, in order; then ones that match nothing."""

    def __init__(self, *refreshes: FakeRefresh) -> None:
        self.refreshes = list(refreshes)
        self.dispatched: list[tuple[str, tuple[Subject, ...], float, str]] = []
        self.remembered: list[tuple[str, tuple[Subject, ...], float]] = []
        self.on_dispatch: Callable[[], None] = lambda: None

    def remember(self, receiver: str, subjects: Sequence[Subject], received: float) -> None:
        self.remembered.append((receiver, tuple(subjects), received))

    def dispatch(
        self, receiver: str, subjects: Sequence[Subject], received: float, *, delivery: str
    ) -> Refresh:
        self.dispatched.append((receiver, tuple(subjects), received, delivery))
        self.on_dispatch()
        return self.refreshes.pop(0) if self.refreshes else FakeRefresh(0)


class FakeJournal(Journal):
    """Notes what it is asked for. Commits at once, unless ``holding``; ``working`` says with what success."""

    def __init__(self) -> None:
        self.working = True
        self.holding = False
        self.calls: list[tuple[str, ...]] = []
        self.seconds: dict[str, float] = {}
        self.remarks: dict[str, Remarks] = {}
        self.notices: list[tuple[str, str, int | None, str]] = []
        self.arrivals: dict[str, Arrival] = {}
        self._held: list[asyncio.Future[bool]] = []

    def record(self, arrival: Arrival, matched: int, names: Sequence[str] = ()) -> "asyncio.Future[bool]":
        self.calls.append(("record", arrival.id))
        self.arrivals[arrival.id] = arrival
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if self.holding:
            self._held.append(future)
        else:
            future.set_result(self.working)
        return future

    def commit(self) -> None:
        """Let the rows that are held be written, or fail."""
        held, self._held = self._held, []
        for future in held:
            future.set_result(self.working)

    def finish(self, delivery: str, *, seconds: float, remarks: Remarks = NO_REMARKS, **counts: int) -> None:
        self.calls.append(("finish", delivery))
        self.seconds[delivery] = seconds
        self.remarks[delivery] = remarks

    def supersede(self, delivery: str, by: Sequence[str], remarks: Remarks = NO_REMARKS) -> None:
        self.calls.append(("supersede", delivery, *by))
        self.remarks[delivery] = remarks

    def note(
        self,
        arrival: Arrival,
        *,
        outcome: Outcome,
        code: int | None = None,
        reason: str = "",
        matched: int = 0,
        seconds: float | None = None,
    ) -> None:
        self.notices.append((arrival.receiver, outcome.value, code, reason))


class FakeWebhookMetrics:
    """Remembers what was counted."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, int]] = []
        self.seconds: list[float] = []
        self.matches: list[int] = []

    def request(self, source: str, event: str, code: int, seconds: float) -> None:
        self.requests.append((source, event, code))
        self.seconds.append(seconds)

    def matched(self, count: int) -> None:
        self.matches.append(count)
