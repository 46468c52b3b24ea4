"""Asks the other replicas, found by a DNS name, for their JSON.

A peer may be broken: whatever it does costs at most ``PEER_SECONDS`` and ``PEER_BYTES``, and gives one
line of error.
"""

import asyncio
import socket
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

import aiohttp
import msgspec
from yarl import URL

from webhook.admin.reports import Report

PEER_SECONDS = 1.0
"""Within which a peer must answer, the look-up of its address included."""
PEER_BYTES = 8 * 1024 * 1024
"""Largest answer: 1,000 receivers take 0.3 MB."""
MOST_PEERS = 32
"""Most replicas that are asked. Two are usual."""

R = TypeVar("R", bound=Report)


class Address(NamedTuple):
    """A host name that resolves to all replicas, or an address, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Trouble(NamedTuple):
    """A peer whose report is missing, and why."""

    peer: str
    why: str


class Replies(NamedTuple, Generic[R]):
    """The reports of the peers that answered, and a line for each that did not."""

    answers: Sequence[R]
    troubles: Sequence[Trouble]


class Peers:
    """Asks all replicas behind an address, but this one, at the same time."""

    def __init__(self, address: Address | None, instance: str) -> None:
        """``instance`` is the unique id of this process in its own answers."""
        self._address = address
        self._instance = instance
        self._own: set[str] = set()
        """Addresses at which this process itself answered."""
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, path: str, kind: type[R]) -> Replies[R]:
        """Return each peer's answer to ``GET /api/{path}``, in the order of their addresses.

        A 404 is neither an answer nor a trouble. Never raises for anything that a peer does.
        """
        if self._address is None:
            return Replies((), ())
        deadline = asyncio.get_running_loop().time() + PEER_SECONDS
        troubles: list[Trouble] = []
        try:
            async with asyncio.timeout_at(deadline):
                found = await self._addresses(self._address)
        except TimeoutError:
            return Replies((), [Trouble(str(self._address), f"no address within {PEER_SECONDS:g} s")])
        except OSError as error:
            why = error.strerror or "no address found"
            return Replies((), [Trouble(str(self._address), f"no address found: {why}")])
        if len(found) > MOST_PEERS:
            more = len(found) - MOST_PEERS
            troubles.append(Trouble(str(self._address), f"{more} more replicas are not asked"))
            del found[MOST_PEERS:]
        replies = await asyncio.gather(*(self._ask(peer, path, kind, deadline) for peer in found))
        answers: dict[str, R] = {}
        for peer, reply in zip(found, replies, strict=True):
            if isinstance(reply, str):
                troubles.append(Trouble(str(peer), reply))
            elif reply is not None and reply.instance == self._instance:
                self._own.add(peer.host)
            elif reply is not None:
                answers.setdefault(reply.instance, reply)
        return Replies([*answers.values()], troubles)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _addresses(self, address: Address) -> list[Address]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        hosts = sorted({str(each[4][0]) for each in found} - self._own)
        return [Address(host, address.port) for host in hosts]

    async def _ask(self, peer: Address, path: str, kind: type[R], deadline: float) -> R | str | None:
        """Return a peer's answer; None for a 404; or in a few words why the answer is of no use."""
        try:
            async with asyncio.timeout_at(deadline):
                body = await self._get(peer, path)
        except TimeoutError:
            return f"no answer within {PEER_SECONDS:g} s"
        except aiohttp.ClientConnectorError as error:
            return f"no connection: {error.strerror or 'refused'}".lower()
        except (aiohttp.ClientError, OSError, ValueError):
            return "its answer is not HTTP, or was cut off"
        if body is None or isinstance(body, str):
            return body
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.MsgspecError, RecursionError):
            return "its answer is not a replica's JSON: is it of another version?"

    async def _get(self, peer: Address, path: str) -> bytes | str | None:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=2 * MOST_PEERS),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            )
        url = URL(f"http://{peer}/api/{path}", encoded=True)
        async with self._session.get(url, allow_redirects=False) as response:
            if response.status == 404:
                return None
            if response.status != 200:
                return f"it answered {response.status}"
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > PEER_BYTES:
                    response.close()
                    return f"its answer is larger than {PEER_BYTES // 1024 // 1024} MiB"
            return bytes(body)
