"""Looks for near misses in the running receiver's index, in slices between turns of the event loop."""

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

from controller.kargo.objects import Target
from controller.kargo.warehouse import UNREADABLE
from controller.receivers.url import scope_of
from controller.refreshing.near_misses import MOST_NEAR_MISSES, NearMiss, Search
from controller.refreshing.target_index import TargetIndex
from controller.runtime.clock import Clock

SLICE_SECONDS = 0.0005
"""Seconds of the event loop at a time: what another event may have to wait. One key takes microseconds."""
PAUSE_SECONDS = 0.002
"""Seconds between two slices: events that match nothing take a fifth of the event loop, however many come."""
LONGEST_SCAN = 5.0
"""Seconds until a scan ends with what it has found. 100,000 keys take 0.3, or five if all end alike."""
MOST_REPOSITORIES = 5
"""Of one event: each multiplies the work on every key."""
LONGEST_KEY = 4096
"""Characters: more than any repository's URL has in Azure."""


class Found(NamedTuple):
    """What a scan found."""

    near_misses: Sequence[NearMiss] = ()
    """The best first, ``MOST_NEAR_MISSES`` at most."""
    note: str = ""
    """Why there was no scan, or none to the end."""


class NearMissScan:
    """Looks through all keys of an index, for one event at a time."""

    def __init__(self, index: TargetIndex, clock: Clock) -> None:
        self._index = index
        self._clock = clock
        self._busy = self._stopped = False

    def stop(self) -> None:
        """End the scan under way at its next slice, and begin no other."""
        self._stopped = True

    async def scan(self, receiver: str, subjects: Sequence[tuple[str, str]]) -> Found | None:
        """Return the near misses of an event; None if it is about no repository."""
        repositories = list(dict.fromkeys(each for each in subjects if each[0] != "pull_request"))
        if not repositories:
            return None
        if self._busy or self._stopped:
            why = "the receiver is stopping" if self._stopped else "another event's were being looked for"
            return Found(note=f"not looked for: {why}")
        self._busy = True
        try:
            return await self._scan(scope_of(receiver), repositories)
        finally:
            self._busy = False

    async def _scan(self, scope: str | None, repositories: Sequence[tuple[str, str]]) -> Found:
        def covers(namespace: str) -> bool:
            return scope is None or namespace == scope

        searches = [Search(kind, url, covers) for kind, url in repositories[:MOST_REPOSITORIES]]
        for search in searches:
            search.unreadable(self._some_targets(UNREADABLE, scope))
        keys = self._index.keys()
        await self._clock.sleep(PAUSE_SECONDS)  # a list of 100,000 keys takes a millisecond
        began = slice_began = self._clock.monotonic()
        looked_at = 0
        for key in keys:
            looked_at += 1
            if len(key) <= LONGEST_KEY:
                for search in searches:
                    search.consider(key, self._some_targets(key, scope))
            now = self._clock.monotonic()
            if now - slice_began >= SLICE_SECONDS:
                if self._stopped or now - began >= LONGEST_SCAN:
                    break
                await self._clock.sleep(PAUSE_SECONDS)
                slice_began = self._clock.monotonic()
        notes = []
        if len(repositories) > MOST_REPOSITORIES:
            notes.append(f"looked for the first {MOST_REPOSITORIES} of {len(repositories)} repositories only")
        if looked_at < len(keys):
            notes.append(f"looked at {looked_at} of {len(keys)} subscribed repositories only")
        found = sorted(set(chain.from_iterable(search.best() for search in searches)))
        return Found(found[:MOST_NEAR_MISSES], "; ".join(notes))

    def _some_targets(self, key: str, scope: str | None) -> Iterator[Target]:
        """Yield the first few targets inside a scope, then the first few outside, when asked for them."""
        yield from islice(self._index.walk(key, only=scope), MOST_NEAR_MISSES)
        if scope is not None:
            yield from islice(self._index.walk(key, without=scope), MOST_NEAR_MISSES)
