"""Divides three things between Projects: requests in progress, bytes held, and the event loop's time.

One Project may use at most a part of each, and one receiver a part of its Project's (docs/security.md has the
numbers). A Project that reaches a bound is refused, or waits; the others are not affected.
"""

import asyncio
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence

from webhook.arrival import Subject
from webhook.limits import TURN_SECONDS, UNQUEUED_SECONDS, USE_WINDOW_SECONDS, Limits, share

SUBJECT_BYTES = 2048
"""Bytes that dispatcher, refresher and journal take for one subject of a delivery, beside its text."""

TEXT_COPIES = 4
"""Copies of a subject's text in memory: as sent, as a key, in a flow and in the journal's queue."""


def project_of(receiver: str) -> str:
    """Return the Project of a receiver, ``cluster`` for ClusterConfig's: what is before the slash."""
    return receiver.partition("/")[0]


def bytes_of(subjects: Sequence[Subject]) -> int:
    """Return how many bytes a delivery of these subjects takes from its decoding to its end."""
    return sum(SUBJECT_BYTES + TEXT_COPIES * sys.getsizeof(subject.url) for subject in subjects)


class Quota:
    """Counts the use of one thing: in all, by Project and by receiver, each up to a limit."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._used: dict[str, int] = {}  # by Project and by receiver: only the latter's names have a slash
        self.total = 0
        """How much is in use."""

    def take(self, receiver: str, count: int) -> bool:
        """Count it as used; return False, and count nothing, where a limit would be passed."""
        project, used = project_of(receiver), self._used
        by_project, by_receiver = used.get(project, 0) + count, used.get(receiver, 0) + count
        projects = share(self._most)
        if self.total + count > self._most or by_project > projects or by_receiver > share(projects):
            return False
        self.total += count
        used[project], used[receiver] = by_project, by_receiver
        return True

    def give(self, receiver: str, count: int) -> None:
        """Count it as no longer used."""
        self.total -= count
        for name in (project_of(receiver), receiver):
            self._used[name] -= count
            if not self._used[name]:
                del self._used[name]  # receivers come and go: what is idle costs nothing


class Turns:
    """Divides the event loop's time.

    The work of a Project that has used little of it lately is done at once. Other work waits: it is done a
    few milliseconds at a time, between the event loop's other tasks. The Project that has used least
    comes first, and within it the receiver that has.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._used: dict[str, float] = {}  # seconds in this window, by Project and by receiver
        self._window_ends = 0.0
        self._waiting: dict[str, deque[Callable[[], None]]] = {}

    def run(self, receiver: str, work: Callable[[], None]) -> None:
        """Call ``work`` at once, or when it is the receiver's turn."""
        if not self.waits(receiver):
            self._run(receiver, work)
            return
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._take_turns)
        self._waiting.setdefault(receiver, deque()).append(work)

    def waits(self, receiver: str) -> bool:
        """Return whether its Project has used so much of the time lately that its work waits for its turn."""
        if self._now() >= self._window_ends:
            self._window_ends = self._now() + USE_WINDOW_SECONDS
            self._used.clear()
        return self._used.get(project_of(receiver), 0.0) >= UNQUEUED_SECONDS

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()

    def _take_turns(self) -> None:
        until = self._now() + TURN_SECONDS
        try:
            while self._waiting and self._now() < until:
                receiver = min(self._waiting, key=self._rank)
                works = self._waiting[receiver]
                work = works.popleft()
                if not works:
                    del self._waiting[receiver]
                self._run(receiver, work)
        finally:  # a fault in one is not the others'
            if self._waiting:
                asyncio.get_running_loop().call_soon(self._take_turns)

    def _rank(self, receiver: str) -> tuple[float, float]:
        return self._used.get(project_of(receiver), 0.0), self._used.get(receiver, 0.0)

    def _run(self, receiver: str, work: Callable[[], None]) -> None:
        began = self._now()
        try:
            work()
        finally:
            seconds = self._now() - began
            for name in (project_of(receiver), receiver):
                self._used[name] = self._used.get(name, 0.0) + seconds


class Gate:
    """Lets requests in while there is room for them.

    ``enter`` and ``leave`` come in pairs, and so do the ``take`` and ``give`` of each quota; each fails by
    returning False, and then counts nothing.
    """

    def __init__(self, limits: Limits) -> None:
        self._requests = Quota(limits.requests)
        self.bodies = Quota(limits.body_bytes)
        """Bytes of bodies, from their arrival until they are decoded."""
        self.deliveries = Quota(limits.delivery_bytes)
        """Bytes of deliveries (``bytes_of``), from their decoding until their end."""
        self._empty = asyncio.Event()
        self._empty.set()
        self.turns = Turns()
        self.closed = False
        """True once no more requests are to be accepted: the server is shutting down."""

    @property
    def requests(self) -> int:
        """Requests accepted and not yet answered."""
        return self._requests.total

    @property
    def bytes(self) -> int:
        """Bytes of bodies and deliveries that are held."""
        return self.bodies.total + self.deliveries.total

    def enter(self, receiver: str) -> bool:
        """Count a request to this receiver, if there is room for it."""
        if self.closed or not self._requests.take(receiver, 1):
            return False
        self._empty.clear()
        return True

    def leave(self, receiver: str) -> None:
        """Count a request as answered."""
        self._requests.give(receiver, 1)
        if not self.requests:
            self._empty.set()

    async def wait_empty(self, seconds: float) -> bool:
        """Wait until no request is in progress, at most ``seconds``; return whether that is so."""
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True
