"""Many requests at a time from one process, bounded in number and time."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.support.aio import run

LIMIT = 60.0
"""Seconds after which a request counts as never answered."""


@dataclass(frozen=True)
class Reply:
    """An answer under load; status 0 means that there was none."""

    status: int
    text: str
    began: float
    """Monotonic time in seconds."""
    seconds: float


async def post(session: aiohttp.ClientSession, url: str, body: Any) -> Reply:
    """POST one JSON body; a failed connection is a reply of status 0."""
    began = time.monotonic()
    try:
        async with session.post(url, json=body) as response:
            text = await response.text()
            return Reply(response.status, text, began, time.monotonic() - began)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return Reply(0, repr(error), began, time.monotonic() - began)


async def post_many(
    url: str, bodies: list[Any], *, at_once: int, path: Callable[[int], str] = lambda number: ""
) -> list[Reply]:
    """POST all bodies to ``url`` + ``path(number)``, ``at_once`` in flight; replies in the bodies' order."""
    free = asyncio.Semaphore(at_once)
    connector = aiohttp.TCPConnector(limit=at_once)
    timeout = aiohttp.ClientTimeout(total=LIMIT)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

        async def one(number: int, body: Any) -> Reply:
            async with free:
                return await post(session, url + path(number), body)

        return list(await asyncio.gather(*(one(number, body) for number, body in enumerate(bodies))))


def flood(url: str, bodies: list[Any], *, at_once: int) -> list[Reply]:
    """Run ``post_many`` to its end."""
    return run(post_many(url, bodies, at_once=at_once), limit=LIMIT * 2)
