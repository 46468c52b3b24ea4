"""Waits for what a test or a demonstration expects to become true."""

import time
from collections.abc import Callable
from typing import TypeVar

from e2e.controlplane.errors import CommandError

T = TypeVar("T")

POLL = 0.02
"""Seconds between two looks."""


def eventually(condition: Callable[[], T | None], limit: float = 10.0, what: str = "it") -> T:
    """Ask until ``condition`` gives something true, and return that; AssertionError after ``limit`` seconds.

    OSError and CommandError count as not yet.
    """
    deadline = time.monotonic() + limit
    last: object = None
    while True:
        try:
            last = result = condition()
            if result:
                return result
        except (OSError, CommandError) as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come within {limit:g} s; last seen: {last!r}")
        time.sleep(POLL)
