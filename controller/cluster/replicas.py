"""Decides, from the Leases that a replica reads every RENEW_SECONDS, who lives and what may have been lost.

Two things are looked for. An *outage*: nobody served for longer than EXPIRY_SECONDS before this replica began
to. And a replica that is *lost*: its Lease ran out without an orderly end, or its orderly end left something
unfinished, and no process with its journal came back. Either makes a job, recorded in a Lease of its own
(JOB), which one replica holds until it is finished.

A Lease that was not renewed proves nothing while the API server is away: its holder counts as gone only when
it did not renew although this replica, round after round, could (CHANCES). Pure: no clock and no I/O.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from controller.cluster.leases import Lease, timestamp

RENEW_SECONDS = 10.0
EXPIRY_SECONDS = 30
"""How long a Lease counts after it was renewed; and how long nobody may serve before that is an outage."""
CHANCES = 2
"""Rounds of ours in a row in which a Lease was not renewed, until its holder counts as gone."""
LONG_GONE = 600.0
"""Seconds after which the Lease of a Pod that is gone is removed: until then it shows how the Pod ended."""

JOB = "kargo-azure-receiver-catch-up"
OUTAGE, LOST = "outage", "replica_lost"
"""Why there is a job."""

_JOURNAL, _UNFINISHED, _OUTAGE = "journal", "unfinished-since", "outage-since"
_REASON, _FROM, _TO, _FINISHED = "reason", "from", "to", "finished"


class Job(NamedTuple):
    """A catch-up to be made. Times are Unix times in seconds."""

    reason: str
    since: float
    """Since when something may have been lost."""
    until: float
    """Until when: what is refreshed later than this has seen all of it."""


class Decision(NamedTuple):
    """What follows from one round, to be written in this order."""

    own: Lease
    claim: Lease | None
    """JOB's Lease, to be taken over or given a new job."""
    reason: str
    """Of a new job; empty for one that is taken over."""
    gone: Sequence[str]
    """Leases to be removed, once ``claim`` is written."""
    held: Lease | None
    """JOB's Lease where this replica holds an unfinished job, as last read."""


class _Seen(NamedTuple):
    lease: Lease
    at: float
    """Monotonic time at which it was first seen like this."""
    chances: int


