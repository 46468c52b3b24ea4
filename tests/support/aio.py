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
        async with asyncio.timeout(limit):
            return await coroutine

    return asyncio.run(bounded(), debug=True)
