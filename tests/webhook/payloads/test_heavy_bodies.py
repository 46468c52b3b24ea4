"""No body of the largest size holds up the process: reading it takes a few passes of native code."""

import contextlib
import time
import tracemalloc

import pytest

from tests.webhook.payloads.heavy_bodies import BODIES, SIZE
from webhook.payloads.parse import parse
from webhook.payloads.reading import BadPayload

SECONDS = 0.08
"""Processor time for a body at the most, on a machine that is slow and busy: 4 times what was measured."""
MEMORY = 5 * SIZE


def read(body: bytes) -> None:
    with contextlib.suppress(BadPayload):
        parse("application/json", None, body)


@pytest.mark.parametrize("name", BODIES)
def test_a_heavy_body_is_read_at_once(name: str) -> None:
    """Nothing is done for each of a million escapes, keys, values or events."""
    body = BODIES[name]()
    assert SIZE * 0.99 < len(body) <= SIZE
    spent = []
    for _ in range(5):
        started = time.thread_time()
        read(body)
        spent.append(time.thread_time() - started)
    assert min(spent) < SECONDS


@pytest.mark.parametrize("name", BODIES)
def test_a_heavy_body_builds_next_to_nothing(name: str) -> None:
    """What nobody reads is skipped: memory holds copies of the body, and no object for each thing in it."""
    body = BODIES[name]()
    tracemalloc.start()
    try:
        read(body)
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