class Replicas:
    """What one replica knows of all.

    ``name`` is its Pod's; ``journal`` identifies its journal, so that a process that finds an earlier one's
    journal is known to owe what that one owed. ``served`` is the Unix time since which it serves.
    """

    def __init__(self, name: str, journal: str, *, served: float) -> None:
        self._name = name
        self._journal = journal
        self._acquired = served
        self._joined = False
        self._outage: float | None = None
        """Since when nobody served before ``_acquired``: suspected, until all others are known to be gone."""
        self._lost: float | None = None
        """Since when something may be lost of an earlier process of this Pod."""
        self._unfinished: float | None = None
        self._seen: dict[str, _Seen] = {}

    def missed(self) -> None:
        """Note that a round failed: others may not have been able to renew either.

        Nor until our next round: that only says that it is possible again, and is no chance yet.
        """
        self._seen = {name: seen._replace(chances=-1) for name, seen in self._seen.items()}

    def claimed(self) -> None:
        """Note that ``Decision.claim`` was written: this replica's own suspicions are recorded."""
        self._outage = self._lost = None

    def see(
        self, leases: Iterable[Lease], *, monotonic: float, time: float, unfinished: float | None
    ) -> Decision:
        """Take in what was read; ``unfinished`` is since when there is unfinished work, if there is any."""
        found = {lease.name: lease for lease in leases}
        mine, job = found.pop(self._name, None), found.pop(JOB, None)
        others = list(found.values())
        self._observe(others, monotonic)
        if not self._joined:
            self._join(mine, others)
        pending = job is not None and job.moment(_FINISHED) is None
        until = (job.moment(_TO) if job is not None else None) or 0.0

        def expired(lease: Lease) -> bool:
            seen = self._seen[lease.name]
            age = max(monotonic - seen.at, time - lease.renewed)
            return age >= EXPIRY_SECONDS and seen.chances >= CHANCES

        if any(self._covers(lease) for lease in others) or until >= self._acquired:
            self._outage = None
        outage = self._outage is not None and all(
            not lease.holder or lease.acquired >= self._acquired or expired(lease) for lease in others
        )
        lost = [lease for lease in others if expired(lease) and _owes(lease)]
        uncovered = [lease for lease in lost if lease.renewed + EXPIRY_SECONDS > until]

        claim, reason = None, ""
        if outage or uncovered or self._lost is not None:
            reason = OUTAGE if outage else LOST
            since = [_owed_since(lease) for lease in uncovered]
            since += [each for each in (self._lost, self._outage) if each is not None]
            claim = self._new_job(job, reason, min(since), time)
        if job is not None and pending and job.holder != self._name:
            holder = found.get(job.holder)
            if holder is None or not holder.holder or expired(holder):
                claim = replace(claim or job, holder=self._name, renewed=time)
            elif claim is not None:
                claim = replace(claim, holder=job.holder)  # who works on it begins anew
        self._unfinished = None if unfinished is None else min(unfinished, self._unfinished or unfinished)
        return Decision(
            own=self._lease(mine, self._name, time),
            claim=claim,
            reason=reason,
            gone=[
                lease.name
                for lease in others
                if lease in lost or (expired(lease) and time - lease.renewed > LONG_GONE)
            ],
            held=job if pending and job is not None and job.holder == self._name else None,
        )

    def released(self, leases: Iterable[Lease], *, until: float, unfinished: float | None) -> list[Lease]:
        """Return what to write at an orderly end; it served ``until`` then."""
        self._unfinished = unfinished
        found = {lease.name: lease for lease in leases}
        writes = [self._lease(found.get(self._name), "", until)]
        job = found.get(JOB)
        if job is not None and job.holder == self._name:
            writes.append(replace(job, holder=""))
        return writes

    def _observe(self, others: Sequence[Lease], monotonic: float) -> None:
        before, self._seen = self._seen, {}
        for lease in others:
            seen = before.get(lease.name)
            if seen is None or (seen.lease.holder, seen.lease.renewed) != (lease.holder, lease.renewed):
                seen = _Seen(lease, monotonic, 0)
            else:
                seen = seen._replace(chances=seen.chances + 1)
            self._seen[lease.name] = seen

    def _join(self, mine: Lease | None, others: Sequence[Lease]) -> None:
        self._joined = True
        before = [lease for lease in others if lease.acquired < self._acquired]
        if mine is not None:
            undecided = mine.moment(_OUTAGE)
            same = mine.notes.get(_JOURNAL) == self._journal
            if same and mine.renewed >= self._acquired - EXPIRY_SECONDS:
                self._acquired = min(mine.acquired or self._acquired, self._acquired)
                self._outage = undecided
                return
            if undecided is not None or (not same and _owes(mine)):
                self._lost = _owed_since(mine)
            before.append(mine)
        if before and not any(self._covers(lease) for lease in before):
            self._outage = max(lease.renewed for lease in before)

    def _covers(self, lease: Lease) -> bool:
        """Whether its holder served just before this replica began to."""
        return lease.acquired < self._acquired and lease.renewed >= self._acquired - EXPIRY_SECONDS

    def _lease(self, mine: Lease | None, holder: str, renewed: float) -> Lease:
        moments = {
            _UNFINISHED: self._unfinished,
            _OUTAGE: self._lost if self._outage is None else self._outage,
        }
        return Lease(
            self._name,
            version=mine.version if mine is not None else "",
            holder=holder,
            acquired=self._acquired,
            renewed=renewed,
            notes={
                _JOURNAL: self._journal,
                **{note: "" if at is None else timestamp(at) for note, at in moments.items()},
            },
        )

    def _new_job(self, job: Lease | None, reason: str, since: float, time: float) -> Lease:
        if job is not None and job.moment(_FINISHED) is None:
            since = min(since, job.moment(_FROM) or since)
        notes = {_REASON: reason, _FROM: timestamp(since), _TO: timestamp(time), _FINISHED: ""}
        version = job.version if job is not None else ""
        return Lease(JOB, version, holder=self._name, acquired=time, renewed=time, notes=notes)


def job_of(lease: Lease) -> Job:
    """Return the job that JOB's Lease records."""
    since, until = lease.moment(_FROM) or 0.0, lease.moment(_TO) or 0.0
    return Job(lease.notes.get(_REASON, LOST), since, until)


def finished(lease: Lease, time: float) -> Lease:
    """Return JOB's Lease once its job is done."""
    return replace(lease, holder="", renewed=time, notes={**lease.notes, _FINISHED: timestamp(time)})


def _owes(lease: Lease) -> bool:
    """Whether something is lost where nobody has its journal."""
    return bool(lease.holder) or lease.moment(_UNFINISHED) is not None or lease.moment(_OUTAGE) is not None


def _owed_since(lease: Lease) -> float:
    moments = (lease.moment(_UNFINISHED), lease.moment(_OUTAGE), lease.renewed)
    return min(each for each in moments if each is not None)
