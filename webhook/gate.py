"""How much accepted work is in progress, and whether there is room for more."""

import asyncio

from webhook.limits import Limits


class Gate:
    """Counts requests in progress and bytes of bodies being received, each in all and by receiver.

    ``enter`` and ``leave``, ``take`` and ``give`` come in pairs; each fails by returning False, and then
    counts nothing.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._by_receiver: dict[str, int] = {}
        self._bytes_by_receiver: dict[str, int] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        self.requests = 0
        """Requests accepted and not yet answered."""
        self.bytes = 0
        """Bytes of their bodies that are held."""
        self.closed = False
        """True once no more requests are to be accepted: the server is shutting down."""

    def enter(self, receiver: str) -> bool:
        """Count a request to this receiver, if there is room for it."""
        mine = self._by_receiver.get(receiver, 0)
        if self.closed or self.requests >= self._limits.requests or mine >= self._limits.receiver_requests:
            return False
        self.requests += 1
        self._by_receiver[receiver] = mine + 1
        self._empty.clear()
        return True

    def leave(self, receiver: str) -> None:
        """Count a request as answered."""
        self.requests -= 1
        mine = self._by_receiver[receiver] - 1
        if mine:
            self._by_receiver[receiver] = mine
        else:
            del self._by_receiver[receiver]  # receivers come and go: what is idle costs nothing
        if not self.requests:
            self._empty.set()

    def take(self, receiver: str, count: int) -> bool:
        """Count bytes of a body to this receiver, if there is room for them."""
        mine = self._bytes_by_receiver.get(receiver, 0) + count
        if self.bytes + count > self._limits.body_bytes or mine > self._limits.receiver_bytes:
            return False
        self.bytes += count
        self._bytes_by_receiver[receiver] = mine
        return True

    def give(self, receiver: str, count: int) -> None:
        """Count bytes of a body as decoded or dropped."""
        self.bytes -= count
        mine = self._bytes_by_receiver[receiver] - count
        if mine:
            self._bytes_by_receiver[receiver] = mine
        else:
            del self._bytes_by_receiver[receiver]

    async def wait_empty(self, seconds: float) -> bool:
        """Wait until no request is in progress, at most ``seconds``; return whether that is so."""
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True
