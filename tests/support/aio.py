"""Runs one coroutine to its end, as every asynchronous test does."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

TEST_LIMIT = 30.0
"""Seconds after which a test counts as hung: far above what any of them needs."""


def run(coroutine: Coroutine[Any, Any, T], limit: float = TEST_LIMIT) -> T:
    """Run ``coroutine`` in a fresh event loop with asyncio's debug checks on.

    Raises TimeoutError after ``limit`` seconds, and whatever the coroutine raises.
    """

    async def bounded() -> T:
        # A slow turn says that the machine is busy, and asyncio's line about it would be a warning to a test.
        asyncio.get_running_loop().slow_callback_duration = limit
        async with asyncio.timeout(limit):
            return await coroutine

    return asyncio.run(bounded(), debug=True)
