"""The attackers, as a program of their own: ``attackers NAME PORT PATH… SECONDS`` prints what it counted.

Apart from the tests, so that what they cost is not felt as the receiver's delay.
"""

import asyncio
import contextlib
import json
import resource
import socket
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable

from webhook.limits import KIB, MIB

HALF_AND_ESCAPES = (
    b'{"action":"push","target":{"repository":"none"},"request":{"host":"none.azurecr.io"},"x":"\\ud800'
)
"""The beginning of an event with half a surrogate pair, after which escapes follow."""


class Attack:
    """What attackers share: the port, the paths they know, when to stop, and what they counted."""

    def __init__(self, port: int, paths: list[str], seconds: float) -> None:
        self.port = port
        self.paths = paths
        self.ends = time.monotonic() + seconds
        self.counted: Counter[str] = Counter()

    @property
    def going_on(self) -> bool:
        return time.monotonic() < self.ends

    async def many(self, count: int, one: Callable[[int], Awaitable[None]]) -> None:
        """Have ``count`` attackers do their work, anew whenever it ends, until it is time to stop."""

        async def again(number: int) -> None:
            while self.going_on:
                try:
                    async with asyncio.timeout(max(0.1, self.ends - time.monotonic())):
                        await one(number)
                except (OSError, EOFError, TimeoutError) as error:
                    self.counted[type(error).__name__] += 1
                    await asyncio.sleep(0.05)

        await asyncio.gather(*(again(number) for number in range(count)))

    async def connect(self) -> socket.socket:
        """Connect with a receive buffer so small that few answers fill it."""
        sender = socket.socket()
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sender.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sender, ("127.0.0.1", self.port))
        except BaseException:
            sender.close()
            raise
        self.counted["connections"] += 1
        return sender

    async def post(self, path: str, body: bytes) -> None:
        """Send one request and read its answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(head(path, len(body)) + body)
            await writer.drain()
            line = await reader.readline()
            self.counted[line[9:12].decode() or "no answer"] += 1
        finally:
            writer.transport.abort()


def head(path: str, length: int) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()


async def unread(attack: Attack) -> None:
    """Without a URL: requests one after the other, and no answer is read."""
    loop = asyncio.get_running_loop()
    requests = b"GET /x HTTP/1.1\r\n\r\n" * 2000

    async def one(_: int) -> None:
        with await attack.connect() as sender:
            await loop.sock_sendall(sender, requests)
            await asyncio.sleep(attack.ends - time.monotonic())

    await attack.many(1300, one)


async def refused(attack: Attack) -> None:
    """Without a URL: requests that are refused, and whose bodies never come."""
    loop = asyncio.get_running_loop()

    async def one(_: int) -> None:
        with await attack.connect() as sender:
            await loop.sock_sendall(sender, head("/x", 1000))
            while await loop.sock_recv(sender, 1000):
                pass

    await attack.many(1300, one)


async def long_headers(attack: Attack) -> None:
    """Without a URL: headers of nearly the limit that never end."""
    loop = asyncio.get_running_loop()

    async def one(_: int) -> None:
        with await attack.connect() as sender:
            await loop.sock_sendall(sender, b"POST /x HTTP/1.1\r\nX: " + b"a" * 31 * KIB)
            while await loop.sock_recv(sender, 1000):
                pass

    await attack.many(1300, one)


async def batches(attack: Attack) -> None:
    """48 senders of batches of 2 MiB to one URL, each of other repositories."""

    def event(repository: str) -> str:
        data = {"target": {"repository": repository}, "request": {"host": "none.azurecr.io"}}
        return json.dumps({"eventType": "Microsoft.ContainerRegistry.ImagePushed", "data": data})

    def batch(number: int) -> bytes:
        length, count = (5, 12_000) if number % 4 == 0 else (200, 1_400)  # too many, or as many as are taken
        events = ",".join(event(f"{number}-{each}-{'a' * length}") for each in range(count))
        return f"[{events}]".ljust(2 * MIB).encode()

    bodies = [batch(number) for number in range(16)]
    await attack.many(48, lambda number: attack.post(attack.paths[0], bodies[number % len(bodies)]))


async def escapes(attack: Attack) -> None:
    """32 senders of 2 MiB of escapes and half a surrogate pair."""
    body = HALF_AND_ESCAPES + b"\\n" * (MIB - 200) + b'"}'
    await attack.many(32, lambda number: attack.post(attack.paths[0], body))


async def slots(attack: Attack) -> None:
    """Slow requests to two URLs of one Project: 1,536 and 520."""

    async def one(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", attack.port)
        try:
            writer.write(head(attack.paths[number >= 1536], 100))
            attack.counted[(await reader.readline())[9:12].decode() or "no answer"] += 1
        finally:
            writer.transport.abort()

    await attack.many(2056, one)


async def slow_bodies(attack: Attack) -> None:
    """22 bodies of 2 MiB, to two URLs of one Project, that lack their last byte."""

    async def one(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", attack.port)
        try:
            writer.write(head(attack.paths[number % 2], 2 * MIB) + b" " * (2 * MIB - 1))
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            attack.counted[(await reader.readline())[9:12].decode() or "no answer"] += 1
        finally:
            writer.transport.abort()

    await attack.many(64, one)


def _pushed(number: int) -> dict[str, object]:
    """Return a push to the repository that the attacked Project's Warehouse of this number subscribes to."""
    return {
        "action": "push",
        "target": {"repository": f"app-{number}"},
        "request": {"host": "attacked.azurecr.io"},
    }


async def repositories(attack: Attack) -> None:
    """One sender of requests for 1,500 repositories, as many as a batch may hold, with a Warehouse each."""
    events = [
        {"eventType": "Microsoft.ContainerRegistry.ImagePushed", "data": _pushed(number)}
        for number in range(1500)
    ]
    body = json.dumps(events).encode()
    await attack.many(1, lambda _: attack.post(attack.paths[0], body))


async def pushes(attack: Attack) -> None:
    """1,000 pushes at once, each to a repository of its own."""
    bodies = [json.dumps(_pushed(number)).encode() for number in range(1000)]
    await attack.many(len(bodies), lambda number: attack.post(attack.paths[0], bodies[number]))


ATTACKS = {
    each.__name__: each
    for each in (
        unread,
        refused,
        long_headers,
        batches,
        escapes,
        slots,
        slow_bodies,
        repositories,
        pushes,
    )
}


async def main(name: str, port: str, seconds: str, *paths: str) -> None:
    """Run one attack, and print what was counted."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    attack = Attack(int(port), list(paths), float(seconds))
    await ATTACKS[name](attack)
    sys.stdout.write(", ".join(f"{count} x {what}" for what, count in sorted(attack.counted.items())) + "\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
