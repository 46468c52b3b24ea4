"""The messages of one queue that were received and not yet deleted: kept invisible to others meanwhile."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import structlog

from controller.runtime.clock import Clock
from webhook.queues.health import RENEW, Health
from webhook.queues.ports import Message, MessageLost, Queue, QueueFault, QueueRefused

VISIBILITY_SECONDS = 30
"""Seconds that a message is ours without renewal: a lost node's messages come back so soon."""
LONG_VISIBILITY_SECONDS = 300
"""The same where renewals are refused: longer than an API server is restarted, so that little is received in
vain. And the most for which a message is renewed that has been in flight as long: thousands may wait for the
API server, and each renewal is a request."""
RENEWALS = 3
"""Renewals within the time for which a message is ours: two may fail."""
TICK_SECONDS = 2.0
"""Between two looks at what is to be renewed."""
AT_ONCE = 32
"""Renewals that run at a time."""

log = structlog.get_logger()


class _Held:
    """One message in flight."""

    __slots__ = ("due", "lock", "message", "received")

    def __init__(self, message: Message, received: float, visibility: int) -> None:
        self.message = message
        """With its newest receipt."""
        self.lock = asyncio.Lock()
        """Held by a request about it: each renewal makes the receipt of any other invalid."""
        self.received = received
        self.due = received + visibility / RENEWALS
        """Monotonic time from when on it is to be renewed."""


class InFlight:
    """The messages in flight. One that is received once more is kept once, with its newest receipt."""

    def __init__(self, queue: Queue, health: Health, clock: Clock) -> None:
        self._queue = queue
        self._health = health
        self._clock = clock
        self._held: dict[str, _Held] = {}
        self._refused = False
        """Whether renewals are refused."""
        self._dropped = asyncio.Event()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def visibility(self) -> int:
        """Seconds for which messages are to be received."""
        return LONG_VISIBILITY_SECONDS if self._refused else VISIBILITY_SECONDS

    def add(self, message: Message) -> bool:
        """Keep a message; return False if it is in flight already, and was not renewed in time."""
        known = self._held.get(message.id)
        if known is None:
            self._held[message.id] = _Held(message, self._clock.monotonic(), self.visibility)
        else:
            known.message = message._replace(text=known.message.text)
            known.due = self._clock.monotonic() + self.visibility / RENEWALS
        return known is None

    @contextlib.asynccontextmanager
    async def newest(self, message_id: str) -> AsyncIterator[Message]:
        """Give a message with its newest receipt, which stays so: it is not renewed meanwhile."""
        held = self._held[message_id]
        async with held.lock:
            yield held.message

    def forget_text(self, message_id: str) -> None:
        """Note that a message is understood: its text, up to 64 KB, is needed no more."""
        held = self._held[message_id]
        held.message = held.message._replace(text="")

    def drop(self, message_id: str) -> None:
        """Keep a message no longer."""
        del self._held[message_id]
        self._dropped.set()

    async def wait_below(self, count: int) -> None:
        """Wait until fewer messages than ``count`` are in flight."""
        while len(self._held) >= count:
            self._dropped.clear()
            await self._dropped.wait()

    async def keep(self) -> None:
        """Renew what is due, until cancelled."""
        while True:
            await self._clock.sleep(TICK_SECONDS)
            now = self._clock.monotonic()
            due = [each for each, held in self._held.items() if held.due <= now]
            for first in range(0, len(due), AT_ONCE):
                if not await self._renew_some(due[first : first + AT_ONCE]):
                    break  # the others' turn comes with the next look

    async def _renew_some(self, ids: Sequence[str]) -> bool:
        """Renew some messages, if they are in flight still; return False if that fails just now."""
        if self._refused:
            ids = ids[:1]  # enough to notice when it is granted
        free = (each for each in ids if each in self._held and not self._held[each].lock.locked())
        done = await asyncio.gather(*map(self.renew, free))
        return all(done)

    async def renew(self, message_id: str) -> bool:
        """Keep a message invisible for as long as it has been in flight; return False if that fails."""
        held = self._held[message_id]
        async with held.lock:
            return await self._renew(held)

    async def _renew(self, held: _Held) -> bool:
        given, now = held.message, self._clock.monotonic()
        seconds = min(LONG_VISIBILITY_SECONDS, max(VISIBILITY_SECONDS, int(now - held.received)))
        try:
            renewed = await self._queue.renew(given, seconds)
        except QueueRefused as fault:
            if not self._refused:
                log.warning("queue_renewal_refused", queue=self._queue.name, error=str(fault))
            self._refused = True
            return False
        except MessageLost:  # to another replica, or to ourselves
            held.due = now + seconds
            return True
        except QueueFault as fault:
            self._health.failed(RENEW, fault)
            return False
        self._refused = False
        self._health.worked(RENEW)
        if held.message.receipt == given.receipt:  # else it was received once more meanwhile
            held.message = held.message._replace(receipt=renewed.receipt)
            held.due = now + seconds / RENEWALS
        return True
