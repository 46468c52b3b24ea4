"""Deliveries as they were sent, what was answered, which Warehouses each owed, and the sum of it all."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from tests.support.probe import Probe, now


@dataclass
class Sent:
    """One delivery."""

    owed: frozenset[str]
    """The Warehouses (namespace/name, or UID) that must be refreshed after it."""
    sent: int
    """Microseconds of Unix time before its first byte was written."""
    seconds: float = 0.0
    """Until the answer, or until the connection broke."""
    status: int = 0
    """0 for no answer."""
    text: str = ""

    @property
    def accepted(self) -> bool:
        """Whether a 2xx was answered."""
        return 200 <= self.status < 300

    @property
    def answered(self) -> int:
        """Microseconds of Unix time of its answer."""
        return self.sent + int(self.seconds * 1_000_000)


@dataclass
class Account:
    """What became of the deliveries of one run."""

    sent: int
    accepted: int
    owed: int
    """Refreshes owed by the accepted ones."""
    missing: int
    """Of those, refreshes that never came."""
    untrue: int
    """Refreshes that an answer of 200 called persisted and that had not begun by then."""
    overdue: float
    """Seconds after such an answer at which the last of them began."""
    unanswered: int
    unanswered_refreshed: int
    """Of those without an answer, deliveries that were refreshed in full nevertheless."""
    statuses: Counter[int]
    slowest: float
    """Seconds to the slowest answer."""
    examples: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        answers = ", ".join(
            f"{count} x {status or 'none'}" for status, count in sorted(self.statuses.items())
        )
        return (
            f"{self.sent} sent ({answers}), {self.accepted} accepted owing {self.owed} refreshes,"
            f" {self.missing} missing; unanswered {self.unanswered}, of which {self.unanswered_refreshed}"
            f" refreshed in full; slowest answer {self.slowest:.2f} s"
        )


def _late(entry: Sent, probe: Probe) -> Iterator[float]:
    """For each refresh that an answer of 200 called persisted too early: seconds until it had begun."""
    if entry.status != 200 or f"refreshed {len(entry.owed)} " not in entry.text:
        return
    for key in entry.owed:
        found = probe.refreshed(key, entry.sent)
        if found is None:
            yield (now() - entry.answered) / 1e6
        elif found.stamp > entry.answered and not found.listed:
            yield (found.stamp - entry.answered) / 1e6


class Ledger:
    """The deliveries of one run. Added to by one thread."""

    def __init__(self) -> None:
        self.entries: list[Sent] = []

    def begin(self, owed: Iterable[str]) -> Sent:
        """Note a delivery that is about to be sent."""
        entry = Sent(frozenset(owed), now())
        self.entries.append(entry)
        return entry

    def missing(self, probe: Probe) -> list[tuple[Sent, list[str]]]:
        """Return the accepted deliveries with a refresh missing, each with the Warehouses it misses."""
        # A Warehouse refreshed after the last delivery that owed it was refreshed after all of them.
        last: dict[str, int] = {}
        for entry in self.entries:
            if entry.accepted:
                for key in entry.owed:
                    last[key] = max(last.get(key, 0), entry.sent)
        behind = {key for key, since in last.items() if probe.missing((key,), since)}
        if not behind:
            return []
        found = (
            (entry, probe.missing(entry.owed & behind, entry.sent))
            for entry in self.entries
            if entry.accepted
        )
        return [(entry, lost) for entry, lost in found if lost]

    def settle(self, probe: Probe, limit: float, step: Callable[[], None] = lambda: None) -> Account:
        """Wait until nothing is missing, at most ``limit`` seconds, and sum up; the API server must be up."""
        deadline = time.monotonic() + limit
        while self.missing(probe) and time.monotonic() < deadline:
            step()
            time.sleep(0.1)
        probe.look()
        return self.account(probe)

    def account(self, probe: Probe) -> Account:
        """Sum up."""
        accepted = [entry for entry in self.entries if entry.accepted]
        unanswered = [entry for entry in self.entries if not entry.status]
        missing = self.missing(probe)
        late = [seconds for entry in accepted for seconds in _late(entry, probe)]
        return Account(
            sent=len(self.entries),
            accepted=len(accepted),
            owed=sum(len(entry.owed) for entry in accepted),
            missing=sum(len(lost) for _, lost in missing),
            untrue=len(late),
            overdue=max(late, default=0.0),
            unanswered=len(unanswered),
            unanswered_refreshed=sum(not probe.missing(entry.owed, entry.sent) for entry in unanswered),
            statuses=Counter(entry.status for entry in self.entries),
            slowest=max((entry.seconds for entry in self.entries if entry.status), default=0.0),
            examples=[f"{entry.status} {entry.text} misses {lost[:3]}" for entry, lost in missing[:3]],
        )
